"""Conversion to ONNX: the same scores for any batch, or no file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import ModelError
from monitor.inference.model import ModelInfo
from monitor.inference.onnx import OnnxPredictor
from monitor.inference.predictor import PaddlePredictor
from monitor.training import convert as convert_module
from monitor.training.card import sha256_of
from monitor.training.convert import convert_model
from monitor.training.export import sample_patches


@pytest.fixture(scope="module")
def converted(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx") / "small"
    shutil.copytree(exported, folder)
    result = convert_model(folder)
    assert result.max_difference <= 1e-5
    assert result.patches == 14
    return folder


@pytest.mark.parametrize("count", [1, 3, 8, 11])
def test_onnx_runtime_scores_as_paddle(converted: Path, count: int) -> None:
    info = ModelInfo.load(converted)
    patches = sample_patches(count, seed=2)
    expected = PaddlePredictor(info).run(patches)
    np.testing.assert_allclose(OnnxPredictor(info).run(patches), expected, atol=1e-5)


def test_any_batch_fits_and_the_graph_is_tidy(converted: Path) -> None:
    import onnx
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(converted / "inference.onnx"), providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].shape == ["batch", 3, 224, 224]
    out = session.run(None, {session.get_inputs()[0].name: np.zeros((5, 3, 224, 224), "f4")})
    assert out[0].shape == (5, 2)
    graph = onnx.load(str(converted / "inference.onnx")).graph
    read = {name for node in graph.node for name in node.input} | {graph.output[0].name}
    made = {name for node in graph.node for name in node.output}
    assert made | {item.name for item in graph.initializer} <= read


def test_card_notes_the_file(converted: Path) -> None:
    card = json.loads((converted / "model.json").read_text())
    assert card["files"]["inference.onnx"] == sha256_of(converted / "inference.onnx")
    assert card["onnx"]["max_difference"] <= 1e-5


def test_scores_that_differ_are_refused_and_the_former_file_stays(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "small"
    shutil.copytree(exported, folder)
    (folder / "inference.onnx").write_bytes(b"former")
    run = OnnxPredictor.run

    def shifted(self: OnnxPredictor, patches: np.ndarray) -> np.ndarray:
        return run(self, patches) + np.float32(2e-5)

    monkeypatch.setattr(OnnxPredictor, "run", shifted)
    with pytest.raises(ModelError, match=r"differ from Paddle's by 2(\.\d)?e-05"):
        convert_model(folder)
    assert (folder / "inference.onnx").read_bytes() == b"former"
    assert "onnx" not in json.loads((folder / "model.json").read_text())
    assert not list(folder.glob(".onnx*"))


def test_paddle2onnx_failing_is_told_without_its_noise(
    exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "small"
    shutil.copytree(exported, folder)
    program = json.loads((folder / "inference.json").read_text())
    program["base_code"]["magic"] = "other"
    (folder / "inference.json").write_text(json.dumps(program))
    with pytest.raises(ModelError, match=r"cannot convert.*Invalid model file"):
        convert_module.convert_model(folder)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
