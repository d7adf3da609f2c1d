from __future__ import annotations

import json
import os
import signal
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from monitor import PresenceClassifier
from monitor.cli.app import app
from monitor.errors import InputError, ModelError
from monitor.imaging.jpeg import encode
from monitor.inference.classifier import Verdict, find_pictures, verdict

from .frames import patches_of


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder: 25 red pictures, one of them below, one broken, one that is no picture."""
    folder = tmp_path / "pictures"
    (folder / "below ü").mkdir(parents=True)
    for red in range(0, 250, 10):
        name = f"{red:03}.jpg" if red else "below ü/000.JPG"
        (folder / name).write_bytes(encode(patches_of(red)[0], quality=95))
    (folder / "105.jpg").write_bytes(b"broken")
    (folder / "notes.txt").write_text("no picture")
    return folder


def someone(found: Verdict) -> float:
    """P(someone) of a verdict."""
    (score,) = found["scores"]
    return score if found["class_ids"] == [1] else 1 - score


def test_batches_in_order_with_right_scores(tiny_model: Path, pictures: Path) -> None:
    errors: list[InputError] = []
    classifier = PresenceClassifier(tiny_model, batch_size=4)
    batches = list(classifier.predict(pictures, on_unreadable=errors.append))
    assert [len(batch) for batch in batches] == [4] * 6 + [1]
    assert [error.where for error in errors] == [str(pictures / "105.jpg")]
    verdicts = [found for batch in batches for found in batch]
    assert [found["filename"] for found in verdicts] == [
        str(path) for path in find_pictures(pictures) if path.name != "105.jpg"
    ]
    for found in verdicts:
        red = int(Path(found["filename"]).stem)
        assert someone(found) == pytest.approx(red / 255, abs=0.01)
        assert found["label_names"] == ["someone" if red > 127 else "nobody"]


def test_a_folder_passes_no_picture_over_silently(tiny_model: Path, tmp_path: Path) -> None:
    red = Image.fromarray(patches_of(200)[0])
    blue = Image.fromarray(patches_of(0)[0])
    red.save(tmp_path / "moves.gif", save_all=True, append_images=[blue])
    (tmp_path / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    errors: list[InputError] = []
    found = list(
        chain(*PresenceClassifier(tiny_model).predict(tmp_path, on_unreadable=errors.append))
    )
    assert [Path(each["filename"]).name for each in found] == ["moves.gif"]
    assert someone(found[0]) == pytest.approx(200 / 255, abs=0.02)
    assert [error.where for error in errors] == [str(tmp_path / "phone.HEIC")]
    assert "converted" in errors[0].remedy


def test_processes_judge_as_one_does(tiny_model: Path, pictures: Path) -> None:
    def judged(**settings: int) -> list[list[Verdict]]:
        with PresenceClassifier(tiny_model, batch_size=4, **settings) as classifier:
            return list(classifier.predict(pictures, on_unreadable=lambda _: None))

    alone, together = judged(), judged(processes=2)
    assert [[v["filename"] for v in batch] for batch in together] == [
        [v["filename"] for v in batch] for batch in alone
    ]
    for one, other in zip(chain(*alone), chain(*together), strict=True):
        assert someone(other) == pytest.approx(someone(one), abs=1e-6)


def test_a_process_that_dies_or_cannot_load_is_told(tiny_model: Path, tmp_path: Path) -> None:
    with PresenceClassifier(tiny_model, processes=1) as classifier:
        (predictor,) = classifier._predictors
        os.kill(predictor._worker.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        with pytest.raises(ModelError, match="died"):
            list(classifier.predict(patches_of(200)[0]))
    with pytest.raises(ModelError, match=r"no inference\.onnx"):
        PresenceClassifier(tiny_model, processes=1, backend="onnxruntime")


def test_it_is_a_generator_over_batches(tiny_model: Path, pictures: Path) -> None:
    batches = PresenceClassifier(tiny_model, batch_size=2).predict(pictures)
    assert len(next(batches)) == 2
    batches.close()


def test_arrays(tiny_model: Path) -> None:
    classifier = PresenceClassifier(tiny_model, view="stretch")
    one = patches_of(200)[0]
    ((found,),) = classifier.predict(one)
    assert found["filename"] == "array 0"
    assert someone(found) == pytest.approx(200 / 255, abs=1e-3)
    several = [found for batch in classifier.predict([one, patches_of(20)[0]]) for found in batch]
    assert [found["filename"] for found in several] == ["array 0", "array 1"]
    stacked = [found for batch in classifier.predict(patches_of(200, 20)) for found in batch]
    assert stacked == several


def test_tiles_take_the_highest_score(tiny_model: Path) -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[:150, :150, 0] = 255
    ((whole,),) = PresenceClassifier(tiny_model, view="stretch").predict(picture)
    ((tiled,),) = PresenceClassifier(tiny_model, view="tiles").predict(picture)
    assert someone(whole) == pytest.approx(150**2 / 400**2, abs=0.01)
    assert someone(tiled) == pytest.approx(150**2 / 240**2, abs=0.02)


def test_pictures_that_cannot_be_cut_are_left_out(tiny_model: Path) -> None:
    errors: list[InputError] = []
    strip = np.zeros((1, 9000, 3), np.uint8)
    classifier = PresenceClassifier(tiny_model)
    batches = list(classifier.predict([strip, patches_of(9)[0]], on_unreadable=errors.append))
    assert [len(batch) for batch in batches] == [1]
    assert "strip" in errors[0].what
    assert [len(batch) for batch in classifier.predict([strip, patches_of(9)[0]])] == [1]


@pytest.mark.parametrize(
    ("score", "threshold", "expected"),
    [
        (0.5, 0.5, ([1], [0.5], ["b"])),
        (0.4999, 0.5, ([0], [0.5001], ["a"])),
        (1.0, 1.0, ([1], [1.0], ["b"])),
        (0.0, 0.0, ([1], [0.0], ["b"])),
        (0.9793, 0.9794, ([0], [0.0207], ["a"])),
    ],
)
def test_verdicts_are_thresh_outputs(
    score: float, threshold: float, expected: tuple[list[int], list[float], list[str]]
) -> None:
    found = verdict("f", score, threshold, ("a", "b"))
    assert found["class_ids"] == expected[0]
    assert found["scores"] == pytest.approx(expected[1])
    assert found["label_names"] == expected[2]


def test_wrong_numbers_and_empty_inputs(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="threshold"):
        PresenceClassifier(tiny_model, threshold=1.5)
    with pytest.raises(ValueError, match="batch_size"):
        PresenceClassifier(tiny_model, batch_size=0)
    classifier = PresenceClassifier(tiny_model)
    with pytest.raises(InputError, match="nothing to judge"):
        next(classifier.predict([]))
    with pytest.raises(InputError, match="no such file"):
        next(classifier.predict(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="has no pictures"):
        next(classifier.predict(tmp_path))


def test_command_line(tiny_model: Path, pictures: Path) -> None:
    run = CliRunner().invoke
    model = ["--model", str(tiny_model)]
    result = run(app, ["predict", str(pictures), str(pictures / "no.jpg"), "-f", "json", *model])
    assert result.exit_code == 1
    assert "no.jpg: there is no such file" in result.stderr
    assert "105.jpg: is no picture" in result.stderr
    verdicts = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(verdicts) == 25
    assert set(verdicts[0]) == {"class_ids", "scores", "label_names", "filename"}
    file = str(pictures / "200.jpg")
    result = run(app, ["predict", file, "--threshold", "0.9", "-f", "csv", *model])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "filename,label_names,class_ids,scores"
    assert f"{file},nobody,0,0.2" in result.stdout
    result = run(app, ["predict", str(pictures / "nowhere"), *model])
    assert isinstance(result.exception, InputError)
    assert run(app, ["predict", file, "--threshold", "2", *model]).exit_code == 2
