"""`events mark`: false alarm or not, for calibration and for training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.alerts import WhoOption, who_am_i
from monitor.cli.asking import event_id
from monitor.cli.storage import ConfigOption, DbOption, find_storage, open_memory
from monitor.clock import SystemClock
from monitor.config import CameraConfig, LearningConfig, load_config
from monitor.errors import InputError, MonitorError, UsageError
from monitor.events.marking import set_mark
from monitor.events.marks import Mark
from monitor.events.models import OccupancyEvent
from monitor.learning import Kind, LearningFolder
from monitor.learning.room import zone_jpeg
from monitor.messages import WHOLE_FRAME

app = typer.Typer()

KINDS = {Mark.FALSE_ALARM: Kind.NOBODY, Mark.CORRECT: Kind.SOMEONE}


@app.command()
def mark(
    event: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    false_alarm: Annotated[bool, typer.Option("--false-alarm", help="Nobody was there.")] = False,
    correct: Annotated[bool, typer.Option("--correct", help="Somebody was there.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Take a mark back.")] = False,
    learn: Annotated[
        Path | None,
        typer.Option("--learn", metavar="FOLDER", help="Keep its picture there, labelled."),
    ] = None,
    who: WhoOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
) -> None:
    """Say whether an event was right. The event stays; the mark is in the audit log.

    `calibrate --marked` learns from marks. With `learning.enabled` in --config, or --learn, the
    event's snapshot is kept as a labelled picture for `model train`.

    Example: `run_monitor.py events mark 8f14e45f-ceea-467f-a0e6-1d2c3b4a5968 --false-alarm`
    """
    verdict = _verdict(false_alarm, correct, clear)
    wanted = event_id(event)
    with open_memory(db, config) as engine:
        now = SystemClock().now().utc
        row = set_mark(engine, wanted, verdict, who=who_am_i(who), now=now)
    said = verdict.value.replace("_", " ") if verdict else "not marked"
    sys.stdout.write(f"{wanted} is {said}\n")
    _learn(row, verdict, learn, find_storage(db, config).snapshots, config)


def _verdict(false_alarm: bool, correct: bool, clear: bool) -> Mark | None:
    if false_alarm + correct + clear != 1:
        raise UsageError("what was it?", remedy="say one of --false-alarm, --correct and --clear")
    if clear:
        return None
    return Mark.FALSE_ALARM if false_alarm else Mark.CORRECT


def _learn(
    event: OccupancyEvent,
    mark: Mark | None,
    folder: Path | None,
    snapshots: Path,
    file: Path | None,
) -> None:
    """Keep the snapshot with its label where pictures are to be kept at all."""
    config = load_config(file, look=False) if file else None
    learning = config.learning if config else LearningConfig()
    if folder is not None:
        learning = learning.model_copy(update={"folder": folder})
    elif not learning.enabled:
        return
    camera = config.cameras.get(event.camera) if config else None
    try:
        kept = LearningFolder(learning)
        if mark is None:
            kept.drop(event.camera, str(event.id))
        elif (data := _picture(event, snapshots, camera)) is None:
            sys.stderr.write("it has no snapshot, so there is nothing to learn from\n")
            return
        elif path := kept.keep(KINDS[mark], event.camera, str(event.id), data):
            sys.stdout.write(f"kept as {path}\n")
        else:
            sys.stderr.write(f"{learning.folder} is full of labelled pictures\n")
        kept.write_lists()
    except OSError as error:
        raise InputError(
            f"the picture cannot be kept: {error.strerror}",
            where=str(learning.folder),
            remedy="name a folder this user may write to",
        ) from error


def _picture(event: OccupancyEvent, snapshots: Path, camera: CameraConfig | None) -> bytes | None:
    if event.snapshot is None:
        return None
    try:
        data = (snapshots / event.snapshot).read_bytes()
    except FileNotFoundError:
        return None
    if event.zone == WHOLE_FRAME:
        return data
    if camera is None or event.zone not in camera.zones:
        raise MonitorError(
            f"the polygon of zone {event.zone!r} is not known, so its picture cannot be cut",
            remedy="give --config with that camera and zone",
        )
    return zone_jpeg(data, camera, event.zone)
