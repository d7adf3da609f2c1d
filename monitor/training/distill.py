"""SKL-UGI distillation: a student imitates a frozen teacher, on labelled and unlabelled pictures.

As PaddleClas ppcls/configs/PULC/person_exists/PPLCNet_x1_0_distillation.yaml: the loss is DML
between the two softmax outputs and nothing else. Beyond it: a teacher that is only a file of
soft labels, the labels' cross entropy, and hints that draw the student's pooled features
towards the teacher's through a linear adaptor (trained along, not kept).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import paddle
import paddle.nn.functional as F  # noqa: N812 (Paddle's own name for it)
from numpy.typing import NDArray
from paddle import nn

from monitor.errors import ConfigError, InputError
from monitor.training.config import DistillConfig, LossConfig, TeacherConfig, TrainConfig
from monitor.training.create import create_network
from monitor.training.dataset import Mixture, Sample
from monitor.training.lists import read_soft_labels
from monitor.training.losses import cross_entropy, dml_loss, hint_loss
from monitor.training.objectives import Objective, TensorBatch
from monitor.training.progress import Reporter
from monitor.training.readiness import Readiness
from monitor.training.run_state import RunResult
from monitor.training.train import run_training

_NAMED_AT_MOST = 5


def run_distillation(
    config: TrainConfig, *, resume: bool = False, report: Reporter | None = None
) -> RunResult:
    """Train the student of `config.arch` against `config.distill.teacher`.

    Raises ConfigError without a `distill` section, InputError when soft labels or features lack
    pictures, and whatever `run_training` raises.
    """
    if config.distill is None:
        raise ConfigError(
            "there is no `distill` section, so no teacher",
            remedy="start from configs/training/pplcnet_x1_0_distillation.yaml",
        )
    _refuse_unusable(config.distill.teacher)
    return run_training(config, resume=resume, report=report, build_objective=_build)


def _refuse_unusable(teacher: TeacherConfig) -> None:
    """Before all pictures are decoded once, which takes a while: can this teacher teach?"""
    if teacher.arch is not None:
        Readiness().check_network(teacher.arch)
    if teacher.soft_labels is not None:
        read_soft_labels(teacher.soft_labels)


class Teacher(Protocol):
    """What the student looks up to: probabilities (n, 2) and, for hints, features (n, d)."""

    width: int | None
    """d, or None if there are no features."""

    def __call__(self, batch: TensorBatch) -> tuple[paddle.Tensor, paddle.Tensor | None]: ...


class NetworkTeacher:
    """A frozen network that sees the student's own augmented pictures."""

    def __init__(self, config: TeacherConfig, size: int, *, hints: bool) -> None:
        assert config.arch is not None
        self._network = create_network(config.arch)
        self._network.eval()
        self._size = config.size
        self._hints = hints
        self.width = feature_width(self._network, config.size or size) if hints else None

    def __call__(self, batch: TensorBatch) -> tuple[paddle.Tensor, paddle.Tensor | None]:
        pictures = batch.pictures
        with paddle.no_grad():
            if self._size is not None and self._size != pictures.shape[2]:
                pictures = F.interpolate(
                    pictures, size=[self._size, self._size], mode="bilinear", align_corners=False
                )
            if not self._hints:
                return F.softmax(self._network(pictures), axis=1), None
            features = self._network.features(pictures)
            return F.softmax(self._network.classify(features), axis=1), features


class FileTeacher:
    """Soft labels, and perhaps features, of whole pictures, looked up by the sample's number."""

    def __init__(self, config: TeacherConfig, samples: Sequence[Sample], *, hints: bool) -> None:
        assert config.soft_labels is not None
        soft = read_soft_labels(config.soft_labels)
        rows = _rows(samples, {name: row for row, name in enumerate(soft)}, config.soft_labels)
        someone = np.fromiter(soft.values(), np.float32)[rows]
        self._probabilities = paddle.to_tensor(np.stack([1.0 - someone, someone], axis=1))
        self._features: paddle.Tensor | None = None
        self.width = None
        if hints:
            features = _read_features(config.features, samples)
            self._features = paddle.to_tensor(features)
            self.width = features.shape[1]

    def __call__(self, batch: TensorBatch) -> tuple[paddle.Tensor, paddle.Tensor | None]:
        probabilities = paddle.gather(self._probabilities, batch.indices)
        if self._features is None:
            return probabilities, None
        return probabilities, paddle.gather(self._features, batch.indices)


