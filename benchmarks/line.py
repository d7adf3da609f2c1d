"""The whole line under load: latency from frame to committed event, CPU and memory a camera.

    python -m benchmarks.line                          1 and 16 file cameras, a minute each
    python -m benchmarks.line --rtsp --cameras 8 --seconds 600

Starts the daemon as an operator would, on footage in which a visitor comes and goes, and reads
its figures from /proc, its API and its database. One JSON object a run. `--rtsp` serves the
footage with GStreamer's RTSP server (`scripts/system-deps.sh` installs it).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
from av.bitstream import BitStreamFilterContext
from sqlalchemy import create_engine, text

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 2**20

sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]
from make_demo import Clip, make  # noqa: E402

FOOTAGE = Clip("benchmark.mp4", ((4.0, 9.0), (16.0, 21.0)), seconds=24.0)


@dataclass
class Tree:
    """A process and its children, as /proc knows them."""

    pid: int

    def pids(self) -> list[int]:
        """The process and everything below it."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += map(int, (task / "children").read_text().split())
        return found

    def cpu_seconds(self) -> float:
        """User and system time of all processes."""
        total = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def memory_mib(self) -> float:
        """Proportional set size of all processes: shared pages count once."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024

    def threads(self) -> int:
        """Threads of the daemon process itself."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def descriptors(self) -> int:
        """Open file descriptors of the daemon process itself."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@dataclass
class Probe:
    """One reading of the running daemon."""

    second: float
    cpu_s: float
    memory_mib: float
    threads: int
    descriptors: int
    sampled: int
    dropped: int
    scored: int

    @classmethod
    def take(cls, tree: Tree, url: str, began: float) -> Probe:
        """Read /proc and the API."""
        cameras = httpx.get(f"{url}/api/cameras", timeout=10).json()["cameras"]
        totals = {key: sum(camera[key] for camera in cameras) for key in COUNTS}
        return cls(
            second=round(time.monotonic() - began, 1),
            cpu_s=tree.cpu_seconds(),
            memory_mib=round(tree.memory_mib(), 1),
            threads=tree.threads(),
            descriptors=tree.descriptors(),
            **totals,
        )


COUNTS = ("sampled", "dropped", "scored")


@dataclass
class Run:
    """What one run showed; latencies in milliseconds, beyond the debounce."""

    cameras: int
    source: str
    seconds: float
    cpu_percent_per_camera: float
    memory_mib: float
    events: int
    latency_p50_ms: float
    latency_p99_ms: float
    probes: list[Probe] = field(default_factory=list)


def measure(urls: list[str], seconds: float, source: str, folder: Path) -> Run:
    """Run the daemon on `urls` for `seconds` after all cameras are seen."""
    with running(urls, folder) as (tree, url):
        began = time.monotonic()
        probes = [Probe.take(tree, url, began)]
        while (left := seconds - (time.monotonic() - began)) > 0:
            time.sleep(min(60.0, left))
            probes.append(Probe.take(tree, url, began))
    latencies = commit_latencies(folder / "monitor.db")
    first, last = probes[0], probes[-1]
    wall = last.second - first.second
    return Run(
        cameras=len(urls),
        source=source,
        seconds=round(wall, 1),
        cpu_percent_per_camera=round(100 * (last.cpu_s - first.cpu_s) / wall / len(urls), 2),
        memory_mib=last.memory_mib,
        events=len(latencies),
        latency_p50_ms=round(float(np.quantile(latencies, 0.5)), 1),
        latency_p99_ms=round(float(np.quantile(latencies, 0.99)), 1),
        probes=probes,
    )


def commit_latencies(database: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Milliseconds from the frame that confirmed an occupancy to the row's transaction."""
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT confirmed_at, created_at FROM occupancy_events"))
        spans = [_moment(created) - _moment(confirmed) for confirmed, created in rows]
    engine.dispose()
    if not spans:
        raise SystemExit("the run gave no event: is the model in place?")
    return np.array([span.total_seconds() * 1000 for span in spans])


def _moment(stored: str) -> datetime:
    return datetime.fromisoformat(stored)


@contextmanager
def running(urls: list[str], folder: Path) -> Iterator[tuple[Tree, str]]:
    """The daemon on these cameras, from when all are scored until the end of the block."""
    config = {
        "database": {"url": f"sqlite:///{folder}/monitor.db"},
        "snapshots": {"folder": str(folder / "snapshots")},
        "web": {"port": 0},
        "logging": {"format": "json"},
        "defaults": {"presence": {"exit_after": "1s"}},
        "cameras": {
            f"camera-{index}": {"source": {"url": url, "loop": True}}
            for index, url in enumerate(urls)
        },
    }
    file, log = folder / "monitor.yaml", folder / "log.jsonl"
    file.write_text(json.dumps(config))
    command = [sys.executable, str(ROOT / "run_monitor.py"), "run", "--config", str(file)]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stderr=stream)
    try:
        url = _wait_until_watching(process, log)
        while httpx.get(f"{url}/readyz").json()["verdict"] != "ready":
            time.sleep(0.2)
        yield Tree(process.pid), url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _wait_until_watching(process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if '"watching"' in line:
                return str(json.loads(line)["dashboard"])
        time.sleep(0.2)
    raise SystemExit(f"the daemon ended:\n{log.read_text()}")


@contextmanager
def rtsp_urls(clip: Path, count: int, folder: Path) -> Iterator[list[str]]:
    """The clip as `count` RTSP streams of one server."""
    from rtsp_server.process import Clip as Stream  # type: ignore[import-not-found]
    from rtsp_server.process import RtspServer

    units = folder / "benchmark.h264"
    with av.open(str(clip)) as container, units.open("wb") as target:
        video = container.streams.video[0]
        in_band = BitStreamFilterContext("h264_mp4toannexb", video)
        for packet in container.demux(video):
            for unit in in_band.filter(packet if packet.size else None):
                data = bytes(unit)
                target.write(len(data).to_bytes(4, "big") + data)
    server = RtspServer({f"c{index}": Stream(units, fps=15.0) for index in range(count)})
    try:
        yield [server.url(f"c{index}") for index in range(count)]
    finally:
        server.kill()


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rtsp", action="store_true", help="serve the footage by RTSP")
    options = parser.parse_args()
    clip = make(FOOTAGE, ROOT / "var" / "demo")
    for count in options.cameras:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if options.rtsp:
                with rtsp_urls(clip, count, folder) as urls:
                    run = measure(urls, options.seconds, "rtsp", folder)
            else:
                run = measure([str(clip)] * count, options.seconds, "file", folder)
        print(json.dumps(run, default=vars), flush=True)


if __name__ == "__main__":
    main()
