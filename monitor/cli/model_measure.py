"""`model evaluate` and `model infer`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from monitor.cli.output import WIDE, Format, FormatOption, print_rows
from monitor.config.camera import ViewKind
from monitor.errors import InputError
from monitor.inference.backend import Backend
from monitor.inference.model import DEFAULT_LABELS
from monitor.training.scoring import DEFAULT_ARCH

if TYPE_CHECKING:
    from monitor.training.evaluate import Report

ViewOption = Annotated[
    ViewKind, typer.Option("--view", help="How a picture is cut for the network.")
]
ArchOption = Annotated[
    str, typer.Option("--arch", help="The network, where --model or --weights is a .pdparams.")
]
BackendOption = Annotated[Backend, typer.Option("--backend", help="What runs an exported model.")]
BatchOption = Annotated[int, typer.Option("--batch-size", min=1, max=1024, help="Patches.")]

EVALUATION_COLUMNS = ("threshold", "fpr", "tpr", "auroc", "n_pos", "n_neg", "ap", "ece", "view")
PREDICTION_COLUMNS = ("filename", "class_ids", "scores", "label_names")


def evaluate(
    *,
    model: Annotated[
        Path, typer.Option("--model", help="A model folder, or training weights (.pdparams).")
    ],
    list_file: Annotated[
        Path, typer.Option("--list", help="`path label` lines, or a CSV with path and label.")
    ],
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder the paths start from [the list's own].")
    ] = None,
    sources: Annotated[
        Path | None,
        typer.Option("--sources", help="CSV with path, source, max_person_box_fraction."),
    ] = None,
    view: ViewOption = ViewKind.PULC,
    max_fpr: Annotated[
        float, typer.Option("--max-fpr", min=0.0, max=1.0, help="False alarm rate to stay within.")
    ] = 0.001,
    backend: BackendOption = Backend.PADDLE,
    arch: ArchOption = DEFAULT_ARCH,
    batch_size: BatchOption = 32,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder for report, scores, plots, mistakes.")
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Measure a model on labelled pictures: how many persons at how few false alarms.

    TPR is the share of pictures with someone that score above the threshold, FPR the share
    without that do. The threshold is the smallest of 0.0000 … 0.9999 whose FPR is within
    `--max-fpr`, as PaddleClas's TprAtFpr finds it. With fewer than 1/FPR empty pictures that
    means no false alarm at all, and the interval (95 %, bootstrap) is wide: believe the interval,
    except where nothing was wrong: then it has no width, and a rate may still be off by 3/n.
    With `--output`, `mistakes.png` shows what the model gets wrong; look at it first.

    Exits 1 when pictures could not be read: they are named and not counted.

    Example: `run_monitor.py model evaluate --model models/person_exists --list val/labels.csv
    --view tiles --max-fpr 0.01 --output output/evaluation`
    """
    from monitor.training.evaluate import evaluate as measure
    from monitor.training.evaluate import write_evaluation
    from monitor.training.labelled import read_labelled
    from monitor.training.plots import require_matplotlib
    from monitor.training.progress import Terminal
    from monitor.training.scoring import open_scorer, weights_digest

    if output is not None:
        require_matplotlib()
    items = read_labelled(list_file, root, sources)
    scorer = open_scorer(model, arch=arch, backend=backend)
    with Terminal().bar(f"scoring, view {view}", len(items)) as advance:
        evaluation = measure(
            scorer,
            items,
            view=view,
            max_fpr=max_fpr,
            batch_size=batch_size,
            where=str(list_file),
            progress=advance,
        )
    evaluation.report["list"] = "/".join(list_file.absolute().parts[-2:])
    evaluation.report["backend"] = backend.value
    evaluation.report["weights_sha256"] = weights_digest(model)
    if output is not None:
        for path in write_evaluation(evaluation, output).values():
            _say(f"wrote {path}")
    _print_evaluation(evaluation.report, output_format)
    _name_unreadable(
        [(entry["path"], entry["problem"]) for entry in evaluation.report["unreadable"]]
    )


