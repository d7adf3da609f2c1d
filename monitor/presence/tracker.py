"""One zone over time: runs the state machine and says what an event writer needs to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from monitor.clock import Stamp
from monitor.config.presence import PresenceConfig
from monitor.messages import (
    EndReason,
    OpenOccupancy,
    Picture,
    PresenceState,
    Progress,
    Score,
    Summary,
    Transition,
)
from monitor.presence import attention, machine
from monitor.presence.arrival import WEIGHED
from monitor.presence.background import Levels
from monitor.presence.guards import Sight
from monitor.presence.machine import Change, Observation, Pending, ZoneState
from monitor.presence.occupancy import Encode, Occupancy
from monitor.presence.reading import thresholds
from monitor.presence.report import Told, report
from monitor.presence.sense import Sensed, ZoneSense

CLEAR_SIGHT = Sight()
"""Of a picture that nothing is known of."""


@dataclass(frozen=True, slots=True)
class ZoneStatus:
    """What is known of a zone right now, for people and health; scores are diagnostics.

    `score` is what the network says, `counts` what that counts for beside the empty zone, and
    `smoothed` the level that is compared with the thresholds: the average of the latter, in mode
    evidence the belief. They are None while the zone is UNKNOWN for want of a signal. `since` is
    back-dated to the evidence. `explained`: the background scores up to there, None while nothing
    is explained by it. `late` counts scores that came out of order and were ignored,
    `invalid` those that were no number in [0, 1].
    """

    camera: str
    zone: str
    state: PresenceState
    pending: Pending | None
    score: float | None
    smoothed: float | None
    enter_threshold: float
    exit_threshold: float
    since: Stamp | None
    seen: Stamp | None
    event_id: UUID | None
    late: int
    invalid: int
    explained: float | None = None
    counts: float | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all trackers of a room share.

    `progress_every`: seconds between two Progress messages of an occupancy. `on_peak` hears which
    camera shows more of an open occupancy than ever: its better stream is worth a look.
    """

    emit: Callable[[Transition | Progress], None]
    new_id: Callable[[], UUID]
    encode: Encode | None
    model_id: str
    progress_every: float
    on_peak: Callable[[str], None] = lambda _camera: None


