"""From a model folder's Paddle program to `inference.onnx` beside it, proven to score the same."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor.errors import ModelError
from monitor.inference.model import ModelInfo
from monitor.inference.onnx import OnnxPredictor
from monitor.inference.predictor import PaddlePredictor
from monitor.inference.selftest import Golden
from monitor.training.card import CARD, read_json, sha256_of
from monitor.training.export import sample_patches
from monitor.training.files import prepare_output, write_json

PARITY: Final = 1e-5
"""Largest difference of a probability between Paddle Inference and ONNX Runtime."""

OPSET: Final = 14
"""The first with HardSwish, which runtimes put into the convolution before it."""
ONNX_FILE: Final = "inference.onnx"
_BATCH: Final = "batch"


@dataclass(frozen=True, slots=True)
class Converted:
    """The file, how far its probabilities are from Paddle's at most, on how many patches."""

    file: Path
    max_difference: float
    patches: int


def convert_model(folder: Path, *, opset: int = OPSET) -> Converted:
    """Write `inference.onnx` into a model folder; the batch dimension is free.

    Compared on made-up patches and the model's golden pictures before it is put in place, and
    noted in the model card. Raises ModelError when a library is missing, paddle2onnx cannot
    convert the program, or a probability differs by more than `PARITY` (a former file then
    stays as it was), InputError when the folder cannot be written.
    """
    info = ModelInfo.load(folder)
    prepare_output(info.folder, 50_000_000)
    graph = _tidied(_paddle2onnx(info, opset), info)
    with tempfile.TemporaryDirectory(prefix=".onnx.", dir=info.folder) as name:
        staged = Path(name) / ONNX_FILE
        staged.write_bytes(graph)
        difference, patches = _parity(info, Path(name))
        if not difference <= PARITY:
            raise ModelError(
                f"ONNX Runtime's probabilities differ from Paddle's by {difference:.2g}, "
                f"allowed is {PARITY:g}",
                where=str(info.folder),
                remedy="no file was written; try another --opset",
            )
        target = info.folder / ONNX_FILE
        staged.replace(target)
    _note(info, target, opset, difference)
    return Converted(target, difference, patches)


def _paddle2onnx(info: ModelInfo, opset: int) -> bytes:
    """The converted graph, serialized. paddle2onnx talks on stdout; that is kept off ours."""
    try:
        import paddle2onnx
    except ImportError as error:
        raise ModelError(
            f"paddle2onnx is not installed: {error}",
            remedy="pip install 'presence-monitor[onnx]'",
        ) from None
    with _captured_output() as said:
        try:
            graph = paddle2onnx.export(
                str(info.program),
                str(info.params),
                None,
                opset_version=opset,
                auto_upgrade_opset=True,
                enable_onnx_checker=True,
                optimize_tool="none",
            )
        # It logs its own error, then exits or stumbles over the missing result.
        except (Exception, SystemExit):  # noqa: BLE001
            graph = None
        words = said()
    if not graph:
        raise ModelError(
            f"paddle2onnx cannot convert the program: {_reason(words)}",
            where=str(info.program),
            remedy="try another --opset, or export the model again with this Paddle",
        )
    return bytes(graph)


def _tidied(graph: bytes, info: ModelInfo) -> bytes:
    """Drop constants nothing reads, name the free dimension, and say what the model is."""
    try:
        import onnx
    except ImportError as error:
        raise ModelError(
            f"onnx is not installed: {error}", remedy="pip install 'presence-monitor[onnx]'"
        ) from None
    model = onnx.load_from_string(graph)
    outputs = {output.name for output in model.graph.output}
    read = outputs | {name for node in model.graph.node for name in node.input}
    unread = [
        node
        for node in model.graph.node
        if node.op_type == "Constant" and not read & set(node.output)
    ]
    for node in unread:
        model.graph.node.remove(node)
    for initializer in [item for item in model.graph.initializer if item.name not in read]:
        model.graph.initializer.remove(initializer)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    del model.graph.value_info[:]
    for key, text in (("model_id", info.model_id), ("labels", ",".join(info.labels))):
        model.metadata_props.add(key=key, value=text)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _parity(info: ModelInfo, staged: Path) -> tuple[float, int]:
    golden = Golden.load(info.folder)
    patches = np.concatenate([sample_patches(), *(golden.patches if golden else ())])
    expected = PaddlePredictor(info).run(patches)
    found = OnnxPredictor(replace(info, folder=staged)).run(patches)
    return float(np.abs(found - expected).max()), len(patches)


def _note(info: ModelInfo, file: Path, opset: int, difference: float) -> None:
    path = info.folder / CARD
    card: dict[str, Any] = read_json(path) if path.is_file() else {"labels": list(info.labels)}
    card.setdefault("files", {})[ONNX_FILE] = sha256_of(file)
    card["onnx"] = {"opset": opset, "max_difference": difference}
    write_json(path, card)


@contextmanager
def _captured_output() -> Iterator[Callable[[], str]]:
    """Gives what Python and C++ have written to stdout and stderr since the block began."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:

        def said() -> str:
            words.flush()
            words.seek(0)
            return words.read()

        kept = os.dup(1), os.dup(2)
        os.dup2(words.fileno(), 1)
        os.dup2(words.fileno(), 2)
        try:
            with redirect_stdout(words), redirect_stderr(words):
                yield said
        finally:
            for stream, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, stream)
                os.close(copy)


def _reason(words: str) -> str:
    """The telling line of what paddle2onnx said: its `Failed to …`, or the last of an error."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", words)
    lines = [line.strip() for line in plain.splitlines() if line.strip(" .")]
    failed = [line.partition("Failed to")[2] for line in lines if "Failed to" in line]
    if failed:
        return f"failed to{failed[0]}"[:400]
    telling = [line for line in lines if "error" in line.lower() or line.startswith("(")]
    return (telling or lines or ["it gives no reason"])[-1][:400]
