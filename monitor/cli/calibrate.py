"""`calibrate`: settings for one camera from its own footage."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from sqlalchemy import Engine

from monitor.cli.calibrate_sources import Gatherer, Wanted, filmed, limits_of, refuse_persons
from monitor.cli.footage import (
    now_utc,
    parse_footage,
    progress_bars,
)
from monitor.cli.output import Format, FormatOption, print_rows
from monitor.cli.storage import DbOption, TimezoneOption, find_storage, find_timezone
from monitor.config import CameraConfig, MonitorConfig, PresenceConfig, load_config
from monitor.config.base import format_duration
from monitor.errors import BudgetError, UsageError
from monitor.events.database import open_database
from monitor.events.schema import require_current
from monitor.presence import zone_settings
from monitor.presence.truth import read_truth
from monitor.review import plots, report
from monitor.review.budget import TOO_LITTLE, Budget, parse_budget
from monitor.review.calibrate import ZoneCalibration, calibrate
from monitor.review.patch import Tree, apply_patch, merged_config, patch_of, to_yaml

DURATIONS = frozenset({"enter_after", "smoothing", "correlation"})

COLUMNS = (
    "zone",
    "setting",
    "false_events",
    "rate",
    "bound_95",
    "visits",
    "recall",
    "flaps",
    "told_p95_s",
    "presence",
)

app = typer.Typer()

FOOTAGE = "A recording, a folder of them, or a span of the score history; repeatable."


@app.command("calibrate")
def calibrate_command(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The site's.")],
    camera: Annotated[str, typer.Option(help="The camera to calibrate.")],
    negatives: Annotated[
        list[str] | None, typer.Option(metavar="FILE|SPAN", help=f"Nobody there. {FOOTAGE}")
    ] = None,
    positives: Annotated[
        list[str] | None, typer.Option(metavar="FILE|SPAN", help=f"Somebody there. {FOOTAGE}")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="False events of the camera that you can live with: 1/week, 2/day.")
    ] = "1/week",
    zone: Annotated[str | None, typer.Option(help="Only this zone; else all, sharing it.")] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="When somebody is there in the recordings; else in all of a positive."),
    ] = None,
    marked: Annotated[
        bool, typer.Option("--marked", help="Take events that were marked, too (`events mark`).")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust-negatives", help="I have looked: there is nobody in them.")
    ] = False,
    output_folder: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the report, plots and patch.")
    ] = Path("output/calibration"),
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the settings into --config, too.")
    ] = False,
    db: DbOption = None,
    timezone: TimezoneOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Find thresholds and times that keep false events within a budget, on a camera's own footage.

    Recordings are replayed; a span such as "2026-11-20 22:00..2026-11-21 05:00" takes the scores
    that the monitor kept. Settings are tried by running the presence machine on them. Of those
    that keep the budget the one wins that finds the most visits of the positives, soonest. Of
    recordings the presence engine of the monitor has the last word, pictures included; stored
    scores count for what the monitor took them for when they came. The report says what the hours
    prove: none in 9 h bounds the rate at 56 a week, no more. Needs `pip install
    'presence-monitor[calibration]'`.

    Where no setting keeps the budget, or the footage is less than a hundredth of what proves it,
    the exit code is 3: the report is written all the same, and the patch holds the most cautious
    setting that finds the visits (with too little footage the present one, if that told nothing),
    which --apply leaves out.

    Example: `run_monitor.py calibrate -c my.yaml --camera dock --negatives
    "yesterday 22:00..today 05:00" --positives delivery.mp4 --budget 1/week`
    """
    report.require_libraries()
    loaded = load_config(config, look=False)
    chosen = camera_of(loaded, camera)
    words = now_utc(), find_timezone(timezone)
    wanted = Wanted(
        camera,
        chosen,
        _zones(camera, chosen, zone),
        parse_footage(negatives or (), *words),
        parse_footage(positives or (), *words),
        parse_budget(budget),
        {name: clip.spans() for name, clip in read_truth(truth).items()} if truth else None,
        marked,
    )
    results = _calibrated(wanted, loaded, db, config, trust=trust)
    found = {each.zone: each.patch for each in results if each.patch}
    patch = patch_of(camera, chosen, found) if found else {}
    if patch:
        merged_config(config, patch)
    written = _write(results, patch, output_folder, camera)
    kept = all(each.keeps_budget for each in results)
    if apply and patch and kept:
        before = apply_patch(config, patch)
        written.append(f"{config} (as it was: {before})")
    _tell(results, written, output)
    for result in results:
        for line in report.warnings(result):
            sys.stderr.write(f"warning: {result.zone}: {line}\n")
    if output is Format.TABLE:
        sys.stderr.write("".join(f"wrote {path}\n" for path in written))
    if not kept:
        raise _missed(results, wanted.budget, output_folder, applying=apply)


def _missed(
    results: Sequence[ZoneCalibration], budget: Budget, folder: Path, *, applying: bool
) -> BudgetError:
    """Says of which zones the budget cannot be kept, and what is known of them."""
    parts = []
    for result in results:
        share = f", its share is {result.budget.text}" if len(results) > 1 else ""
        if result.after is None:
            parts.append(f"{result.zone} (no setting finds anybody within it)")
        elif not result.keeps_budget and result.after.proof.too_little:
            least = report.span(TOO_LITTLE * result.after.proof.hours_to_prove)
            parts.append(f"{result.zone} (too little footage: less than {least}{share})")
        elif not result.keeps_budget:
            best = report.figure(result.after.expected)
            parts.append(f"{result.zone} ({best}/{budget.unit} at best{share})")
    little = all(each.keeps_budget or each.best.proof.too_little for each in results)
    verb = "be promised" if little else "be kept"
    unapplied = "; nothing was applied" if applying else ""
    return BudgetError(
        f"the budget of {budget.text} cannot {verb} in {', '.join(parts)}{unapplied}",
        where=str(folder / "report.json"),
        remedy="give more empty hours, look for persons in them, train on them, or allow more",
    )


