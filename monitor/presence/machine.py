"""The presence state machine of one zone: a pure function of (state, observation, time).

A score becomes presence in three moves:

1. *Smoothing*: an exponential moving average with a time constant, so that the frame rate
   does not matter.
2. *Hysteresis*: a smoothed score at or above `enter_threshold` is a hit, one below
   `exit_threshold` is a clear, and in between lies the dead band. A pending change lives on
   unbroken evidence only: any score that is no hit ends an entering, any score that is no
   clear ends an exiting. So the dead band never changes a state; it only cancels.
3. *Debounce*: hits must last `enter_after` seconds and number `enter_hits` to make a zone
   OCCUPIED; clears must last `exit_after` to make an OCCUPIED one VACANT. From UNKNOWN, VACANT
   takes as much as OCCUPIED does (`enter_after`, `enter_hits`): quick, but never on one frame.
   A zone that has only ever scored inside the dead band stays UNKNOWN.

Times are back-dated to the evidence. An occupancy starts at the first raw score at or above
`enter_threshold` of the unbroken rise that led to the first hit, because the average lags
behind the person. Scores at which something came (`Observation.came`) belong to that rise, too:
who is hardly seen at first was there all the same. If the first of them is of a glance, somebody
came between it and the look before: the start is the middle of the two (at most `FARTHEST`
earlier). It ends at its last evidence: the last raw score at or above `exit_threshold` before the
average fell under it. The frame after that is the first that no longer shows anyone, so the truth
lies between the two, and the earlier one is the last instant that was really seen. The same rule
serves every way of ending. Only what is left of `exit_after` counts from the middle, if the first
clear score of somebody's absence came from a glance: from the glance, occupancies would end later
than they do for a closer look, and two visits would be one. Where two looks are more than `RARE`
apart, and the first of them still shows somebody, the occupancy ends in the middle of the two.

An absence that only glances bear out lasts up to the middle between the last clear one and the look
after it, whatever that one shows: if `exit_after` is over by then, somebody who is there now has
come anew.

Not being seen: `lost` notes that a camera reports an outage. Until `max_gap` after the last
score the zone keeps its state (pending GAP) and goes on if the camera returns, except that
pending changes and the average start anew: evidence does not reach across an outage. After
`max_gap` the zone is UNKNOWN, whatever it was, and an occupancy ends with `signal_lost`. The
change is dated by the last score, not by when somebody looked, so how often `tick` is called
does not show.

A change that is held back is not lost: while a scene guard holds (`Hold`), evidence goes on being
gathered. What `monitor.presence.background` recants moves the last evidence, nothing else.

Time never runs backwards: an observation that is not later than the last one is refused
(`Step.accepted` is False) and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeGuard

from monitor.clock import Stamp
from monitor.config.presence import PresenceConfig
from monitor.messages import EndReason, PresenceState
from monitor.presence.reading import Reading, read

TOLERANCE = 1e-6
"""Seconds forgiven in comparisons: 5 frames/s give 0.5999… where 0.6 is meant."""

GLANCES, FARTHEST = 0.5, 1.0
"""Seconds between two looks above which they are glances, and by how many the first evidence is
moved back towards the look before it at most."""

RARE = 1.5
"""Seconds between two looks above which the last evidence is no good estimate of an end."""


class Pending(StrEnum):
    """What a zone may be about to do."""

    ENTERING = "entering"
    """Hits are counted towards OCCUPIED."""
    EXITING = "exiting"
    """Clears are counted towards VACANT."""
    GAP = "gap"
    """The camera is out; the state holds until `max_gap`."""
    DWELLING = "dwelling"
    """Somebody is there, but not yet for `min_dwell`."""
    LINGERING = "lingering"
    """Nobody is there any more, but not yet for `merge_within`."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One raw score P(someone) in [0, 1] and when its picture was taken.

    `came`: something is there that was not, and the score leaves open whether it is somebody; if
    that turns out to be so without a break, it was somebody by now.

    Raises ValueError for NaN and for numbers outside [0, 1].
    """

    at: Stamp
    score: float
    came: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"a score must lie in [0, 1], got {self.score!r}")


@dataclass(frozen=True, slots=True)
class Run:
    """Unbroken evidence of one kind: since when, and how many observations."""

    since: Stamp
    count: int


@dataclass(frozen=True, slots=True)
class ZoneState:
    """Everything the machine remembers of a zone; of constant size.

    `since`: when the presence state began, back-dated. `seen`: when the last observation was;
    `score` and `reading`: what it was, None while nothing is remembered.
    `hits` and `clears`: the pending runs. `onset`: when an occupancy would have started if it
    were confirmed now. `evidence`: the last observation that speaks for somebody.
    `unseen`: since when the camera reports an outage.
    """

    presence: PresenceState = PresenceState.UNKNOWN
    since: Stamp | None = None
    seen: Stamp | None = None
    score: float | None = None
    reading: Reading | None = None
    hits: Run | None = None
    clears: Run | None = None
    onset: Stamp | None = None
    evidence: Stamp | None = None
    unseen: Stamp | None = None

    @property
    def smoothed(self) -> float | None:
        """The average (mode plain) or the belief (mode evidence)."""
        return self.reading.level if self.reading is not None else None

    @property
    def calm(self) -> bool:
        """Whether the zone is VACANT and the last score says the same."""
        clear = self.reading is not None and self.reading.clear and not self.reading.rising
        return self.presence is PresenceState.VACANT and self.hits is None and clear

    @property
    def start(self) -> Stamp | None:
        """The start of the occupancy that is, or that may become one."""
        return self.since if self.presence is PresenceState.OCCUPIED else self.onset

    @property
    def pending(self) -> Pending | None:
        """The change that may come next."""
        if self.unseen is not None:
            return Pending.GAP
        if self.hits is not None:
            return Pending.ENTERING
        return Pending.EXITING if self.clears is not None else None


@dataclass(frozen=True, slots=True)
class Hold:
    """Which changes must not be confirmed for now: to OCCUPIED, to VACANT."""

    entries: bool = False
    exits: bool = False


FREE = Hold()


@dataclass(frozen=True, slots=True)
class Change:
    """A confirmed change: `at` is back-dated to the evidence, `confirmed` ended the debounce."""

    previous: PresenceState
    current: PresenceState
    at: Stamp
    confirmed: Stamp
    end_reason: EndReason | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What an observation or the passing of time led to.

    More than one change only if a gap ended and the very observation that ended it suffices
    to confirm the next state.
    """

    state: ZoneState
    changes: tuple[Change, ...] = ()
    accepted: bool = True


