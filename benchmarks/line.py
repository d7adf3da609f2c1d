"""The whole line under load: latency from frame to committed event, CPU and memory a camera.

    python -m benchmarks.line                          1 and 16 file cameras, a minute each
    python -m benchmarks.line --cameras 16 --together
    python -m benchmarks.line --rtsp --cameras 8 --seconds 600

Starts the daemon as an operator would, on footage in which a visitor comes twice in 24 seconds,
and reads its figures from /proc, its API and its database. One JSON object a run. The cameras are
spread over the footage, as visitors come to places that have nothing to do with each other;
`--together` lets all visitors come at the same second, which is more than two processors can
score for many cameras. `--rtsp` serves the footage with GStreamer's RTSP server
(`scripts/system-deps.sh` installs it).
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
from datetime import UTC, datetime
from fractions import Fraction
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
from make_demo import FPS, Clip, make  # noqa: E402

FOOTAGE = Clip("benchmark.mp4", ((4.0, 9.0), (16.0, 21.0)), seconds=24.0)

SEEN_WITHIN = 120.0
"""Seconds in which every camera must have been scored."""

SETTLING = 5.0
"""Seconds after which the first burst, of all cameras being unknown at once, is over."""


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
        cameras = report(url)["cameras"]
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
    """What one run showed; latencies in milliseconds, beyond the debounce.

    `latency`: from the frame that confirmed an occupancy to its row; `scoring`: from any frame
    submitted to scored, the largest part of it.
    """

    cameras: int
    source: str
    together: bool
    precision: str
    workers: int
    view: str
    seconds: float
    cpu_percent_per_camera: float
    memory_mib: float
    events: int
    latency_p50_ms: float
    latency_p99_ms: float
    scoring_p50_ms: float
    scoring_p99_ms: float
    probes: list[Probe] = field(default_factory=list)


@dataclass(frozen=True)
class Settings:
    """What the daemon is told besides its cameras."""

    precision: str
    workers: str
    view: str
    together: bool


def measure(urls: list[str], seconds: float, source: str, folder: Path, settings: Settings) -> Run:
    """Run the daemon on `urls` for `seconds` after all cameras are seen and `SETTLING` is over."""
    with running(urls, folder, settings) as (tree, url):
        time.sleep(SETTLING)
        began, since = time.monotonic(), datetime.now(UTC)
        probes = [Probe.take(tree, url, began)]
        while (left := seconds - (time.monotonic() - began)) > 0:
            time.sleep(min(60.0, left))
            probes.append(Probe.take(tree, url, began))
        workers = report(url)["workers"]
    latencies = commit_latencies(folder / "monitor.db", since)
    first, last = probes[0], probes[-1]
    wall = last.second - first.second
    return Run(
        cameras=len(urls),
        source=source,
        together=settings.together,
        precision=settings.precision,
        workers=workers["wanted"],
        view=settings.view,
        seconds=round(wall, 1),
        cpu_percent_per_camera=round(100 * (last.cpu_s - first.cpu_s) / wall / len(urls), 2),
        memory_mib=last.memory_mib,
        events=len(latencies),
        latency_p50_ms=round(float(np.quantile(latencies, 0.5)), 1),
        latency_p99_ms=round(float(np.quantile(latencies, 0.99)), 1),
        scoring_p50_ms=round(1e3 * workers["latency_p50"], 1),
        scoring_p99_ms=round(1e3 * workers["latency_p99"], 1),
        probes=probes,
    )


def report(url: str) -> dict[str, Any]:
    """What the daemon says of itself."""
    found: dict[str, Any] = httpx.get(f"{url}/api/cameras", timeout=10).json()
    return found


def commit_latencies(database: Path, since: datetime) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Milliseconds from the frame that confirmed an occupancy to the row's transaction.

    Of occupancies confirmed after `since`.
    """
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT confirmed_at, created_at FROM occupancy_events"))
        moments = [(_moment(confirmed), _moment(created)) for confirmed, created in rows]
        spans = [created - confirmed for confirmed, created in moments if confirmed > since]
    engine.dispose()
    if not spans:
        raise SystemExit("the run gave no event: is the model in place?")
    return np.array([span.total_seconds() * 1000 for span in spans])


def _moment(stored: str) -> datetime:
    moment = datetime.fromisoformat(stored)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextmanager
