"""What reading a camera costs: ours, decoding everything, an ffmpeg pipe, and OpenCV.

    python -m benchmarks.capture                         composed footage, about 15 minutes
    python -m benchmarks.capture --scenes mixed-crf      one clip
    python -m benchmarks.capture --rtsp                  the same clips from a real RTSP server
    python -m benchmarks.capture FOLDER --scenes         people's own clips only

Footage is encoded as IP cameras do: H.264 without B-frames, with sensor noise, at constant
quality (keyframe every second), constant bit rate (2 s), and with rare keyframes (4 s; `patient`:
the same, read with `max_blind: 4s`). For each clip the events of `decode: all` and
`decode: adaptive` come from a replay with the model; then every way of reading
(`benchmarks/reading.py`) is timed on nothing but processor time: user and system of its process
and children. Scoring is not part of it. `ours` looks closely, and rarely, exactly when presence
asked for it in the replay. Files are read in turn, round by round; streams by all ways at once,
each in a process of its own and from the clip's beginning, once.

Events are the same if there are as many, onsets lie within a keyframe interval, at most
`max_blind`, and ends within `max_blind` (each and a sampling step).

`--stand-in` scores by how far a picture differs from the first one instead of by the model: for
composed footage, whose first picture is empty, and for figures that do not depend on the model.

`cameras_per_core` is stream seconds per processor second. The footage's visitor is composed by
scripts/make_demo.py (needs the `demo` extra). JSON goes to stdout or `--output`, a plot to
`--plot`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from unittest import mock

import av
import cv2
import numpy as np
from av.bitstream import BitStreamFilterContext
from numpy.typing import NDArray

from benchmarks.parity import parity
from benchmarks.reading import (
    BLIND,
    CLOCK,
    STEP,
    Attended,
    Notes,
    Way,
    camera,
    cpu_of,
    read_file,
    spent,
    start,
)
from monitor import replay
from monitor.capture.composing import Composer
from monitor.clock import Clock, MediaClock
from monitor.config import CameraConfig, DecodePolicy, InferenceConfig
from monitor.messages import Frame, Score
from monitor.replay import Replayer, ReplayEvent

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "tests"))
from make_demo import Clip, compose  # noqa: E402
from rtsp_server.process import Clip as Served  # type: ignore[import-not-found]  # noqa: E402
from rtsp_server.process import RtspServer, missing  # noqa: E402

Image = NDArray[np.uint8]
VIDEOS = (".mp4", ".mkv", ".avi", ".ts", ".mov")
SCENES = {
    "idle": (),
    "mixed": ((8.0, 14.0), (38.0, 44.0)),
    "busy": ((2.0, 12.0), (16.0, 27.0), (30.0, 34.0), (38.0, 48.0), (51.0, 58.0)),
}


@dataclass(frozen=True)
class Encoding:
    """How a camera encodes: seconds between keyframes, noise in grey levels, x264's options.

    `blind`: the `max_blind` it is read with, seconds.
    """

    group: float
    noise: float
    options: dict[str, str]
    blind: float = BLIND


CBR = {"b": "2500k", "maxrate": "2500k", "bufsize": "2500k", "nal-hrd": "cbr"}
ENCODINGS = {
    "crf": Encoding(1.0, 2.0, {"crf": "26"}),
    "cbr": Encoding(2.0, 4.0, CBR),
    "rare": Encoding(4.0, 2.0, {"crf": "26"}),
    "patient": Encoding(4.0, 2.0, {"crf": "26"}, blind=4.0),
}
SHOWN = ["idle-crf", "idle-cbr", "mixed-crf", "mixed-cbr", "mixed-rare", "mixed-patient"]
SHOWN += ["busy-crf", "busy-cbr"]


@dataclass
class Cost:
    """Processor milliseconds a stream second, and cameras a core."""

    ms_per_second: float
    cameras_per_core: float


@dataclass
class Result:
    """One clip.

    `events`: first and last second of each, by policy. `onset_delays_s`: those of `adaptive`
    behind those of `all`; `allowed_delay_s`: how late one may be.
    """

    clip: str
    seconds: float
    occupied_share: float
    keyframe_every_s: float
    events: dict[str, list[tuple[float, float]]]
    onset_delays_s: list[float]
    allowed_delay_s: float
    same_events: bool
    decoded_share: float
    dense_share: float
    costs: dict[str, Cost] = field(default_factory=dict)
    times_ffmpeg: float = 0.0
    same_events_and_five_times_ffmpeg: bool = False


class StandIn:
    """In the pool's place: somebody is there if the picture differs from the first one."""

    model_id = "stand-in"

    def __init__(
        self, _config: InferenceConfig, *, on_score: Callable[[Score], None], clock: Clock
    ) -> None:
        self._on_score = on_score
        self._clock = clock
        self._empty: NDArray[np.float32] | None = None

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def drain(self) -> None:
        """Nothing waits."""

    def submit(self, frame: Frame, *, wait: bool = False) -> None:
        """Score at once."""
        small = cv2.resize(frame.cuts[0].patches[0], (32, 32), interpolation=cv2.INTER_AREA)
        if frame.sequence == 0 or self._empty is None:
            self._empty = np.asarray(small, np.float32)
        differs = float(np.abs(small - self._empty).mean())
        value = 1 / (1 + float(np.exp(np.clip(6.0 - differs, -30, 30))))
        at = self._clock.now()
        self._on_score(Score(frame.camera, frame.cuts[0].zone, value, frame, at))


