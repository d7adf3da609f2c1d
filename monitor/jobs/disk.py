"""How much room the memory takes, and how much there is."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from monitor.events.database import sqlite_path


def folder_bytes(folder: Path) -> int:
    """Bytes of all pictures below; 0 for a folder that is not there. Raises OSError."""
    total = 0
    for file in folder.rglob("*.jpg"):
        with suppress(FileNotFoundError):  # deleted since it was listed
            total += file.stat().st_size
    return total


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk on which the folder is or would be. Raises OSError."""
    there = folder
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def database_bytes(engine: Engine) -> int:
    """Bytes of a SQLite database that hold something; 0 for servers, who know that themselves.

    Pages that are free already count as gone, though the file is not smaller yet. Raises
    SQLAlchemyError.
    """
    if sqlite_path(engine.url) is None:
        return 0
    with engine.connect() as connection:
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size
