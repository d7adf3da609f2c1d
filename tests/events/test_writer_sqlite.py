"""What can only happen to a database that is a file."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from .builders import opening
from .test_writer import MakeWriter, wait_until


def test_a_deleted_database_file_is_noticed(
    engine: Engine, make_writer: MakeWriter, tmp_path: Path
) -> None:
    writer = make_writer()
    writer.start()
    writer.put(opening())
    assert writer.flush(60.0)
    (tmp_path / "monitor.db").rename(tmp_path / "moved.db")
    writer.put(opening(camera="two"))
    wait_until(lambda: writer.stats().spooled == 1)
    assert "vanished" in writer.stats().reason
