"""Paddle Inference with the OpenVINO it brings along: raw pixels in, probabilities out.

Each batch size has a network of its own, whose shapes OpenVINO knows (`program`). All of them
read the same memory: pixels are written there as they are, and nothing is copied after that.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.config.inference import Device, Engine, Precision
from monitor.errors import ModelError
from monitor.imaging.preprocess import MEAN, SCALE, SIDE
from monitor.inference.model import ModelInfo
from monitor.inference.predictor import BatchPredictor, Network, Patches, require_bf16
from monitor.inference.program import PixelProgram, pixel_program
from monitor.inference.runtime import bare_paddle, lent_tensor, whole_paddle

SIZES: Final = (4, 2, 1)
"""Batch sizes the networks are made for. The layers of eight pictures leave the processor's cache,
which costs a twelfth where another process needs the memory as well."""


class OpenVinoPredictor(BatchPredictor):
    """The whole network in Paddle's OpenVINO engine, with one math thread.

    `run` holds the interpreter lock throughout. The process is tied to one processor unless that
    is forbidden (`runtime.forbid_pinning`).
    """

    def __init__(
        self, model: ModelInfo, *, precision: Precision = Precision.FP32, bare: bool = False
    ) -> None:
        """Load `model`; `bare` is for processes that never import Paddle (see `runtime`).

        Raises ModelError when the model has no `inference.pdmodel`, OpenVINO is not there or does
        not take the network, or files are damaged.
        """
        super().__init__(SIZES)
        if precision is Precision.BF16:
            require_bf16(Device.CPU, Engine.OPENVINO)
        inference = bare_paddle() if bare else whole_paddle()
        programs = {size: _program(model, size) for size in SIZES}
        self._margin = programs[1].margin
        side = SIDE + 2 * self._margin
        self._pixels = np.empty((max(SIZES), side, side, 3), dtype=np.float32)
        self._pixels[:] = MEAN / SCALE  # what normalisation makes zero, as convolutions pad with
        # OpenVINO keeps what it compiled in a folder, by default `__cache__` where the process is.
        with tempfile.TemporaryDirectory(prefix="presence-openvino-") as folder:
            self._networks = {
                size: _network(inference, program, model, precision, Path(folder) / str(size))
                for size, program in programs.items()
            }
        self._lent = {size: lent_tensor(inference, self._input(size)) for size in SIZES}
        for size, network in self._networks.items():
            network.source._share_external_data_bind(self._lent[size])
        self._check(model.program)

    def _input(self, size: int) -> NDArray[np.float32]:
        return self._pixels[:size]

    def _fill(self, batch: NDArray[np.float32], patches: Patches) -> None:
        inside = slice(self._margin, self._margin + SIDE)
        for pixels, patch in zip(batch, patches, strict=True):
            np.copyto(pixels[inside, inside], patch)

    def _infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._networks[len(batch)].run()


def _program(model: ModelInfo, size: int) -> PixelProgram:
    try:
        program = pixel_program(model.legacy.read_bytes(), size) if model.legacy else None
    except Exception as error:
        raise _not_taken(model) from error
    if program is None:
        raise _not_taken(model)
    return program


def _network(
    inference: Any, program: PixelProgram, model: ModelInfo, precision: Precision, folder: Path
) -> Network:
    """OpenVINO looks for the parameters beside the program, so both lie in `folder`."""
    folder.mkdir()
    (folder / "inference.pdmodel").write_bytes(program.data)
    params = folder / "inference.pdiparams"
    params.symlink_to(model.params)
    config = inference.Config(str(folder / "inference.pdmodel"), str(params))
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(1)
    kinds = inference.Config.Precision
    config.enable_openvino_engine(kinds.Bfloat16 if precision is Precision.BF16 else kinds.Float32)
    config.set_optim_cache_dir(str(folder))
    config.disable_glog_info()
    if not config.openvino_engine_enabled():
        raise _not_taken(model)
    return Network(inference, config, model)


def _not_taken(model: ModelInfo) -> ModelError:
    return ModelError(
        "OpenVINO does not take the model",
        where=str(model.folder),
        remedy="set `inference.engine: onednn`, or export it again with `run_monitor.py model "
        "export`",
    )
