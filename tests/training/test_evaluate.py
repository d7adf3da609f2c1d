"""Evaluation: lists and CSVs in, the right numbers, plots and mistakes out."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from monitor.cli.model import app
from monitor.config.camera import ViewKind
from monitor.errors import InputError, UsageError
from monitor.inference.backend import Backend
from monitor.training.card import sha256_of
from monitor.training.contact_sheet import SIDE, Captioned, contact_sheet
from monitor.training.evaluate import evaluate, write_evaluation
from monitor.training.labelled import read_labelled
from monitor.training.metrics import auroc, tpr_at_fpr
from monitor.training.scoring import open_scorer, score_files

ARCH = "PPLCNet_x0_25"


def brightness(patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A scorer without a network: the mean of a patch."""
    return (patches.mean(axis=(1, 2, 3)) / 255.0).astype(np.float32)


@pytest.fixture
def lit(tmp_path: Path) -> Path:
    """Twenty plain pictures of rising brightness in folders `a` and `b`, and their CSV.

    The upper ten show someone, except that picture 12 is empty and 5 is not.
    """
    rows = []
    for index in range(20):
        folder = "a" if index % 2 else "b b"
        (tmp_path / folder).mkdir(exist_ok=True)
        name = f"{folder}/ü {index}.png"
        data = cv2.imencode(".png", np.full((240, 300, 3), 12 * index, np.uint8))[1]
        (tmp_path / name).write_bytes(data.tobytes())
        label = int((index >= 10) != (index in {5, 12}))
        rows.append([name, label, 0.02 * index if label else 0.0, f"camera {index % 3}"])
    rows.append(["a/none.png", "skip", 0.01, "camera 0"])
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "max_person_box_fraction", "source"])
        writer.writerows(rows)
    lines = "".join(f"{name} {label}\n" for name, label, *_ in rows[:20])
    (tmp_path / "list.txt").write_text(lines, encoding="utf-8")
    return tmp_path


def test_numbers_are_those_of_the_metrics(lit: Path) -> None:
    items = read_labelled(lit / "labels.csv", None)
    done: list[int] = []
    result = evaluate(brightness, items, max_fpr=0.1, batch_size=7, progress=done.append)
    expected = np.array([12 * index / 255 for index in range(20)], np.float32)
    np.testing.assert_allclose(result.scores, expected, atol=1e-6)
    labels = [item.label for item in items]
    assert result.point == tpr_at_fpr(result.scores, labels, 0.1)
    assert result.report["auroc"] == auroc(result.scores, labels)
    assert result.point.tpr == pytest.approx(0.9)
    assert (result.report["n_pos"], result.report["n_neg"]) == (10, 10)
    low, high = result.report["ci95"]["tpr"]
    assert low <= result.point.tpr <= high
    assert [point["max_fpr"] for point in result.report["operating_points"]] == [
        0.001,
        0.01,
        0.05,
        0.1,
    ]
    assert sum(done) == 20


def test_breakdowns_by_source_and_by_size(lit: Path) -> None:
    report = evaluate(brightness, read_labelled(lit / "labels.csv", None)).report
    assert [row["source"] for row in report["by_source"]] == ["camera 0", "camera 1", "camera 2"]
    assert sum(row["n_pos"] for row in report["by_source"]) == 10
    assert [(row["size"], row["n_pos"]) for row in report["by_size"]] == [
        ("3-10 %", 1),
        ("> 10 %", 9),
    ]
    small, large = report["by_size"]
    assert small["auroc"] == pytest.approx(0.5)
    assert large["auroc"] == pytest.approx(1 - 2 / 90)


def test_a_list_file_with_spaces_and_umlauts(lit: Path) -> None:
    items = read_labelled(lit / "list.txt", lit)
    assert len(items) == 20
    assert {item.source for item in items} == {"a", "b b"}
    moved = lit / "elsewhere"
    moved.mkdir()
    shutil.copyfile(lit / "list.txt", moved / "list.txt")
    assert read_labelled(moved / "list.txt", lit) == items
    with pytest.raises(InputError, match="20 listed pictures do not exist"):
        read_labelled(moved / "list.txt", None)


