"""`model train` and `model distill` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_pictures import write_pictures
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.errors import MonitorError
from monitor.training.lists import write_list

CONFIGS = Path(__file__).parents[2] / "configs" / "training"
SMALL = {
    "epochs": 1,
    "optimizer.warmup_epoch": 0,
    "arch.name": "PPLCNet_x0_25",
    "augment.rand_crop.size": 32,
    "eval.view": "stretch",
    "eval.size": 32,
    "data.batch_size": 8,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("the pictures")
    write_pictures(folder, "train", 32, seed=1)
    write_pictures(folder, "val", 8, seed=2)
    return folder


def arguments(command: str, config: str, root: Path, output: Path, *more: str) -> list[str]:
    lists = ["--train-list", str(root / "train.txt"), "--val-list", str(root / "val.txt")]
    small = [text for key, value in SMALL.items() for text in ("-o", f"{key}={value}")]
    where = ["-c", str(CONFIGS / config), "--output", str(output)]
    return ["model", command, *where, *lists, *small, "--format", "json", *more]


def test_train_prints_json_and_resumes(root: Path, tmp_path: Path) -> None:
    typed = arguments("train", "pplcnet_x1_0.yaml", root, tmp_path)
    first = CliRunner().invoke(app, typed, catch_exceptions=False)
    assert first.exit_code == 0
    row = json.loads(first.stdout)
    assert row["steps"] == 4
    assert Path(row["weights"]).is_file()
    again = CliRunner().invoke(app, [*typed, "--resume"], catch_exceptions=False)
    assert json.loads(again.stdout)["auroc"] == row["auroc"]


def test_distill_from_soft_labels(root: Path, tmp_path: Path) -> None:
    names = [line.rpartition(" ") for line in (root / "train.txt").read_text().splitlines()]
    write_list(tmp_path / "soft.txt", [(name, 0.9 * float(text)) for name, _, text in names])
    typed = arguments(
        "distill",
        "pplcnet_x1_0_distillation.yaml",
        root,
        tmp_path / "run",
        "--soft-labels",
        str(tmp_path / "soft.txt"),
    )
    done = CliRunner().invoke(app, typed, catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["steps"] == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.learning_rate=-1", "learning_rate"),
        ("augment.rand_augment.config_str=rand-x1", "rand-x1"),
        ("eval.size=300", "cannot crop"),
        ("colour=red", "colour"),
        ("optimizer.warmup_epoch=9", "lower it, or raise epochs"),
    ],
)
def test_settings_are_checked_by_name(
    root: Path, tmp_path: Path, override: str, message: str
) -> None:
    extra = ["-o", "eval.view=pulc", "-o", override]
    typed = arguments("train", "pplcnet_x1_0.yaml", root, tmp_path, *extra)
    with pytest.raises(MonitorError, match=message) as caught:
        CliRunner().invoke(app, typed, catch_exceptions=False)
    assert caught.value.exit_code == 78
    assert not (tmp_path / "checkpoint.npz").exists()


def test_broken_yaml_says_where(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("epochs: 3\narch: [name\n")
    with pytest.raises(MonitorError, match="no valid YAML") as caught:
        CliRunner().invoke(app, ["model", "train", "-c", str(file)], catch_exceptions=False)
    assert caught.value.where.startswith(f"{file}:")
