"""Predictors: patches in, probabilities out. One predictor serves one thread.

`Predictor.run` takes RGB uint8 patches (n, 224, 224, 3) and gives float32 (n, 2):
P(nobody), P(someone). Whatever n is, the network only ever sees batches of `BUCKETS`
sizes, because oneDNN keeps compiled kernels and buffers for every shape it has met
(PaddlePaddle issue 25506).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.config.inference import Device, Engine, Precision
from monitor.errors import ModelError
from monitor.imaging.preprocess import SIDE, normalise_into
from monitor.inference.model import ModelInfo
from monitor.inference.runtime import bare_paddle, whole_paddle

Patches = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
"""RGB uint8 (n, 224, 224, 3), or n arrays (224, 224, 3) that need not be neighbours in memory."""

BUCKETS: Final = (8, 4, 2, 1)
"""Batch sizes the network meets. Eight is where it is fastest on a CPU; the rest of a batch is
split, because padding 9 patches to 16 would cost more than running 8 and 1."""

CLASSES: Final = 2

CPUINFO: Final = Path("/proc/cpuinfo")


class Predictor(Protocol):
    """Something that scores patches."""

    def run(self, patches: Patches) -> NDArray[np.float32]:
        """float32 (n, 2): P(nobody) and P(someone) of each RGB uint8 patch (224, 224, 3)."""
        ...


class BatchPredictor:
    """Normalises patches and feeds them to `_infer` in buckets, through reused buffers."""

    def __init__(self, buckets: tuple[int, ...] = BUCKETS) -> None:
        self._buckets = buckets
        self._inputs: dict[int, NDArray[np.float32]] = {}

    def run(self, patches: Patches) -> NDArray[np.float32]:
        """float32 (n, 2): P(nobody) and P(someone) of each RGB uint8 patch (224, 224, 3)."""
        scores = np.empty((len(patches), CLASSES), dtype=np.float32)
        for start, size in split(len(patches), self._buckets):
            batch = self._input(size)
            self._fill(batch, patches[start : start + size])
            scores[start : start + size] = self._infer(batch)
        return scores

    def _infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The input of that size, as `_fill` made it, to float32 (n, 2)."""
        raise NotImplementedError

    def _fill(self, batch: NDArray[np.float32], patches: Patches) -> None:
        """Make `patches` the input `batch`."""
        normalise_into(patches, batch)

    def _input(self, size: int) -> NDArray[np.float32]:
        if size not in self._inputs:
            self._inputs[size] = np.zeros((size, 3, SIDE, SIDE), dtype=np.float32)
        return self._inputs[size]

    def _check(self, where: Path) -> None:
        """Raises ModelError unless zeros of two batch sizes come out as probabilities."""
        for size in (1, 2):
            try:
                out = self._infer(self._input(size))
            except Exception as error:
                raise ModelError(
                    f"does not take float32 ({size}, 3, {SIDE}, {SIDE}): {_last_line(error)}",
                    where=str(where),
                    remedy=f"export it for {SIDE}x{SIDE} pictures with a free batch dimension",
                ) from error
            if out.shape != (size, CLASSES) or not np.allclose(out.sum(axis=1), 1.0, atol=1e-2):
                raise ModelError(
                    f"gives {out.shape} instead of probabilities ({size}, {CLASSES})",
                    where=str(where),
                    remedy="use a model of two classes, exported with its softmax",
                )


class Network:
    """One network in Paddle Inference; its input handle is `source`."""

    def __init__(self, inference: Any, config: Any, model: ModelInfo) -> None:
        """Raises ModelError when files are corrupt or there is not one input and one output."""
        try:
            self._predictor = inference.create_predictor(config)
        except Exception as error:
            raise ModelError(
                f"Paddle cannot load the model: {_last_line(error)}",
                where=str(model.folder),
                remedy="copy or export the model again; its files are damaged or do not belong "
                "together",
            ) from error
        names = self._predictor.get_input_names(), self._predictor.get_output_names()
        if len(names[0]) != 1 or len(names[1]) != 1:
            raise ModelError(
                f"has inputs {names[0]} and outputs {names[1]}, not one of each",
                where=str(model.program),
                remedy="use a classification model",
            )
        self.source = self._predictor.get_input_handle(names[0][0])
        self._sink = self._predictor.get_output_handle(names[1][0])

    def run(self) -> NDArray[np.float32]:
        """What comes of the input, float32."""
        self._predictor.run()
        return np.asarray(self._sink.copy_to_cpu(), dtype=np.float32)


