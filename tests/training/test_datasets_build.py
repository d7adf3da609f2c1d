"""`dataset build`: every format, PULC's rule, duplicates, splits and reports."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.errors import InputError
from monitor.training import duplicates
from monitor.training.annotations import Annotated, read_coco, read_folders, read_voc, read_yolo
from monitor.training.build import build_dataset, label_of
from monitor.training.build_config import BuildConfig
from monitor.training.duplicates import Fingerprint, fingerprint, group
from monitor.training.lists import UNLABELLED, count_labels, read_list


def draw(path: Path, seed: int, someone: bool = False, side: int = 64) -> Path:
    """A picture unlike those of other seeds: eight coarse random patches a side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    drawn = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_NEAREST)
    if someone:
        cv2.circle(drawn, (side // 2, side // 2), side // 6, (255, 255, 255), -1)
    cv2.imwrite(str(path), drawn)
    return path


def folders(root: Path, nobody: int, someone: int, first: int = 0) -> Path:
    for number in range(nobody):
        draw(root / "nobody" / f"{number:03}.png", first + number)
    for number in range(someone):
        draw(root / "someone" / f"{number:03}.png", first + 1000 + number, someone=True)
    return root


def config_of(tmp_path: Path, *sources: dict[str, Any], **changes: Any) -> BuildConfig:
    tree = {"sources": list(sources), "output_dir": tmp_path / "out", **changes}
    return BuildConfig.model_validate(tree)


# --- formats -------------------------------------------------------------------------------


def coco_tree() -> dict[str, Any]:
    def box(image: int, category: int, size: tuple[float, float], **more: Any) -> dict[str, Any]:
        return {"image_id": image, "category_id": category, "bbox": [10, 10, *size], **more}

    return {
        "categories": [{"id": 1, "name": "Person"}, {"id": 7, "name": "dog"}],
        "images": [
            {"id": number, "file_name": f"sub/{number}.png", "width": 100, "height": 100}
            for number in range(6)
        ],
        "annotations": [
            box(1, 1, (40, 40)),
            box(1, 1, (5, 5)),
            box(2, 1, (20, 20)),
            box(3, 7, (80, 80)),
            box(4, 1, (80, 80), iscrowd=1),
            box(5, 1, (500, 500)),
        ],
    }


def test_coco_and_objects365(tmp_path: Path) -> None:
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(coco_tree()))
    found = read_coco(file, tmp_path, ["person"])
    assert [item.largest for item in found] == [
        None,
        pytest.approx(0.16),
        pytest.approx(0.04),
        None,
        0.0,
        pytest.approx(0.81),
    ]
    assert found[0].path == tmp_path / "sub" / "0.png"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no valid JSON"),
        ("[]", "no object"),
        ('{"images": []}', "not COCO's"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}', "cat"),
        (
            '{"images": [], "categories": [{"id": 1, "name": "person"}],'
            '"annotations": [{"category_id": 1, "image_id": 9, "bbox": [1, 2, 3]}]}',
            "not COCO's",
        ),
    ],
)
def test_other_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        read_coco(file, tmp_path, ["person"])


def voc(name: str, *boxes: tuple[str, int, int, int, int], size: bool = True) -> str:
    extent = "<size><width>100</width><height>50</height></size>" if size else ""
    objects = "".join(
        f"<object><name>{kind}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for kind, a, b, c, d in boxes
    )
    return f"<annotation><filename>{name}</filename>{extent}{objects}</annotation>"


def test_voc(tmp_path: Path) -> None:
    marks, images = tmp_path / "Annotations", tmp_path / "JPEGImages"
    marks.mkdir()
    draw(images / "a b.png", 1, side=50)
    (marks / "a b.xml").write_text(voc("elsewhere/x.jpg", ("person", 0, 0, 25, 25), size=False))
    (marks / "b.xml").write_text(voc("b.jpg", ("dog", 0, 0, 90, 40)))
    (marks / "c.xml").write_text(voc("c.jpg", ("person", 0, 0, 10, 10), ("person", 50, 0, 150, 50)))
    (marks / "d.xml").write_text("<annotation><object><name>person</name></object></annotation>")
    found = {item.path.name: item.largest for item in read_voc(marks, images, ["person"])}
    assert found == {"a b.png": 0.25, "b.jpg": None, "c.jpg": 0.5, "d.jpg": 0.0}
    (marks / "e.xml").write_text("<annotation>")
    with pytest.raises(InputError, match=r"no valid XML"):
        read_voc(marks, images, ["person"])


