"""Which library runs the network when a command is free to choose."""

from __future__ import annotations

from enum import StrEnum

from monitor.inference.model import ModelInfo
from monitor.inference.predictor import Predictor


class Backend(StrEnum):
    """A library that runs the network on the CPU."""

    PADDLE = "paddle"
    """Paddle Inference with oneDNN; always there."""
    ONNXRUNTIME = "onnxruntime"
    """ONNX Runtime on the model's `inference.onnx`; an optional dependency."""


def open_predictor(model: ModelInfo, backend: Backend = Backend.PADDLE) -> Predictor:
    """Load `model` into this process, one math thread. Raises ModelError when it cannot be."""
    if backend is Backend.ONNXRUNTIME:
        from monitor.inference.onnx import OnnxPredictor

        return OnnxPredictor(model)
    from monitor.inference.predictor import PaddlePredictor

    return PaddlePredictor(model)
