"""Which library runs the network."""

from __future__ import annotations

from contextlib import suppress

from monitor.config.inference import Backend, Device, Engine, Precision
from monitor.errors import ModelError
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

    `device`, `precision`, `engine` and `bare` are Paddle's alone. OpenVINO ties the process to one
    processor unless that is forbidden (`runtime`); where it cannot run the model, oneDNN does.
    Raises ModelError when the model cannot be loaded.
    """
    if backend is Backend.ONNXRUNTIME:
        from monitor.inference.onnx import OnnxPredictor

        return OnnxPredictor(model)
    if engine is Engine.OPENVINO and device is Device.CPU:
        from monitor.inference.openvino import OpenVinoPredictor

        # Where the network is beyond OpenVINO, oneDNN serves; of damaged files it will tell.
        with suppress(ModelError):
            return OpenVinoPredictor(model, precision=precision, bare=bare)
    from monitor.inference.predictor import PaddlePredictor

    return PaddlePredictor(model, device=device, precision=precision, engine=engine, bare=bare)
