"""The state machine: what must hold for every sequence of scores, and a slow reference."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from math import exp

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from monitor.clock import Stamp
from monitor.config.presence import EvidenceConfig, PresenceConfig, PresenceMode
from monitor.messages import EndReason, PresenceState
from monitor.presence.machine import Change, Observation, ZoneState, lost, step, tick

UNKNOWN, VACANT, OCCUPIED = PresenceState.UNKNOWN, PresenceState.VACANT, PresenceState.OCCUPIED
EPOCH = Stamp(0.0, datetime(2026, 3, 1, tzinfo=UTC))
unhurried = settings(deadline=None, max_examples=60)


def at(seconds: float) -> Stamp:
    return EPOCH.shifted(seconds)


def run(
    scores: Iterable[tuple[float, float]], config: PresenceConfig, state: ZoneState | None = None
) -> tuple[ZoneState, list[Change]]:
    """Feed (second, score) pairs."""
    state = state or ZoneState()
    changes: list[Change] = []
    for second, score in scores:
        result = step(state, Observation(at(second), score), config)
        state = result.state
        changes += result.changes
    return state, changes


def told(changes: Iterable[Change]) -> list[tuple[PresenceState, float, float]]:
    return [(c.current, c.at.monotonic, c.confirmed.monotonic) for c in changes]


def constant(score: float, start: float, end: float, fps: float = 5.0) -> list[tuple[float, float]]:
    return [(start + i / fps, score) for i in range(round((end - start) * fps))]


configs = st.builds(
    lambda low, width, **times: PresenceConfig(
        exit_threshold=low, enter_threshold=low + width, **times
    ),
    st.sampled_from([0.105, 0.305, 0.505]),
    st.sampled_from([0.1, 0.4]),
    enter_after=st.sampled_from([0.0, 0.6, 2.0]),
    enter_hits=st.integers(1, 5),
    exit_after=st.sampled_from([0.0, 1.0, 5.0]),
    max_gap=st.sampled_from([0.5, 3.0, 10.0]),
    smoothing=st.sampled_from([0.0, 0.3, 2.0]),
)
believers = st.builds(
    lambda plain, **evidence: plain.model_copy(
        update={"mode": PresenceMode.EVIDENCE, "evidence": EvidenceConfig(**evidence)}
    ),
    configs,
    enter_belief=st.sampled_from([0.6, 0.95]),
    exit_belief=st.sampled_from([0.05, 0.3]),
    correlation=st.sampled_from([0.0, 0.5, 5.0]),
    usual_stay=st.sampled_from([20.0, 60.0]),
)
either_mode = st.one_of(configs, believers)
levels = st.integers(0, 20).map(lambda n: n / 20)
gaps = st.sampled_from([0.04, 0.1, 0.2, 0.2, 0.2, 0.5, 1.0, 4.0])


@st.composite
def traces(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Scores that dwell for a while, at uneven times."""
    trace: list[tuple[float, float]] = []
    now = 0.0
    for level, count in draw(st.lists(st.tuples(levels, st.integers(1, 12)), max_size=12)):
        for _ in range(count):
            now += draw(gaps)
            trace.append((now, level))
    return trace


@unhurried
@given(traces(), either_mode)
def test_changes_are_in_order_and_never_ahead_of_their_evidence(
    trace: list[tuple[float, float]], config: PresenceConfig
) -> None:
    _, changes = run(trace, config)
    for change in changes:
        assert change.previous is not change.current
        assert change.at.monotonic <= change.confirmed.monotonic
    for earlier, later in pairwise(changes):
        assert earlier.current is later.previous
        assert earlier.at.monotonic <= later.at.monotonic
        assert earlier.confirmed.monotonic <= later.confirmed.monotonic


@unhurried
@given(traces(), configs)
def test_no_transition_without_its_evidence(
    trace: list[tuple[float, float]], config: PresenceConfig
) -> None:
    state = ZoneState()
    for second, score in trace:
        before, state = state, ZoneState()
        result = step(before, Observation(at(second), score), config)
        state = result.state
        assert state.smoothed is not None
        glance = before.seen is not None and second - before.seen.monotonic > 0.5
        left_between = glance and any(c.end_reason is EndReason.VACATED for c in result.changes)
        if result.changes and result.changes[-1].current is not UNKNOWN and not left_between:
            assert state.pending is state.onset is None
        for change in result.changes:
            since = change.at.monotonic
            span = [(t, s) for t, s in trace if since <= t <= second]
            if change.current is OCCUPIED:
                assert span[0][1] >= config.enter_threshold
                assert state.smoothed >= config.enter_threshold
                assert len(span) >= config.enter_hits
                assert second - since >= config.enter_after - 1e-5
            elif change.end_reason is EndReason.VACATED:
                last = max((t, s) for t, s in trace if t <= since)
                assert last[1] >= config.exit_threshold
                assert before.smoothed is not None
                assert min(before.smoothed, state.smoothed) < config.exit_threshold
                assert second - since >= config.exit_after
            elif change.current is VACANT:
                assert len(span) >= config.enter_hits


