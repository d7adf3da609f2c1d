from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.config.inference import Device, Engine, InferenceConfig, Precision
from monitor.errors import ModelError
from monitor.inference import predictor as predictor_module
from monitor.inference.backend import Backend, open_predictor
from monitor.inference.model import ModelInfo, find_model
from monitor.inference.openvino import OpenVinoPredictor
from monitor.inference.predictor import BUCKETS, BatchPredictor, PaddlePredictor, split
from monitor.inference.selftest import Golden, compare, self_test, synthetic_patch

from .conftest import copy_model, make_model
from .frames import patches_of


@settings(deadline=None)
@given(st.integers(0, 300))
def test_batches_are_split_into_buckets_without_padding(count: int) -> None:
    parts = list(split(count))
    assert sum(size for _, size in parts) == count
    assert [start for start, _ in parts] == list(np.cumsum([0] + [s for _, s in parts])[:-1])
    assert {size for _, size in parts} <= set(BUCKETS)


@pytest.mark.parametrize("engine", Engine)
def test_paddle_scores_each_patch_in_its_place(both_programs: Path, engine: Engine) -> None:
    predictor = open_predictor(ModelInfo.load(both_programs), engine=engine)
    assert isinstance(predictor, OpenVinoPredictor) == (engine is Engine.OPENVINO)
    reds = np.arange(0, 255, 17)
    scores = predictor.run(patches_of(*reds))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores[:, 1], reds / 255, atol=1e-3)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-3)
    np.testing.assert_array_equal(predictor.run([patches_of(17)[0]])[0], scores[1])
    assert predictor.run(patches_of()).shape == (0, 2)


def test_without_the_program_for_openvino_onednn_computes(tiny_model: Path) -> None:
    predictor = open_predictor(ModelInfo.load(tiny_model), engine=Engine.OPENVINO)
    assert isinstance(predictor, PaddlePredictor)