class DistillObjective(Objective):
    """`dml_weight` · DML + `ce_weight` · cross entropy of labelled ones + `hint_weight` · hint."""

    def __init__(
        self, config: DistillConfig, loss: LossConfig, teacher: Teacher, student_width: int | None
    ) -> None:
        super().__init__()
        self._config = config
        self._smoothing = loss.epsilon
        self._teacher = teacher
        self.adaptor = (
            nn.Linear(student_width, teacher.width)
            if student_width is not None and teacher.width is not None
            else None
        )

    def forward(
        self, network: nn.Layer, batch: TensorBatch
    ) -> tuple[paddle.Tensor, dict[str, paddle.Tensor]]:
        wanted, hints = self._teacher(batch)
        parts: dict[str, paddle.Tensor] = {}
        if self.adaptor is not None:
            features = network.features(batch.pictures)
            logits = network.classify(features)
            parts["hint"] = hint_loss(self.adaptor(features), hints)
        else:
            logits = network(batch.pictures)
        parts["dml"] = dml_loss(F.softmax(logits, axis=1), wanted)
        if self._config.ce_weight > 0.0:
            labelled = paddle.nonzero(batch.labels >= 0).flatten()
            if labelled.size > 0:
                parts["ce"] = cross_entropy(
                    paddle.gather(logits, labelled),
                    paddle.gather(batch.labels, labelled),
                    smoothing=self._smoothing,
                )
        weights = {
            "dml": self._config.dml_weight,
            "ce": self._config.ce_weight,
            "hint": self._config.hint_weight,
        }
        loss = sum(weights[name] * part for name, part in parts.items())
        return loss, parts


def feature_width(network: nn.Layer, size: int) -> int:
    """Number of pooled features the network makes of a picture; its mode is kept."""
    was_training = network.training
    network.eval()
    with paddle.no_grad():
        width = int(network.features(paddle.zeros([1, 3, size, size])).shape[1])
    if was_training:
        network.train()
    return width


def _build(config: TrainConfig, mixture: Mixture, network: nn.Layer) -> Objective:
    distill = config.distill
    assert distill is not None
    hints = distill.hint_weight > 0.0
    size = config.augment.rand_crop.size
    teacher: Teacher
    if distill.teacher.arch is not None:
        teacher = NetworkTeacher(distill.teacher, size, hints=hints)
    else:
        teacher = FileTeacher(distill.teacher, mixture.samples, hints=hints)
    width = feature_width(network, size) if hints else None
    return DistillObjective(distill, config.loss, teacher, width)


def _read_features(file: Path | None, samples: Sequence[Sample]) -> NDArray[np.float32]:
    if file is None:
        raise ConfigError(
            "hints from soft labels need a file of features",
            where="distill.teacher.features",
            remedy="name a .npz with `names` and `features`, or set distill.hint_weight=0",
        )
    try:
        with np.load(file, allow_pickle=False) as archive:
            names, features = archive["names"], archive["features"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot read the features: {error}", where=str(file)) from None
    if features.ndim != 2 or len(names) != len(features):
        raise InputError(
            f"`features` {features.shape} does not go with {len(names)} names", where=str(file)
        )
    rows = _rows(samples, {str(name): row for row, name in enumerate(names)}, file)
    return np.ascontiguousarray(features[rows], np.float32)


def _rows(samples: Sequence[Sample], index: dict[str, int], file: Path) -> NDArray[Any]:
    """Each sample's row, found by its listed name or its whole path."""
    rows, missing = [], []
    for sample in samples:
        row = index.get(sample.entry.name, index.get(str(sample.entry.path), -1))
        rows.append(row)
        if row < 0:
            missing.append(sample.entry.name)
    if missing:
        named = ", ".join(missing[:_NAMED_AT_MOST])
        raise InputError(
            f"{len(missing)} of {len(samples)} pictures are not in it, e.g. {named}",
            where=str(file),
            remedy="name pictures as the lists do, or by their whole path",
        )
    return np.array(rows, np.int64)
