"""`model export`, `model convert`, `model fetch` and `model verify`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.inference.model import DEFAULT_MODEL, DEFAULT_THRESHOLD
from monitor.training.official import OFFICIAL_URL
from monitor.training.scoring import DEFAULT_ARCH

FolderOption = Annotated[Path, typer.Option("--model", help="The model folder.")]


def export(
    *,
    weights: Annotated[Path, typer.Option("--weights", help="Training weights (.pdparams).")],
    output: Annotated[Path, typer.Option("--output", help="The model folder to make or renew.")],
    arch: Annotated[str, typer.Option("--arch", help="The network.")] = DEFAULT_ARCH,
    version: Annotated[str, typer.Option("--version", help="Of the model, for its card.")] = "1",
    threshold: Annotated[
        float,
        typer.Option("--threshold", min=0.0, max=1.0, help="Default: below it is nobody."),
    ] = DEFAULT_THRESHOLD,
    metrics: Annotated[
        list[Path] | None,
        typer.Option("--metrics", help="JSON of `model evaluate`; its thresholds go in the card."),
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option("--about", help="JSON: description, data, limits, licence, intended_use."),
    ] = None,
    golden: Annotated[
        list[Path] | None,
        typer.Option("--golden", help="Pictures or folders of them for the self-test."),
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Make the folder that cameras run from training weights.

    It holds the program with the softmax inside (`inference.json`), the weights
    (`inference.pdiparams`), the model card (`model.json`) and golden pictures with their scores,
    which the daemon checks at every start. The program must score like the network within 1e-4,
    or nothing is written. In an existing folder the golden pictures that are there are scored
    anew and files that are not the model's stay; an `inference.onnx` of former weights goes.

    Example: `run_monitor.py model export --weights output/run/best_model.pdparams
    --output models/mine --golden golden/ --metrics output/evaluation/report.json`
    """
    from monitor.training.card import describe, read_about, read_evaluation
    from monitor.training.export import ExportJob, export_model

    card = describe(
        name=output.absolute().name,
        version=version,
        arch=arch,
        threshold=threshold,
        evaluations=[read_evaluation(file) for file in metrics or ()],
        about=read_about(about) if about is not None else None,
    )
    job = ExportJob(weights, output, card, arch, tuple(golden or ()))
    with _waiting("exporting"):
        exported = export_model(job)
    row = {
        "model": str(exported.folder),
        "max_difference": exported.max_difference,
        "golden": exported.golden,
    }
    print_rows([row], tuple(row), output_format)
    if not exported.golden:
        _say("no golden pictures: the daemon's self-test has only a made-up one; see --golden")


def convert(
    *,
    model: FolderOption = DEFAULT_MODEL,
    opset: Annotated[int, typer.Option("--opset", min=11, max=19, help="ONNX operators.")] = 14,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Add `inference.onnx` to a model folder, proven to score the same.

    Every probability on made-up and golden pictures must be within 1e-5 of Paddle's, or no file
    is written. Use it with `predict --backend onnxruntime`. Needs `presence-monitor[onnx]`.

    Example: `run_monitor.py model convert --model models/mine`
    """
    from monitor.training.convert import convert_model

    with _waiting("converting"):
        converted = convert_model(model, opset=opset)
    row = {
        "file": str(converted.file),
        "max_difference": converted.max_difference,
        "patches": converted.patches,
    }
    print_rows([row], tuple(row), output_format)


def fetch(
    *,
    url: Annotated[str, typer.Option("--url", help="A tar of an inference model.")] = OFFICIAL_URL,
    output: Annotated[Path, typer.Option("--output", help="The model folder to make.")] = Path(
        "models/person_exists_official"
    ),
    sha256: Annotated[
        str | None, typer.Option("--sha256", help="What the archive must be, in hex.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the output folder if there is one.")
    ] = False,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Download PaddleClas's own person_exists weights, or another model of that kind.

    A download that breaks off goes on where it stopped, also in a later run. Nothing but a
    model's own files is unpacked, an archive with links or paths that lead elsewhere is refused,
    and the folder appears only after the model has been loaded. PaddleClas publishes no
    checksum: check the result with `model verify --golden-dir`.

    Example: `run_monitor.py model fetch --output models/official`
    """
    from monitor.training.download import shown
    from monitor.training.fetch import fetch_model

    with _downloading() as progress:
        folder = fetch_model(
            url, output, sha256=sha256, force=force, check=_loads, progress=progress
        )
    row = {"model": str(folder), "source": shown(url)}
    print_rows([row], tuple(row), output_format)


def verify(
    *,
    model: FolderOption = DEFAULT_MODEL,
    golden_dir: Annotated[
        Path | None,
        typer.Option("--golden-dir", help="PaddleClas's demo pictures: only for its weights."),
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Check that a model folder is what it claims to be; exits 65 if it is not.

    Files against the SHA-256 in the card, golden pictures against their recorded scores, the
    fast kernels against the plain ones. With `--golden-dir` also the scores PaddleClas
    publishes for its official weights: 0.99554 nobody for objects365_01780782.jpg, 0.9999976
    someone for objects365_02035329.jpg, within 1e-3.

    Example: `run_monitor.py model verify --model models/official
    --golden-dir PaddleClas/deploy/images/PULC/person_exists`
    """
    from monitor.training.verify import require_passed, verify_model

    with _waiting("verifying"):
        checks = verify_model(model, golden_dir)
    rows = [
        {
            "what": check.what,
            "subject": check.subject,
            "expected": check.expected,
            "found": check.found,
            "passed": check.passed,
        }
        for check in checks
    ]
    shown = rows if output_format is not Format.TABLE else [_shortened(row) for row in rows]
    print_rows(shown, ("what", "subject", "expected", "found", "passed"), output_format)
    require_passed(checks, str(model))


def _loads(folder: Path) -> None:
    """The model can be loaded and gives probabilities; ModelError if not."""
    from monitor.inference.model import ModelInfo
    from monitor.inference.predictor import PaddlePredictor

    PaddlePredictor(ModelInfo.load(folder))


def _shortened(row: dict[str, object]) -> dict[str, object]:
    """Digests cut to what a table has room for."""
    return {
        key: f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else value
        for key, value in row.items()
    }


@contextmanager
def _waiting(title: str) -> Iterator[None]:
    """A line that shows life on a terminal's stderr."""
    with Console(stderr=True).status(title):
        yield


@contextmanager
def _downloading() -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar in bytes on stderr."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("downloading", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
