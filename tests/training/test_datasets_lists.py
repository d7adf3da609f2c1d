"""List files: spaces, Unicode, missing, broken and hostile entries."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from monitor.errors import InputError
from monitor.imaging.jpeg import read_picture
from monitor.training.duplicates import fingerprint
from monitor.training.lists import (
    UNLABELLED,
    complaint,
    count_labels,
    find_broken,
    read_list,
    read_soft_labels,
    require_both_classes,
    write_list,
)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "picture.png"), np.full((8, 8, 3), 50, np.uint8))
        (root / "picture.png").rename(root / name)


def test_spaces_and_unicode_in_paths(tmp_path: Path) -> None:
    names = ["a b  c.png", "größe/ü 1.png", "人.png", "plain.png"]
    touch(tmp_path, *names)
    listed = tmp_path / "list.txt"
    write_list(listed, [(name, number % 2) for number, name in enumerate(names)])
    entries = read_list(listed, tmp_path)
    assert [(entry.name, entry.label) for entry in entries] == [
        (name, number % 2) for number, name in enumerate(names)
    ]
    assert all(entry.path.is_file() for entry in entries)
    assert count_labels(entries) == {0: 2, 1: 2}


def test_paddleclas_lists_are_read_as_they_are(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "train/2.jpg")
    listed = tmp_path / "train_list.txt"
    listed.write_bytes(b"\xef\xbb\xbftrain/1.jpg 1\r\n\n./train/2.jpg 0\n")
    assert [entry.label for entry in read_list(listed, tmp_path)] == [1, 0]


@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), min_size=1
            ).filter(lambda text: "/" not in text and text not in {".", ".."}),
            st.sampled_from([0, 1]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, int]]
) -> None:
    root = tmp_path_factory.mktemp("lists")
    kept = []
    for name, label in lines:
        spaced = f"{name} {name}"
        if len(os.fsencode(spaced)) <= 200:
            (root / spaced).touch()
            kept.append((spaced, label))
    listed = root / "the list.txt"
    write_list(listed, kept or [("the list.txt", 0)])
    assert [(e.name, e.label) for e in read_list(listed, root)] == (kept or [("the list.txt", 0)])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png", "does not end in a label"),
        ("a.png 2", "does not end in a label"),
        ("a.png -1", "does not end in a label"),
        ("a.png someone", "does not end in a label"),
        (" 1", "does not end in a label"),
        ("../a.png 1", "leads outside"),
        ("/etc/passwd 1", "leads outside"),
        ("sub/../../a.png 0", "leads outside"),
        (". 0", "leads outside"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    root = tmp_path / "root"
    touch(root, "ok.png")
    touch(tmp_path, "a.png")
    listed = tmp_path / "list.txt"
    listed.write_text(f"ok.png 0\n{line}\n")
    with pytest.raises(InputError, match=message) as caught:
        read_list(listed, root)
    assert caught.value.where == f"{listed}:2"


def test_absolute_paths_inside_the_root_are_fine(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    listed = tmp_path / "list.txt"
    listed.write_text(f"{tmp_path}/a.png 1\n")
    assert read_list(listed, tmp_path)[0].path == tmp_path / "a.png"


def test_missing_pictures_are_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "there.png")
    listed = tmp_path / "list.txt"
    listed.write_text("there.png 0\n" + "".join(f"gone {n}.png 1\n" for n in range(12)))
    with pytest.raises(InputError, match=r"12 listed pictures.*gone 0.png \(line 2\).*and 2 more"):
        read_list(listed, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n  \n"])
def test_an_empty_list_is_refused(tmp_path: Path, content: bytes) -> None:
    listed = tmp_path / "list.txt"
    listed.write_bytes(content)
    with pytest.raises(InputError, match="names no picture"):
        read_list(listed, tmp_path)


def test_unreadable_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the list"):
        read_list(tmp_path / "none.txt", tmp_path)
    (tmp_path / "latin.txt").write_bytes("größe.png 1".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_list(tmp_path / "latin.txt", tmp_path)


def test_unlabelled_lines(tmp_path: Path) -> None:
    touch(tmp_path, "a b.png", "c.png", "d.png")
    listed = tmp_path / "list.txt"
    listed.write_text("a b.png\nc.png -1\nd.png 1\n")
    entries = read_list(listed, tmp_path, unlabelled=True)
    assert [entry.label for entry in entries] == [UNLABELLED, UNLABELLED, 1]


def test_one_class_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    listed = tmp_path / "list.txt"
    listed.write_text("a.png 1\n")
    with pytest.raises(InputError, match=r"no picture of class 0 \(nobody\)"):
        require_both_classes(read_list(listed, tmp_path), "list.txt")


def test_soft_labels(tmp_path: Path) -> None:
    file = tmp_path / "soft.txt"
    file.write_text("a b.png 0.25\nc.png 1\n")
    assert read_soft_labels(file) == {"a b.png": 0.25, "c.png": 1.0}
    for bad in ("a.png 1.5", "a.png nan", "a.png", "0.5"):
        file.write_text(bad)
        with pytest.raises(InputError, match="p_someone"):
            read_soft_labels(file)


def test_broken_pictures_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("good.jpg", "cut.jpg", "good.png", "cut.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    for name in ("cut.jpg", "cut.png"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / "text.jpg").write_text("no picture at all")
    (tmp_path / "empty.jpg").touch()
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(picture).convert("RGBA").save(tmp_path / "alpha.png")
    listed = tmp_path / "list.txt"
    names = sorted(file.name for file in tmp_path.iterdir())
    write_list(listed, [(name, 0) for name in names])
    done: list[int] = []
    broken = find_broken(read_list(listed, tmp_path), progress=done.append)
    assert set(broken) == {"cut.jpg", "cut.png", "text.jpg", "empty.jpg"}
    assert sum(done) == len(names)
    assert complaint(tmp_path / "good.jpg") is None


def test_what_is_wrong_with_a_picture_is_said_in_words(tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    assert complaint(text) == "is no picture"
    assert fingerprint(text).problem == "is no picture"
    assert complaint(tmp_path / "gone.jpg") == "No such file or directory"


def test_a_picture_only_pillow_can_read_is_broken(tmp_path: Path) -> None:
    # OpenCV decodes for training; what it refuses must not end a run in its third hour.
    deep = tmp_path / "deep.tif"
    Image.new("F", (16, 16)).save(deep)
    with pytest.raises(InputError):
        read_picture(deep)
    assert complaint(deep) is not None
    assert fingerprint(deep).problem == complaint(deep)
