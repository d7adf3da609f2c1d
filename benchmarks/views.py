"""Which view finds persons at which price: recordings with their truth, scored once, judged often.

    python -m benchmarks.views CLIPS... --truth timeline.json

Every patch of every candidate is scored once; a view's score is the maximum over its patches, as
in the monitor. The events come from the presence room with its default settings. Patches a frame
are the price: inference costs the same for each. One line a view, AUROC over all frames that
are not within half a second of a truth edge.

`motion NN` are candidates that the monitor does not have: the whole picture, and one tile of NN %
laid where the picture differs most from its slow average.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import SecretStr
from rich.progress import track
from sklearn.metrics import roc_auc_score

from monitor.capture import probe_recording, read_recording
from monitor.clock import MediaClock
from monitor.config import CameraConfig, DecodePolicy, InferenceConfig, SourceConfig
from monitor.config.camera import ViewKind
from monitor.imaging.views import Box, TileGrid, letterbox, stretch, tile_boxes
from monitor.inference.backend import open_predictor
from monitor.inference.model import ModelInfo
from monitor.messages import EndReason, Frame, PresenceState, Progress, Score, Transition
from monitor.presence import PresenceRoom
from monitor.presence.metrics import TOLERANCE, Comparison, Span, compare, total
from monitor.presence.truth import read_truth
from monitor.replay import EPOCH, videos_in

GRIDS = {
    "tiles 2x1": TileGrid(2, 1),
    "tiles 2x2": TileGrid(2, 2),
    "tiles 2x2 and centre": TileGrid(2, 2, centre=True),
    "tiles 3x2": TileGrid(3, 2),
    "tiles 3x3": TileGrid(3, 3, share=0.4),
}
MOTION = {"motion 25": 0.25, "motion 40": 0.4, "motion 60": 0.6}

VIEWS: dict[str, tuple[str, ...]] = {
    "stretch": ("stretch",),
    "letterbox": ("letterbox",),
    **{name: ("stretch", name) for name in (*GRIDS, *MOTION)},
    "tiles 2x2, motion 25": ("stretch", "tiles 2x2", "motion 25"),
}
"""Each view as the groups of patches it is the maximum of."""


@dataclass
class Motion:
    """Finds where the picture differs most from its slow average."""

    average: NDArray[np.float32] | None = None

    def boxes(self, picture: NDArray[np.uint8]) -> dict[str, list[Box]]:
        """A tile for every share; none while nothing differs by eight grey levels."""
        height, width = picture.shape[:2]
        grey = cv2.cvtColor(
            cv2.resize(picture, (96, 54), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
        )
        now = grey.astype(np.float32)
        before = now if self.average is None else self.average
        self.average = np.asarray(0.95 * before + 0.05 * now, np.float32)
        change = cv2.GaussianBlur(np.abs(now - before), (0, 0), 2)
        if change.max() < 8:
            return {name: [] for name in MOTION}
        change[change < max(8.0, 0.3 * float(change.max()))] = 0
        return {name: [_busiest(change, share, width, height)] for name, share in MOTION.items()}


def _busiest(change: NDArray[Any], share: float, width: int, height: int) -> Box:
    rows, columns = change.shape
    window = max(1, int(share * columns)), max(1, int(share * rows))
    summed = cv2.boxFilter(change, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    row, column = np.unravel_index(int(summed.argmax()), summed.shape)
    w, h = int(share * width), int(share * height)
    left = int(np.clip(column / columns * width - w / 2, 0, width - w))
    top = int(np.clip(row / rows * height - h / 2, 0, height - h))
    return Box(left, top, left + w, top + h)


@dataclass
class Scored:
    """One sampled frame: the best score and the number of patches of each group."""

    frame: Frame
    best: dict[str, float]
    patches: dict[str, int]


def score_clip(path: Path, predictor: Any, camera: CameraConfig) -> list[Scored]:
    """All patches of all groups of every sampled frame."""
    motion, scored = Motion(), []
    recording = read_recording(path, "clip", camera, clock=MediaClock(EPOCH), max_side=1920)
    duration = probe_recording(path).duration_s
    frames: Iterator[Frame] = iter(recording)
    for frame in track(
        frames, path.name, total=round(duration * camera.sample_fps), console=_stderr()
    ):
        groups = _groups(frame.picture, motion)
        names = [name for name, patches in groups.items() for _ in patches]
        values = predictor.run(np.stack([each for patches in groups.values() for each in patches]))
        best = dict.fromkeys(groups, 0.0)
        for name, value in zip(names, values[:, 1], strict=True):
            best[name] = max(best[name], float(value))
        counts = {name: len(patches) for name, patches in groups.items()}
        scored.append(Scored(frame, best, counts))
    return scored


def _groups(picture: NDArray[np.uint8], motion: Motion) -> dict[str, list[NDArray[np.uint8]]]:
    height, width = picture.shape[:2]
    boxes = {name: tile_boxes(width, height, grid) for name, grid in GRIDS.items()}
    boxes |= motion.boxes(picture)
    cuts = {
        name: [stretch(picture[box.top : box.bottom, box.left : box.right]) for box in each]
        for name, each in boxes.items()
    }
    return {"stretch": [stretch(picture)], "letterbox": [letterbox(picture)], **cuts}


@dataclass
class Tally:
    """What a view gathers over all clips."""

    truth: list[bool] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    patches: list[int] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)

    def add(
        self,
        groups: tuple[str, ...],
        scored: list[Scored],
        truth: list[Span],
        camera: CameraConfig,
        seconds: float,
    ) -> None:
        """Judge one clip by this view."""
        values = [max(each.best[name] for name in groups) for each in scored]
        for each, value in zip(scored, values, strict=True):
            at = each.frame.stamp.monotonic
            self.patches.append(sum(each.patches[name] for name in groups))
            edges = [edge for span in truth for edge in (span.start, span.end)]
            if not any(abs(at - edge) < TOLERANCE for edge in edges):
                self.truth.append(any(span.start <= at <= span.end for span in truth))
                self.scores.append(value)
        events = _events([each.frame for each in scored], values, camera)
        self.comparisons.append(compare(events, truth, seconds))

    def row(self, name: str) -> dict[str, Any]:
        """The view's line."""
        overall = total(self.comparisons)
        truth, scores = np.array(self.truth), np.array(self.scores)
        return {
            "view": name,
            "patches": round(float(np.mean(self.patches)), 2),
            "auroc": round(float(roc_auc_score(truth, scores)), 4),
            "frames_above_enter": round(float((scores[truth] >= ENTER).mean()), 3),
            "empty_frames_above_enter": round(float((scores[~truth] >= ENTER).mean()), 4),
            "visits": overall.visits,
            "recall": overall.recall,
            "false_events": overall.false_events,
            "accuracy": overall.accuracy and round(overall.accuracy, 3),
            "onset_p95_s": overall.onset_p95,
        }