def infer(
    *,
    paths: Annotated[list[Path], typer.Argument(help="Pictures and folders of pictures.")],
    weights: Annotated[Path, typer.Option("--weights", help="Training weights (.pdparams).")],
    arch: ArchOption = DEFAULT_ARCH,
    view: ViewOption = ViewKind.PULC,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, max=1.0, help="Below it is nobody.")
    ] = 0.5,
    batch_size: BatchOption = 32,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Say nobody or someone straight from training weights, to try a run before exporting it.

    The result is PaddleClas's: class id, the score of that class, its label, the file. Exported
    models are for `run_monitor.py predict`, which is faster.

    Exits 1 when pictures could not be read: they are named and skipped.

    Example: `run_monitor.py model infer pictures/ --weights output/run/best_model.pdparams`
    """
    from monitor.inference.classifier import find_pictures, verdict
    from monitor.training.progress import Terminal
    from monitor.training.scoring import open_scorer, score_files

    files = [file for path in paths for file in find_pictures(path)]
    if weights.suffix != ".pdparams":
        raise InputError(
            "are no training weights",
            where=str(weights),
            remedy="give a .pdparams file; for a model folder use `run_monitor.py predict`",
        )
    scorer = open_scorer(weights, arch=arch)
    with Terminal().bar("scoring", len(files)) as advance:
        scored = score_files(scorer, files, view, batch_size=batch_size, progress=advance)
    rows = [
        verdict(str(file), float(score), threshold, DEFAULT_LABELS)
        for index, (file, score) in enumerate(zip(files, scored.scores, strict=True))
        if index not in scored.unreadable
    ]
    print_rows(rows, PREDICTION_COLUMNS, output_format)
    _name_unreadable([(str(files[index]), why) for index, why in scored.unreadable.items()])


def _print_evaluation(report: Report, output_format: Format) -> None:
    if output_format is Format.JSON:
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    elif output_format is Format.CSV:
        print_rows([report], EVALUATION_COLUMNS, output_format)
    else:
        _print_tables(report)


def _print_tables(report: Report) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    ends = report["ci95"]
    table = Table("measure", "value", "95 % interval", title=f"{report['list']}, {report['view']}")
    table.add_row("pictures", f"{report['n_pos']} someone, {report['n_neg']} nobody", "")
    for name, title in (("auroc", "AUROC"), ("ap", "average precision")):
        table.add_row(title, f"{report[name]:.4f}", _interval(ends[name]))
    for point in report["operating_points"]:
        title = f"TPR at FPR <= {point['max_fpr']:g}, threshold {point['threshold']:.4f}"
        table.add_row(title, f"{point['tpr']:.4f}", _interval(point["tpr_ci95"]))
    half = report["at_0.5"]
    table.add_row("TPR, FPR at threshold 0.5", f"{half['tpr']:.4f}, {half['fpr']:.4f}", "")
    table.add_row("calibration error", f"{report['ece']:.4f}", "")
    table.add_row("network, ms a picture", f"{report['ms_per_picture']:.2f}", "")
    console.print(table)
    _print_groups(console, report["by_size"], "Size of the largest person")
    _print_groups(console, report["by_source"], f"Source, at {report['threshold']:.4f}")


def _print_groups(console: Console, rows: Sequence[Report], title: str) -> None:
    if not rows:
        return
    table = Table(*(name.replace("tpr_at_fpr_", "TPR@") for name in rows[0]), title=title)
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _interval(ends: Sequence[float]) -> str:
    return f"{ends[0]:.4f} – {ends[1]:.4f}"


def _name_unreadable(problems: Sequence[tuple[str, str]]) -> None:
    for path, problem in problems:
        _say(f"{path}: {problem}")
    if problems:
        _say(f"{len(problems)} pictures could not be read and were not counted")
        raise typer.Exit(1)


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
