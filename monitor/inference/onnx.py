"""The same network through ONNX Runtime: `--backend onnxruntime`, an optional dependency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ModelError
from monitor.inference.model import ModelInfo
from monitor.inference.predictor import BUCKETS, BatchPredictor


class OnnxPredictor(BatchPredictor):
    """ONNX Runtime on the CPU with one thread; the file is `inference.onnx` in the model folder.

    `run` releases the interpreter lock while the network computes.
    """

    def __init__(self, model: ModelInfo, *, buckets: tuple[int, ...] = BUCKETS) -> None:
        """Raises ModelError when ONNX Runtime or the file is missing, or shapes are wrong."""
        super().__init__(buckets)
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError(
                "ONNX Runtime is not installed",
                remedy="pip install 'presence-monitor[onnx]', or use the backend paddle",
            ) from error
        path = model.folder / "inference.onnx"
        if not path.is_file():
            raise ModelError(
                "the model folder has no inference.onnx",
                where=str(model.folder),
                remedy="make it with `run_monitor.py model convert`",
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime cannot load the model: {error}",
                where=str(path),
                remedy="convert the model again with `run_monitor.py model convert`",
            ) from error
        of = self._session.get_modelmeta().custom_metadata_map.get("model_id", model.model_id)
        if of.rpartition("-")[2] != model.model_id.rpartition("-")[2]:
            raise ModelError(
                f"inference.onnx is of other weights: {of} instead of {model.model_id}",
                where=str(path),
                remedy="convert the model again with `run_monitor.py model convert`",
            )
        self._input_name = self._session.get_inputs()[0].name
        self._check(path)

    def _infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs = self._session.run(None, {self._input_name: batch})
        return np.asarray(outputs[0], dtype=np.float32)
