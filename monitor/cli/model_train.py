"""`model train` and `model distill`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from monitor.cli.output import Format, FormatOption, print_rows
from monitor.errors import ConfigError

if TYPE_CHECKING:
    from monitor.training.config import TrainConfig
    from monitor.training.run_state import RunResult

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="YAML of configs/training/.", show_default=False)
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option("--override", "-o", help="Set one key, e.g. -o optimizer.learning_rate=0.005."),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="Folder of the run, instead of output_dir.")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Continue the run in the output folder, if there is one.")
]
PretrainedOption = Annotated[
    Path | None,
    typer.Option("--pretrained", help="Weights to start from: .pdparams, .npz or a model folder."),
]
TrainListOption = Annotated[
    Path | None, typer.Option("--train-list", help="List to train on, instead of data.train.")
]
ValListOption = Annotated[
    Path | None, typer.Option("--val-list", help="List to judge by, instead of data.val.")
]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", help="Folder the paths of --train-list and --val-list start from."),
]

COLUMNS = ("output_dir", "best_epoch", "tpr", "fpr", "threshold", "auroc", "epochs", "seconds")


def train(
    *,
    config: ConfigOption,
    train_list: TrainListOption = None,
    val_list: ValListOption = None,
    root: RootOption = None,
    pretrained: PretrainedOption = None,
    output: OutputOption = None,
    resume: ResumeOption = False,
    override: OverrideOption = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Train a presence network on pictures listed as `path label`, PULC's way.

    The configuration decides about everything; options and `-o key=value` override it. Broken
    pictures, lists and weights are found before training starts. Each epoch is judged on the
    validation list by TPR at a bounded FPR; the best weights are `best_model.pdparams` in the
    output folder, beside curves, history and TensorBoard logs. A killed run continues with
    `--resume` and ends with the very same weights.

    Several processes or GPUs work together under Paddle's launcher: `python -m
    paddle.distributed.launch --nproc_per_node 2 run_monitor.py model train …`

    Example: `run_monitor.py model train -c configs/training/pplcnet_x1_0.yaml
    --train-list dataset/train_list.txt --val-list dataset/val_list.txt --root dataset -o epochs=30`
    """
    from monitor.training.train import run_training

    paths = {"arch.pretrained": pretrained, "output_dir": output}
    loaded = _load(config, (train_list, val_list, root), paths, override)
    _run(loaded, resume, output_format, run_training)


def distill(
    *,
    config: ConfigOption,
    train_list: TrainListOption = None,
    val_list: ValListOption = None,
    root: RootOption = None,
    pretrained: PretrainedOption = None,
    teacher: Annotated[
        Path | None, typer.Option("--teacher", help="Weights of the teacher network.")
    ] = None,
    soft_labels: Annotated[
        Path | None,
        typer.Option("--soft-labels", help="A teacher's `path p_someone` lines, instead."),
    ] = None,
    output: OutputOption = None,
    resume: ResumeOption = False,
    override: OverrideOption = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Teach a small network what a frozen, larger one sees (SKL-UGI).

    The student minimises DML, the symmetric divergence to its teacher, so pictures need no
    label and unlabelled sources are welcome. The teacher is a network of this program with
    weights (`--teacher`), or any other whose P(someone) is in a file (`--soft-labels`).

    Example: `run_monitor.py model distill -c configs/training/pplcnet_x1_0_distillation.yaml
    --teacher output/resnet101_vd/best_model.pdparams`
    """
    from monitor.training.distill import run_distillation

    paths = {
        "arch.pretrained": pretrained,
        "distill.teacher.arch.pretrained": teacher,
        "distill.teacher.soft_labels": soft_labels,
        "output_dir": output,
    }
    loaded = _load(config, (train_list, val_list, root), paths, override, unlabelled=True)
    _run(loaded, resume, output_format, run_distillation)


def _load(
    config: Path,
    lists: tuple[Path | None, Path | None, Path | None],
    paths: Mapping[str, Path | None],
    override: list[str] | None,
    *,
    unlabelled: bool = False,
) -> TrainConfig:
    """The configuration with the options' `lists` (train, val, root) and `paths` by key."""
    from monitor.training.config import TrainConfig
    from monitor.training.loading import apply_override, check_config, read_yaml, set_key

    tree = read_yaml(config)
    train_list, val_list, root = lists
    if train_list is not None:
        source = {"list": str(train_list), "root": str(root or train_list.parent)}
        set_key(tree, "data.train", [{**source, "unlabelled": unlabelled}])
    if val_list is not None:
        source = {"list": str(val_list), "root": str(root or val_list.parent)}
        set_key(tree, "data.val", source)
    if paths.get("distill.teacher.soft_labels") is not None:
        set_key(tree, "distill.teacher", {})
    for key, value in paths.items():
        if value is not None:
            set_key(tree, key, str(value))
    for text in override or ():
        apply_override(tree, text)
    if unlabelled and tree.get("distill") is None:
        raise ConfigError(
            "there is no `distill` section, so no teacher",
            where=str(config),
            remedy="start from configs/training/pplcnet_x1_0_distillation.yaml",
        )
    return check_config(TrainConfig, tree, str(config))


def _run(
    config: TrainConfig,
    resume: bool,
    output_format: Format,
    work: Callable[..., RunResult],
) -> None:
    from monitor.training.progress import Terminal

    result = work(config, resume=resume, report=Terminal())
    if result.rank > 0:
        return
    if output_format is Format.CSV:
        print_rows([result.as_row()], COLUMNS, output_format)
    elif output_format is Format.JSON:
        sys.stdout.write(json.dumps(result.as_row()) + "\n")
    else:
        print_summary(result.as_row())


def print_summary(row: dict[str, Any]) -> None:
    """A result as a table of names and values."""
    table = Table("what", "value", title="Training")
    for name, value in row.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)
