"""What the score history costs: time on the way, time to write and read, bytes a zone and day.

    python -m benchmarks.scores

Made-up scores (log-odds -3.5, AR(1) noise of 0.5 s and 0.8), six hours of one zone at three rates
in a SQLite database of their own; then a minute of 64 zones in one transaction. In every other
minute a score counts for 3 less in log-odds, as where nothing moves, else for what it says.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import typer

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.clock import Stamp
from monitor.events.database import open_database
from monitor.events.history import ScoreRecorder, score_history
from monitor.events.schema import migrate
from monitor.messages import Frame, Score

START = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 6
PICTURE = np.zeros((2, 2, 3), np.uint8)


def scores(camera: str, seconds: float, fps: float) -> Iterator[Score]:
    """One zone's scores, `fps` a second."""
    rng = np.random.default_rng(1)
    keep = float(np.exp(-2.0 / fps))
    value = 0.0
    for i in range(int(seconds * fps)):
        value = keep * value + float(rng.normal(0.0, 0.8 * np.sqrt(1.0 - keep**2)))
        stamp = Stamp(i / fps, START + timedelta(seconds=i / fps))
        frame = Frame(camera, i, stamp, None, (), PICTURE)
        yield Score(camera, "frame", 1.0 / (1.0 + float(np.exp(3.5 - value))), frame, stamp)


def counted(score: Score) -> float:
    """What presence might take it for."""
    if score.frame.stamp.utc.minute % 2:
        return score.value
    odds = np.log(score.value / (1.0 - score.value)) - 3.0
    return float(1.0 / (1.0 + np.exp(-odds)))


def one_zone(folder: Path, fps: float) -> dict[str, Any]:
    """Six hours of one zone."""
    url = f"sqlite:///{folder}/monitor.db"
    migrate(url)
    engine = open_database(url)
    recorder = ScoreRecorder(engine)
    made = [(score, counted(score)) for score in scores("dock", HOURS * 3600.0, fps)]
    before = _size(engine, folder)
    times = [time.process_time()]
    for score, counts in made:
        recorder.on_score(score, counts)
    times.append(time.process_time())
    recorder.write(all_of_it=True)
    times.append(time.process_time())
    score_history(engine, "dock", "frame", START, START + timedelta(hours=HOURS))
    times.append(time.process_time())
    added = _size(engine, folder) - before
    engine.dispose()
    taken = np.diff(times)
    return {
        "scores_a_second": fps,
        "kb_a_zone_day": round(added * 24 / HOURS / 1000),
        "on_score_us": round(taken[0] * 1e6 / len(made), 1),
        "write_us_a_minute": round(taken[1] * 1e6 / (HOURS * 60)),
        "read_six_hours_ms": round(taken[2] * 1e3),
    }


def _size(engine: Any, folder: Path) -> int:
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / "monitor.db").stat().st_size


def many_zones(folder: Path, zones: int) -> dict[str, Any]:
    """One minute of many zones, as it is written once a minute."""
    url = f"sqlite:///{folder}/monitor.db"
    migrate(url)
    engine = open_database(url)
    recorder = ScoreRecorder(engine)
    for zone in range(zones):
        for score in scores(f"camera-{zone}", 60.0, 1.0):
            recorder.on_score(score, counted(score))
    wall, cpu = time.perf_counter(), time.process_time()
    recorder.write(all_of_it=True)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    engine.dispose()
    return {"zones": zones, "wall_ms": round(wall * 1e3, 1), "cpu_ms": round(cpu * 1e3, 1)}


def main(output: FormatOption = Format.TABLE) -> None:
    """Measure the score history."""
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for fps in (0.5, 1.0, 5.0):
            place = Path(folder) / f"{fps}"
            place.mkdir()
            rows.append(one_zone(place, fps))
        print_rows(rows, list(rows[0]), output)
        row = many_zones(Path(folder), 64)
        print_rows([row], list(row), output)


if __name__ == "__main__":
    typer.run(main)