def test_yolo(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    for name in ("sub/one.png", "two.png", "none.png", "empty.png"):
        draw(images / name, 1)
    (labels / "sub").mkdir(parents=True)
    (labels / "sub" / "one.txt").write_text("16 0.5 0.5 0.9 0.9\n0 0.5 0.5 0.5 0.5\n")
    (labels / "two.txt").write_text("0 0.95 0.5 0.2 1.0 0.87\n")
    (labels / "empty.txt").write_text("\n")
    found = {item.path.name: item.largest for item in read_yolo(labels, images, ["0"])}
    assert found["one.png"] == 0.25
    assert found["two.png"] == pytest.approx(0.15)
    assert found["none.png"] is found["empty.png"] is None
    with pytest.raises(InputError, match="number their classes"):
        read_yolo(labels, images, ["person"])
    (tmp_path / "classes.txt").write_text("person\nbicycle\n")
    assert len(read_yolo(labels, images, ["person"])) == 4
    (labels / "two.txt").write_text("0 0.95 0.5\n")
    with pytest.raises(InputError, match=r"two\.txt:1"):
        read_yolo(labels, images, ["0"])


def test_folders(tmp_path: Path) -> None:
    folders(tmp_path, 2, 1)
    draw(tmp_path / "nobody" / "deep" / "x.PNG", 3)
    (tmp_path / "nobody" / "notes.txt").write_text("no picture")
    found = read_folders(tmp_path)
    assert sorted((item.path.name, item.largest) for item in found if item.largest) == [
        ("000.png", 1.0)
    ]
    assert len(found) == 4
    with pytest.raises(InputError, match="nobody"):
        read_folders(tmp_path / "nobody")


def test_the_rule_is_strictly_more_than_a_tenth() -> None:
    assert label_of(None, 0.1) == 0
    assert label_of(0.1, 0.1) == label_of(0.0, 0.1) == -2
    assert label_of(0.1001, 0.1) == 1
    assert Annotated(Path("x"), None).largest is None


# --- duplicates ----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.lists(st.integers(0, 63), max_size=8)), max_size=12),
    st.integers(0, 8),
)
def test_groups_are_those_of_all_pairs(
    hashes: list[int], copies: list[tuple[int, list[int]]], distance: int
) -> None:
    for index, bits in copies:
        value = hashes[index % len(hashes)]
        for bit in bits:
            value ^= 1 << bit
        hashes.append(value)
    expected = list(range(len(hashes)))
    for a, first in enumerate(hashes):
        for b, second in enumerate(hashes):
            if (first ^ second).bit_count() <= distance:
                low, high = sorted((expected[a], expected[b]))
                expected = [low if number == high else number for number in expected]
    ranks = {number: rank for rank, number in enumerate(dict.fromkeys(expected))}
    assert group(hashes, distance).tolist() == [ranks[number] for number in expected]


def test_many_hashes_are_grouped_quickly() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**64, 20_000, dtype=np.uint64)
    values[10_000:] = values[:10_000] ^ (np.uint64(1) << rng.integers(0, 64, 10_000, np.uint64))
    numbers = group(values.tolist(), 6)
    assert (numbers[:10_000] == numbers[10_000:]).all()
    assert len(set(numbers.tolist())) == 10_000


