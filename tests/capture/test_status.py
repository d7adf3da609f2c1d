"""The state machine of a reader, and its one Outage an outage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.capture.failures import Failure
from monitor.capture.status import FROZEN, NEXT, ReaderState, Status
from monitor.clock import Stamp
from monitor.messages import OutageReason

REFUSED = Failure(OutageReason.REFUSED, "nothing listens")
TIMEOUT = Failure(OutageReason.TIMEOUT, "silence")


class Clock:
    """Time that tests set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Stamp:
        return Stamp(self.seconds, datetime(2026, 1, 1, tzinfo=UTC) + timedelta(0, self.seconds))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def status(clock: Clock) -> Status:
    return Status("cam", clock)


def see(status: Status, now: Stamp) -> None:
    status.received(now, 25.0)
    status.decoded("h264", 320, 240)


def test_an_outage_is_told_once_with_its_first_reason(status: Status, clock: Clock) -> None:
    status.connecting()
    see(status, clock.now())
    seen = clock.now()
    clock.seconds = 9.0
    outage = status.lost(ReaderState.BACKOFF, TIMEOUT)
    assert outage is not None
    assert (outage.camera, outage.reason, outage.stamp) == ("cam", OutageReason.TIMEOUT, seen)
    status.connecting()
    assert status.lost(ReaderState.BACKOFF, REFUSED) is None
    assert status.stats().reason is OutageReason.REFUSED  # what is wrong now
    status.connecting()
    see(status, clock.now())
    assert status.stats().state is ReaderState.STREAMING
    assert status.lost(ReaderState.BACKOFF, REFUSED) is not None


def test_the_watchdog_speaks_first_and_the_reader_keeps_silent(
    status: Status, clock: Clock
) -> None:
    status.connecting()
    see(status, clock.now())
    clock.seconds = 4.0
    assert status.overdue(5.0, 5.0) is None
    clock.seconds = 5.1
    assert status.overdue(5.0, 5.0) is not None
    assert status.stats().state is ReaderState.STALLED
    assert status.overdue(5.0, 5.0) is None
    assert status.lost(ReaderState.BACKOFF, TIMEOUT) is None


def test_a_stalled_camera_that_goes_on_is_streaming(status: Status, clock: Clock) -> None:
    status.connecting()
    see(status, clock.now())
    clock.seconds = 6.0
    status.overdue(5.0, 5.0)
    see(status, clock.now())
    assert status.stats().state is ReaderState.STREAMING
    clock.seconds = 12.0
    assert status.overdue(5.0, 5.0) is not None


def test_a_first_picture_may_take_both_timeouts(status: Status, clock: Clock) -> None:
    status.connecting()
    clock.seconds = 7.9
    assert status.overdue(5.0, 3.0) is None
    clock.seconds = 8.1
    outage = status.overdue(5.0, 3.0)
    assert outage is not None
    assert outage.stamp == clock.now()  # never seen: not seen as of now


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda status, now: None, OutageReason.TIMEOUT),
        (lambda status, now: status.received(now, 25.0), OutageReason.CORRUPT),
        (lambda status, now: status.busy(True), OutageReason.LAGGING),
    ],
)
def test_the_watchdog_says_why(status: Status, clock: Clock, prepare, reason) -> None:
    status.connecting()
    see(status, clock.now())
    clock.seconds = 6.0
    prepare(status, clock.now())
    outage = status.overdue(5.0, 5.0)
    assert outage is not None
    assert outage.reason is reason


def test_a_paced_file_is_not_overdue_while_it_waits(status: Status, clock: Clock) -> None:
    status.connecting()
    see(status, clock.now())
    status.waiting()
    clock.seconds = 6.0
    assert status.overdue(5.0, 5.0) is None
    see(status, clock.now())
    clock.seconds = 12.0
    assert status.overdue(5.0, 5.0) is not None


def test_a_policy_that_leaves_pictures_out_is_patient(status: Status, clock: Clock) -> None:
    status.connecting()
    see(status, clock.now())
    status.patience = 30.0
    clock.seconds = 29.0
    status.received(clock.now(), 25.0)
    assert status.overdue(5.0, 5.0) is None
    clock.seconds = 34.5  # but silence is silence
    outage = status.overdue(5.0, 5.0)
    assert outage is not None
    assert outage.reason is OutageReason.TIMEOUT


def test_a_frozen_camera_stays_so_until_its_picture_changes(clock: Clock) -> None:
    status = Status("cam", clock, frozen_after=60.0)
    status.connecting()
    for second in range(62):
        clock.seconds = float(second)
        see(status, clock.now())
        alive = status.looked(7)
        assert alive == (second <= 60)
    outage = status.overdue(5.0, 5.0)
    assert outage is not None
    assert (outage.reason, outage.stamp.monotonic) == (OutageReason.FROZEN, 60.0)
    status.lost(ReaderState.BACKOFF, FROZEN)
    status.connecting()
    see(status, clock.now())
    assert not status.looked(7)
    assert status.stats().state is ReaderState.CONNECTING
    clock.seconds = 90.0
    status.received(clock.now(), 25.0)
    assert status.overdue(5.0, 5.0) is None  # told already
    assert status.stats().reason is OutageReason.FROZEN
    assert status.looked(8)
    see(status, clock.now())
    assert status.stats().state is ReaderState.STREAMING


def test_a_camera_that_was_away_for_long_is_not_frozen(clock: Clock) -> None:
    status = Status("cam", clock, frozen_after=60.0)
    status.connecting()
    see(status, clock.now())
    assert status.looked(7)
    clock.seconds = 30.0
    status.lost(ReaderState.BACKOFF, TIMEOUT)
    status.connecting()
    clock.seconds = 300.0
    assert status.looked(7)


calls = st.sampled_from(["connecting", "see", "backoff", "failed", "overdue", "stopped"])


@given(st.lists(calls, max_size=40))
def test_only_legal_changes_and_one_outage_between_pictures(names: list[str]) -> None:
    clock = Clock()
    status = Status("cam", clock)
    dark = False
    for name in names:
        clock.seconds += 7.0
        before = status.stats().state
        outage = None
        match name:
            case "connecting":
                status.connecting()
            case "see":
                see(status, clock.now())
            case "backoff":
                outage = status.lost(ReaderState.BACKOFF, REFUSED)
            case "failed":
                outage = status.lost(ReaderState.FAILED, REFUSED)
            case "overdue":
                outage = status.overdue(3.0, 3.0)
            case "stopped":
                status.stopped()
        after = status.stats().state
        assert after is before or after in NEXT[before]
        if outage is not None:
            assert not dark
            dark = True
        if name == "see":
            dark = False
        if before is ReaderState.STOPPED:
            assert after is ReaderState.STOPPED
            assert outage is None
            assert status.stats().reason is OutageReason.STOPPED


def test_counts(status: Status, clock: Clock) -> None:
    status.connecting()
    see(status, clock.now())
    status.worked(corrupt=2, group=1.0, lag=0.0, dense=False)
    status.sampled()
    status.lost(ReaderState.BACKOFF, REFUSED)
    status.connecting()
    stats = status.stats()
    assert (stats.frames_corrupt, stats.frames_decoded, stats.frames_sampled) == (2, 1, 1)
    assert (stats.reconnects, stats.width, stats.height, stats.codec) == (1, 320, 240, "h264")
    assert stats.last_frame == 0.0