def camera_of(config: MonitorConfig, name: str) -> CameraConfig:
    """The camera of this name. Raises UsageError naming those there are."""
    if name not in config.cameras:
        raise UsageError(
            f"there is no camera {name!r}", remedy=f"there are: {', '.join(config.cameras)}"
        )
    return config.cameras[name]


def _zones(name: str, camera: CameraConfig, zone: str | None) -> dict[str, PresenceConfig]:
    zones = zone_settings(camera)
    if zone is None:
        return zones
    if zone not in zones:
        raise UsageError(
            f"camera {name!r} has no zone {zone!r}", remedy=f"there are: {', '.join(zones)}"
        )
    return {zone: zones[zone]}


def _calibrated(
    wanted: Wanted, config: MonitorConfig, db: str | None, file: Path, *, trust: bool
) -> list[ZoneCalibration]:
    wanted.check()
    gatherers = {zone: Gatherer(wanted, zone, now_utc()) for zone in wanted.zones}
    with ExitStack() as stack:
        engine = _database(stack, db, file) if wanted.asks_database else None
        stored = {
            zone: gatherer.stored(engine) if engine is not None else ([], [])
            for zone, gatherer in gatherers.items()
        }
        if not trust:
            refuse_persons(stored, wanted)  # before recordings are replayed, which takes time
        bars = stack.enter_context(progress_bars())
        films = [
            filmed(videos, config.inference, wanted, bars, stack)
            for videos in (wanted.negatives.videos, wanted.positives.videos)
        ]
        recorded = {zone: gatherer.recorded(*films) for zone, gatherer in gatherers.items()}
        if not trust:
            refuse_persons(recorded, wanted)
        share = wanted.budget.split(len(wanted.zones))
        return [
            calibrate(
                zone,
                wanted.zones[zone],
                recorded[zone][0] + stored[zone][0],
                recorded[zone][1] + stored[zone][1],
                share,
                limits=limits_of(wanted, wanted.zones[zone]),
                tell=_Bar(bars, f"trying settings, {zone}"),
            )
            for zone in wanted.zones
        ]


def _database(stack: ExitStack, db: str | None, file: Path) -> Engine:
    engine = open_database(find_storage(db, file).url)
    stack.callback(engine.dispose)
    require_current(engine)
    return engine


class _Bar:
    """A progress bar that hears `calibrate`."""

    def __init__(self, bars: Progress, title: str) -> None:
        self._bars = bars
        self._task = bars.add_task(title, total=None)

    def __call__(self, count: int) -> None:
        if count:
            self._bars.reset(self._task, total=count)
        else:
            self._bars.advance(self._task)


def _write(results: Sequence[ZoneCalibration], patch: Tree, folder: Path, camera: str) -> list[str]:
    """The report folder; returns what was written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [path for result in results for path in plots.draw(result, folder)]
        written.append(folder / "report.json")
        trees = {"camera": camera, "zones": [report.as_tree(result) for result in results]}
        written[-1].write_text(json.dumps(trees, indent=2) + "\n", encoding="utf-8")
        if patch:
            said = "\n".join(f"{r.zone}: {line}" for r in results for line in report.sentences(r))
            written.append(folder / "patch.yaml")
            written[-1].write_text(to_yaml(patch, said), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the report cannot be written: {error.strerror}",
            where=str(folder),
            remedy="name a folder you may write to by --output",
        ) from error
    return [str(path) for path in written]


def _tell(results: Sequence[ZoneCalibration], written: list[str], output: Format) -> None:
    if output is Format.JSON:
        for result in results:
            tree = report.as_tree(result) | {"written": written}
            sys.stdout.write(json.dumps(tree) + "\n")
        return
    rows: list[dict[str, Any]] = []
    for result in results:
        tree = report.as_tree(result)
        rows += [
            {"zone": result.zone, "setting": setting, **_row(tree[setting])}
            for setting in ("before", "after")
            if tree[setting] is not None
        ]
    unit = report.each(results[0].budget)
    title = (
        f"false events: in the footage, their rate and its 95 % bound ({unit});"
        " told: seconds from the visit to the news"
    )
    print_rows(rows, COLUMNS, output, title=title)
    for result in results:
        for line in report.sentences(result):
            sys.stderr.write(f"{result.zone}: {line}\n")


def _row(outcome: dict[str, Any]) -> dict[str, Any]:
    keys = outcome["presence"]
    nested = {**keys, **keys.get("evidence", {})}
    nested.pop("evidence", None)
    nested.pop("calibration", None)
    return {
        "false_events": outcome["false_events"],
        "rate": outcome["false_rate"],
        "bound_95": outcome["false_rate_bound_95"],
        "visits": outcome["visits"],
        "recall": outcome["recall"],
        "flaps": outcome["flaps_per_event"],
        "told_p95_s": outcome["told_p95_s"],
        "presence": ", ".join(f"{key} {_value(key, value)}" for key, value in nested.items()),
    }


def _value(key: str, value: Any) -> str:
    return format_duration(value) if key in DURATIONS else str(value)