def step(
    state: ZoneState, observation: Observation, settings: PresenceConfig, hold: Hold = FREE
) -> Step:
    """Take one observation in. What `hold` forbids is not confirmed by it; evidence is gathered
    all the same, so that the first observation without a hold confirms what lasted so long."""
    if state.seen is not None and observation.at.monotonic <= state.seen.monotonic:
        return Step(state, accepted=False)
    at = observation.at
    before = tick(state, at, settings)
    gone, left = _gone(_back_in_sight(before.state, at), at, settings, hold)
    judged, change = _judge(_look(gone, observation, settings), at, settings, hold)
    changes = tuple(each for each in (left, change) if each is not None)
    return Step(judged, before.changes + changes)


def tick(state: ZoneState, now: Stamp, settings: PresenceConfig) -> Step:
    """Let time pass: a zone without an observation for `max_gap` becomes UNKNOWN."""
    if state.seen is None or not _lasted(state.seen, now, settings.max_gap):
        return Step(state)
    return ended(state, state.seen.shifted(settings.max_gap), EndReason.SIGNAL_LOST)


def ended(state: ZoneState, confirmed: Stamp, reason: EndReason) -> Step:
    """Stop believing anything: the zone becomes UNKNOWN, an occupancy ends with `reason`."""
    gone = ZoneState(since=state.since, seen=state.seen, unseen=state.unseen)
    if state.presence is PresenceState.UNKNOWN:
        return Step(gone)
    occupied = state.presence is PresenceState.OCCUPIED
    at = state.evidence if occupied else state.seen
    assert at is not None
    change = Change(
        state.presence, PresenceState.UNKNOWN, at, confirmed, reason if occupied else None
    )
    return Step(replace(gone, since=at), (change,))


def lost(state: ZoneState, at: Stamp) -> ZoneState:
    """The camera has not been seen since `at`. An outage older than the last score is over."""
    over = state.seen is not None and at.monotonic < state.seen.monotonic
    if over or state.unseen is not None:
        return state
    return replace(state, unseen=at)


def recanted(state: ZoneState, since: Stamp) -> ZoneState:
    """What was taken for somebody since then was nobody: an occupancy was last seen before."""
    if state.presence is not PresenceState.OCCUPIED or state.since is None:
        return state
    if state.evidence is None or state.evidence.monotonic <= since.monotonic:
        return state
    return replace(state, evidence=max(since, state.since))


def resumed(started: Stamp, seen: Stamp) -> ZoneState:
    """An occupancy that a restart interrupted: it goes on if a score comes within `max_gap`."""
    return ZoneState(PresenceState.OCCUPIED, since=started, seen=seen, evidence=seen, unseen=seen)


