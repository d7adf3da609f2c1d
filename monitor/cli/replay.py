"""`replay`: recordings through the same rooms as cameras, as fast as they decode."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from monitor.capture import probe_recording
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.config import (
    CameraConfig,
    InferenceConfig,
    MonitorConfig,
    ViewKind,
    load_config,
)
from monitor.errors import InputError, UsageError
from monitor.replay import Replayer, ReplayResult, camera_name, videos_in

app = typer.Typer()


@app.command()
def replay(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO…", help="Recordings or folders.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Take model and settings from this file.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option("--camera", help="Which camera's settings and zones to use.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model folder; overrides the configuration.")
    ] = None,
    view: Annotated[
        ViewKind | None, typer.Option("--view", help="View; overrides the configuration.")
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Run recordings through capture, inference and presence at full speed.

    Media time is the clock, so the events are those a live camera would have given. JSON is one
    object a video: source, duration_s, frames_decoded, frames_scored, events (camera, zone,
    start_s, end_s, peak_score). Unreadable videos are named on stderr and skipped; exit 66.

    Example: `run_monitor.py replay clip.mp4 --config configs/demo.yaml --camera workshop`
    """
    paths = list(videos_in(videos))
    if not paths:
        raise InputError("there is no video in it", where=" ".join(map(str, videos)))
    inference, settings = _settings(config, camera, model, view)
    failed = False
    rows: list[dict[str, Any]] = []
    with Replayer(inference) as replayer:
        for path in paths:
            try:
                result = _replay_one(replayer, path, camera or camera_name(path), settings)
            except InputError as error:
                sys.stderr.write(f"{error}\n")
                failed = True
                continue
            if output is Format.JSON:
                sys.stdout.write(json.dumps(_as_json(result), ensure_ascii=False) + "\n")
                sys.stdout.flush()
            rows += [{"source": result.source, **asdict(event)} for event in result.events]
    if output is not Format.JSON:
        columns = ("source", "camera", "zone", "start_s", "end_s", "peak_score")
        print_rows(rows, columns, output, title=f"{len(rows)} events in {len(paths)} recordings")
    if failed:
        raise typer.Exit(InputError.exit_code)


def _settings(
    config: Path | None, camera: str | None, model: Path | None, view: ViewKind | None
) -> tuple[InferenceConfig, CameraConfig]:
    if config is None:
        if camera is not None:
            raise UsageError("--camera needs --config", remedy="name the configuration as well")
        inference = InferenceConfig()
        chosen = CameraConfig.model_validate({"source": {"url": "recording"}})
    else:
        loaded = load_config(config, look=False)
        inference, chosen = loaded.inference, _camera(loaded, camera)
    if model is not None:
        inference = inference.model_copy(update={"model": model})
    if view is not None:
        chosen = chosen.model_copy(update={"view": view})
    return inference, chosen


def _camera(config: MonitorConfig, name: str | None) -> CameraConfig:
    if name is None and len(config.cameras) == 1:
        return next(iter(config.cameras.values()))
    if name in config.cameras:
        return config.cameras[name]
    known = ", ".join(config.cameras)
    what = "which camera's settings?" if name is None else f"there is no camera {name!r}"
    raise UsageError(what, remedy=f"--camera is one of: {known}")


def _replay_one(replayer: Replayer, path: Path, name: str, settings: CameraConfig) -> ReplayResult:
    duration = probe_recording(path).duration_s
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(path.name, total=duration or None)
        return replayer.run(
            path,
            name,
            settings,
            on_progress=lambda seconds: progress.update(task, completed=seconds),
        )


def _as_json(result: ReplayResult) -> dict[str, Any]:
    return {
        "source": result.source,
        "duration_s": result.duration_s,
        "frames_decoded": result.frames_decoded,
        "frames_scored": result.frames_scored,
        "events": [asdict(event) for event in result.events],
    }
