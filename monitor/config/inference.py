"""The pool of inference workers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from monitor.config.base import ConfigModel, Duration

_MOST_WORKERS = 256


PROJECT: Final = Path(__file__).resolve().parents[2]
"""The folder that holds `monitor/` and `models/`."""


def located(model: Path) -> Path:
    """The model folder as it is or, if it is relative and not here, the project's of that name."""
    return PROJECT / model if not model.exists() and (PROJECT / model).is_dir() else model


class Device(StrEnum):
    """Where the network runs."""

    CPU = "cpu"
    GPU = "gpu"


class Precision(StrEnum):
    """Arithmetic of the network on the CPU."""

    FP32 = "fp32"
    BF16 = "bf16"


class Engine(StrEnum):
    """What Paddle Inference computes with on the CPU."""

    OPENVINO = "openvino"
    """The OpenVINO that Paddle brings along: fastest. Needs the model's `inference.pdmodel`."""
    ONEDNN = "onednn"
    """oneDNN operator by operator."""
    PLAIN = "plain"
    """Paddle's own kernels: slow, to compare with."""


class Backend(StrEnum):
    """The library that runs the network."""

    PADDLE = "paddle"
    """Paddle Inference; always there."""
    ONNXRUNTIME = "onnxruntime"
    """ONNX Runtime on the model's `inference.onnx`; an optional dependency."""


def _check_workers(value: Any) -> Any:
    """One clear sentence instead of one complaint for each member of the union."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    whole = isinstance(number, int) and not isinstance(number, bool)
    if value is None or value == "auto" or (whole and 1 <= number <= _MOST_WORKERS):
        return number
    raise ValueError(
        f"this is no number of workers; auto, or a whole number from 1 to {_MOST_WORKERS}"
    )


Workers = Annotated[
    Annotated[int, Field(ge=1, le=_MOST_WORKERS)] | Literal["auto"], BeforeValidator(_check_workers)
]


class InferenceConfig(ConfigModel):
    """Workers, batches, and the model they run."""

    model: Path = Path("models/person_exists")
    """Folder with `inference.json` (or legacy `inference.pdmodel`) and `inference.pdiparams`."""

    workers: Workers = "auto"
    """Worker processes; `auto` is half of the processors, at least two where there are two."""

    max_batch: int = Field(default=8, ge=1, le=256)
    """Most patches in one batch. More than 8 are no faster on a CPU, and those behind wait."""

    max_wait: Duration = Field(default=0.02, ge=0.0, le=1.0)
    """Longest time a patch waits for company."""

    backend: Backend = Backend.PADDLE
    """paddle, or onnxruntime on the model's `inference.onnx` (`model convert`)."""

    device: Device = Device.CPU
    """cpu, or gpu where the installed Paddle has one."""

    precision: Precision = Precision.FP32
    """fp32, or bf16 where the processor has it."""

    engine: Engine = Engine.OPENVINO
    """What Paddle computes with on the CPU: openvino (onednn where the model has no
    `inference.pdmodel` or OpenVINO does not take it), onednn, or plain (several times slower)."""

    self_test: bool = True
    """Score the model's golden pictures at start and refuse to run when they differ."""

    @model_validator(mode="after")
    def _check_backend(self) -> Self:
        plain = self.device is Device.CPU and self.precision is Precision.FP32
        if self.backend is Backend.ONNXRUNTIME and not plain:
            raise ValueError(
                "backend onnxruntime computes in fp32 on the cpu only; "
                "take backend paddle, or device cpu and precision fp32"
            )
        return self