def _events(frames: list[Frame], values: list[float], camera: CameraConfig) -> list[Span]:
    opened: dict[Any, Transition] = {}
    spans: list[Span] = []

    def take(message: Transition | Progress) -> None:
        if isinstance(message, Progress) or message.event_id is None:
            return
        if message.current is PresenceState.OCCUPIED:
            opened[message.event_id] = message
            return
        start = opened.pop(message.event_id)
        spans.append(Span(start.at.monotonic, message.at.monotonic, start.confirmed.monotonic))

    room = PresenceRoom({"clip": camera}, on_message=take, encode=None, model_id="")
    for frame, value in zip(frames, values, strict=True):
        room.on_score(Score("clip", "frame", value, frame, frame.stamp))
    room.finish(EndReason.END_OF_MEDIA, frames[-1].stamp)
    return spans


def _stderr() -> Any:
    from rich.console import Console

    return Console(file=sys.stderr)


CAMERA = CameraConfig(
    source=SourceConfig(url=SecretStr("rtsp://recording/")),
    decode=DecodePolicy.ALL,
    view=ViewKind.STRETCH,
)
ENTER = CAMERA.presence.enter_threshold


def main() -> None:
    """Parse, run, print one JSON object a view."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("clips", type=Path, nargs="+", help="recordings, or folders of them")
    parser.add_argument("--truth", type=Path, required=True, help="as of `replay --truth`")
    parser.add_argument("--model", type=Path, default=InferenceConfig().model)
    options = parser.parse_args()
    truth = read_truth(options.truth)
    predictor = open_predictor(ModelInfo.load(options.model))
    tallies = {name: Tally() for name in VIEWS}
    for path in videos_in(options.clips):
        if path.name not in truth:
            sys.stderr.write(f"{path}: {options.truth} says nothing of it\n")
            continue
        scored = score_clip(path, predictor, CAMERA)
        clip = truth[path.name]
        for name, groups in VIEWS.items():
            tallies[name].add(groups, scored, clip.spans(), CAMERA, clip.dur)
    for name, tally in tallies.items():
        print(json.dumps(tally.row(name)), flush=True)


if __name__ == "__main__":
    main()