def encode(frames: Iterator[Image], fps: float, how: Encoding, height: int, target: Path) -> None:
    """BGR pictures as a camera of that height would send them."""
    random = np.random.default_rng(3)
    rate = Fraction(fps).limit_denominator(1000)
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = round(how.group * fps)
        stream.codec_context.options = {
            "preset": "veryfast",
            "bf": "0",
            "sc_threshold": "0",
            "threads": "1",
            **how.options,
        }
        grain: NDArray[np.int16] | None = None
        for index, image in enumerate(frames):
            width = round(image.shape[1] * height / image.shape[0] / 2) * 2
            scaled = cv2.resize(image, (width, height))
            if grain is None:
                stream.width, stream.height = width, height
                noise = random.normal(0, how.noise, (height + 64, width + 64, 1))
                grain = np.repeat(noise.astype(np.int16), 3, axis=2)
            y, x = random.integers(0, 64, 2)  # another part of it each time
            noisy = cv2.add(scaled, grain[y : y + height, x : x + width], dtype=cv2.CV_8U)
            frame = av.VideoFrame.from_ndarray(np.asarray(noisy, np.uint8), format="bgr24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def pictures(path: Path) -> Iterator[Image]:
    """BGR pictures of a file."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def at_rate(images: Iterator[Image], fps: float) -> Iterator[Image]:
    """Composed pictures (15 a second) as often as a camera of that rate sees them."""
    sent = 0
    for index, image in enumerate(images):
        while sent / fps < (index + 1) / 15.0:
            sent += 1
            yield image


def frame_rate(path: Path) -> float:
    """Frames a second."""
    with av.open(str(path)) as container:
        return float(container.streams.video[0].average_rate or 25)


def replayed(replayer: Replayer, path: Path, blind: float) -> tuple[Notes, Result]:
    """The events of both policies, and the closer looks that presence asked for."""
    made: list[Attended] = []

    def attended(
        path: Path, name: str, config: CameraConfig, *, clock: MediaClock, max_side: int
    ) -> Attended:
        made.append(Attended(path, name, config, clock, max_side))
        return made[-1]

    with mock.patch.object(replay, "read_recording", attended):
        full = replayer.run(path, "camera", camera(DecodePolicy.ALL))
        ours = replayer.run(path, "camera", camera(DecodePolicy.ADAPTIVE, blind=blind))
    group = keyframe_distance(path)
    late = min(blind, group or blind) + STEP
    pairs = list(zip(full.events, ours.events, strict=False))
    onsets = [round(b.start_s - a.start_s, 2) for a, b in pairs]
    ends = [abs(b.end_s - a.end_s) for a, b in pairs]
    same = len(full.events) == len(ours.events)
    same = same and all(abs(each) <= late for each in onsets)
    return made[1].notes, Result(
        clip=path.stem,
        seconds=full.duration_s,
        occupied_share=round(sum(e.end_s - e.start_s for e in full.events) / full.duration_s, 3),
        keyframe_every_s=round(group, 2),
        events={"all": _spans(full.events), "adaptive": _spans(ours.events)},
        onset_delays_s=onsets,
        allowed_delay_s=round(late, 2),
        same_events=same and all(each <= blind + STEP for each in ends),
        decoded_share=round(ours.frames_decoded / full.frames_decoded, 3),
        dense_share=round(ours.frames_scored / full.frames_scored, 3),
    )


def _spans(events: Sequence[ReplayEvent]) -> list[tuple[float, float]]:
    return [(round(event.start_s, 2), round(event.end_s, 2)) for event in events]


def keyframe_distance(path: Path) -> float:
    """Seconds between the first two keyframes."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        keys = [
            packet.pts * packet.time_base
            for packet in packets
            if packet.is_keyframe and packet.pts is not None
        ]
    return float(keys[1] - keys[0]) if len(keys) > 1 else 0.0


def measure(replayer: Replayer, path: Path, options: argparse.Namespace) -> Result:
    """Events first, then the costs."""
    blind = ENCODINGS[path.stem.rpartition("-")[2]].blind
    notes, result = replayed(replayer, path, blind)
    if options.rtsp:
        costs = by_rtsp(path, notes, result.seconds, blind)
    else:
        costs = by_file(path, notes, result.seconds, blind, options.rounds)
    result.costs = {
        way: Cost(round(each, 2), round(1000 / each, 1) if each else 0.0)
        for way, each in costs.items()
    }
    if own := costs[Way.OURS]:
        result.times_ffmpeg = round(costs[Way.FFMPEG] / own, 2)
    result.same_events_and_five_times_ffmpeg = result.same_events and result.times_ffmpeg >= 5.0
    return result


