"""Which library runs the network."""

from __future__ import annotations

from monitor.config.inference import Backend, Device, Engine, Precision
from monitor.inference.model import ModelInfo
from monitor.inference.predictor import Predictor

__all__ = ["Backend", "open_predictor"]


def open_predictor(
    model: ModelInfo,
    backend: Backend = Backend.PADDLE,
    *,
    device: Device = Device.CPU,
    precision: Precision = Precision.FP32,
    engine: Engine = Engine.ONEDNN,
    bare: bool = False,
) -> Predictor:
    """Load `model` into this process, one math thread; `bare` as of `PaddlePredictor`.

    `device`, `precision`, `engine` and `bare` are Paddle's alone. Raises ModelError when it cannot
    be loaded.
    """
    if backend is Backend.ONNXRUNTIME:
        from monitor.inference.onnx import OnnxPredictor

        return OnnxPredictor(model)
    from monitor.inference.predictor import PaddlePredictor

    return PaddlePredictor(model, device=device, precision=precision, engine=engine, bare=bare)