def running(urls: list[str], folder: Path, settings: Settings) -> Iterator[tuple[Tree, str]]:
    """The daemon on these cameras, from when all are scored until the end of the block."""
    config = {
        "database": {"url": f"sqlite:///{folder}/monitor.db"},
        "snapshots": {"folder": str(folder / "snapshots")},
        "web": {"port": 0},
        "logging": {"format": "json"},
        "inference": {"precision": settings.precision, "workers": settings.workers},
        "defaults": {"view": settings.view, "presence": {"exit_after": "1s"}},
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
        _wait_until_seen(url)
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


def _wait_until_seen(url: str) -> None:
    """Until every camera has been scored; names those that are not after `SEEN_WITHIN`."""
    deadline = time.monotonic() + SEEN_WITHIN
    while httpx.get(f"{url}/readyz", timeout=10).json()["verdict"] != "ready":
        if time.monotonic() > deadline:
            cameras = report(url)["cameras"]
            unseen = [
                f"{camera['name']}: {camera['state']}, {camera['scored']} frames scored"
                f" {camera['outage'] or ''} {camera['detail']}".rstrip()
                for camera in cameras
                if camera["score_age"] is None or camera["score_age"] > camera["max_gap"]
            ]
            raise SystemExit(
                f"after {SEEN_WITHIN:.0f} s the monitor is not ready; not seen:\n"
                + "\n".join(unseen or ["no camera; see /readyz"])
            )
        time.sleep(0.2)


def spread(clip: Path, count: int, folder: Path) -> list[Path]:
    """`count` copies of the clip that begin at keyframes evenly spread over it."""
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        packets = [(bytes(p), p.is_keyframe) for p in container.demux(video) if p.size]
        starts = [index for index, (_, keyframe) in enumerate(packets) if keyframe]
        made = []
        for camera in range(count):
            start = starts[camera * len(starts) // count]
            target = folder / f"phase-{camera}.mp4"
            with av.open(str(target), "w") as copy:
                stream = copy.add_stream_from_template(video)
                for index, (data, keyframe) in enumerate(packets[start:] + packets[:start]):
                    packet = av.Packet(data)
                    packet.stream, packet.is_keyframe = stream, keyframe
                    packet.time_base, packet.duration = Fraction(1, FPS), 1
                    packet.pts = packet.dts = index
                    copy.mux(packet)
            made.append(target)
    return made


@contextmanager
def rtsp_urls(clips: list[Path], folder: Path) -> Iterator[list[str]]:
    """The clips as RTSP streams of one server."""
    from rtsp_server.process import Clip as Stream  # type: ignore[import-not-found]
    from rtsp_server.process import RtspServer

    streams = {}
    for index, clip in enumerate(clips):
        units = folder / f"stream-{index}.h264"
        with av.open(str(clip)) as container, units.open("wb") as target:
            video = container.streams.video[0]
            in_band = BitStreamFilterContext("h264_mp4toannexb", video)
            for packet in container.demux(video):
                for unit in in_band.filter(packet if packet.size else None):
                    data = bytes(unit)
                    target.write(len(data).to_bytes(4, "big") + data)
        streams[f"c{index}"] = Stream(units, fps=float(FPS))
    server = RtspServer(streams)
    try:
        yield [server.url(name) for name in streams]
    finally:
        server.kill()


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rtsp", action="store_true", help="serve the footage by RTSP")
    parser.add_argument("--together", action="store_true", help="all visitors at the same second")
    parser.add_argument("--precision", default="fp32", help="of inference: fp32 or bf16")
    parser.add_argument("--workers", default="auto", help="processes that score")
    parser.add_argument("--view", default="tiles", help="of all cameras")
    options = parser.parse_args()
    settings = Settings(options.precision, options.workers, options.view, options.together)
    clip = make(FOOTAGE, ROOT / "var" / "demo")
    for count in options.cameras:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            clips = [clip] * count if options.together else spread(clip, count, folder)
            if options.rtsp:
                with rtsp_urls(clips, folder) as urls:
                    run = measure(urls, options.seconds, "rtsp", folder, settings)
            else:
                run = measure([*map(str, clips)], options.seconds, "file", folder, settings)
        print(json.dumps(run, default=vars), flush=True)


if __name__ == "__main__":
    main()
