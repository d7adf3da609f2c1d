"""`replay`: recordings through the same rooms as cameras, as fast as they decode."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from monitor.capture import probe_recording
from monitor.cli import truth
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.replay_learn import LEARNED_SIDE, learning
from monitor.cli.replay_plot import plot
from monitor.config import CameraConfig, InferenceConfig, MonitorConfig, ViewKind, load_config
from monitor.errors import InputError, UsageError
from monitor.presence.metrics import Span
from monitor.presence.truth import read_truth
from monitor.replay import Replayer, ReplayResult, camera_name, videos_in

COLUMNS = ("source", "camera", "zone", "start_s", "end_s", "peak_score")

app = typer.Typer()


@app.command()
def replay(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO…", help="Recordings or folders.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Take model and settings from this file.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="Which camera's settings and zones to use.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Model folder; overrides the configuration.")
    ] = None,
    view: Annotated[
        ViewKind | None, typer.Option(help="View; overrides the configuration.")
    ] = None,
    truth_file: Annotated[
        Path | None,
        typer.Option(
            "--truth", help='JSON: {"clip.mp4": {"dur": …, "someone": [[start_s, end_s], …]}}.'
        ),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Folder for a PNG a recording.")
    ] = None,
    learn: Annotated[
        Path | None,
        typer.Option("--learn", help="Keep pictures there for `model train`, labelled by --truth."),
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Run recordings through capture, inference and presence at full speed.

    Media time is the clock, so the events are those a live camera would have given. JSON is one
    object a video: source, duration_s, frames_decoded, frames_scored, events (camera, zone,
    start_s, end_s, peak_score), and with `--truth` the metrics. Unreadable videos are named on
    stderr and skipped; then the exit code is 66. `--learn` keeps a picture every two seconds: with
    `--truth` labelled by it, otherwise the doubtful ones.

    Example: `run_monitor.py replay var/demo -c configs/demo.yaml --camera launch-pad --truth
    var/demo/timeline.json --plots output/plots`
    """
    paths = list(videos_in(videos))
    if not paths:
        raise InputError(
            "there is no video in it",
            where=" ".join(map(str, videos)),
            remedy="name videos, or folders of them",
        )
    known = _truth(truth_file) if truth_file else None
    inference, settings = replay_settings(config, camera, model, view)
    name = camera if config else None
    results = []
    for result in _replay(paths, inference, settings, name, _Pupil(learn, known)):
        results.append(result)
        spans = None if known is None else known.get(Path(result.source).name)
        if known is not None and spans is None:
            sys.stderr.write(f"{result.source}: {truth_file} says nothing of it\n")
        if plots is not None:
            plot(result, settings, spans, plots / f"{camera_name(Path(result.source))}.png")
        if output is Format.JSON:
            metrics = None if spans is None else truth.summary(truth.judge(result, spans))
            sys.stdout.write(json.dumps(_as_json(result, metrics), ensure_ascii=False) + "\n")
            sys.stdout.flush()
    if output is not Format.JSON and results:
        _print(results, known, output)
    if len(results) < len(paths):
        raise typer.Exit(InputError.exit_code)


def _truth(path: Path) -> dict[str, list[Span]]:
    return {name: clip.spans() for name, clip in read_truth(path).items()}


def replay_settings(
    config: Path | None, camera: str | None, model: Path | None, view: ViewKind | None
) -> tuple[InferenceConfig, CameraConfig]:
    """Model and camera settings for recordings; without a configuration, the defaults."""
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


@dataclass(frozen=True, slots=True)
class _Pupil:
    """Where pictures are to be kept, if anywhere, and what is known of the recordings."""

    folder: Path | None
    truth: dict[str, list[Span]] | None

    @contextmanager
    def listening(self, path: Path, name: str, camera: CameraConfig) -> Iterator[dict[str, Any]]:
        """What the replayer is to be told of it."""
        if self.folder is None:
            yield {}
            return
        # Frames of several recordings of one camera must not get in each other's way.
        own = name if camera_name(path) == name else f"{name[:40]}-{camera_name(path)}"[:64]
        spans = None if self.truth is None else self.truth.get(path.name)
        with learning(self.folder, name, camera, spans, shown_as=own) as hearing:
            yield {
                "on_score": hearing.on_score,
                "on_message": hearing.on_message,
                "max_side": LEARNED_SIDE,
            }


def _replay(
    paths: list[Path],
    inference: InferenceConfig,
    settings: CameraConfig,
    camera: str | None,
    pupil: _Pupil,
) -> Iterator[ReplayResult]:
    """Each recording's result; what cannot be read is named and left out."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    bars = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    with Replayer(inference) as replayer, bars:
        for path in paths:
            task = bars.add_task(path.name)
            try:
                bars.update(task, total=probe_recording(path).duration_s or None)
                advance = partial(_advance, bars, task)
                name = camera or camera_name(path)
                with pupil.listening(path, name, settings) as hooks:
                    result = replayer.run(path, name, settings, on_progress=advance, **hooks)
                yield result
            except InputError as error:
                sys.stderr.write(f"{error}\n")
            bars.remove_task(task)


def _advance(bars: Progress, task: TaskID, seconds: float) -> None:
    bars.update(task, completed=seconds)


def _print(
    results: list[ReplayResult], known: dict[str, list[Span]] | None, output: Format
) -> None:
    events = [{"source": each.source, **asdict(event)} for each in results for event in each.events]
    if known is None or output is Format.TABLE:
        title = f"{len(events)} events in {len(results)} recordings"
        print_rows(events, COLUMNS, output, title=title)
    if known is not None:
        judged = [
            (name, truth.judge(each, known[name]))
            for each in results
            if (name := Path(each.source).name) in known
        ]
        columns = truth.TABLE_COLUMNS if output is Format.TABLE else truth.COLUMNS
        print_rows(truth.rows(judged), columns, output, title=truth.TITLE)


def _as_json(result: ReplayResult, metrics: dict[str, float | int | None] | None) -> dict[str, Any]:
    told = {
        "source": result.source,
        "duration_s": result.duration_s,
        "frames_decoded": result.frames_decoded,
        "frames_scored": result.frames_scored,
        "events": [asdict(event) for event in result.events],
    }
    return told if metrics is None else {**told, "metrics": metrics}