class PaddlePredictor(BatchPredictor):
    """Paddle Inference, operator by operator, with one math thread.

    `run` holds the interpreter lock throughout, which is why cameras are scored in processes.
    """

    def __init__(
        self,
        model: ModelInfo,
        *,
        device: Device = Device.CPU,
        precision: Precision = Precision.FP32,
        engine: Engine = Engine.ONEDNN,
        bare: bool = False,
    ) -> None:
        """Load `model`; `bare` is for processes that never import Paddle (see `runtime`).

        `engine`: onednn or plain. Raises ModelError when files are corrupt, shapes are wrong, or
        the device is missing.
        """
        super().__init__()
        if precision is Precision.BF16:
            require_bf16(device, engine)
        inference = bare_paddle() if bare and device is Device.CPU else whole_paddle()
        config = _paddle_config(inference, model, device, precision, engine)
        self._network = Network(inference, config, model)
        self._check(model.program)

    def _infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self._network.source._copy_from_cpu_bind(batch)  # copy_from_cpu of whole Paddle calls it
        return self._network.run()


def split(count: int, buckets: Sequence[int] = BUCKETS) -> Iterator[tuple[int, int]]:
    """Cut `count` patches into (start, size) with sizes from `buckets`, the largest first.

    `buckets` descend and end with 1.
    """
    start = 0
    for size in buckets:
        while count - start >= size:
            yield start, size
            start += size


def _paddle_config(
    inference: Any, model: ModelInfo, device: Device, precision: Precision, engine: Engine
) -> Any:
    config = inference.Config(str(model.program), str(model.params))
    if model.program.suffix == ".json":
        config.enable_new_ir(True)
        config.enable_new_executor(True)
    if device is Device.GPU:
        _use_gpu(config)
    else:
        config.disable_gpu()
        if engine is Engine.PLAIN:
            config.disable_mkldnn()
        else:
            config.enable_mkldnn()
            if precision is Precision.BF16:
                config.enable_mkldnn_bfloat16()
    config.set_cpu_math_library_num_threads(1)
    config.switch_ir_optim(True)
    config.enable_memory_optim()
    config.disable_glog_info()
    return config


def _use_gpu(config: Any) -> None:
    import paddle

    if not paddle.is_compiled_with_cuda() or paddle.device.cuda.device_count() == 0:
        raise ModelError(
            "device gpu is asked for, but the installed Paddle finds none",
            remedy="set `inference.device: cpu`, or install paddlepaddle-gpu",
        )
    config.enable_use_gpu(256, 0)


def require_bf16(device: Device, engine: Engine) -> None:
    """Raises ModelError where bf16 is not to be had: Paddle would silently compute in fp32."""
    if device is Device.GPU or engine is Engine.PLAIN:
        raise ModelError(
            "precision bf16 needs the CPU and its engine openvino or onednn",
            remedy="set `inference.engine: openvino` and `inference.device: cpu`, "
            "or precision fp32",
        )
    flags = CPUINFO.read_text(encoding="ascii", errors="replace") if CPUINFO.exists() else ""
    if "avx512_bf16" not in flags and "amx_bf16" not in flags:
        raise ModelError(
            "precision bf16 is asked for, but this processor has neither avx512_bf16 nor amx_bf16",
            remedy="set `inference.precision: fp32`",
        )


def _last_line(error: Exception) -> str:
    """The telling line of Paddle's errors, which come with a C++ traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line or line.startswith("(")]
    return (telling or lines or [type(error).__name__])[-1][:300]
