"""`replay --learn`: pictures of recordings for training, labelled where the truth is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from monitor.config import CameraConfig, LearningConfig
from monitor.learning import Kind, LearningRoom
from monitor.messages import Progress, Score, Transition
from monitor.presence.metrics import TOLERANCE, Span

EVERY = 2.0
"""Seconds of media time between two pictures of a zone."""

LEARNED_SIDE = 1280
"""Longer side of the pictures, pixels."""

PATIENCE = 60.0
"""Seconds that the last pictures may take to be written."""


@dataclass(slots=True)
class Hearing:
    """Hears one recording. With `truth` its pictures are labelled by it, else doubtful ones are
    kept; truth is of the whole picture, so a zone's pictures are never labelled by it."""

    room: LearningRoom
    truth: Sequence[Span] | None
    _kept: dict[str, float] = field(default_factory=dict)

    def on_score(self, score: Score, counted: float) -> None:
        """A score of the recording, and what presence took it for."""
        if self.truth is None:
            self.room.on_score(score, counted)
            return
        at = score.frame.stamp.monotonic
        last = self._kept.get(score.zone)
        if last is not None and at - last < EVERY:
            return
        kind = _known(at, self.truth)
        if kind is not None:
            self._kept[score.zone] = at
            self.room.keep(kind, score)

    def on_message(self, message: Transition | Progress) -> None:
        """What presence makes of the recording."""
        self.room.on_message(message)


@contextmanager
def learning(
    folder: Path,
    name: str,
    camera: CameraConfig,
    truth: Sequence[Span] | None,
    *,
    shown_as: str,
) -> Iterator[Hearing]:
    """Listens to one recording of camera `name`, whose pictures are kept as those of `shown_as`;
    the lists are written at the end."""
    config = LearningConfig(enabled=True, folder=folder, every=EVERY)
    room = LearningRoom(config, {name: camera}, wait=True, shown_as={name: shown_as})
    room.start()
    try:
        yield Hearing(room, None if camera.zones else truth)
    finally:
        room.stop(PATIENCE)


def _known(at: float, visits: Sequence[Span]) -> Kind | None:
    """What the truth says of an instant; None near the edge of a visit."""
    if any(v.start + TOLERANCE <= at <= v.end - TOLERANCE for v in visits):
        return Kind.SOMEONE
    near = any(v.start - TOLERANCE < at < v.end + TOLERANCE for v in visits)
    return None if near else Kind.NOBODY