def _lasted(since: Stamp, now: Stamp, seconds: float) -> bool:
    return now.since(since) >= seconds - TOLERANCE


def _back_in_sight(state: ZoneState, at: Stamp) -> ZoneState:
    """End an outage. Pictures taken before it, scored late, do not end it."""
    if state.unseen is None or at.monotonic <= state.unseen.monotonic:
        return state
    return replace(state, reading=None, hits=None, clears=None, onset=None, unseen=None)


def _look(state: ZoneState, observation: Observation, settings: PresenceConfig) -> ZoneState:
    """Sort the observation into the runs of evidence, without a verdict."""
    at = observation.at
    reading = read(
        observation.score,
        state.reading,
        at.since(state.seen) if state.seen is not None else 0.0,
        occupied=state.presence is PresenceState.OCCUPIED,
        settings=settings,
    )
    open_to_enter = state.presence is not PresenceState.OCCUPIED
    open_to_exit = state.presence is not PresenceState.VACANT
    left = _between(state, at) if state.presence is PresenceState.OCCUPIED else at
    rising = (reading.rising or observation.came) and open_to_enter
    return replace(
        state,
        seen=at,
        score=observation.score,
        reading=reading,
        hits=_grown(state.hits, at) if reading.hit and open_to_enter else None,
        clears=_grown(state.clears, left) if reading.clear and open_to_exit else None,
        onset=(state.onset or _between(state, at)) if rising else None,
        evidence=at if reading.present else _last_evidence(state, reading, at),
    )


def _last_evidence(state: ZoneState, reading: Reading, at: Stamp) -> Stamp | None:
    """When somebody was last there, now that a look no longer shows anyone."""
    seen, apart = state.seen, _apart(state, at)
    if state.presence is not PresenceState.OCCUPIED or not reading.clear or state.evidence != seen:
        return state.evidence
    return seen.shifted(apart / 2.0) if seen is not None and apart > RARE else seen


def _gone(
    state: ZoneState, at: Stamp, settings: PresenceConfig, hold: Hold
) -> tuple[ZoneState, Change | None]:
    """End an occupancy whose exit was over before the look at `at`, halfway from the one before."""
    clears, apart = state.clears, _apart(state, at)
    if state.presence is not PresenceState.OCCUPIED or hold.exits or apart <= GLANCES + TOLERANCE:
        return state, None
    if not _enough(clears, at.shifted(-apart / 2.0), settings.exit_after, 1):
        return state, None
    assert state.evidence is not None
    return _changed(state, PresenceState.VACANT, state.evidence, at, EndReason.VACATED)


def _apart(state: ZoneState, at: Stamp) -> float:
    """Seconds since the look before, if anything is remembered of it; else 0."""
    return at.since(state.seen) if state.seen is not None and state.reading is not None else 0.0


def _between(state: ZoneState, at: Stamp) -> Stamp:
    """When that happened which is first seen now: who came, who left."""
    apart = _apart(state, at)
    return at.shifted(-min(apart / 2.0, FARTHEST)) if apart > GLANCES + TOLERANCE else at


def _grown(run: Run | None, began: Stamp) -> Run:
    return Run(began, 1) if run is None else Run(run.since, run.count + 1)


def _judge(
    state: ZoneState, now: Stamp, settings: PresenceConfig, hold: Hold
) -> tuple[ZoneState, Change | None]:
    """Confirm a pending change whose evidence suffices."""
    clears, presence = state.clears, state.presence
    entering = _enough(state.hits, now, settings.enter_after, settings.enter_hits)
    if entering and not hold.entries:
        assert state.onset is not None
        return _changed(state, PresenceState.OCCUPIED, state.onset, now)
    if hold.exits:
        return state, None
    if presence is PresenceState.OCCUPIED and _enough(clears, now, settings.exit_after, 1):
        assert state.evidence is not None
        return _changed(state, PresenceState.VACANT, state.evidence, now, EndReason.VACATED)
    first = presence is PresenceState.UNKNOWN
    if first and _enough(clears, now, settings.enter_after, settings.enter_hits):
        return _changed(state, PresenceState.VACANT, clears.since, now)
    return state, None


def _enough(run: Run | None, now: Stamp, seconds: float, count: int) -> TypeGuard[Run]:
    return run is not None and run.count >= count and _lasted(run.since, now, seconds)


def _changed(
    state: ZoneState,
    current: PresenceState,
    at: Stamp,
    confirmed: Stamp,
    end_reason: EndReason | None = None,
) -> tuple[ZoneState, Change]:
    settled = replace(state, presence=current, since=at, hits=None, clears=None, onset=None)
    return settled, Change(state.presence, current, at, confirmed, end_reason)
