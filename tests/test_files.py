"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.storage.files import whole_file, whole_path


def by_file(target: Path, text: str) -> None:
    with whole_file(target) as file:
        file.write(text.encode())
        assert target.read_text() == "old"
        if text == "half":
            raise OSError("the disk is full")


def by_path(target: Path, text: str) -> None:
    with whole_path(target) as fresh:
        fresh.write_text(text)
        assert target.read_text() == "old"
        if text == "half":
            raise OSError("the disk is full")


@pytest.mark.parametrize("write", [by_file, by_path])
def test_a_file_is_the_new_one_or_the_old_one(
    write: Callable[[Path, str], None], tmp_path: Path
) -> None:
    target = tmp_path / "list.txt"
    target.write_text("old")
    with pytest.raises(OSError, match="full"):
        write(target, "half")
    assert target.read_text() == "old"
    write(target, "new")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["list.txt"]


def test_what_wrote_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_path(tmp_path / "list.txt"):
        pass
    assert not list(tmp_path.iterdir())
