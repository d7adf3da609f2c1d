"""What reading a camera costs: ours, decoding everything, an ffmpeg pipe, and OpenCV.

    python -m benchmarks.capture                         composed footage, about 15 minutes
    python -m benchmarks.capture --scenes mixed-crf      one clip
    python -m benchmarks.capture yard.mp4 --truth …      people's own clips as well

Footage is encoded as IP cameras do: H.264 without B-frames, with sensor noise, at constant
quality (keyframe every second), constant bit rate (2 s), and with rare keyframes (4 s). For each
clip the events of `decode: all` and `decode: adaptive` come from a replay with the model; then
every way of reading is timed in turn, round by round, on nothing but processor time: user and
system of this process and its children. Scoring is not part of it. `ours` looks closely
exactly when presence asked for it in the replay.

`--stand-in` scores by how far a picture differs from the first one instead of by the model: for
composed footage, whose first picture is empty, and for figures that do not depend on the model.

`cameras_per_core` is stream seconds per processor second. The footage's visitor is composed by
scripts/make_demo.py (needs the `demo` extra). JSON goes to stdout or `--output`, a plot to
`--plot`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from monitor import replay
from monitor.capture import Recording, read_recording
from monitor.capture.composing import Composer, seconds_of
from monitor.capture.converting import Converter, halvings
from monitor.clock import Clock, MediaClock
from monitor.config import CameraConfig, DecodePolicy, InferenceConfig
from monitor.imaging.zones import cut_zones
from monitor.inference.model import ModelInfo
from monitor.inference.predictor import PaddlePredictor
from monitor.messages import Frame, Score
from monitor.replay import Replayer, ReplayEvent

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from make_demo import Clip, compose  # noqa: E402

Image = NDArray[np.uint8]
FPS = 5
SCENES = {
    "idle": (),
    "mixed": ((8.0, 14.0), (38.0, 44.0)),
    "busy": ((2.0, 12.0), (16.0, 27.0), (30.0, 34.0), (38.0, 48.0), (51.0, 58.0)),
}
CLOCK = MediaClock(datetime(2000, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Encoding:
    """How a camera encodes: seconds between keyframes, noise in grey levels, x264's options."""

    group: float
    noise: float
    options: dict[str, str]


CBR = {"b": "2500k", "maxrate": "2500k", "bufsize": "2500k", "nal-hrd": "cbr"}
ENCODINGS = {
    "crf": Encoding(1.0, 2.0, {"crf": "26"}),
    "cbr": Encoding(2.0, 4.0, CBR),
    "rare": Encoding(4.0, 2.0, {"crf": "26"}),
}
SHOWN = ["idle-crf", "idle-cbr", "mixed-crf", "mixed-cbr", "mixed-rare", "busy-crf", "busy-cbr"]


@dataclass
class Cost:
    """Processor milliseconds a stream second, and cameras a core."""

    ms_per_second: float
    cameras_per_core: float


@dataclass
class Result:
    """One clip. `same_events`: as many, onsets and ends within a group or `max_blind`."""

    clip: str
    seconds: float
    occupied_share: float
    events_all: int
    events_adaptive: int
    same_events: bool
    worst_onset_delay_s: float
    decoded_share: float
    dense_share: float
    costs: dict[str, Cost] = field(default_factory=dict)
    times_ffmpeg: float = 0.0


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


class Attended(Recording):
    """A recording that notes when presence asked for a closer look, or repeats such notes."""

    def __init__(self, *args: Any, notes: list[tuple[int, bool]] | None = None) -> None:
        super().__init__(*args)
        self.notes: list[tuple[int, bool]] = notes or []

    def attend(self, dense: bool) -> None:
        self.notes.append((self.sampled, dense))
        super().attend(dense)

    def repeat(self) -> Iterator[None]:
        """Read it again, asking at the same frames; yields at each frame."""
        wanted = dict(self.notes)
        for _ in self:
            if self.sampled in wanted:
                super().attend(wanted[self.sampled])
            yield None


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


def by_opencv(path: Path) -> None:
    """`VideoCapture` as most programs use it: grab all, retrieve five a second."""
    capture = cv2.VideoCapture(str(path))
    every = (capture.get(cv2.CAP_PROP_FPS) or 25.0) / FPS
    due, index = 0.0, 0
    while capture.grab():
        if index >= due:
            due += every
            _, image = capture.retrieve()
            cv2.resize(image, (224, 224))
        index += 1


