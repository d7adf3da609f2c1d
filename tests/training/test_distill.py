"""Distillation: the DML loss, both kinds of teacher, hints, and unlabelled pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_pictures import tiny_config, write_pictures

from monitor.errors import ConfigError, InputError, ModelError
from monitor.training.distill import run_distillation
from monitor.training.lists import write_list
from monitor.training.losses import cross_entropy, dml_loss, hint_loss
from monitor.training.networks import build_network

probabilities = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=5)


@settings(deadline=None, max_examples=30)
@given(probabilities, st.randoms(use_true_random=False))
def test_dml_is_paddleclas_formula(someone: list[float], random: Any) -> None:
    other = [random.random() for _ in someone]
    student = np.array([[1 - p, p] for p in someone], np.float32)
    teacher = np.array([[1 - p, p] for p in other], np.float32)

    def kld(x: Any, target: Any) -> Any:
        return target * np.log((target + 1e-12) / (x + 1e-12)) * 2

    expected = ((kld(student, teacher) + kld(teacher, student)) / 2).mean()
    found = float(dml_loss(paddle.to_tensor(student), paddle.to_tensor(teacher)))
    assert found == pytest.approx(float(expected), rel=1e-4, abs=1e-5)
    assert float(dml_loss(paddle.to_tensor(student), paddle.to_tensor(student))) == 0.0


def test_cross_entropy_by_hand() -> None:
    logits = paddle.to_tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    labels = paddle.to_tensor([1, 0])
    plain = (-math.log(0.75) - math.log(0.5)) / 2
    assert float(cross_entropy(logits, labels)) == pytest.approx(plain)
    smooth = (-0.95 * math.log(0.75) - 0.05 * math.log(0.25) - math.log(0.5)) / 2
    assert float(cross_entropy(logits, labels, smoothing=0.1)) == pytest.approx(smooth)
    weights = paddle.to_tensor([3.0, 1.0])
    weighted = (-1 * math.log(0.75) - 3 * math.log(0.5)) / 4
    assert float(cross_entropy(logits, labels, class_weights=weights)) == pytest.approx(weighted)


def test_hint_loss_is_cosine_distance() -> None:
    features = paddle.to_tensor([[1.0, 0.0], [0.0, 2.0]])
    hints = paddle.to_tensor([[3.0, 0.0], [1.0, 0.0]])
    assert float(hint_loss(features, hints)) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    listed = write_pictures(root, "train", 256, seed=1)
    write_pictures(root, "val", 32, seed=2)
    lines = [line.rpartition(" ") for line in listed.read_text().splitlines()]
    write_list(
        root / "soft.txt", [(name, 0.97 if text == "1" else 0.02) for name, _, text in lines]
    )
    write_list(root / "unlabelled.txt", [(name, -1) for name, _, _ in lines])
    features = np.array([[float(text), 1.0 - float(text), 0.5] for _, _, text in lines])
    np.savez(root / "features.npz", names=[name for name, _, _ in lines], features=features)
    return root


def run(root: Path, output: Path, distill: dict[str, Any], **changes: Any) -> Any:
    return run_distillation(tiny_config(root, output, distill=distill, **changes))


def unlabelled(data: Path, weight: float = 1.0) -> dict[str, Any]:
    source = {
        "list": data / "unlabelled.txt",
        "root": data,
        "unlabelled": True,
        "weight": weight,
    }
    val = {"list": data / "val.txt", "root": data}
    return {"train": [source], "val": val, "batch_size": 16}


def test_soft_labels_and_hints_teach_without_labels(data: Path, tmp_path: Path) -> None:
    distill = {
        "teacher": {"soft_labels": data / "soft.txt", "features": data / "features.npz"},
        "hint_weight": 0.3,
    }
    result = run(data, tmp_path, distill, data=unlabelled(data))
    assert result.best.auroc > 0.95
    header = (tmp_path / "history.csv").read_text().splitlines()[0]
    assert "train_dml" in header
    assert "train_hint" in header
    assert "train_ce" not in header


def test_a_network_teaches(data: Path, tmp_path: Path) -> None:
    paddle.seed(3)
    teacher = build_network("PPLCNet_x0_35")
    paddle.save(teacher.state_dict(), str(tmp_path / "teacher.pdparams"))
    distill = {
        "teacher": {
            "arch": {"name": "PPLCNet_x0_35", "pretrained": tmp_path / "teacher.pdparams"},
            "size": 48,
        },
        "ce_weight": 0.5,
        "hint_weight": 0.1,
    }
    augment = {"rand_crop": {"size": 32}}
    labelled = tiny_config(data, tmp_path).data.model_dump()
    few = labelled | {"train": [labelled["train"][0] | {"weight": 0.2}]}
    result = run(data, tmp_path / "run", distill, epochs=1, augment=augment, data=few)
    header = (tmp_path / "run" / "history.csv").read_text().splitlines()[0]
    assert all(part in header for part in ("train_dml", "train_hint", "train_ce"))
    student = dict(np.load(tmp_path / "run" / "checkpoint.npz"))
    # The adaptor learns along; the teacher is in no file of the run.
    assert "objective/adaptor.weight" in student
    assert not any("teacher" in key for key in student)
    assert result.steps == 4
    after = teacher.state_dict()
    saved = paddle.load(str(tmp_path / "teacher.pdparams"))
    assert all((after[key].numpy() == np.asarray(saved[key])).all() for key in after)


def test_distillation_resumes_with_its_adaptor(data: Path, tmp_path: Path) -> None:
    distill = {
        "teacher": {"soft_labels": data / "soft.txt", "features": data / "features.npz"},
        "hint_weight": 0.3,
    }
    augment = {"rand_crop": {"size": 32}}
    few = unlabelled(data, weight=0.2)
    config = tiny_config(data, tmp_path, epochs=1, distill=distill, augment=augment, data=few)
    first = run_distillation(config)
    again = run_distillation(config, resume=True)
    assert again.best == first.best


def test_without_a_teacher_it_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no `distill` section"):
        run_distillation(tiny_config(data, tmp_path))


def test_pictures_without_soft_labels_are_named(data: Path, tmp_path: Path) -> None:
    lines = (data / "soft.txt").read_text().splitlines()
    (tmp_path / "soft.txt").write_text("\n".join(lines[2:]))
    with pytest.raises(InputError, match=r"2 of 256 pictures.*train/000\.jpg"):
        run(data, tmp_path / "run", {"teacher": {"soft_labels": tmp_path / "soft.txt"}})


def test_an_unusable_teacher_is_refused_before_pictures_are_read(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.training.distill.run_training", pytest.fail)
    arch = {"name": "PPLCNet_x0_25", "pretrained": tmp_path / "gone.pdparams"}
    with pytest.raises(ModelError, match="cannot read the weights"):
        run(data, tmp_path / "run", {"teacher": {"arch": arch}})
    with pytest.raises(InputError, match="cannot read the list"):
        run(data, tmp_path / "run", {"teacher": {"soft_labels": tmp_path / "gone.txt"}})


def test_hints_without_features_are_refused(data: Path, tmp_path: Path) -> None:
    distill = {"teacher": {"soft_labels": data / "soft.txt"}, "hint_weight": 1.0}
    with pytest.raises(ConfigError, match="file of features"):
        run(data, tmp_path, distill)


def test_a_labelled_training_refuses_unlabelled_sources(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only be distilled"):
        tiny_config(data, tmp_path, data=unlabelled(data))
