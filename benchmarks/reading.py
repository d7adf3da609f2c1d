"""Ways of reading one camera, for `benchmarks/capture.py`: from a file, or live from a URL.

All make five pictures a second of 224 × 224 for the network, ours five patches of each. Live,
each way runs in a process of its own (`python -m benchmarks.reading WAY SECONDS`, its URL and
notes on stdin), which prints the processor time it took from its first picture on: opening a
stream happens once.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from monitor.capture import Recording, make_capture, read_recording
from monitor.clock import MediaClock, SystemClock
from monitor.config import CameraConfig, CaptureConfig, DecodePolicy, LoggingConfig
from monitor.messages import Attention, Frame

FPS = 5
STEP = 1.0 / FPS
"""Seconds between two sampled pictures."""

BLIND = 2.0
"""`max_blind` by default, seconds."""

CLOCK = MediaClock(datetime(2000, 1, 1, tzinfo=UTC))

Notes = list[tuple[float, bool, bool]]
"""When presence asked for other looks (media seconds): whether for close ones, for rare ones."""


class Way(StrEnum):
    """How a camera is read."""

    OPENCV = "opencv"
    FFMPEG = "ffmpeg_pipe"
    ALL = "decode_all"
    OURS = "ours"


class Attended(Recording):
    """A recording that notes when presence asked for a closer look."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.notes: Notes = []

    def attend(self, attention: Attention) -> None:
        self.notes.append((self.position_s, attention.dense, attention.sparse))
        super().attend(attention)


def camera(decode: DecodePolicy, url: str = "-", *, blind: float = BLIND) -> CameraConfig:
    """The defaults of the product, but for `max_blind`."""
    source = {"url": url, "open_timeout": 20, "read_timeout": 20}
    config = {"source": source, "decode": decode, "max_blind": blind}
    return CameraConfig.model_validate(config)


def cpu_of(work: Callable[[], object]) -> float:
    """Processor seconds of this process, all threads, and of the children it waited for."""
    before = _own_seconds() + _children_seconds()
    work()
    return _own_seconds() + _children_seconds() - before


def read_file(way: Way, path: Path, notes: Notes, blind: float = BLIND) -> None:
    """All of a file."""
    if way is Way.OPENCV:
        for _ in opencv_pictures(str(path)):
            pass
    elif way is Way.FFMPEG:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            size = stream.width, stream.height
        with ffmpeg_pipe(str(path)) as child:
            for _ in ffmpeg_pictures(child, *size):
                pass
    else:
        policy = DecodePolicy.ALL if way is Way.ALL else DecodePolicy.ADAPTIVE
        config = camera(policy, blind=blind)
        recording = read_recording(path, "camera", config, clock=CLOCK, max_side=1280)
        answers = iter(notes if way is Way.OURS else ())
        following = next(answers, None)
        for _ in recording:
            while following is not None and recording.position_s >= following[0]:
                recording.attend(Attention("camera", *following[1:]))
                following = next(answers, None)


def opencv_pictures(url: str) -> Iterator[None]:
    """`VideoCapture` as most programs use it: grab all, retrieve five a second."""
    capture = cv2.VideoCapture(url)
    every = (capture.get(cv2.CAP_PROP_FPS) or 25.0) / FPS
    due, index = 0.0, 0
    while capture.grab():
        if index >= due:
            due += every
            _, image = capture.retrieve()
            cv2.resize(image, (224, 224))
            yield
        index += 1


def ffmpeg_pipe(url: str) -> subprocess.Popen[bytes]:
    """A child process that writes five raw frames a second."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-threads", "1"]
    command += ["-rtsp_transport", "tcp"] if "://" in url else []
    command += ["-i", url, "-an", "-vf", f"fps={FPS}", "-pix_fmt", "yuv420p"]
    return subprocess.Popen([*command, "-f", "rawvideo", "-"], stdout=subprocess.PIPE)


def ffmpeg_pictures(child: subprocess.Popen[bytes], width: int, height: int) -> Iterator[None]:
    """Its frames, turned to RGB."""
    assert child.stdout is not None
    while len(data := child.stdout.read(width * height * 3 // 2)) == width * height * 3 // 2:
        planes = np.frombuffer(data, np.uint8).reshape(height * 3 // 2, width)
        cv2.resize(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), (224, 224))
        yield


def start(way: Way, url: str, notes: Notes, seconds: float, blind: float) -> subprocess.Popen[str]:
    """Begin to read a stream in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.reading", way.value, str(seconds)]
    child = subprocess.Popen(
        command,
        text=True,
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps({"url": url, "notes": notes, "blind": blind}))
    child.stdin.close()
    return child


def spent(child: subprocess.Popen[str]) -> float:
    """The processor seconds it took, when it has ended."""
    assert child.stdout is not None
    with child:
        words = child.stdout.read().split()
    if child.returncode or not words:
        raise RuntimeError(f"a way of reading failed: {child.args!r}")
    return float(words[-1])


def _live(way: Way, url: str, notes: Notes, seconds: float, blind: float) -> float:
    """Read a stream for so long; the processor seconds that took."""
    if way is Way.OPENCV:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp|threads;1"
        return _watch(opencv_pictures(url), seconds, _own_seconds)
    if way is Way.FFMPEG:
        with av.open(url, options={"rtsp_transport": "tcp"}) as container:
            stream = container.streams.video[0]
            size = stream.width, stream.height
        child = ffmpeg_pipe(url)
        pictures = ffmpeg_pictures(child, *size)
        try:
            return _watch(pictures, seconds, lambda: _own_seconds() + _seconds_of(child.pid))
        finally:
            child.kill()
            child.wait()
    policy = DecodePolicy.ALL if way is Way.ALL else DecodePolicy.ADAPTIVE
    config = camera(policy, url, blind=blind)
    return _watch_ours(config, notes if way is Way.OURS else [], seconds)


def _watch(pictures: Iterator[None], seconds: float, spent: Callable[[], float]) -> float:
    next(pictures)
    begin, end = spent(), time.monotonic() + seconds
    while time.monotonic() < end:
        next(pictures)
    return spent() - begin


def _watch_ours(config: CameraConfig, notes: Notes, seconds: float) -> float:
    """The capture room, which hears from presence what it heard in the replay."""
    seen = threading.Event()
    first: list[float] = []
    answers = list(notes)

    def hear(frame: Frame) -> None:
        if frame.pts is None:
            return
        first[:] = first or [frame.pts]
        while answers and frame.pts - first[0] >= answers[0][0]:
            room.attend(Attention("camera", *answers.pop(0)[1:]))
        seen.set()

    room = make_capture(
        {"camera": config},
        on_frame=hear,
        on_outage=lambda outage: print(outage, file=sys.stderr),
        clock=SystemClock(),
        max_side=1280,
        settings=CaptureConfig(processes=0),
        logging=LoggingConfig(),
    )
    room.start()
    try:
        if not seen.wait(60.0):
            raise TimeoutError("no picture came")
        begin = _own_seconds()
        time.sleep(seconds)
        return _own_seconds() - begin
    finally:
        room.stop(10.0)


def _own_seconds() -> float:
    return time.process_time()


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _seconds_of(pid: int) -> float:
    """Processor seconds of another process, all threads."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Read as told, print seconds."""
    cv2.setNumThreads(1)
    task = json.load(sys.stdin)
    notes = [(float(at), bool(dense), bool(sparse)) for at, dense, sparse in task["notes"]]
    way, seconds = Way(sys.argv[1]), float(sys.argv[2])
    print(_live(way, task["url"], notes, seconds, float(task["blind"])))


if __name__ == "__main__":
    main()
