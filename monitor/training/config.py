"""What a training run needs to know; keys are named like those of PULC's configurations.

Defaults are those of PaddleClas ppcls/configs/PULC/person_exists/PPLCNet_x1_0.yaml, except where
a field says otherwise. Fractions may be written as `1.0/3.0`, as PaddleClas's files do.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from monitor.config.base import ConfigModel
from monitor.training.augment_config import AugmentConfig
from monitor.training.numbers import Fraction, Probability, Range


class ArchConfig(ConfigModel):
    """The network and the weights it starts from."""

    name: str = "PPLCNet_x1_0"
    """A name of `monitor.training.networks.NETWORKS`."""

    class_num: int = Field(default=2, ge=2)
    """Classes; presence has two, nobody and someone."""

    pretrained: Path | None = None
    """Weights to start from: `.pdparams`, `.npz` or a model folder; a classifier of other size is
    left out."""

    dropout_prob: Probability | None = None
    """Dropout before the classifier; None leaves the network's own."""

    lr_mult_list: tuple[Fraction, ...] | None = None
    """Factor on the learning rate of each stage, stem first; None is 1.0 for all."""

    def settings(self) -> dict[str, Any]:
        """Keyword arguments for the network's builder."""
        given = {"dropout_prob": self.dropout_prob, "lr_mult_list": self.lr_mult_list}
        return {name: value for name, value in given.items() if value is not None}


class LossConfig(ConfigModel):
    """Cross entropy."""

    epsilon: Probability = 0.0
    """Label smoothing (PULC: 0.1 for Swin and MobileNetV3, none for PP-LCNet)."""

    class_weights: tuple[Fraction, ...] | None = None
    """Weight of each class in the loss; None weighs all alike."""


class OptimizerConfig(ConfigModel):
    """Momentum (or AdamW for transformers) under a cosine with linear warm-up by iteration."""

    name: Literal["Momentum", "AdamW"] = "Momentum"
    learning_rate: float = Field(default=0.01, gt=0.0)
    """Peak; PULC's 0.01 is for a global batch of 256 (four GPUs of 64)."""

    momentum: Probability = 0.9
    warmup_epoch: float = Field(default=5.0, ge=0.0)
    """Epochs of linear warm-up from zero; at most the number of epochs."""

    eta_min: float = Field(default=0.0, ge=0.0)
    """Where the cosine ends."""

    l2: float = Field(default=4e-5, ge=0.0)
    """Weight decay; BatchNorm, LayerNorm and biases of AdamW have none."""

    clip_norm: float | None = Field(default=None, gt=0.0)
    """Global gradient norm above which gradients are scaled down; None never."""


class EmaConfig(ConfigModel):
    """Moving average of the weights; evaluated and kept as the best when it is on."""

    decay: Probability = 0.0
    """Share of the old average kept at each step, e.g. 0.999; 0 turns it off.

    The first steps use (1 + t) / (10 + t) if that is smaller."""


class SourceConfig(ConfigModel):
    """One list of pictures."""

    list: Path
    """`path label` lines (monitor.training.lists)."""

    root: Path
    """Folder the paths are relative to; they may not leave it."""

    weight: float = Field(default=1.0, ge=0.0)
    """How often each picture is shown per epoch on average; 2 twice, 0.5 every other epoch."""

    crop_scale: Range | None = None
    """Random crop's area for this source, instead of `augment.rand_crop.scale`."""

    unlabelled: bool = False
    """Labels may be -1 or missing (a bare path). Distillation only; given labels are kept."""


class Balance(StrEnum):
    """What is done about classes of different size."""

    NONE = "none"
    SAMPLE = "sample"


class DataConfig(ConfigModel):
    """What is trained on and chosen by."""

    train: tuple[SourceConfig, ...] = Field(min_length=1)
    val: SourceConfig

    batch_size: int = Field(default=64, ge=1)
    """Pictures of a batch in each process."""

    balance: Balance = Balance.NONE
    """`sample`: both classes are shown equally often, source weights kept within a class."""

    drop_last: bool = False
    """Leave out an epoch's last, smaller batch."""

    workers: int = Field(default=2, ge=1, le=64)
    """Threads that decode and augment while the network trains."""

    cache_side: int | None = Field(default=None, ge=32)
    """Keep pictures decoded in memory, shorter side reduced to this; None decodes each time."""

    check_pictures: bool = True
    """Decode every picture once before training, so that broken ones are named at once."""

    skip_broken: bool = False
    """Train without broken pictures instead of refusing to start."""


