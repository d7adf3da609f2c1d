"""Events into a file, page by page: CSV, JSON (an object a line), or Parquet.

A file gets its name when it is whole and on disk; until then it is `.NAME.partial`, which a failed
or interrupted export takes away again.
"""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Engine

from monitor.errors import InputError, UsageError
from monitor.events.queries import LARGEST_PAGE, EventFilter, find_events
from monitor.events.records import FIELDS, event_record
from monitor.storage.files import sync_folder, whole_file

Record = dict[str, Any]


class _Writer(ABC):
    """Writes records into a file that is open for writing bytes."""

    @abstractmethod
    def write(self, records: Sequence[Record]) -> None:
        """Add a page."""

    @abstractmethod
    def close(self) -> None:
        """Write what the format wants at its end."""


def export_events(
    engine: Engine,
    wanted: EventFilter,
    target: Path,
    *,
    on_page: Callable[[int], None] = lambda _count: None,
    before_naming: Callable[[int], None] = lambda _count: None,
) -> int:
    """Write the events of the filter, oldest first, and return how many there were.

    The name's ending says how: .csv, .json or .jsonl, .parquet. A file of that name is replaced
    at the end. `on_page` hears how many are written so far; `before_naming` hears how many there
    are in all, and if it raises there is no file. Raises UsageError for other endings,
    missing folders, and Parquet without pyarrow; DatabaseError; InputError when the file cannot be
    written.
    """
    make = _maker(target)
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", remedy="create it first")
    wanted = replace(wanted, oldest_first=True, limit=LARGEST_PAGE)
    count = 0
    with _whole(target) as file:
        writer = make(file)
        while True:
            page = find_events(engine, wanted)
            writer.write([event_record(event) for event in page.events])
            count += len(page.events)
            on_page(count)
            if page.next is None:
                break
            wanted = replace(wanted, after=page.next)
        writer.close()
        before_naming(count)
    return count


@contextmanager
def _whole(target: Path) -> Iterator[BinaryIO]:
    """A file that gets its name at the end, and only if all went well."""
    try:
        with whole_file(target) as file:
            yield file
        sync_folder(target.parent)
    except OSError as error:
        raise InputError(
            f"the file cannot be written: {error.strerror or error}",
            where=str(target),
            remedy="check the disk and the folder's permissions",
        ) from error


def _maker(target: Path) -> Callable[[Any], _Writer]:
    makers: dict[str, Callable[[Any], _Writer]] = {
        ".csv": _Csv,
        ".json": _Json,
        ".jsonl": _Json,
        ".parquet": _Parquet,
    }
    maker = makers.get(target.suffix.lower())
    if maker is None:
        raise UsageError(
            f"{target.name!r} does not say what kind of file it is",
            remedy=f"let it end in {', '.join(makers)}",
        )
    if maker is _Parquet:
        _require_pyarrow()
    return maker


def _require_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed",
            remedy="pip install 'presence-monitor[parquet]', or write .csv or .jsonl",
        ) from error


class _Text:
    """A text writer over the open file that leaves it open; `csv` wants one."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return int(self._file.write(text.encode()))


class _Csv(_Writer):
    def __init__(self, file: Any) -> None:
        self._writer = csv.DictWriter(_Text(file), FIELDS)
        self._writer.writeheader()

    def write(self, records: Sequence[Record]) -> None:
        self._writer.writerows(
            {name: _plain(value) for name, value in record.items()} for record in records
        )

    def close(self) -> None:
        """Nothing ends a CSV file."""


class _Json(_Writer):
    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            line = json.dumps(record, default=_plain, ensure_ascii=False)
            self._file.write(line.encode() + b"\n")

    def close(self) -> None:
        """Nothing ends a file of lines."""


class _Parquet(_Writer):
    """Times are timestamps in UTC, settings are JSON text."""

    def __init__(self, file: Any) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._arrow = pa
        moment, special = pa.timestamp("us", tz="UTC"), {
            "score_count": pa.int32(),
            **dict.fromkeys(("duration_s", "peak_score", "mean_score"), pa.float64()),
        }  # fmt: skip
        self._schema = pa.schema(
            [
                (name, special.get(name, moment if name.endswith("_at") else pa.string()))
                for name in FIELDS
            ]
        )
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, records: Sequence[Record]) -> None:
        rows = [{**record, "settings": _plain(record["settings"])} for record in records]
        self._writer.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return json.dumps(value, default=str, ensure_ascii=False)
    return value
