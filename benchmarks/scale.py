"""From 1 to 64 RTSP cameras: processor time and memory a camera, and reconnects that leave nothing.

    python -m benchmarks.scale                       1, 4 and 16 cameras, 15 s each
    python -m benchmarks.scale --cameras 1 8 32 64 --seconds 60
    python -m benchmarks.scale --cameras 64 --processes 0 1 2 4
    python -m benchmarks.scale --reconnects 200      opens and closes one camera so often

The streams come from GStreamer's RTSP server in a process of its own (`scripts/system-deps.sh`
installs it), which is not counted. Each number of cameras is measured in a fresh process that runs
the capture room alone, with `decode: adaptive` and nobody in sight, the state cameras are in most
of the time; `--processes` is `capture.processes`, and what these use counts. Memory is the
proportional set size.

Whatever does not grow with the cameras is measured by a room without cameras, once before all
others: `total(0)`. The figures a camera are (total(n) - total(0)) / n; `_quotient` is total(n) / n.
The first camera also brings what all share, FFmpeg's code and tables for example: `_more` is what
each camera costs beyond the run before.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2

from monitor.capture import CaptureFleet, ReaderState, make_capture
from monitor.clock import SystemClock
from monitor.config import CameraConfig, CaptureConfig, LoggingConfig, LogLevel
from monitor.messages import Frame

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from rtsp_server.clips import write_clip  # type: ignore[import-not-found]  # noqa: E402
from rtsp_server.process import Clip, RtspServer  # type: ignore[import-not-found]  # noqa: E402

FPS = 15
SIZE = (1280, 720)


def memory_mib(pid: int | str = "self") -> float:
    """Proportional set size of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/PID/smaps_rollup has no Pss")


def work(pid: int) -> tuple[float, int]:
    """Seconds on a processor, and context switches of all its threads that wait for something."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")
    switches = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for line in (thread / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                switches += int(line.split()[1])
    return seconds, switches


class Watching:
    """A capture room on some cameras, counting what comes."""

    def __init__(self, urls: list[str], processes: int = 0) -> None:
        self.frames = 0
        cameras = {
            f"camera-{index}": CameraConfig.model_validate(
                {"source": {"url": url, "open_timeout": 20, "read_timeout": 20}}
            )
            for index, url in enumerate(urls)
        }
        self.room = make_capture(
            cameras,
            on_frame=self._count,
            on_outage=lambda outage: print(outage, file=sys.stderr),
            clock=SystemClock(),
            max_side=1280,
            settings=CaptureConfig(processes=processes),
            logging=LoggingConfig(level=LogLevel.WARNING),
        )

    @property
    def pids(self) -> list[int]:
        """This process and those that read cameras."""
        lookouts = self.room.lookouts if isinstance(self.room, CaptureFleet) else []
        return [os.getpid(), *(each.pid for each in lookouts if each.pid is not None)]

    def wait(self) -> None:
        """Until all cameras are seen."""
        while any(s.state is not ReaderState.STREAMING for s in self.room.stats().values()):
            time.sleep(0.1)

    def received(self) -> int:
        """Packets of all cameras."""
        return sum(stats.frames_received for stats in self.room.stats().values())

    def _count(self, _frame: Frame) -> None:
        self.frames += 1


def measure(urls: list[str], seconds: float, processes: int) -> dict[str, float]:
    """One run in this process: totals."""
    watching = Watching(urls, processes)
    watching.room.start()
    watching.wait()
    time.sleep(4.0)
    pids = watching.pids
    before, wall = [work(pid) for pid in pids], time.monotonic()
    packets, frames = watching.received(), watching.frames
    time.sleep(seconds)
    after, wall = [work(pid) for pid in pids], time.monotonic() - wall
    packets, frames = watching.received() - packets, watching.frames - frames
    memory = sum(memory_mib(pid) for pid in pids)
    watching.room.stop(10.0)
    cpu, switches = (
        sum(each[i] for each in after) - sum(each[i] for each in before) for i in (0, 1)
    )
    return {
        "cameras": len(urls),
        "processes": processes,
        "cpu_percent": round(100 * cpu / wall, 2),
        "memory_mib": round(memory, 1),
        "packets_per_second": round(packets / wall, 1),
        "looks_per_second": round(frames / wall, 1),
        "waits_per_packet": round(switches / max(packets, 1), 2),
    }


def a_camera(run: dict[str, float], none: dict[str, float]) -> dict[str, float]:
    """What a run says of one camera, `none` being the run without any."""
    count = run["cameras"]
    beyond = run["cpu_percent"] - none["cpu_percent"]
    seconds = run["packets_per_second"] / FPS  # of streams, as they came
    return {
        "cpu_ms_per_stream_second": round(10 * beyond / seconds, 2),
        "cpu_ms_quotient": round(10 * run["cpu_percent"] / seconds, 2),
        "memory_mib_per_camera": round((run["memory_mib"] - none["memory_mib"]) / count, 2),
        "memory_mib_quotient": round(run["memory_mib"] / count, 2),
        "packets_per_second_per_camera": round(run["packets_per_second"] / count, 2),
        "looks_per_second_per_camera": round(run["looks_per_second"] / count, 2),
    }


def more(run: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """What each camera cost that came on top of the run before, of as many processes."""
    count = run["cameras"] - before["cameras"]
    if count <= 0 or run["processes"] != before["processes"]:
        return {}
    cpu, memory = (run[key] - before[key] for key in ("cpu_percent", "memory_mib"))
    return {"cpu_ms_more": round(10 * cpu / count, 2), "memory_mib_more": round(memory / count, 2)}


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

    def levels() -> tuple[int, int, float, float]:
        gc.collect()
        descriptors, kept = len(list(Path("/proc/self/fd").iterdir())), memory_mib()
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later is no leak
        return threading.active_count(), descriptors, kept, memory_mib()

    for _ in range(min(20, times)):
        once()
    before = levels()
    for _ in range(times):
        once()
    after = levels()
    viewer.room.stop(10.0)
    names = ("threads", "descriptors", "memory_mib", "memory_in_use_mib")
    return {"reconnects": times} | {
        name: round(b - a, 2) for name, a, b in zip(names, before, after, strict=True)
    }


def in_turn(server: RtspServer, options: argparse.Namespace) -> list[dict[str, float]]:
    """A fresh process for each number of cameras and of processes, and one without cameras."""
    runs: list[dict[str, float]] = []
    turns = [(count, number) for number in options.processes for count in options.cameras]
    for count, number in [(0, 0), *turns]:
        urls = [server.url(f"c{index}") for index in range(count)]
        command = [sys.executable, "-m", "benchmarks.scale", "--seconds", str(options.seconds)]
        command += ["--processes", str(number), "--urls", *urls]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        run = json.loads(done.stdout.splitlines()[-1])  # before it, the log
        if runs:
            run |= a_camera(run, runs[0]) | more(run, runs[-1])
        runs.append(run)
    return runs


def plot(runs: list[dict[str, float]], target: Path) -> None:
    """Processor time and memory a camera over the number of cameras."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(8.0, 3.2))
    runs = [run for run in runs if run["cameras"]]
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
    parser.add_argument("--processes", type=int, nargs="+", default=[0])
    parser.add_argument("--urls", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.urls is not None:
        print(json.dumps(measure(options.urls, options.seconds, options.processes[0])))
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
            runs = in_turn(server, options)
        finally:
            server.kill()
    print(json.dumps(runs, indent=1))
    if options.plot:
        plot(runs, options.plot)


if __name__ == "__main__":
    main()