def test_folders_of_the_classes_are_no_sources(tmp_path: Path) -> None:
    names = ("nobody/dock/1.png", "someone/dock/2.png", "someone/3.png", "yard/4.png")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "list.txt").write_text("".join(f"{name} 1\n" for name in names))
    items = read_labelled(tmp_path / "list.txt", None)
    assert [item.source for item in items] == ["dock", "dock", "", "yard"]


def test_sources_come_from_a_second_file(lit: Path) -> None:
    items = read_labelled(lit / "list.txt", None, lit / "labels.csv")
    assert {item.source for item in items} == {"camera 0", "camera 1", "camera 2"}
    assert items[15].person_share == pytest.approx(0.3)
    (lit / "other.csv").write_text("path,source\nnone.png,x\n")
    with pytest.raises(InputError, match="no path of this file"):
        read_labelled(lit / "list.txt", None, lit / "other.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\na.png\n", "lacks label"),
        ("path,label\nb b/ü 0.png,2\n", "label '2' is none"),
        ("path,label\n../x.png,1\n", "leads outside"),
        ("path,label\nnone.png,1\n", "1 listed pictures do not exist: none.png"),
        ("path,label\nb b/ü 0.png,skip\n", "no labelled picture"),
        ("path,label,max_person_box_fraction\nb b/ü 0.png,1,7\n", "no share"),
        ("", "lacks label, path"),
    ],
)
def test_bad_csv_is_refused_with_its_line(lit: Path, text: str, message: str) -> None:
    (lit / "bad.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_labelled(lit / "bad.csv", None)


def test_missing_files_are_refused(lit: Path) -> None:
    for name in ("none.csv", "none.txt"):
        with pytest.raises(InputError):
            read_labelled(lit / name, None)


def test_one_class_only_is_refused_before_scoring(lit: Path) -> None:
    items = [item for item in read_labelled(lit / "labels.csv", None) if item.label == 0]

    def never(_: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise AssertionError("scored")

    with pytest.raises(InputError, match="class 1"):
        evaluate(never, items)


def test_unreadable_pictures_are_named_and_not_counted(lit: Path) -> None:
    (lit / "a" / "ü 3.png").write_bytes(b"no picture")
    items = read_labelled(lit / "labels.csv", None)
    result = evaluate(brightness, items)
    assert [entry["path"] for entry in result.report["unreadable"]] == ["a/ü 3.png"]
    assert result.report["n_neg"] == 9
    assert len(result.scores) == len(result.items) == 19


def test_tiles_take_the_highest_patch(tmp_path: Path) -> None:
    picture = np.zeros((400, 600, 3), np.uint8)
    picture[:100, :100] = 255
    cv2.imwrite(str(tmp_path / "corner.png"), picture)
    scored = {
        view: score_files(brightness, [tmp_path / "corner.png"], view).scores[0]
        for view in (ViewKind.STRETCH, ViewKind.TILES)
    }
    assert scored[ViewKind.STRETCH] == pytest.approx(1 / 24, abs=0.002)
    assert scored[ViewKind.TILES] == pytest.approx(1 / 24 / 0.36, abs=0.005)


def test_output_folder_has_report_scores_plots_and_mistakes(lit: Path) -> None:
    result = evaluate(brightness, read_labelled(lit / "labels.csv", None), max_fpr=0.1)
    folder = lit / "evaluation"
    paths = write_evaluation(result, folder)
    assert (
        {path.name for path in folder.iterdir()}
        == set(paths)
        == {
            "report.json",
            "scores.csv",
            "mistakes.png",
            "roc.png",
            "pr.png",
            "histogram.png",
            "calibration.png",
        }
    )
    assert json.loads((folder / "report.json").read_text()) == result.report
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[12]["score"]) == pytest.approx(result.scores[12], abs=1e-6)
    for name in ("roc.png", "mistakes.png"):
        assert cv2.imread(str(folder / name)) is not None
    # Red frames: the empty picture above the threshold, the person below it.
    sheet = cv2.imread(str(folder / "mistakes.png"))
    red = np.all(sheet == (40, 50, 190), axis=2)
    fields = cv2.connectedComponents(red.astype(np.uint8))[0] - 1
    assert fields == 2


def test_contact_sheet_copes_with_anything() -> None:
    tall = np.full((900, 3, 3), 7, np.uint8)
    fields = [Captioned(tall, ("ä" * 60, "second line")), Captioned(None, ())]
    sheet = contact_sheet(fields, columns=1, title="two")
    assert sheet.shape[0] > 2 * SIDE
    assert (sheet == 7).all(axis=2).any()
    assert contact_sheet([], title="nothing").shape[2] == 3


def test_weights_and_their_export_score_alike(
    weights: Path, exported: Path, pictures: Path
) -> None:
    files = sorted(pictures.iterdir())
    straight = score_files(open_scorer(weights, arch=ARCH), files, ViewKind.PULC)
    folder = score_files(open_scorer(exported), files, ViewKind.PULC, batch_size=3)
    np.testing.assert_allclose(straight.scores, folder.scores, atol=1e-5)
    assert np.ptp(straight.scores) > 0.01
    with pytest.raises(UsageError, match="Paddle only"):
        open_scorer(weights, arch=ARCH, backend=Backend.ONNXRUNTIME)


runner = CliRunner()


def test_evaluate_prints_the_promised_json(lit: Path, exported: Path) -> None:
    arguments = ["--model", str(exported), "--list", str(lit / "labels.csv"), "--format", "json"]
    result = runner.invoke(app, ["evaluate", *arguments])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert {"threshold", "fpr", "tpr", "auroc", "n_pos", "n_neg"} <= set(report)
    assert report["list"] == f"{lit.name}/labels.csv"
    assert report["weights_sha256"] == sha256_of(exported / "inference.pdiparams")


def test_evaluate_prints_tables_for_people(lit: Path, exported: Path) -> None:
    arguments = ["--model", str(exported), "--list", str(lit / "labels.csv")]
    result = runner.invoke(app, ["evaluate", *arguments, "--output", str(lit / "out")])
    assert result.exit_code == 0, result.output
    for text in ("10 someone, 10 nobody", "AUROC", "> 10 %", "camera 2"):
        assert text in result.stdout
    assert f"wrote {lit / 'out' / 'mistakes.png'}" in result.stderr


def test_evaluate_asks_for_matplotlib_before_scoring(
    lit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = ["--model", "none", "--list", str(lit / "labels.csv"), "--output", str(lit / "o")]
    result = runner.invoke(app, ["evaluate", *arguments])
    assert isinstance(result.exception, UsageError)
    assert "matplotlib" in str(result.exception)


def test_evaluate_exits_1_when_pictures_are_unreadable(lit: Path, exported: Path) -> None:
    (lit / "a" / "ü 3.png").write_bytes(b"no picture")
    arguments = ["--model", str(exported), "--list", str(lit / "labels.csv"), "--format", "csv"]
    result = runner.invoke(app, ["evaluate", *arguments])
    assert result.exit_code == 1
    assert "ü 3.png" in result.stderr
    assert result.stdout.startswith("threshold,fpr,tpr,auroc,n_pos,n_neg")


def test_infer_gives_paddleclas_results(weights: Path, pictures: Path) -> None:
    arguments = ["--weights", str(weights), "--arch", ARCH, "--format", "json"]
    result = runner.invoke(app, ["infer", str(pictures), *arguments])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(row["filename"]).name for row in rows] == [f"p{n}.png" for n in range(8)]
    files = sorted(pictures.iterdir())
    scores = score_files(open_scorer(weights, arch=ARCH), files, ViewKind.PULC).scores
    for row, score in zip(rows, scores, strict=True):
        assert row["class_ids"] == [int(score >= 0.5)]
        assert row["scores"][0] == pytest.approx(max(score, 1 - score), abs=1e-6)
        assert row["label_names"] == [["nobody", "someone"][row["class_ids"][0]]]


def test_infer_names_what_it_cannot_read(weights: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copyfile(pictures / "p0.png", tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    arguments = ["--weights", str(weights), "--arch", ARCH, "--format", "json"]
    result = runner.invoke(app, ["infer", str(tmp_path), *arguments])
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1
    assert "bad.png" in result.stderr
    result = runner.invoke(app, ["infer", str(tmp_path / "none"), *arguments])
    assert isinstance(result.exception, InputError)
