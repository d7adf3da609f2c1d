"""`model search`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from monitor.cli.output import Format, FormatOption, print_rows

COLUMNS = ("step", "value", "tpr", "auroc", "best", "note")


def search(
    *,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="YAML such as configs/training/search.yaml.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder of the search, instead of output_dir.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the search in the output folder.")
    ] = False,
    override: Annotated[
        list[str] | None, typer.Option("--override", "-o", help="Set one key of the search.")
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Find hyper-parameters greedily, PULC's way: one after the other, the best is kept.

    Learning rate, resolution, RandAugment, erasing, stage rates, then the teacher, then the
    distillation with all that was found. It takes as long as all its trainings together, so it
    is made to be interrupted: every training resumes from its checkpoint, finished ones are in
    the journal, and `--resume` goes on. A table and a plot show what each value brought.

    Example: `run_monitor.py model search -c configs/training/search.yaml`
    """
    from monitor.training.loading import load_config
    from monitor.training.progress import Terminal
    from monitor.training.search import run_search
    from monitor.training.search_config import SearchConfig

    settings = [*(override or ()), *([f"output_dir={output}"] if output is not None else [])]
    result = run_search(
        load_config(SearchConfig, config, settings), resume=resume, report=Terminal()
    )
    trials = [asdict(trial) for trial in result.trials]
    if output_format is Format.JSON:
        summary = {
            "trials": trials,
            "settings": dict(result.settings),
            "weights": str(result.weights),
        }
        sys.stdout.write(json.dumps(summary) + "\n")
        return
    print_rows(trials, COLUMNS, output_format, title="Search")
    if output_format is Format.TABLE:
        Console().print(f"best weights: {result.weights}")