def test_a_recompressed_smaller_copy_has_a_near_hash(tmp_path: Path) -> None:
    original = draw(tmp_path / "a.png", 5, side=160)
    loaded = cv2.imread(str(original))
    cv2.imwrite(
        str(tmp_path / "b.jpg"), cv2.resize(loaded, (90, 90)), [cv2.IMWRITE_JPEG_QUALITY, 40]
    )
    first, second = fingerprint(original), fingerprint(tmp_path / "b.jpg")
    assert (first.phash ^ second.phash).bit_count() <= 6
    assert first.digest != second.digest
    other = fingerprint(draw(tmp_path / "c.png", 6, side=160))
    assert (first.phash ^ other.phash).bit_count() > 10


# --- the whole -----------------------------------------------------------------------------


def test_lists_are_split_complete_and_deterministic(tmp_path: Path) -> None:
    source = {"format": "folders", "images": folders(tmp_path / "data", 30, 20)}
    draw(tmp_path / "more" / "u 1.png", 77)
    config = config_of(tmp_path, source, unlabelled=[tmp_path / "more"], val_share=0.2)
    build = build_dataset(config)
    out = tmp_path / "out"
    train = read_list(out / "train_list.txt", build.root)
    val = read_list(out / "val_list.txt", build.root)
    assert count_labels(train) == {0: 24, 1: 16}
    assert count_labels(val) == {0: 6, 1: 4}
    assert not {entry.path for entry in train} & {entry.path for entry in val}
    distill = read_list(out / "train_list_for_distill.txt", build.root, unlabelled=True)
    assert [entry.name for entry in distill if entry.label == UNLABELLED] == ["more/u 1.png"]
    assert len(distill) == 41
    debug = read_list(out / "train_list.txt.debug", build.root)
    assert [entry.label for entry in debug[:4]] == [0, 1, 0, 1]
    assert (out / "contact_sheet.png").stat().st_size > 1000

    before = {file.name: file.read_bytes() for file in out.glob("*.txt*")}
    build_dataset(config)
    assert {file.name: file.read_bytes() for file in out.glob("*.txt*")} == before
    build_dataset(config_of(tmp_path, source, seed=1))
    assert (out / "val_list.txt").read_bytes() != before["val_list.txt"]


def test_near_duplicates_never_straddle(tmp_path: Path) -> None:
    root = folders(tmp_path / "data", 20, 20)
    for number in range(20):
        for name in ("nobody", "someone"):
            loaded = cv2.imread(str(root / name / f"{number:03}.png"))
            cv2.imwrite(str(root / name / f"copy {number:03}.jpg"), loaded)
    build = build_dataset(config_of(tmp_path, {"format": "folders", "images": root}, val_share=0.3))
    assert len(build.train) + len(build.val) == 80
    sides = [
        {p.path.stem.removeprefix("copy ") + p.path.parent.name for p in side}
        for side in (build.train, build.val)
    ]
    assert not sides[0] & sides[1]
    assert 16 <= len(build.val) <= 24


def test_validation_sources_keep_their_near_duplicates(tmp_path: Path) -> None:
    train = folders(tmp_path / "train", 12, 12)
    val = folders(tmp_path / "val", 4, 4, first=50)
    leaked = cv2.imread(str(val / "someone" / "000.png"))
    cv2.imwrite(str(train / "someone" / "leak.jpg"), leaked)
    cv2.imwrite(str(tmp_path / "leak.jpg"), leaked)
    (tmp_path / "more").mkdir()
    (tmp_path / "leak.jpg").rename(tmp_path / "more" / "leak 2.jpg")
    build = build_dataset(
        config_of(
            tmp_path,
            {"format": "folders", "images": train, "split": "train"},
            {"format": "folders", "images": val, "split": "val"},
            unlabelled=[tmp_path / "more"],
        )
    )
    assert len(build.val) == 8
    assert len(build.train) == 24
    assert not build.unlabelled
    assert sorted(Path(name).name for name in build.straddling + build.duplicates) == [
        "leak 2.jpg",
        "leak.jpg",
    ]


