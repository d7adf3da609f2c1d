"""`predict`: pictures to verdicts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.config.camera import ViewKind
from monitor.errors import InputError
from monitor.inference.backend import Backend
from monitor.inference.model import DEFAULT_MODEL

if TYPE_CHECKING:
    from monitor.inference.classifier import PresenceClassifier, Verdict

MANY = 200
"""Pictures from which on starting a process for each processor pays."""

COLUMNS = ("filename", "label_names", "class_ids", "scores")

_STDERR = Console(stderr=True, highlight=False)

app = typer.Typer()


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    model: Annotated[
        Path, typer.Option(help="Model folder; if not found here, looked up in the project.")
    ] = DEFAULT_MODEL,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Score from which it is someone; else the model's."),
    ] = None,
    view: Annotated[
        ViewKind, typer.Option(help="How a picture is cut; pulc as PaddleClas does.")
    ] = ViewKind.PULC,
    batch_size: Annotated[int, typer.Option(min=1, max=1024, help="Pictures a batch.")] = 8,
    backend: Annotated[
        Backend, typer.Option(help="Library that runs the network.")
    ] = Backend.PADDLE,
    processes: Annotated[
        int | None,
        typer.Option(min=0, max=256, help="Processes that score; else all processors for many."),
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Say of pictures whether somebody is on them.

    Folders are searched with all folders below, in alphabetical order, for JPEG, PNG, BMP, WebP,
    TIFF and GIF files (of an animation, the first picture counts); HEIC and AVIF files are named if
    they cannot be decoded here. EXIF orientation is applied. Each result is PaddleClas's:
    `class_ids`, `scores` (of the class named), `label_names`, `filename`. What cannot be read is
    named on stderr and left out; then the exit code is 1.

    Example: `run_monitor.py predict photos/ door.jpg --view tiles --format json`
    """
    from monitor.inference.classifier import PresenceClassifier, processors
    from monitor.inference.runtime import keep_memory

    files, unreadable = _found(paths)
    if not files:
        raise unreadable[0]
    for error in unreadable:
        _name(error)
    keep_memory()
    if processes is None:
        processes = processors() if len(files) >= MANY else 0
    with PresenceClassifier(
        model,
        threshold=threshold,
        batch_size=batch_size,
        view=view,
        backend=backend,
        processes=processes,
    ) as classifier:
        print_rows(_judged(classifier, files, unreadable), COLUMNS, output)
    if unreadable:
        raise typer.Exit(1)


def _found(paths: list[Path]) -> tuple[list[Path], list[InputError]]:
    """The pictures under `paths`, and what is wrong with paths that lead to none."""
    from monitor.inference.classifier import find_pictures

    files: list[Path] = []
    errors: list[InputError] = []
    for path in paths:
        try:
            files += find_pictures(path)
        except InputError as error:
            errors.append(error)
    return files, errors


def _judged(
    classifier: PresenceClassifier, files: list[Path], unreadable: list[InputError]
) -> Iterator[Verdict]:
    """Verdicts of all `files`, with a progress bar on stderr where somebody watches."""
    quiet = len(files) < 2 or not sys.stderr.isatty()
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_STDERR, transient=True, disable=quiet) as progress:
        task = progress.add_task("", total=len(files))

        def leave_out(error: InputError) -> None:
            unreadable.append(error)
            progress.advance(task)
            _name(error)

        for batch in classifier.predict(files, on_unreadable=leave_out):
            progress.advance(task, len(batch))
            yield from batch


def _name(error: InputError) -> None:
    _STDERR.print(f"left out: {error.where}: {error.what}", markup=False, soft_wrap=True)
