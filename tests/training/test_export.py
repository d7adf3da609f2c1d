"""Export: the program scores as the network does, and a failed export leaves no trace."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from monitor.cli.model import app
from monitor.config.inference import Precision
from monitor.errors import InputError, ModelError, UsageError
from monitor.inference.model import ModelInfo
from monitor.inference.openvino import OpenVinoPredictor
from monitor.inference.predictor import PaddlePredictor
from monitor.inference.selftest import Golden, self_test
from monitor.training import export as export_module
from monitor.training.card import describe, read_about, read_evaluation, sha256_of
from monitor.training.export import ExportJob, export_model, sample_patches
from monitor.training.trained import load_network, probabilities, read_weights

ARCH = "PPLCNet_x0_25"
CARD = describe(name="small", version="1", arch=ARCH, threshold=0.5)


def test_program_scores_as_the_network(exported: Path, weights: Path) -> None:
    patches = sample_patches(9, seed=1)
    expected = probabilities(load_network(ARCH, weights), patches)
    assert np.ptp(expected[:, 1]) > 0.05, "the pictures must differ for this test to mean much"
    found = PaddlePredictor(ModelInfo.load(exported)).run(patches)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)


def test_folder_holds_card_and_golden_scores(exported: Path) -> None:
    card = json.loads((exported / "model.json").read_text())
    assert card["labels"] == ["nobody", "someone"]
    assert card["thresholds"]["default"] == 0.5
    files = ("inference.json", "inference.pdmodel", "inference.pdiparams")
    assert card["files"] == {name: sha256_of(exported / name) for name in files}
    golden = Golden.load(exported)
    assert golden is not None
    assert golden.names == ("p0.png", "p1.png")
    predictor = PaddlePredictor(ModelInfo.load(exported))
    self_test(predictor, golden, Precision.FP32, exported)


def test_exporting_again_keeps_foreign_files_and_drops_stale_ones(
    exported: Path, weights: Path, tmp_path: Path
) -> None:
    output = tmp_path / "small"
    shutil.copytree(exported, output)
    (output / "recipe").mkdir()
    (output / "recipe" / "notes.txt").write_text("mine")
    (output / "inference.onnx").write_bytes(b"of former weights")
    (output / "inference.pdiparams").write_bytes(b"former")
    result = export_model(ExportJob(weights, output, CARD, ARCH))
    assert result.golden == 2
    assert (output / "recipe" / "notes.txt").read_text() == "mine"
    assert not (output / "inference.onnx").exists()
    assert sha256_of(output / "inference.pdiparams") == sha256_of(exported / "inference.pdiparams")
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_program_that_scores_otherwise_is_not_put_in_place(
    exported: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_network(network: object, folder: Path) -> None:
        for name in ("inference.json", "inference.pdiparams"):
            shutil.copyfile(exported / name, folder / name)

    monkeypatch.setattr(export_module, "save_program", other_network)
    import paddle

    state = read_weights(weights)
    state["fc.bias"] = state["fc.bias"] + np.array([0.0, 1.0], np.float32)
    changed = tmp_path / "changed.pdparams"
    paddle.save(state, str(changed))
    with pytest.raises(ModelError, match="differs from the network"):
        export_model(ExportJob(changed, tmp_path / "models" / "bad", CARD, ARCH))
    assert list((tmp_path / "models").iterdir()) == []


def test_weights_that_do_not_fit(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not this network's"):
        export_model(ExportJob(weights, tmp_path / "out", CARD, "PPLCNet_x0_5"))
    with pytest.raises(UsageError, match="PPLCNet_x0_25"):
        export_model(ExportJob(weights, tmp_path / "out", CARD, "PPLCNet_x9"))
    with pytest.raises(ModelError, match="cannot read"):
        export_model(ExportJob(tmp_path / "none.pdparams", tmp_path / "out", CARD, ARCH))
    assert list(tmp_path.iterdir()) == []


def test_metrics_of_other_weights_are_refused(
    exported: Path, weights: Path, tmp_path: Path
) -> None:
    for digest in (sha256_of(weights), sha256_of(exported / "inference.pdiparams"), None):
        card = CARD | {"metrics": [{"view": "pulc", "weights_sha256": digest}]}
        export_module._refuse_foreign_metrics(ExportJob(weights, tmp_path, card), exported)
    card = CARD | {"metrics": [{"view": "pulc", "list": "val", "weights_sha256": "00" * 32}]}
    with pytest.raises(ModelError, match="val, view pulc, is not of these weights"):
        export_model(ExportJob(weights, tmp_path / "models" / "out", card, ARCH))
    assert list((tmp_path / "models").iterdir()) == []


def test_a_model_folder_can_be_exported_again(exported: Path, tmp_path: Path) -> None:
    again = export_model(ExportJob(exported, tmp_path / "again", CARD, ARCH)).folder
    assert sha256_of(again / "inference.pdiparams") == sha256_of(exported / "inference.pdiparams")


def test_an_output_that_is_a_file(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="is a file"):
        export_model(ExportJob(weights, tmp_path / "out", CARD, ARCH))


def test_golden_pictures_are_looked_at_first(weights: Path, pictures: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match="no picture"):
        export_model(ExportJob(weights, tmp_path / "out", CARD, ARCH, (broken,)))
    many = tmp_path / "many"
    many.mkdir()
    for index in range(17):
        shutil.copyfile(pictures / "p0.png", many / f"{index}.png")
    with pytest.raises(InputError, match="17 golden pictures are too many"):
        export_model(ExportJob(weights, tmp_path / "out", CARD, ARCH, (many,)))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no golden picture"):
        export_model(ExportJob(weights, tmp_path / "out", CARD, ARCH, (empty,)))
    assert not (tmp_path / "out").exists()


class _Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch /tmp/harm-done-by-a-pickle",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"fc.weight": _Harmful()}),
        pickle.dumps({"fc.weight": "no array"}),
        pickle.dumps([1, 2]),
        b"no pickle",
        b"",
    ],
)
def test_weights_are_arrays_or_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.pdparams"
    file.write_bytes(content)
    with pytest.raises(ModelError):
        read_weights(file)
    assert not Path("/tmp/harm-done-by-a-pickle").exists()


def test_weights_of_old_paddle_are_read(tmp_path: Path) -> None:
    import paddle

    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    for protocol in (2, 4):
        paddle.save({"w": paddle.to_tensor(value)}, str(tmp_path / "x.pdparams"), protocol=protocol)
        np.testing.assert_array_equal(read_weights(tmp_path / "x.pdparams")["w"], value)
    (tmp_path / "y.pdparams").write_bytes(pickle.dumps({"w": ("conv_0.w_0", value)}))
    np.testing.assert_array_equal(read_weights(tmp_path / "y.pdparams")["w"], value)


def report(view: str, listed: str = "val/labels.csv") -> dict[str, object]:
    points = [{"max_fpr": 0.001, "threshold": 0.98}, {"max_fpr": 0.01, "threshold": 0.9}]
    return {
        "list": listed,
        "view": view,
        "auroc": 0.9,
        "n_pos": 3,
        "n_neg": 4,
        "operating_points": points,
    }


def test_card_takes_thresholds_of_each_view(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(report("tiles")))
    reports = [read_evaluation(tmp_path / "report.json"), report("pulc")]
    card = describe(name="a", version="2", arch=ARCH, threshold=0.7, evaluations=reports)
    assert card["thresholds"]["by_view"]["tiles"] == {"fpr_0.001": 0.98, "fpr_0.01": 0.9}
    assert card["thresholds"]["default"] == 0.7
    assert [entry["view"] for entry in card["metrics"]] == ["tiles", "pulc"]
    with pytest.raises(UsageError, match="tiles"):
        describe(name="a", version="2", arch=ARCH, threshold=0.7, evaluations=reports * 2)


def test_what_is_no_report_or_prose_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for text, message in (("{", "no JSON"), ("[]", "no JSON object"), ('{"view": 1}', "lacks")):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            read_evaluation(file)
    file.write_text('{"labels": ["a", "b"]}')
    with pytest.raises(InputError, match="labels"):
        read_about(file)
    file.write_text('{"limits": "small persons"}')
    assert read_about(file) == {"limits": "small persons"}


def test_the_commands_export_and_convert(
    weights: Path, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text(json.dumps(report("tiles")))
    (tmp_path / "about.json").write_text('{"limits": "small persons"}')
    output = tmp_path / "models" / "mine"
    arguments = ["--weights", str(weights), "--arch", ARCH, "--output", str(output)]
    arguments += [
        "--metrics",
        str(tmp_path / "report.json"),
        "--about",
        str(tmp_path / "about.json"),
    ]
    arguments += ["--golden", str(pictures / "p3.png"), "--threshold", "0.7", "--format", "json"]
    result = CliRunner().invoke(app, ["export", *arguments])
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert (row["model"], row["golden"]) == (str(output), 1)
    card = json.loads((output / "model.json").read_text())
    assert (card["name"], card["limits"]) == ("mine", "small persons")
    assert card["thresholds"]["by_view"] == {"tiles": {"fpr_0.001": 0.98, "fpr_0.01": 0.9}}
    assert ModelInfo.load(output).threshold == 0.7
    result = CliRunner().invoke(app, ["convert", "--model", str(output), "--format", "csv"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "file,max_difference,patches"
    assert "Paddle2ONNX" not in capfd.readouterr().out
    assert CliRunner().invoke(app, ["verify", "--model", str(output)]).exit_code == 0


def test_no_path_of_this_machine_is_in_the_programs(exported: Path) -> None:
    for name in ("inference.json", "inference.pdmodel"):
        assert b".py" not in (exported / name).read_bytes()


def test_both_programs_score_the_same(exported: Path) -> None:
    patches = sample_patches(5, seed=3)
    by_openvino = OpenVinoPredictor(ModelInfo.load(exported))
    by_onednn = PaddlePredictor(ModelInfo.load(exported))
    np.testing.assert_allclose(by_openvino.run(patches), by_onednn.run(patches), atol=1e-5)