def test_copies_and_contradictions(tmp_path: Path) -> None:
    root = folders(tmp_path / "data", 10, 10)
    copied = (root / "nobody" / "000.png").read_bytes()
    (root / "nobody" / "same.png").write_bytes(copied)
    torn = (root / "nobody" / "001.png").read_bytes()
    (root / "someone" / "torn.png").write_bytes(torn)
    build = build_dataset(config_of(tmp_path, {"format": "folders", "images": root}))
    assert [Path(name).name for name in build.duplicates] == ["same.png"]
    assert sorted(Path(name).name for name in build.contradictions) == ["001.png", "torn.png"]
    assert len(build.train) + len(build.val) == 19


def test_broken_and_missing_pictures_are_named(tmp_path: Path) -> None:
    tree = coco_tree()
    for number in range(1, 6):
        draw(tmp_path / "sub" / f"{number}.png", number)
    for number in range(10, 20):
        tree["images"].append(
            {"id": number, "file_name": f"{number}.png", "width": 64, "height": 64}
        )
        if number % 2:
            tree["annotations"].append(
                {"image_id": number, "category_id": 1, "bbox": [0, 0, 60, 60]}
            )
        draw(tmp_path / f"{number}.png", number)
    whole = (tmp_path / "sub" / "3.png").read_bytes()
    (tmp_path / "sub" / "3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "instances.json").write_text(json.dumps(tree))
    source = {"format": "coco", "annotations": tmp_path / "instances.json", "images": tmp_path}
    build = build_dataset(config_of(tmp_path, source))
    assert {Path(name).name for name in build.broken} == {"0.png", "3.png"}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["broken"] == 2
    assert report["left_out_small_person"] == 2
    assert "3.png" in (tmp_path / "out" / "report.txt").read_text()


def test_a_killed_build_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folders(tmp_path / "data", 10, 10)
    config = config_of(tmp_path, {"format": "folders", "images": root})
    build_dataset(config)
    journal = tmp_path / "out" / "fingerprints.jsonl"
    lines = journal.read_text().splitlines()
    assert len(lines) == 20
    expected = (tmp_path / "out" / "val_list.txt").read_text()
    # Killed in the middle of the twelfth line, and one picture has changed meanwhile.
    journal.write_text("\n".join(lines[:11]) + "\n" + lines[11][:30])
    changed = json.loads(lines[3])[0]
    os.utime(changed, (1, 1))
    read: list[str] = []

    def spy(path: Path) -> Fingerprint:
        read.append(str(path))
        return fingerprint(path)

    monkeypatch.setattr(duplicates, "fingerprint", spy)
    build_dataset(config)
    assert len(read) == 10
    assert changed in read
    assert (tmp_path / "out" / "val_list.txt").read_text() == expected


def test_names_a_list_cannot_hold_are_reported(tmp_path: Path) -> None:
    root = folders(tmp_path / "data", 10, 10)
    draw(root / "nobody" / "two\nlines.png", 99)
    build = build_dataset(config_of(tmp_path, {"format": "folders", "images": root}))
    assert list(build.broken.values()) == ["a list cannot hold this file name"]
    assert len(build.train) + len(build.val) == 20


def test_a_list_without_one_class_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "data"
    folders(root, 10, 0)
    with pytest.raises(InputError, match=r"no picture of class 1 \(someone\)"):
        build_dataset(config_of(tmp_path, {"format": "folders", "images": root}))


def test_pictures_outside_a_given_root_are_refused(tmp_path: Path) -> None:
    root = folders(tmp_path / "data", 4, 4)
    with pytest.raises(InputError, match="outside the root"):
        build_dataset(
            config_of(tmp_path, {"format": "folders", "images": root}, root=tmp_path / "other")
        )


def test_the_command_prints_counts_as_json(tmp_path: Path) -> None:
    root = folders(tmp_path / "data", 10, 10)
    arguments = ["dataset", "build", "--source", "folders", "--images", str(root)]
    arguments += ["--output", str(tmp_path / "out"), "-o", "val_share=0.5", "--format", "json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    counts = json.loads(result.stdout)
    assert counts["train"] == counts["val"] == 10
    assert counts["root"] == str(root)
