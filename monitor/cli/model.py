"""`model …`: the whole life of a model, from pictures to a folder that cameras run."""

from __future__ import annotations

import os
import warnings

import typer

from monitor.cli.model_measure import evaluate, infer
from monitor.cli.model_search import search
from monitor.cli.model_ship import convert, export, fetch, verify
from monitor.cli.model_train import distill, train

app = typer.Typer(no_args_is_help=True)

for command in (train, distill, search, evaluate, infer, export, convert, fetch, verify):
    app.command()(command)


@app.callback()
def model() -> None:
    """Train, measure and ship the network that sees whether somebody is there.

    The way of a model: `dataset build` makes lists of pictures, `model train` (and `model
    distill`) makes weights, `model evaluate` says how good they are and at which threshold,
    `model export` makes the folder that `run`, `predict` and `replay` use, `model convert` adds
    ONNX. `model fetch` gets PaddleClas's own weights instead, `model verify` checks any folder.

    Example: `run_monitor.py model evaluate --model models/person_exists --list val/labels.csv`
    """
    # Paddle logs its executors on stderr and warns that it found no compiler cache.
    os.environ.setdefault("GLOG_minloglevel", "2")
    warnings.filterwarnings("ignore", message="No ccache found")
