"""From 1 to 64 RTSP cameras: processor time and memory a camera, and reconnects that leave nothing.

    python -m benchmarks.scale                       1, 4 and 16 cameras, 15 s each
    python -m benchmarks.scale --cameras 1 8 32 64 --seconds 60
    python -m benchmarks.scale --reconnects 200      opens and closes one camera so often

The streams come from GStreamer's RTSP server in a process of its own (`scripts/system-deps.sh`
installs it), which is not counted. Each number of cameras is measured in a fresh process that runs
the capture room alone, with `decode: adaptive` and nobody in sight, the state cameras are in most
of the time. Memory is the proportional set size beyond that of a process without cameras.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2

from monitor.capture import CaptureRoom, ReaderState
from monitor.clock import SystemClock
from monitor.config import CameraConfig
from monitor.messages import Frame

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from rtsp_server.clips import write_clip  # type: ignore[import-not-found]  # noqa: E402
from rtsp_server.process import Clip, RtspServer  # type: ignore[import-not-found]  # noqa: E402

FPS = 15
SIZE = (1280, 720)


def memory_mib() -> float:
    """Proportional set size of this process."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/smaps_rollup has no Pss")


class Watching:
    """A capture room on some cameras, counting what comes."""

    def __init__(self, urls: list[str]) -> None:
        self.frames = 0
        cameras = {
            f"camera-{index}": CameraConfig.model_validate(
                {"source": {"url": url, "open_timeout": 20, "read_timeout": 20}}
            )
            for index, url in enumerate(urls)
        }
        self.room = CaptureRoom(
            cameras,
            on_frame=self._count,
            on_outage=lambda outage: print(outage, file=sys.stderr),
            clock=SystemClock(),
            max_side=1280,
        )

    def wait(self) -> None:
        """Until all cameras are seen."""
        while any(s.state is not ReaderState.STREAMING for s in self.room.stats().values()):
            time.sleep(0.1)

    def received(self) -> int:
        """Packets of all cameras."""
        return sum(stats.frames_received for stats in self.room.stats().values())

    def _count(self, _frame: Frame) -> None:
        self.frames += 1


def measure(urls: list[str], seconds: float) -> dict[str, float]:
    """One run in this process."""
    before = memory_mib()
    watching = Watching(urls)
    watching.room.start()
    watching.wait()
    time.sleep(4.0)
    cpu, wall = time.process_time(), time.monotonic()
    packets, frames = watching.received(), watching.frames
    time.sleep(seconds)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    packets, frames = watching.received() - packets, watching.frames - frames
    memory = memory_mib() - before
    watching.room.stop(10.0)
    count = len(urls)
    return {
        "cameras": count,
        "cpu_percent_per_camera": round(100 * cpu / wall / count, 3),
        "cpu_ms_per_stream_second": round(1000 * cpu / max(packets, 1) * FPS, 2),
        "memory_mib_per_camera": round(memory / count, 2),
        "packets_per_second_per_camera": round(packets / wall / count, 2),
        "looks_per_second_per_camera": round(frames / wall / count, 2),
    }


def reconnects(url: str, times: int) -> dict[str, float]:
    """Open and close a camera so often: what is left of threads, descriptors and memory."""
    viewer = Watching([url])  # keeps the server's pipeline warm
    viewer.room.start()
    viewer.wait()

    def once() -> None:
        watching = Watching([url])
        watching.room.start()
        watching.wait()
        watching.room.stop(10.0)

    def levels() -> tuple[int, int, float]:
        gc.collect()
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), memory_mib()

    for _ in range(min(20, times)):
        once()
    before = levels()
    for _ in range(times):
        once()
    after = levels()
    viewer.room.stop(10.0)
    names = ("threads", "descriptors", "memory_mib")
    return {"reconnects": times} | {
        name: round(b - a, 2) for name, a, b in zip(names, before, after, strict=True)
    }


def plot(runs: list[dict[str, float]], target: Path) -> None:
    """Processor time and memory a camera over the number of cameras."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(8.0, 3.2))
    counts = [run["cameras"] for run in runs]
    shown = {
        "cpu_ms_per_stream_second": "CPU ms a stream second",
        "memory_mib_per_camera": "MiB a camera",
    }
    for axes, (key, label) in zip(panels, shown.items(), strict=True):
        axes.plot(counts, [run[key] for run in runs], "o-")
        axes.set_xlabel("cameras")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(target, dpi=120)


def main() -> None:
    """Serve, run a process for each number of cameras, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--reconnects", type=int, default=0)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--urls", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.urls:
        print(json.dumps(measure(options.urls, options.seconds)))
        return
    most = max(options.cameras)
    with tempfile.TemporaryDirectory() as folder:
        clip = Clip(
            write_clip(Path(folder) / "a.au", frames=10 * FPS, fps=FPS, gop=FPS, sizes=(SIZE,)),
            fps=float(FPS),
        )
        server = RtspServer({f"c{index}": clip for index in range(most)})
        try:
            if options.reconnects:
                print(json.dumps(reconnects(server.url("c0"), options.reconnects), indent=1))
                return
            runs = []
            for count in options.cameras:
                urls = [server.url(f"c{index}") for index in range(count)]
                command = [sys.executable, "-m", "benchmarks.scale"]
                command += ["--seconds", str(options.seconds), "--urls", *urls]
                done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
                runs.append(json.loads(done.stdout.splitlines()[-1]))  # before it, the log
        finally:
            server.kill()
    print(json.dumps(runs, indent=1))
    if options.plot:
        plot(runs, options.plot)


if __name__ == "__main__":
    main()
