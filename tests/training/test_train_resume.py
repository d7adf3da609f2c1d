"""A run killed in the middle of an epoch and resumed ends with the very same weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from tiny_pictures import tiny_config, write_pictures

from monitor.training.checkpoint import load_checkpoint
from monitor.training.pretrained import read_arrays
from monitor.training.train import run_training

EVERYTHING_RANDOM = {
    "epochs": 2,
    "ema": {"decay": 0.9},
    "checkpoint_steps": 3,
    "print_batch_step": 1,
    "augment": {
        "rand_crop": {"size": 32, "scale": [0.5, 1.0]},
        "shrink": {"prob": 0.3},
        "rand_augment": {"prob": 0.5},
        "cctv": {"prob": 0.5},
        "random_erasing": {"epsilon": 0.5},
    },
    "eval": {"view": "stretch", "size": 32},
}

KILLED_RUN = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, {tests!r})
from test_train_resume import config_of
from monitor.training.train import run_training

class Assassin:
    steps = 0

    def say(self, text):
        pass

    @contextmanager
    def bar(self, title, total):
        def advance(done):
            if title.startswith("epoch"):
                self.steps += done
                if self.steps == 10:
                    os.kill(os.getpid(), signal.SIGKILL)
        yield advance

run_training(config_of(Path({root!r}), Path({output!r})), report=Assassin())
"""


def config_of(root: Path, output: Path):  # type: ignore[no-untyped-def]
    return tiny_config(root, output, **EVERYTHING_RANDOM)


def test_kill_and_resume_equals_an_uninterrupted_run(tmp_path: Path) -> None:
    write_pictures(tmp_path, "train", 96, seed=1)
    write_pictures(tmp_path, "val", 8, seed=2)
    whole = run_training(config_of(tmp_path, tmp_path / "whole"))

    killed = tmp_path / "killed"
    script = KILLED_RUN.format(
        tests=str(Path(__file__).parent), root=str(tmp_path), output=str(killed)
    )
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=False)
    assert ended.returncode == -9
    assert load_checkpoint(killed / "checkpoint.npz").progress["state"]["step"] == 9

    resumed = run_training(config_of(tmp_path, killed), resume=True)
    assert resumed.steps == whole.steps == 12
    assert resumed.best == whole.best
    for name in ("best_model.pdparams", "checkpoint.npz"):
        expected, found = _arrays(tmp_path / "whole" / name), _arrays(killed / name)
        assert expected.keys() == found.keys()
        for key, array in expected.items():
            np.testing.assert_array_equal(found[key], array, err_msg=key)
    assert (killed / "history.csv").read_text().count("\n") == 3


def _arrays(file: Path) -> dict[str, np.ndarray]:
    if file.suffix == ".npz":
        parts = load_checkpoint(file).parts
        return {f"{part}/{name}": value for part in parts for name, value in parts[part].items()}
    return dict(read_arrays(file))
