"""Verification finds changed files, changed weights, and weights that are not PaddleClas's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import InputError, ModelError
from monitor.training import verify as verify_module
from monitor.training.official import OFFICIAL_GOLDEN
from monitor.training.trained import read_weights
from monitor.training.verify import require_passed, verify_model


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "small"))


def failed(folder: Path, golden_dir: Path | None = None) -> set[tuple[str, str]]:
    checks = verify_model(folder, golden_dir)
    return {(check.what, check.subject) for check in checks if not check.passed}


def test_an_exported_model_passes(folder: Path) -> None:
    checks = verify_model(folder)
    assert [check.what for check in checks] == [
        "sha256",
        "sha256",
        "sha256",
        "golden",
        "golden",
        "as plain kernels",
    ]
    require_passed(checks, str(folder))


def test_a_changed_file_is_found(folder: Path) -> None:
    card = json.loads((folder / "model.json").read_text())
    card["files"]["inference.pdiparams"] = "0" * 64
    card["files"]["gone.onnx"] = "0" * 64
    (folder / "model.json").write_text(json.dumps(card))
    assert failed(folder) == {("sha256", "inference.pdiparams"), ("sha256", "gone.onnx")}


def test_other_weights_are_found(folder: Path, weights: Path) -> None:
    """One number of the classifier's bias is changed in the file."""
    params = folder / "inference.pdiparams"
    data = params.read_bytes()
    bias = read_weights(weights)["fc.bias"]
    at = data.index(bias.tobytes())
    changed = (bias + np.array([2.0, 0.0], np.float32)).tobytes()
    params.write_bytes(data[:at] + changed + data[at + len(changed) :])
    found = failed(folder)
    assert found == {
        ("sha256", "inference.pdiparams"),
        ("golden", "p0.png"),
        ("golden", "p1.png"),
    }
    with pytest.raises(ModelError, match=r"golden p0\.png") as caught:
        require_passed(verify_model(folder), str(folder))
    assert caught.value.exit_code == 65


def test_official_pictures_are_for_official_weights(
    folder: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = tmp_path / "demo"
    demo.mkdir()
    nobody, someone = OFFICIAL_GOLDEN
    shutil.copyfile(pictures / "p0.png", demo / nobody)
    shutil.copyfile(pictures / "p1.png", demo / someone)
    assert failed(folder, demo) == {("official", nobody), ("official", someone)}
    recorded = json.loads((folder / "golden" / "scores.json").read_text())["pictures"]
    expected = {nobody: recorded[0]["someone"], someone: recorded[1]["someone"] + 5e-4}
    monkeypatch.setattr(verify_module, "OFFICIAL_GOLDEN", expected)
    assert failed(folder, demo) == set()


def test_published_scores_are_paddleclas_own() -> None:
    nobody, someone = OFFICIAL_GOLDEN.values()
    assert 1.0 - nobody == pytest.approx(0.99554, abs=1e-5)
    assert someone == pytest.approx(0.9999976)


def test_a_folder_without_the_pictures(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="objects365_01780782"):
        verify_model(folder, tmp_path)
