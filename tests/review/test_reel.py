"""A recording, judged again: as the monitor itself judges it, under whatever settings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from pydantic import SecretStr

from monitor.clock import Stamp
from monitor.config.camera import CameraConfig, SourceConfig
from monitor.config.guards import BackgroundConfig, GuardConfig
from monitor.config.presence import PresenceConfig
from monitor.errors import UsageError
from monitor.messages import EndReason, Frame, PresenceState, Progress, Scene, Score, Transition
from monitor.presence import PresenceRoom
from monitor.presence.metrics import Span
from monitor.presence.sense import Sensed
from monitor.review.budget import parse_budget
from monitor.review.calibrate import calibrate
from monitor.review.reel import Filming, Reel
from monitor.review.report import as_tree, sentences, warnings
from monitor.review.simulate import simulate
from monitor.review.trace import RECORDED, Trace, from_sensed

FAINT = Span(60.0, 75.0)
NOISE = np.random.default_rng(1).normal(0.0, 1.0, (8, 56, 56))
BLOCKS = np.random.default_rng(2).integers(40, 200, (7, 7)).repeat(8, axis=0).repeat(8, axis=1)


def scene(number: int, *, shift: int = 0, light: float = 0.0, person: int | None = None) -> Scene:
    """A place of blocks, and somebody in it."""
    luma = np.roll(BLOCKS, shift, axis=1) + NOISE[number % 8] + light
    if person is not None:
        luma[16:44, person : person + 9] = 95.0
    small = np.clip(luma, 0, 255).astype(np.uint8)
    mean, contrast = float(small.mean()), float(small.std())
    return Scene(mean, contrast, 30.0, 500.0, small, {"frame": small})


def film(seconds: float, *, visit: Span | None = FAINT, moved: float = 1e9) -> Iterator[Score]:
    """Five scores a second: a faint visitor, whom only the weighing against the empty zone finds,
    and perhaps a camera that is turned."""
    for number in range(round(seconds * 5)):
        at = number / 5
        there = visit is not None and visit.start <= at < visit.end
        person = 5 + number * 2 % 40 if there else None
        seen = scene(number, shift=29 if at >= moved else 0, person=person)
        score = 0.45 if there else 0.02 + 0.005 * (number % 3)
        stamp = Stamp(at, RECORDED.replace(microsecond=0))
        frame = Frame("dock", number, stamp, at, (), np.zeros((1, 1, 3), np.uint8), seen)
        yield Score("dock", "frame", score, frame, stamp)


class Live:
    """The monitor's own presence room."""

    def __init__(self, settings: PresenceConfig) -> None:
        source = SourceConfig(url=SecretStr("rtsp://camera/"))
        self.said: list[Transition] = []
        self.room = PresenceRoom(
            {"dock": CameraConfig(source=source, presence=settings)}, on_message=self._hear
        )
        self.sensed: list[tuple[float, float, Sensed | None]] = []

    def watch(self, seconds: float, **options: float) -> list[Span]:
        last = Stamp(0.0, RECORDED)
        for score in film(seconds, **options):  # type: ignore[arg-type]
            self.room.on_score(score)
            last = score.frame.stamp
            self.sensed.append((last.monotonic, score.value, self.room.sensed("dock", "frame")))
        self.room.finish(EndReason.END_OF_MEDIA, last)
        opened = [each for each in self.said if each.current is PresenceState.OCCUPIED]
        closed = [each for each in self.said if each.previous is PresenceState.OCCUPIED]
        return [
            Span(one.at.monotonic, other.at.monotonic, one.confirmed.monotonic)
            for one, other in zip(opened, closed, strict=True)
        ]

    def _hear(self, message: Transition | Progress) -> None:
        if isinstance(message, Transition):
            self.said.append(message)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def filmed(stack: ExitStack, seconds: float, **options: object) -> Reel:
    filming = Filming("dock", ["frame"], GuardConfig())
    stack.callback(filming.reels["frame"].close)
    for score in film(seconds, **options):  # type: ignore[arg-type]
        filming.on_score(score)
    return filming.reels["frame"]


def trace_of(stack: ExitStack, name: str, seconds: float, *visits: Span) -> Trace:
    """As `calibrate` makes it of a recording, scored under the defaults."""
    visit = visits[0] if visits else None
    reel = filmed(stack, seconds, visit=visit)
    sensed = reel.judged(PresenceConfig()).sensed
    scores = [
        (score.frame.stamp.monotonic, score.value, each)
        for score, each in zip(film(seconds, visit=visit), sensed, strict=True)
    ]
    return replace(from_sensed(name, scores), visits=visits, film=reel.judged)


@pytest.mark.parametrize(
    "settings",
    [
        PresenceConfig(),
        PresenceConfig(enter_threshold=0.99, exit_threshold=0.5),
        PresenceConfig(enter_threshold=0.4, exit_threshold=0.2, exit_after=1.0),
        PresenceConfig(background=BackgroundConfig(enabled=False)),
    ],
)
@pytest.mark.parametrize("moved", [1e9, 30.0])
def test_a_reel_is_judged_as_the_monitor_judges_it(
    stack: ExitStack, settings: PresenceConfig, moved: float
) -> None:
    live = Live(settings)
    told = live.watch(100.0, moved=moved)
    again = filmed(stack, 100.0, moved=moved).judged(settings)
    assert list(again.events) == told
    assert [each and each.observation.score for each in again.sensed] == [
        each and each.observation.score for _, _, each in live.sensed
    ]


def test_scores_count_for_what_the_engine_takes_them_for(stack: ExitStack) -> None:
    """Raw scores of the faint visitor find nobody, and thresholds low enough for them would."""
    made = trace_of(stack, "visit", 100.0, FAINT)
    [event] = simulate(made, PresenceConfig())
    assert event.start == pytest.approx(FAINT.start, abs=0.5)
    assert not simulate(replace(made, counted=None), PresenceConfig())


def test_calibration_of_recordings_ends_with_what_the_engine_tells(stack: ExitStack) -> None:
    empty = trace_of(stack, "empty", 400.0)
    visited = trace_of(stack, "visit", 100.0, FAINT)
    found = calibrate("frame", PresenceConfig(), [empty], [visited], parse_budget("3/hour"))
    assert found.after is not None
    assert found.after.trial.visits.recall == 1.0
    assert found.after.proof.false_events == 0
    assert visited.film is not None
    told = visited.film(found.after.settings).events
    assert found.after.trial.found == (told,)
    tree = as_tree(found)
    assert tree["negatives"]["judged_again_hours"] == pytest.approx(400.0 / 3600.0, rel=0.01)
    assert any("by the presence engine itself" in line for line in sentences(found))
    assert not any("was not kept" in line for line in warnings(found))


def test_a_disk_that_is_full_is_named(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_words: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(UsageError, match="No space left") as caught:
        Reel("dock", "frame")
    assert "TMPDIR" in caught.value.remedy