def by_ffmpeg(path: Path) -> None:
    """A child process that writes five raw frames a second, which are read and turned to RGB."""
    import imageio_ffmpeg

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        width, height = stream.width, stream.height
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-threads", "1"]
    command += ["-i", str(path), "-an", "-vf", f"fps={FPS}", "-pix_fmt", "yuv420p"]
    command += ["-f", "rawvideo", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while len(data := child.stdout.read(width * height * 3 // 2)):
            planes = np.frombuffer(data, np.uint8).reshape(height * 3 // 2, width)
            cv2.resize(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), (224, 224))


def camera(decode: DecodePolicy) -> CameraConfig:
    """The defaults of the product."""
    return CameraConfig.model_validate({"source": {"url": "-"}, "decode": decode})


def cpu_of(work: Callable[[], object]) -> float:
    """Processor seconds of this process, all threads, and of the children it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.process_time()
    work()
    spent = time.process_time() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent + after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime


def replayed(replayer: Replayer, path: Path) -> tuple[Attended, list[list[ReplayEvent]], Result]:
    """The events of both policies, and the closer looks that presence asked for."""
    made: list[Attended] = []

    def attended(
        path: Path, name: str, config: CameraConfig, *, clock: MediaClock, max_side: int
    ) -> Attended:
        made.append(Attended(path, name, config, clock, max_side))
        return made[-1]

    with mock.patch.object(replay, "read_recording", attended):
        full = replayer.run(path, "camera", camera(DecodePolicy.ALL))
        ours = replayer.run(path, "camera", camera(DecodePolicy.ADAPTIVE))
    events = [list(full.events), list(ours.events)]
    allowed = max(2.0, keyframe_distance(path)) + 0.3
    pairs = list(zip(*events, strict=False))
    late = [abs(b.start_s - a.start_s) for a, b in pairs]
    ends = [abs(b.end_s - a.end_s) for a, b in pairs]
    same = len(events[0]) == len(events[1]) and all(each <= allowed for each in late + ends)
    return (
        made[1],
        events,
        Result(
            clip=path.stem,
            seconds=full.duration_s,
            occupied_share=sum(e.end_s - e.start_s for e in full.events) / full.duration_s,
            events_all=len(events[0]),
            events_adaptive=len(events[1]),
            same_events=same,
            worst_onset_delay_s=round(max(late, default=0.0), 2),
            decoded_share=round(ours.frames_decoded / full.frames_decoded, 3),
            dense_share=round(ours.frames_scored / full.frames_scored, 3),
        ),
    )


def keyframe_distance(path: Path) -> float:
    """Seconds between the first two keyframes."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        keys = [packet for packet in container.demux(stream) if packet.is_keyframe]
        times = [seconds_of(packet.pts, packet.time_base) or 0.0 for packet in keys]
    return times[1] - times[0] if len(times) > 1 else 0.0


def measure(replayer: Replayer, path: Path, rounds: int) -> Result:
    """Events first, then the costs, all ways in turn."""
    ours, _, result = replayed(replayer, path)
    full = read_recording(path, "camera", camera(DecodePolicy.ALL), clock=CLOCK, max_side=1280)
    ways: dict[str, Callable[[], object]] = {
        "opencv": lambda: by_opencv(path),
        "ffmpeg_pipe": lambda: by_ffmpeg(path),
        "decode_all": lambda: sum(1 for _ in full),
        "ours": lambda: sum(1 for _ in ours.repeat()),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            spent[name].append(cpu_of(work))
    for name, seconds in spent.items():
        middle = statistics.median(seconds)
        per_second = 1000 * middle / result.seconds
        result.costs[name] = Cost(round(per_second, 2), round(result.seconds / middle, 1))
    ffmpeg, own = result.costs["ffmpeg_pipe"], result.costs["ours"]
    result.times_ffmpeg = round(ffmpeg.ms_per_second / own.ms_per_second, 2)
    return result


def parity(path: Path, model: Path) -> dict[str, float]:
    """|Δscore| of the cheap conversion, and of decoding without the loop filter."""
    predictor = PaddlePredictor(ModelInfo.load(model))
    config = camera(DecodePolicy.ALL)
    converter = Converter()

    def scores(full: bool, loop_filter: bool) -> NDArray[np.float32]:
        patches = []
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            if not loop_filter:
                stream.codec_context.options = {"skip_loop_filter": "all"}
            for index, frame in enumerate(container.decode(stream)):
                if index % 5 == 0:
                    often = 0 if full else halvings(frame.width, frame.height, config)
                    picture = converter.reduced(frame, often)
                    patches.append(cut_zones(picture, config)[0].patches[0])
        return predictor.run(patches)[:, 1]

    reference, planes = scores(True, True), scores(False, True)
    unfiltered = scores(False, False)
    return {
        "planes_p99": round(float(np.quantile(np.abs(planes - reference), 0.99)), 5),
        "planes_max": round(float(np.abs(planes - reference).max()), 5),
        "no_loop_filter_p99": round(float(np.quantile(np.abs(unfiltered - planes), 0.99)), 5),
        "no_loop_filter_max": round(float(np.abs(unfiltered - planes).max()), 5),
    }


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
    for path in options.clips:
        for encoding in ("crf", "cbr"):
            target = folder / f"{path.stem}-{encoding}.mp4"
            rate = frame_rate(path)
            encode(pictures(path), rate, ENCODINGS[encoding], options.height, target)
            yield target


def main() -> None:
    """Parse, encode, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("clips", nargs="*", type=Path, help="own clips, re-encoded as well")
    parser.add_argument("--model", type=Path, default=ROOT / "models/person_exists")
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--fps", type=float, default=25.0, help="of composed footage")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stand-in", action="store_true", help="do without the model")
    parser.add_argument("--scenes", nargs="*", default=SHOWN, help="scene-encoding; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a scene")
    parser.add_argument("--parity", action="store_true", help="also compare the scores")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    results, parities = [], {}
    inference = InferenceConfig(model=options.model, workers=1, max_wait=0.0)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if options.stand_in:
            stack.enter_context(mock.patch.object(replay, "InferencePool", StandIn))
        replayer = stack.enter_context(Replayer(inference))
        for path in clips(options, Path(folder)):
            results.append(measure(replayer, path, options.rounds))
            print(json.dumps(asdict(results[-1])), file=sys.stderr, flush=True)
            if options.parity:
                parities[path.stem] = parity(path, options.model)
    report = {
        "height": options.height,
        "fps": options.fps,
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