class ZoneTracker:
    """Turns the scores of one zone into Transition and Progress messages. Not thread-safe.

    Scores of pictures from before `since` are of another view and count as late.
    """

    def __init__(
        self,
        camera: str,
        zone: str,
        settings: PresenceConfig,
        around: Surroundings,
        *,
        since: Stamp | None = None,
    ) -> None:
        self._since = since
        self._closed = False
        self._camera = camera
        self._zone = zone
        self._settings = settings
        self._in_force = settings.model_dump(mode="json")
        self._around = around
        self._sense = ZoneSense(settings)
        self._raw: float | None = None
        self._sensed: Sensed | None = None
        self._state = ZoneState()
        self._told = Told()
        self._event_id: UUID | None = None
        self._occupancy: Occupancy | None = None
        self._reported: Stamp | None = None
        self._late = 0
        self._invalid = 0

    def retune(self, settings: PresenceConfig) -> None:
        """Go by other settings from the next score on; an open event keeps those it began under."""
        self._settings = settings
        self._in_force = settings.model_dump(mode="json")
        self._sense.retune(settings)

    def close(self, now: Stamp) -> None:
        """The zone is watched no more, or shows something else: end what is open, hear no more."""
        self.finish(EndReason.CONFIG_CHANGED, now)
        self._closed = True

    @property
    def max_gap(self) -> float:
        """Seconds without a score after which the zone is UNKNOWN."""
        return self._settings.max_gap

    @property
    def need(self) -> attention.Need:
        """How closely the zone must be looked at; somebody who must dwell first, at each glance."""
        need = attention.need_of(self._state, self._settings)
        dwelling = self._told.presence is not PresenceState.OCCUPIED
        rare = need is attention.Need.RARE_GLANCES
        return attention.Need.GLANCES if rare and dwelling else need

    @property
    def levels(self) -> Levels:
        """What the zone is known to score when nobody is there."""
        return self._sense.levels

    def remember(self, levels: Levels) -> None:
        """Take over what an earlier process knew of that; call before the first score."""
        self._sense.remember(levels)

    def forget(self) -> None:
        """The camera was moved: what is known of the empty zone holds no longer."""
        self._sense.forget()

    @property
    def sensed(self) -> Sensed | None:
        """What the last score was taken for, and why; None before the first."""
        return self._sensed

    def on_score(self, score: Score, sight: Sight = CLEAR_SIGHT) -> None:
        """Take one score in; its time is that of its frame, `sight` how far that can be trusted."""
        try:
            observation = Observation(score.frame.stamp, score.value)
        except ValueError:
            # A broken model must not stop the other cameras; unseen, the zone turns UNKNOWN.
            self._invalid += 1
            return
        seen = self._state.seen or self._since
        if self._closed or (seen and observation.at.monotonic <= seen.monotonic):
            self._late += 1
            return
        # A gap closes the old occupancy before this score may count for a new one.
        self.tick(observation.at)
        presence, calm = self._state.presence, self._state.calm
        sensed = self._sense.sense(score, observation.at, sight, presence, calm=calm)
        self._sensed = sensed
        if sensed.recanted is not None:
            self._state = machine.recanted(self._state, sensed.recanted)
        if sensed.unseeing:
            self._state = machine.lost(self._state, observation.at)
            return
        self._raw = score.value
        self._take(score, sensed)

    def on_outage(self, at: Stamp) -> None:
        """The camera is not seen since `at`."""
        if self._closed:
            return
        self._state = machine.lost(self._state, at)

    def tick(self, now: Stamp) -> None:
        """Let time pass."""
        if self._closed:
            return
        self._announce(self._settle(machine.tick(self._state, now, self._settings)))

    def finish(self, reason: EndReason, now: Stamp) -> None:
        """Watch no longer: end an open occupancy with `reason`."""
        self._announce(self._settle(machine.ended(self._state, now, reason)))

    def checkpoint(self) -> None:
        """Send a Progress of the open occupancy, if there is one."""
        if self._event_id is not None and self._occupancy is not None:
            snapshot = self._occupancy.new_snapshot()
            self._tell_progress(self._event_id, self._occupancy.summary(), snapshot)
            if snapshot is not None:
                self._around.on_peak(self._camera)

    def illustrate(self, picture: Picture) -> None:
        """Let `picture` show the open occupancy, if the last score says that somebody is there.

        It was not scored itself: of a visitor who has just left, the watched stream's picture
        shows more.
        """
        encode, evident = self._around.encode, self._state.evidence == self._state.seen
        if self._event_id is not None and self._occupancy is not None and encode and evident:
            self._tell_progress(self._event_id, self._occupancy.summary(), encode(picture))

    def _tell_progress(self, event_id: UUID, summary: Summary, snapshot: bytes | None) -> None:
        seen = self._state.seen
        if seen is not None:
            self._reported = seen
            self._around.emit(Progress(event_id, self._camera, self._zone, seen, summary, snapshot))

    def resume(self, found: OpenOccupancy) -> None:
        """Go on with an occupancy that a restart interrupted (stamps of this run's clock)."""
        self._state = machine.resumed(found.started, found.seen)
        self._told = Told(PresenceState.OCCUPIED, found.started)
        self._event_id = found.event_id
        self._occupancy = Occupancy.resumed(found.started, found.summary, self._around.encode)
        self._reported = found.seen

    def status(self) -> ZoneStatus:
        """What is known right now."""
        state = self._state
        enter, leave = thresholds(self._settings)
        return ZoneStatus(
            camera=self._camera,
            zone=self._zone,
            state=self._told.presence,
            pending=self._pending(),
            score=self._raw if state.score is not None else None,
            smoothed=state.smoothed,
            enter_threshold=enter,
            exit_threshold=leave,
            since=self._told.since,
            seen=state.seen,
            event_id=self._event_id,
            late=self._late,
            invalid=self._invalid,
            explained=self._sense.explained,
            counts=state.score,
        )

    def _pending(self) -> Pending | None:
        withheld = self._told.withheld
        if withheld is None or self._state.pending is Pending.GAP:
            return self._state.pending
        opening = withheld.current is PresenceState.OCCUPIED
        return Pending.DWELLING if opening else Pending.LINGERING

    def _take(self, score: Score, sensed: Sensed) -> None:
        observation, at = sensed.observation, sensed.observation.at
        changes = self._settle(machine.step(self._state, observation, self._settings, sensed.hold))
        opening = next(
            (i for i, each in enumerate(changes) if each.current is PresenceState.OCCUPIED),
            len(changes),
        )
        # An event that ends here ended before this score; one that opens contains it.
        self._announce(changes[:opening])
        self._gather(score, at)
        self._announce(changes[opening:])
        self._report_progress(at)

    def _settle(self, result: machine.Step) -> tuple[Change, ...]:
        """Make the result of the machine the truth; returns what is to be told of it."""
        self._state = result.state
        self._told, changes = report(self._told, result, self._settings)
        return changes

    def _gather(self, score: Score, at: Stamp) -> None:
        """Count the score for the occupancy that is, or that may become one."""
        state, lingering = self._state, False
        if self._event_id is None:
            self._occupancy = self._possible(state.start)
        else:
            lingering = state.presence is not PresenceState.OCCUPIED
        if self._occupancy is not None:
            self._occupancy.add(score, evident=state.evidence == at and not lingering)

    def _possible(self, onset: Stamp | None) -> Occupancy | None:
        """What is gathered in case the zone turns out to be occupied since `onset`."""
        if onset is None:
            return None
        gathered = self._occupancy
        if gathered is not None and gathered.onset == onset:
            return gathered
        return Occupancy(onset, self._around.encode)

    def _announce(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            self._tell(change)

    def _tell(self, change: Change) -> None:
        if change.current is PresenceState.OCCUPIED:
            self._event_id = self._around.new_id()
            self._reported = change.confirmed
        occupancy = self._occupancy if self._event_id is not None else None
        transition = Transition(
            camera=self._camera,
            zone=self._zone,
            previous=change.previous,
            current=change.current,
            at=change.at,
            confirmed=change.confirmed,
            event_id=self._event_id,
            summary=occupancy.summary() if occupancy else None,
            end_reason=change.end_reason,
            snapshot=occupancy.new_snapshot() if occupancy else None,
            settings={**self._in_force, **self._weighed()},
            model_id=self._around.model_id,
        )
        if change.previous is PresenceState.OCCUPIED:
            self._event_id = self._occupancy = None
        self._around.emit(transition)
        if change.current is PresenceState.OCCUPIED and transition.snapshot is not None:
            self._around.on_peak(self._camera)

    def _weighed(self) -> dict[str, Any]:
        """What the last score counted for, to be noted with the settings."""
        evidence = self._sensed.evidence if self._sensed is not None else None
        return {} if evidence is None else {WEIGHED: evidence.noted()}

    def _report_progress(self, now: Stamp) -> None:
        """Send a Progress if an occupancy goes on and the last one is long enough ago."""
        reported = self._reported
        if reported is not None and now.since(reported) >= self._around.progress_every:
            self.checkpoint()


def ending(found: OpenOccupancy, now: Stamp, reason: EndReason, model_id: str) -> Transition:
    """The end, at its last sign of life, of an occupancy of before a restart."""
    return Transition(
        camera=found.camera,
        zone=found.zone,
        previous=PresenceState.OCCUPIED,
        current=PresenceState.UNKNOWN,
        at=found.seen,
        confirmed=now,
        event_id=found.event_id,
        summary=found.summary,
        end_reason=reason,
        model_id=model_id,
    )
