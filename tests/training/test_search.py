"""The greedy search: its walk, its journal, and its report. Trainings are real but minute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tiny_pictures import tiny_config, write_pictures

from monitor.errors import ConfigError, InputError, ModelError, UsageError
from monitor.training import search
from monitor.training.build_config import BuildConfig
from monitor.training.config import TrainConfig
from monitor.training.judge import Verdict
from monitor.training.loading import apply_override, check_config, load_config
from monitor.training.run_state import RunResult
from monitor.training.search import run_search
from monitor.training.search_config import SearchConfig

Calls = list[dict[str, Any]]


def verdict(tpr: float, auroc: float = 0.9) -> Verdict:
    return Verdict(tpr, 0.0, 0.5, auroc, 0.9, 0.1)


class Trainer:
    """Stands in for trainings: scores a configuration by a made-up taste."""

    def __init__(self) -> None:
        self.calls: Calls = []
        self.stop_after: int | None = None

    def __call__(self, config: TrainConfig, *, resume: bool, report: object) -> RunResult:
        assert resume
        if self.stop_after == len(self.calls):
            raise KeyboardInterrupt
        rate, size = config.optimizer.learning_rate, config.augment.rand_crop.size
        self.calls.append(
            {
                "rate": rate,
                "size": size,
                "seed": config.seed,
                "arch": config.arch.name,
                "checked": config.data.check_pictures,
                "distill": config.distill,
                "lr_mult": config.arch.lr_mult_list,
            }
        )
        config.output_dir.mkdir(parents=True, exist_ok=True)
        (config.output_dir / "config.json").write_text("{}")
        if rate > 1.0:
            raise ModelError("the loss became nan")
        tpr = 0.5 - abs(rate - 0.02) - abs(size - 48) / 1000 + 0.001 * config.seed
        auroc = 0.8 if "35" in config.arch.name else 0.7
        weights = config.output_dir / "best_model.pdparams"
        return RunResult(config.output_dir, weights, 1, verdict(tpr, auroc), 1, 1, 1.0)


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    stand_in = Trainer()
    monkeypatch.setattr(search, "run_training", stand_in)
    monkeypatch.setattr(search, "run_distillation", stand_in)
    return stand_in


def write_base(tmp_path: Path, name: str = "base.yaml", **changes: Any) -> Path:
    config = tiny_config(tmp_path, tmp_path / "run", epochs=1, **changes)
    for word, seed in (("train", 1), ("val", 2)):
        if not config.data.val.list.with_name(f"{word}.txt").exists():
            write_pictures(tmp_path, word, 4, seed=seed)
    file = tmp_path / name
    with file.open("w") as stream:
        YAML(typ="safe").dump(json.loads(config.model_dump_json()), stream)
    return file


def search_config(tmp_path: Path, **changes: Any) -> SearchConfig:
    tree: dict[str, Any] = {
        "base_config_file": write_base(tmp_path),
        "output_dir": tmp_path / "search",
        "search_dict": [
            {
                "search_key": "lrs",
                "replace_config": ["optimizer.learning_rate"],
                "search_values": [0.01, 0.02, 0.03],
            },
            {
                "search_key": "resolutions",
                "replace_config": ["augment.rand_crop.size", "eval.size"],
                "search_values": [32, 48, 64],
            },
        ],
    }
    return SearchConfig.model_validate({**tree, **changes})


def test_each_step_keeps_the_best(tmp_path: Path, trainer: Trainer) -> None:
    result = run_search(search_config(tmp_path))
    assert result.settings == {
        "optimizer.learning_rate": 0.02,
        "augment.rand_crop.size": 48,
        "eval.size": 48,
    }
    assert [(call["rate"], call["size"]) for call in trainer.calls] == [
        (0.01, 64),
        (0.02, 64),
        (0.03, 64),
        (0.02, 32),
        (0.02, 48),
        # 0.02 at 64 is known from the first step.
    ]
    assert [trial.value for trial in result.trials if trial.best] == [0.02, 48]
    assert [call["checked"] for call in trainer.calls] == [True, False, False, False, False]
    folder = tmp_path / "search"
    assert (folder / "search.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "search.csv").read_text().count("\n") == 7
    assert result.weights.parent.parent == folder


def test_ties_go_to_the_higher_auroc_then_the_first(tmp_path: Path, trainer: Trainer) -> None:
    names = ["PPLCNet_x0_25", "PPLCNet_x0_35", "PPLCNet_x0_5"]
    step = {"search_key": "arch", "replace_config": ["arch.name"], "search_values": names}
    result = run_search(search_config(tmp_path, search_dict=[step]))
    assert result.settings == {"arch.name": "PPLCNet_x0_35"}
    assert trainer.calls


def test_repeats_count_seeds_up_and_are_averaged(tmp_path: Path, trainer: Trainer) -> None:
    result = run_search(search_config(tmp_path, search_times=3))
    assert [call["seed"] for call in trainer.calls[:6]] == [0, 1, 2, 0, 1, 2]
    assert result.trials[1].tpr == pytest.approx(0.5 - 0.016 + 0.001)
    assert len(result.trials[1].runs) == 3


def test_a_stopped_search_goes_on_where_it_was(tmp_path: Path, trainer: Trainer) -> None:
    config = search_config(tmp_path)
    trainer.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        run_search(config)
    with pytest.raises(UsageError, match="already holds a search"):
        run_search(config)
    trainer.stop_after = None
    result = run_search(config, resume=True)
    assert len(trainer.calls) == 5
    assert [trial.value for trial in result.trials if trial.best] == [0.02, 48]
    assert run_search(config, resume=True) == result
    assert len(trainer.calls) == 5


def test_another_search_does_not_resume(tmp_path: Path, trainer: Trainer) -> None:
    run_search(search_config(tmp_path))
    with pytest.raises(UsageError, match="begun with other settings"):
        run_search(search_config(tmp_path, search_times=2), resume=True)


def test_a_diverged_training_counts_as_zero(tmp_path: Path, trainer: Trainer) -> None:
    step = {"search_key": "lrs", "replace_config": ["optimizer.learning_rate"]}
    result = run_search(
        search_config(tmp_path, search_dict=[{**step, "search_values": [1e9, 0.01]}])
    )
    assert (result.trials[0].tpr, result.trials[0].note) == (0.0, "the loss became nan")
    assert result.settings == {"optimizer.learning_rate": 0.01}
    with pytest.raises(ModelError, match="no training of the step lrs"):
        run_search(
            search_config(
                tmp_path, output_dir=tmp_path / "2", search_dict=[{**step, "search_values": [1e9]}]
            )
        )
    assert len(trainer.calls) == 3


def test_values_that_make_no_configuration_are_refused_at_once(
    tmp_path: Path, trainer: Trainer
) -> None:
    step = {"search_key": "lrs", "replace_config": ["optimizer.learning_rate"]}
    with pytest.raises(ConfigError, match="learning_rate"):
        run_search(search_config(tmp_path, search_dict=[{**step, "search_values": [0.01, -1]}]))
    assert not trainer.calls


def test_what_would_fail_in_the_last_step_is_refused_at_once(
    tmp_path: Path, trainer: Trainer
) -> None:
    with pytest.raises(ConfigError, match="ResNet18_vd"):
        run_search(search_config(tmp_path, teacher={"search_values": ["ResNet18_vd"]}))
    weights = {"PPLCNet_x0_5": tmp_path / "gone.pdparams"}
    teacher = {"search_values": ["PPLCNet_x0_5"], "pretrained": weights}
    with pytest.raises(ModelError, match="weights"):
        run_search(search_config(tmp_path, teacher=teacher))
    (tmp_path / "t.pdparams").touch()
    distill = {"teacher": {"arch": {"name": "PPLCNet_x0_5", "pretrained": tmp_path / "t.pdparams"}}}
    file = write_base(tmp_path, "distill.yaml", distill=distill)
    text = file.read_text().replace("train.txt", "elsewhere.txt")
    file.write_text(text)
    with pytest.raises(InputError, match="cannot read the list"):
        run_search(
            search_config(
                tmp_path, teacher={"search_values": ["PPLCNet_x0_5"]}, distill_config_file=file
            )
        )
    assert not trainer.calls


def test_teacher_then_distillation(tmp_path: Path, trainer: Trainer) -> None:
    (tmp_path / "t.pdparams").touch()
    distill = {"teacher": {"arch": {"name": "PPLCNet_x0_5", "pretrained": tmp_path / "t.pdparams"}}}
    mult = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    config = search_config(
        tmp_path,
        search_dict=[
            {
                "search_key": "lr_mult_list",
                "replace_config": ["arch.lr_mult_list"],
                "search_values": [mult],
            }
        ],
        teacher={"search_values": ["PPLCNet_x0_5", "PPLCNet_x0_35"]},
        distill_config_file=write_base(tmp_path, "distill.yaml", distill=distill),
    )
    result = run_search(config)
    assert [call["arch"] for call in trainer.calls] == [
        "PPLCNet_x0_25",
        "PPLCNet_x0_5",
        "PPLCNet_x0_35",
        "PPLCNet_x0_25",
    ]
    assert trainer.calls[1]["lr_mult"] is None
    last = trainer.calls[-1]
    assert last["lr_mult"] == tuple(mult)
    teacher = last["distill"].teacher.arch
    assert teacher.name == "PPLCNet_x0_35"
    best = next(trial for trial in result.trials if trial.step == "teacher" and trial.best)
    assert teacher.pretrained == tmp_path / "search" / best.runs[0] / "best_model.pdparams"
    assert result.trials[-1].step == "distillation"


def test_the_shipped_search_is_pulcs() -> None:
    root = Path(__file__).parents[2] / "configs" / "training"
    config = load_config(SearchConfig, root / "search.yaml")
    assert [step.search_key for step in config.search_dict] == [
        "lrs",
        "resolutions",
        "ra_probs",
        "re_probs",
        "lr_mult_list",
    ]
    for name in ("pplcnet_x1_0", "resnet101_vd", "mobilenetv3_small_x0_35", "swin_tiny"):
        load_config(TrainConfig, root / f"{name}.yaml")
    base = load_config(TrainConfig, root / "pplcnet_x1_0.yaml")
    assert base.optimizer.learning_rate == 0.01
    assert base.optimizer.l2 == 4e-5
    assert base.augment.rand_crop.ratio == (0.75, 4 / 3)
    assert base.augment.random_erasing.sh == pytest.approx(1 / 3)
    assert base.eval.max_fpr == 0.001


def test_overrides_reach_into_lists_and_are_checked() -> None:
    tree: dict[str, Any] = {"data": {"train": [{"weight": 1.0}]}}
    apply_override(tree, "data.train.0.weight=0.25")
    apply_override(tree, "arch.lr_mult_list=[0, 0.5, 1]")
    apply_override(tree, "augment.random_erasing.sh=1.0/3.0")
    assert tree["data"]["train"][0]["weight"] == 0.25
    assert tree["arch"]["lr_mult_list"] == [0, 0.5, 1]
    for bad in ("nothing", "data.train.7.weight=1", "data.train.x=1"):
        with pytest.raises(UsageError):
            apply_override(tree, bad)


def test_complaints_about_a_configuration_are_plain(tmp_path: Path) -> None:
    tree = {"sources": [{"format": "csv", "images": "x"}], "colour": 1}
    with pytest.raises(ConfigError) as caught:
        check_config(BuildConfig, tree, "command line")
    assert "colour: there is no such key" in caught.value.what
    assert "sources.0.format: Input should be 'coco'" in caught.value.what
    assert "Tuple" not in caught.value.what
    with pytest.raises(ConfigError) as caught:
        check_config(BuildConfig, {"sources": [{"format": "voc", "images": "x"}]}, "")
    assert caught.value.what == "sources.0: voc needs `annotations`"


def test_a_real_search_trains(tmp_path: Path) -> None:
    write_pictures(tmp_path, "train", 16, seed=1)
    write_pictures(tmp_path, "val", 8, seed=2)
    base = write_base(tmp_path, augment={"rand_crop": {"size": 32}}, eval={"size": 32})
    step = {"search_key": "re_probs", "replace_config": ["augment.random_erasing.epsilon"]}
    config = search_config(tmp_path, search_dict=[{**step, "search_values": [0.0, 0.5]}])
    assert config.base_config_file == base
    result = run_search(config)
    assert result.weights.is_file()
    assert len({trial.runs for trial in result.trials}) == 2