@unhurried
@given(st.lists(st.tuples(st.floats(0.4, 0.79999), gaps), max_size=60), st.booleans(), configs)
def test_the_dead_band_never_changes_a_state(
    middling: list[tuple[float, float]], occupied: bool, config: PresenceConfig
) -> None:
    config = config.model_copy(
        update={"enter_threshold": 0.8, "exit_threshold": 0.4, "max_gap": 10.0, "smoothing": 0.0}
    )
    before, _ = run(constant(1.0 if occupied else 0.0, 0, 20), config)
    now, trace = 20.0, []
    for score, gap in middling:
        now += gap
        trace.append((now, score))
    after, changes = run(trace, config, before)
    assert changes == []
    assert after.presence is (OCCUPIED if occupied else VACANT)


ORDER = {UNKNOWN: 0, VACANT: 0, OCCUPIED: 1}


@unhurried
@given(traces(), either_mode, st.data())
def test_more_evidence_never_delays(
    trace: list[tuple[float, float]], config: PresenceConfig, data: st.DataObject
) -> None:
    """Raising scores may open an occupancy earlier and end it later, never the reverse."""
    low = high = ZoneState()
    for second, score in trace:
        raised = min(1.0, score + data.draw(st.sampled_from([0.0, 0.0, 0.05, 0.5])))
        low = step(low, Observation(at(second), score), config).state
        high = step(high, Observation(at(second), raised), config).state
        assert ORDER[high.presence] >= ORDER[low.presence]


@unhurried
@given(
    st.lists(st.integers(12, 40), min_size=1, max_size=6),
    st.sampled_from(
        [
            PresenceConfig(smoothing=0.0, enter_hits=2, exit_after=2.0),
            PresenceConfig(smoothing=0.3, enter_hits=2, exit_after=2.0),
            PresenceConfig(mode=PresenceMode.EVIDENCE, enter_hits=2, exit_after=2.0),
        ]
    ),
    st.floats(0.0, 0.4),
)
def test_two_and_ten_frames_a_second_see_the_same(
    spans: list[int], config: PresenceConfig, phase: float
) -> None:
    """Spans of half seconds, empty and occupied in turn: the same events within the debounce."""
    edges = [0.0]
    for span in [4, *spans, 16]:
        edges.append(edges[-1] + span / 2)

    def level(second: float) -> float:
        return 0.99 if sum(edge <= second for edge in edges) % 2 == 0 else 0.01

    def events(fps: float) -> list[tuple[PresenceState, float, float]]:
        count = int((edges[-1] - phase) * fps)
        return told(
            run([(phase + i / fps, level(phase + i / fps)) for i in range(count)], config)[1]
        )

    slow, fast = events(2.0), events(10.0)
    assert [state for state, _, _ in slow] == [state for state, _, _ in fast]
    for (_, at_slow, sure_slow), (_, at_fast, sure_fast) in zip(slow, fast, strict=True):
        assert abs(at_slow - at_fast) <= 0.5 + 1e-6
        assert abs(sure_slow - sure_fast) <= 1.0 + 1e-6