class EvalConfig(ConfigModel):
    """How weights are judged after an epoch."""

    view: Literal["pulc", "stretch", "letterbox"] = "pulc"
    resize_short: int = Field(default=256, ge=16)
    size: int = Field(default=224, ge=16)
    batch_size: int = Field(default=64, ge=1)
    max_fpr: Fraction = Field(default=1e-3, ge=0.0, le=1.0)
    """TprAtFpr's bound; the best epoch is chosen by it."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.view == "pulc" and self.size > self.resize_short:
            raise ValueError(f"cannot crop {self.size} from a side of {self.resize_short}")
        return self


class TeacherConfig(ConfigModel):
    """Whom the student imitates: a Paddle network with weights, or soft labels from a file."""

    arch: ArchConfig | None = None
    """A frozen network; `pretrained` names its weights."""

    soft_labels: Path | None = None
    """`path p_someone` lines of a teacher that need not be Paddle's."""

    features: Path | None = None
    """Feature hints for soft labels: `.npz` with `names` (n,) and `features` (n, d)."""

    size: int | None = Field(default=None, ge=16)
    """Side the batch is resized to for the teacher network; None takes the student's."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.arch is None) == (self.soft_labels is None):
            raise ValueError("a teacher is either `arch` (with pretrained) or `soft_labels`")
        if self.arch is not None and self.arch.pretrained is None:
            raise ValueError("the teacher network needs weights: arch.pretrained")
        return self


class DistillConfig(ConfigModel):
    """SKL-UGI distillation (PPLCNet_x1_0_distillation.yaml): DML loss alone, teacher frozen."""

    teacher: TeacherConfig
    dml_weight: float = Field(default=1.0, ge=0.0)
    """Weight of the symmetric KL divergence to the teacher."""

    ce_weight: float = Field(default=0.0, ge=0.0)
    """Weight of the labels' cross entropy, over labelled pictures (PULC: none)."""

    hint_weight: float = Field(default=0.0, ge=0.0)
    """Weight of the feature hint (not in PULC)."""


class TrainConfig(ConfigModel):
    """One training run. Relative paths are relative to the working directory."""

    epochs: int = Field(default=20, ge=1)
    start_eval_epoch: int = Field(default=1, ge=1)
    """First epoch that is evaluated (PULC: 10)."""

    eval_interval: int = Field(default=1, ge=1)
    print_batch_step: int = Field(default=10, ge=1)
    """Batches between points of the loss curve; each epoch has at least one."""

    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Batches between checkpoints within an epoch; None only at its end."""

    output_dir: Path = Path("output/train")
    seed: int = Field(default=0, ge=0)
    device: Literal["cpu", "gpu"] = "cpu"
    threads: int | None = Field(default=None, ge=1)
    """Math threads of the CPU; None leaves Paddle's choice."""

    arch: ArchConfig = ArchConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    ema: EmaConfig = EmaConfig()
    data: DataConfig
    augment: AugmentConfig = AugmentConfig()
    eval: EvalConfig = EvalConfig()
    distill: DistillConfig | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.optimizer.warmup_epoch > self.epochs:
            raise ValueError(
                f"optimizer.warmup_epoch {self.optimizer.warmup_epoch:g} is longer than the whole "
                f"training of {self.epochs}; lower it, or raise epochs"
            )
        weights = self.loss.class_weights
        if weights is not None and len(weights) != self.arch.class_num:
            raise ValueError(f"loss.class_weights needs {self.arch.class_num} numbers")
        if self.distill is None and any(source.unlabelled for source in self.data.train):
            raise ValueError("an unlabelled source can only be distilled from (model distill)")
        if self.data.val.unlabelled:
            raise ValueError("data.val needs labels")
        return self
