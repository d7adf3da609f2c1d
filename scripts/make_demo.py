#!/usr/bin/env python3
"""Compose and encode the demo cameras' footage from pictures that scikit-image ships.

The scene is `rocket.jpg` (a launch pad; SpaceX, public domain); the visitor is `astronaut.png`
(NASA, public domain), cut out with GrabCut. Nothing is downloaded, and neither picture is in this
repository.

Two clips of one minute are written as a camera would send them (H.264 without B-frames, a
keyframe a second): `launch-pad.mp4` by day and `launch-pad-night.mp4` in grey with sensor noise.
`timeline.json` beside them has the spans in which the visitor is in the picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

WIDTH, HEIGHT, FPS = 960, 540, 15
VISITOR_HEIGHT = 420
ENTRY_SECONDS = 2.0


@dataclass(frozen=True)
class Clip:
    """One camera's footage; `visits` are spans in seconds, `night` means grey and noisy."""

    file: str
    visits: tuple[tuple[float, float], ...]
    night: bool = False
    seconds: float = 60.0


CLIPS = (
    Clip("launch-pad.mp4", ((6.0, 20.0), (32.0, 46.0))),
    Clip("launch-pad-night.mp4", ((14.0, 28.0), (42.0, 54.0)), night=True),
)


def cut_out(portrait: Image) -> tuple[Image, NDArray[np.float32]]:
    """The visitor and her opacity (0-1) from the portrait, by GrabCut round a rough outline."""
    mask = np.full(portrait.shape[:2], cv2.GC_BGD, np.uint8)
    outline = [(160, 0), (300, 0), (315, 120), (330, 190), (440, 250), (470, 340), (450, 512)]
    outline += [(62, 512), (62, 380), (75, 290), (110, 230), (165, 190), (150, 80)]
    cv2.fillPoly(mask, [np.array(outline)], (cv2.GC_PR_FGD,))
    cv2.ellipse(mask, (222, 130), (50, 80), 0, 0, 360, (cv2.GC_FGD,), -1)
    torso = [(150, 250), (300, 260), (380, 330), (390, 512), (75, 512), (75, 330)]
    cv2.fillPoly(mask, [np.array(torso)], (cv2.GC_FGD,))
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    everywhere = (0, 0, portrait.shape[1], portrait.shape[0])
    cv2.setRNGSeed(0)
    cv2.grabCut(portrait, mask, everywhere, background, foreground, 6, cv2.GC_INIT_WITH_MASK)
    solid = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    soft = cv2.GaussianBlur(cv2.erode(solid * 255, np.ones((3, 3))), (5, 5), 0)
    size = (VISITOR_HEIGHT, VISITOR_HEIGHT)
    visitor = cv2.resize(portrait, size, interpolation=cv2.INTER_AREA)
    opacity = cv2.resize(soft, size, interpolation=cv2.INTER_AREA) / 255
    return visitor.astype(np.uint8), opacity.astype(np.float32)


def position(second: float, visits: tuple[tuple[float, float], ...]) -> int | None:
    """Left edge of the visitor in pixels; None while she is out of the picture."""
    for start, end in visits:
        if start <= second < end:
            inside = min((second - start) / ENTRY_SECONDS, (end - second) / ENTRY_SECONDS, 1.0)
            sway = 30 * np.sin(second * 1.3)
            return int(-VISITOR_HEIGHT + inside * (VISITOR_HEIGHT + 180) + sway * inside)
    return None


def paste(scene: Image, visitor: Image, opacity: NDArray[np.float32], left: int) -> Image:
    """The scene with the visitor standing at its lower edge."""
    first, last = max(0, -left), min(VISITOR_HEIGHT, WIDTH - left)
    if first >= last:
        return scene
    composed = scene.copy()
    area = composed[HEIGHT - VISITOR_HEIGHT :, left + first : left + last]
    alpha = opacity[:, first:last, None]
    area[:] = (area * (1 - alpha) + visitor[:, first:last] * alpha).astype(np.uint8)
    return composed


def compose(clip: Clip) -> Iterator[Image]:
    """The clip's frames, BGR uint8 (540, 960, 3), with sensor noise."""
    import skimage

    data = Path(skimage.__file__).parent / "data"
    scene = cv2.imread(str(data / "rocket.jpg"))
    portrait = cv2.imread(str(data / "astronaut.png"))
    if scene is None or portrait is None:
        raise SystemExit(f"{data} lacks rocket.jpg or astronaut.png")
    scene = cv2.resize(scene[33:393], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    visitor, opacity = cut_out(portrait.astype(np.uint8))
    random = np.random.default_rng(7)
    grain = random.normal(0, 5 if clip.night else 2, (HEIGHT, WIDTH, 1)).astype(np.int16)
    noise = np.repeat(grain, 3, axis=2)
    for index in range(int(FPS * clip.seconds)):
        left = position(index / FPS, clip.visits)
        frame = scene if left is None else paste(scene.astype(np.uint8), visitor, opacity, left)
        if clip.night:
            grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) * 0.6 + 10
            frame = cv2.cvtColor(grey.astype(np.uint8), cv2.COLOR_GRAY2BGR)
        shift = random.integers(0, HEIGHT, 2)
        yield cv2.add(frame, np.roll(noise, shift, (0, 1)), dtype=cv2.CV_8U).astype(np.uint8)


def encode(frames: Iterator[Image], target: Path) -> None:
    """Write H.264 as a camera sends it; the file appears only when it is complete."""
    partial = target.with_suffix(".part.mp4")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = FPS
        stream.time_base = Fraction(1, FPS)
        stream.options = {"preset": "veryfast", "crf": "28", "bf": "0", "sc_threshold": "0"}
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    partial.replace(target)


def make(clip: Clip, folder: Path) -> Path:
    """The clip's file in `folder`, encoded now unless it is there."""
    target = folder / clip.file
    folder.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        encode(compose(clip), target)
    return target


def main() -> None:
    """Write every clip that is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=Path("var/demo"), help="folder of the clips")
    output: Path = parser.parse_args().output
    for clip in CLIPS:
        make(clip, output)
    timeline = {clip.file: {"dur": clip.seconds, "someone": clip.visits} for clip in CLIPS}
    (output / "timeline.json").write_text(json.dumps(timeline, indent=1))


if __name__ == "__main__":
    main()