class Reference:
    """The docstring of the machine, taken literally: it keeps all history and recomputes.

    `stretch` is what evidence may reach back over: the observations since the last outage or
    gap. `since_change` counts those of them that came after the last change of state.
    """

    def __init__(self, config: PresenceConfig) -> None:
        self.config = config
        self.presence = UNKNOWN
        self.told: list[tuple[PresenceState, float, float, EndReason | None]] = []
        self.seen: list[tuple[float, float]] = []
        self.stretch: list[tuple[float, float]] = []
        self.since_change = 0
        self.evidence: list[float] = []
        self.outage: float | None = None

    def average(self, upto: int) -> float:
        """Every score of the stretch, weighted by how long ago it was and how long it stood."""
        tau, (now, score) = self.config.smoothing, self.stretch[upto]
        if tau == 0:
            return score
        first, value = self.stretch[0]
        total = value * exp(-(now - first) / tau)
        for (before, _), (then, value) in pairwise(self.stretch[: upto + 1]):
            total += value * (1 - exp(-(then - before) / tau)) * exp(-(now - then) / tau)
        return total

    def trailing(self, holds: list[bool]) -> int:
        """How many observations at the end, after the last change, hold without a break."""
        count = 0
        for each in reversed(holds[len(holds) - self.since_change :]):
            if not each:
                break
            count += 1
        return count

    def came(self, first: int) -> float:
        """The middle between the first look that shows a change and the one before."""
        seen = self.stretch[first][0]
        apart = seen - self.stretch[first - 1][0] if first else 0.0
        return seen - min(apart / 2.0, 1.0) if apart > 0.5 + 1e-6 else seen

    def lasted(self, count: int, duration: float) -> bool:
        return self.stretch[-1][0] - self.stretch[-count][0] >= duration - 1e-6

    def change(
        self, to: PresenceState, at: float, confirmed: float, why: EndReason | None = None
    ) -> None:
        self.presence = to
        self.told.append((to, at, confirmed, why))
        self.since_change = 0

    def pass_time(self, now: float) -> None:
        if not self.seen or now - self.seen[-1][0] < self.config.max_gap - 1e-6:
            return
        last = self.seen[-1][0]
        due = last + self.config.max_gap
        if self.presence is OCCUPIED:
            self.change(UNKNOWN, self.evidence[-1], due, EndReason.SIGNAL_LOST)
        elif self.presence is VACANT:
            self.change(UNKNOWN, last, due)
        self.stretch = []
        self.since_change = 0

    def lose(self, now: float) -> None:
        if self.outage is None and not (self.seen and now < self.seen[-1][0]):
            self.outage = now

    def observe(self, now: float, score: float) -> None:
        if self.seen and now <= self.seen[-1][0]:
            return
        self.pass_time(now)
        if self.outage is not None and now > self.outage:
            self.outage, self.stretch, self.since_change = None, [], 0
        self.leave_between(now)
        self.seen.append((now, score))
        self.stretch.append((now, score))
        self.since_change += 1
        self.judge(now)

    def leave_between(self, now: float) -> None:
        """The glance before still showed nobody, and until halfway to this one nobody came."""
        smooth = [self.average(i) for i in range(len(self.stretch))]
        clears = self.trailing([s < self.config.exit_threshold for s in smooth])
        if self.presence is not OCCUPIED or not clears or now - self.stretch[-1][0] <= 0.5 + 1e-6:
            return
        middle = (now + self.stretch[-1][0]) / 2.0
        if middle - self.came(len(smooth) - clears) >= self.config.exit_after - 1e-6:
            self.change(VACANT, self.evidence[-1], now, EndReason.VACATED)

    def judge(self, now: float) -> None:
        config, smooth = self.config, [self.average(i) for i in range(len(self.stretch))]
        raw = [score for _, score in self.stretch]
        hits = self.trailing([s >= config.enter_threshold for s in smooth])
        clears = self.trailing([s < config.exit_threshold for s in smooth])
        if not clears and raw[-1] >= config.exit_threshold:
            self.evidence.append(now)
        if self.presence is OCCUPIED and clears == 1 and len(self.stretch) > 1:
            before = self.stretch[-2][0]
            if self.evidence[-1] == before and now - before > 1.5:
                self.evidence.append(before + (now - before) / 2.0)
        long_hits = hits >= config.enter_hits and self.lasted(hits, config.enter_after)
        if self.presence is not OCCUPIED and long_hits:
            first = len(raw) - hits
            while first > len(raw) - self.since_change and raw[first - 1] >= config.enter_threshold:
                first -= 1
            self.change(OCCUPIED, self.came(first), now)
        elif (
            self.presence is OCCUPIED
            and clears
            and now - self.came(len(raw) - clears) >= config.exit_after - 1e-6
        ):
            self.change(VACANT, self.evidence[-1], now, EndReason.VACATED)
        elif (
            self.presence is UNKNOWN
            and clears >= config.enter_hits
            and self.lasted(clears, config.enter_after)
        ):
            self.change(VACANT, self.stretch[-clears][0], now)


class AgainstReference(RuleBasedStateMachine):
    """Scores, outages and the passing of time in any order, on machine and reference alike."""

    @initialize(config=configs)
    def start(self, config: PresenceConfig) -> None:
        self.config, self.reference, self.state = config, Reference(config), ZoneState()
        self.now = 0.0
        self.told: list[tuple[PresenceState, float, float, EndReason | None]] = []

    def note(self, changes: Iterable[Change]) -> None:
        for change in changes:
            seconds = change.at.monotonic, change.confirmed.monotonic
            self.told.append((change.current, *seconds, change.end_reason))

    @rule(level=levels, gap=gaps, count=st.integers(1, 8))
    def see(self, level: float, gap: float, count: int) -> None:
        for _ in range(count):
            self.now += gap
            self.observe(self.now, level)

    @rule(score=st.sampled_from([0.0, 1.0]), back=st.floats(0.0, 3.0))
    def see_late(self, score: float, back: float) -> None:
        self.observe(self.now - back, score)

    @rule(back=st.sampled_from([0.0, 0.0, 0.5]))
    def lose(self, back: float) -> None:
        self.state = lost(self.state, at(self.now - back))
        self.reference.lose(self.now - back)

    @rule(wait=st.sampled_from([0.1, 1.0, 3.0, 20.0]))
    def wait(self, wait: float) -> None:
        self.now += wait
        result = tick(self.state, at(self.now), self.config)
        self.state = result.state
        self.note(result.changes)
        self.reference.pass_time(self.now)

    def observe(self, now: float, score: float) -> None:
        result = step(self.state, Observation(at(now), score), self.config)
        self.state = result.state
        self.note(result.changes)
        self.reference.observe(now, score)

    @invariant()
    def they_agree(self) -> None:
        assert self.told == self.reference.told
        assert self.state.presence is self.reference.presence


TestAgainstReference = AgainstReference.TestCase
TestAgainstReference.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