def by_file(
    path: Path, notes: Notes, seconds: float, blind: float, rounds: int
) -> dict[Way, float]:
    """Processor milliseconds a stream second: all ways in turn, the middle of all rounds."""
    spent: dict[Way, list[float]] = {way: [] for way in Way}
    for _ in range(rounds):
        for way in Way:
            spent[way].append(cpu_of(partial(read_file, way, path, notes, blind)))
    return {way: 1000 * statistics.median(each) / seconds for way, each in spent.items()}


def by_rtsp(path: Path, notes: Notes, seconds: float, blind: float) -> dict[Way, float]:
    """The same of a live stream, all ways at once."""
    units = access_units(path)
    served = Served(units, fps=frame_rate(path))
    server = RtspServer({way.value: served for way in Way})
    try:
        children = {way: start(way, server.url(way.value), notes, seconds, blind) for way in Way}
        return {way: 1000 * spent(child) / seconds for way, child in children.items()}
    finally:
        server.kill()


def access_units(path: Path) -> Path:
    """The clip as the RTSP server wants it: byte streams, each behind its length."""
    target = path.with_suffix(".au")
    with av.open(str(path)) as container, target.open("wb") as file:
        stream = container.streams.video[0]
        to_bytes = BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in container.demux(stream):
            for unit in to_bytes.filter(packet if packet.size else None):
                file.write(struct.pack(">I", unit.size) + bytes(unit))
    return target


def compose_cost() -> float:
    """Milliseconds to make a Frame of a 1080p picture."""
    picture = av.VideoFrame.from_ndarray(
        np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    ).reformat(format="yuv420p")
    composer = Composer("camera", camera(DecodePolicy.ALL), 1280)
    spent = [cpu_of(lambda: composer.compose(picture, CLOCK.at(0.0), 0.0)) for _ in range(40)]
    return round(1000 * statistics.median(spent), 3)


def plot(results: list[Result], target: Path) -> None:
    """Bars: cameras a core, by clip and way of reading."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(1.6 + 1.4 * len(results), 4.2))
    names = list(results[0].costs)
    for offset, name in enumerate(names):
        places = [index + (offset - 1.5) * 0.2 for index in range(len(results))]
        bars = axes.bar(places, [r.costs[name].cameras_per_core for r in results], 0.2, label=name)
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_xticks(range(len(results)), [result.clip for result in results])
    axes.set_ylabel("cameras a core (decoding, without scoring)")
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(target, dpi=120)


def clips(options: argparse.Namespace, folder: Path) -> Iterator[Path]:
    """The encoded footage, one after the other."""
    for name in options.scenes:
        scene, _, encoding = name.partition("-")
        source = at_rate(compose(Clip(scene, SCENES[scene], seconds=options.seconds)), options.fps)
        target = folder / f"{scene}-{encoding}.mp4"
        encode(source, options.fps, ENCODINGS[encoding], options.height, target)
        yield target
    for path in videos(options.clips):
        for encoding in options.encodings:
            target = folder / f"{path.stem}-{encoding}.mp4"
            rate = frame_rate(path)
            encode(pictures(path), rate, ENCODINGS[encoding], options.height, target)
            yield target


def videos(paths: Sequence[Path]) -> Iterator[Path]:
    """Those files, and the videos in those folders."""
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        yield from (each for each in inside if each == path or each.suffix.lower() in VIDEOS)


def main() -> None:
    """Parse, encode, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("clips", nargs="*", type=Path, help="own clips or folders")
    parser.add_argument("--model", type=Path, default=ROOT / "models/person_exists")
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--fps", type=float, default=25.0, help="of composed footage")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stand-in", action="store_true", help="do without the model")
    parser.add_argument("--scenes", nargs="*", default=SHOWN, help="scene-encoding; default: all")
    parser.add_argument("--encodings", nargs="*", default=["crf", "cbr"], choices=ENCODINGS)
    parser.add_argument("--rtsp", action="store_true", help="read from an RTSP server")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a scene")
    parser.add_argument("--parity", action="store_true", help="also compare the scores")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.rtsp and (why := missing()):
        parser.error(why)
    cv2.setNumThreads(1)
    results, parities = [], {}
    inference = InferenceConfig(model=options.model, workers=1, max_wait=0.0)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if options.stand_in:
            stack.enter_context(mock.patch.object(replay, "InferencePool", StandIn))
        replayer = stack.enter_context(Replayer(inference))
        for path in clips(options, Path(folder)):
            results.append(measure(replayer, path, options))
            print(json.dumps(asdict(results[-1])), file=sys.stderr, flush=True)
            if options.parity:
                parities[path.stem] = parity(path, options.model)
    report = {
        "height": options.height,
        "fps": options.fps,
        "read_from": "rtsp" if options.rtsp else "files",
        "scored_by": "stand-in" if options.stand_in else str(options.model.name),
        "compose_1080p_ms": compose_cost(),
        "clips": [asdict(result) for result in results],
        "score_differences": parities,
    }
    text = json.dumps(report, indent=1)
    if options.output:
        options.output.write_text(text)
    else:
        print(text)
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