def test_what_openvino_fails_on_onednn_computes(
    both_programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = predictor_module.whole_paddle().create_predictor

    def fail(config: Any) -> Any:
        if config.openvino_engine_enabled():
            raise RuntimeError("an operator is unknown")
        return create(config)

    monkeypatch.setattr(predictor_module.whole_paddle(), "create_predictor", fail)
    predictor = open_predictor(ModelInfo.load(both_programs), engine=Engine.OPENVINO)
    assert isinstance(predictor, PaddlePredictor)
    assert predictor.run(patches_of(51))[0, 1] == pytest.approx(0.2, abs=1e-3)


def test_legacy_models_load(legacy_model: Path) -> None:
    model = ModelInfo.load(legacy_model)
    assert model.program.name == "inference.pdmodel"
    scores = PaddlePredictor(model).run(patches_of(51))
    assert scores[0, 1] == pytest.approx(0.2, abs=1e-3)


def test_model_info_reads_the_card(tiny_model: Path, tmp_path: Path) -> None:
    plain = ModelInfo.load(tiny_model)
    assert (plain.labels, plain.threshold) == (("nobody", "someone"), 0.5)
    copy_model(tiny_model, tmp_path)
    card = {"labels": ["leer", "besetzt"], "thresholds": {"default": 0.7}, "more": 1}
    (tmp_path / "model.json").write_text(json.dumps(card))
    model = ModelInfo.load(tmp_path)
    assert (model.labels, model.threshold) == (("leer", "besetzt"), 0.7)
    assert model.model_id == f"{tmp_path.name}-{plain.model_id.rpartition('-')[2]}"


@pytest.mark.parametrize(
    ("card", "what"),
    [
        ("{", "no JSON"),
        ("[]", "no model card"),
        ('{"labels": ["a", "b", "c"]}', "two names"),
        ('{"labels": [1, 2]}', "two names"),
        ('{"thresholds": {"default": 1.5}}', "between 0 and 1"),
        ('{"thresholds": [0.5]}', "between 0 and 1"),
    ],
)
def test_broken_cards_are_refused(tiny_model: Path, tmp_path: Path, card: str, what: str) -> None:
    copy_model(tiny_model, tmp_path)
    (tmp_path / "model.json").write_text(card)
    with pytest.raises(ModelError, match=what):
        ModelInfo.load(tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model folder"):
        ModelInfo.load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"has no inference\.json or inference\.pdmodel"):
        ModelInfo.load(tmp_path)
    (tmp_path / "inference.pdmodel").write_bytes(b"{")
    with pytest.raises(ModelError, match=r"has no inference\.pdiparams"):
        ModelInfo.load(tmp_path)
    (tmp_path / "inference.pdiparams").write_bytes(b"")
    with pytest.raises(ModelError, match="no Paddle program"):
        ModelInfo.load(tmp_path)


def test_models_are_found_from_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model(Path("models")) == Path(__file__).resolve().parents[2] / "models"
    (tmp_path / "models").mkdir()
    assert find_model(Path("models")) == tmp_path / "models"


@pytest.mark.parametrize("damage", ["params", "program"])
def test_corrupt_files_are_a_model_error(tiny_model: Path, tmp_path: Path, damage: str) -> None:
    copy_model(tiny_model, tmp_path)
    name = "inference.pdiparams" if damage == "params" else "inference.json"
    (tmp_path / name).write_bytes((tiny_model / name).read_bytes()[:20])
    with pytest.raises(ModelError, match="Paddle cannot load the model"):
        PaddlePredictor(ModelInfo.load(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "what"),
    [(("3",), "instead of probabilities"), (("2", "96"), "does not take float32")],
)
def test_models_of_another_shape_are_refused(
    tmp_path: Path, arguments: tuple[str, ...], what: str
) -> None:
    model = ModelInfo.load(make_model(tmp_path / "odd", *arguments))
    with pytest.raises(ModelError, match=what):
        PaddlePredictor(model)


def test_devices_and_precisions_that_are_not_there(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = ModelInfo.load(tiny_model)
    with pytest.raises(ModelError, match="device gpu is asked for"):
        PaddlePredictor(model, device=Device.GPU)
    with pytest.raises(ModelError, match="bf16 needs the CPU"):
        PaddlePredictor(model, precision=Precision.BF16, engine=Engine.PLAIN)
    cpu = tmp_path / "cpuinfo"
    cpu.write_text("flags: sse avx2")
    monkeypatch.setattr(predictor_module, "CPUINFO", cpu)
    with pytest.raises(ModelError, match="bf16 is asked for"):
        PaddlePredictor(model, precision=Precision.BF16)


class Fixed(BatchPredictor):
    """Scores everything with `someone`."""

    def __init__(self, someone: float) -> None:
        super().__init__()
        self.someone = someone

    def _infer(self, batch: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([1 - self.someone, self.someone]), (len(batch), 1))


GOLDEN = Golden(("a.jpg",), (patches_of(1),), (0.25,), 1e-3)


@pytest.mark.parametrize(
    ("someone", "precision", "passes"),
    [
        (0.2505, Precision.FP32, True),
        (0.2515, Precision.FP32, False),
        (0.29, Precision.BF16, True),
        (0.31, Precision.BF16, False),
        (float("nan"), Precision.FP32, False),
    ],
)
def test_golden_scores(someone: float, precision: Precision, passes: bool) -> None:
    if passes:
        self_test(Fixed(someone), GOLDEN, precision, Path("m"))
        compare(Fixed(someone), Fixed(0.25), GOLDEN, precision, Path("m"))
        return
    with pytest.raises(ModelError, match=r"a\.jpg scored"):
        self_test(Fixed(someone), GOLDEN, precision, Path("m"))
    with pytest.raises(ModelError, match=r"with plain kernels 0\.25"):
        compare(Fixed(someone), Fixed(0.25), GOLDEN, precision, Path("m"))


def test_without_golden_pictures_a_synthetic_one_is_compared() -> None:
    self_test(Fixed(0.5), None, Precision.FP32, Path("m"))
    with pytest.raises(ModelError, match="a synthetic picture scored"):
        compare(Fixed(0.5), Fixed(0.6), None, Precision.FP32, Path("m"))
    assert synthetic_patch().shape == (1, 224, 224, 3)
    assert synthetic_patch().std() > 30


@pytest.mark.parametrize(
    "record", ["{", "[]", '{"pictures": [{"file": "a"}]}', '{"view": "odd", "pictures": []}']
)
def test_broken_golden_records_are_refused(tmp_path: Path, record: str) -> None:
    assert Golden.load(tmp_path) is None
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "scores.json").write_text(record)
    with pytest.raises(ModelError, match="no record of golden scores"):
        Golden.load(tmp_path)


def test_onnx_runtime_scores_the_same(onnx_model: Path) -> None:
    model = ModelInfo.load(onnx_model)
    patches = patches_of(*range(0, 250, 13))
    onnx = open_predictor(model, Backend.ONNXRUNTIME).run(patches)
    paddle = open_predictor(model).run(patches)
    np.testing.assert_allclose(onnx, paddle, atol=1e-3)


def test_onnx_runtime_needs_its_file(tiny_model: Path, onnx_model: Path) -> None:
    with pytest.raises(ModelError, match=r"no inference\.onnx"):
        open_predictor(ModelInfo.load(tiny_model), Backend.ONNXRUNTIME)
    (onnx_model / "inference.onnx").write_bytes(b"broken")
    with pytest.raises(ModelError, match="ONNX Runtime cannot load"):
        open_predictor(ModelInfo.load(onnx_model), Backend.ONNXRUNTIME)


@pytest.mark.parametrize("same", [True, False])
def test_onnx_runtime_refuses_a_file_of_other_weights(onnx_model: Path, same: bool) -> None:
    import onnx

    model = ModelInfo.load(onnx_model)
    file = onnx.load(str(onnx_model / "inference.onnx"))
    digest = model.model_id.rpartition("-")[2] if same else "0123456789ab"
    file.metadata_props.add(key="model_id", value=f"formerly-{digest}")
    onnx.save(file, str(onnx_model / "inference.onnx"))
    if same:
        open_predictor(model, Backend.ONNXRUNTIME)
        return
    with pytest.raises(ModelError, match=r"other weights: formerly-0123456789ab"):
        open_predictor(model, Backend.ONNXRUNTIME)


def test_onnx_runtime_is_optional(onnx_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="ONNX Runtime is not installed"):
        open_predictor(ModelInfo.load(onnx_model), Backend.ONNXRUNTIME)


@pytest.mark.parametrize("more", [{"device": "gpu"}, {"precision": "bf16"}])
def test_what_onnx_runtime_does_not_do_is_refused(more: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="fp32 on the cpu only"):
        InferenceConfig.model_validate({"backend": "onnxruntime", **more})
