"""Two processes under Paddle's launcher train one network together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_pictures import write_pictures

from monitor.errors import ServiceError
from monitor.training.team import Team, join_team

SCRIPT = """
import hashlib, json, sys
from pathlib import Path

sys.path[:0] = [{tests!r}, {project!r}]
import paddle
from tiny_pictures import tiny_config
from monitor.training.config import LossConfig
from monitor.training.objectives import LabelObjective
from monitor.training.train import run_training

root, seen = Path({root!r}), []

def build(config, mixture, network):
    seen.append(network)
    return LabelObjective(LossConfig())

augment = {{"rand_crop": {{"size": 32}}}}
evaluation = {{"view": "stretch", "size": 32}}
config = tiny_config(root, root / "run", epochs=1, augment=augment, eval=evaluation)
result = run_training(config, build_objective=build)
digest = hashlib.sha256()
for parameter in seen[0].parameters():
    if parameter.trainable:
        digest.update(parameter.numpy().tobytes())
(root / f"rank{{result.rank}}.json").write_text(
    json.dumps({{"digest": digest.hexdigest(), "steps": result.steps}})
)
"""


def test_two_processes_keep_the_same_weights(tmp_path: Path) -> None:
    write_pictures(tmp_path, "train", 60, seed=1)
    write_pictures(tmp_path, "val", 8, seed=2)
    script = tmp_path / "work.py"
    here = Path(__file__).parent
    script.write_text(
        SCRIPT.format(tests=str(here), project=str(here.parents[1]), root=str(tmp_path))
    )
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *launch, "--log_dir", str(tmp_path / "log"), str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (json.loads((tmp_path / f"rank{n}.json").read_text()) for n in (0, 1))
    assert first == second
    # 60 pictures, 30 for each process, 16 in a batch.
    assert first["steps"] == 2
    assert (tmp_path / "run" / "best_model.pdparams").is_file()


def test_one_process_is_a_team_of_its_own() -> None:
    team = join_team("cpu")
    assert team == Team(0, 1)
    assert team.leads
    team.average_gradients([])
    team.wait()


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ServiceError, match="without GPUs"):
        join_team("gpu")
