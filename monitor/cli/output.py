"""One way to print listings: a table for people, JSON or CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

WIDE = 160
"""Characters a line where nobody says how wide it may be."""


class Format(StrEnum):
    """How a listing is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


FormatOption = Annotated[
    Format, typer.Option("--format", "-f", help="table for people, json (a line each) or csv.")
]


def print_rows(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], output: Format, *, title: str = ""
) -> None:
    """Print `rows` with their `columns` on stdout; JSON is one object a line, with every key."""
    if output is Format.JSON:
        for row in rows:
            sys.stdout.write(json.dumps(row, default=_plain, ensure_ascii=False) + "\n")
    elif output is Format.CSV:
        writer = csv.DictWriter(sys.stdout, fieldnames=columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({key: _exact(row.get(key)) for key in columns} for row in rows)
    else:
        table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        shown = list(rows)
        for column in columns:
            justify: Literal["left", "right"] = "right" if _numeric(column, shown) else "left"
            table.add_column(_heading(column, shown), overflow="fold", justify=justify)
        for row in shown:
            table.add_row(*(_cell(row.get(key)) for key in columns))
        # A pipe has no width of its own: let nothing be cut there.
        Console(width=None if sys.stdout.isatty() else WIDE).print(table)


def _heading(column: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The column's name; seconds that are written as h:mm:ss are called so no longer."""
    spelled = any(isinstance(row.get(column), str) for row in rows)
    return (column.removesuffix("_s") if spelled else column).replace("_", " ")


def _numeric(column: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column holds numbers only, and any: their digits belong below each other."""
    values = [value for row in rows if (value := row.get(column)) is not None]
    return bool(values) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path | UUID):
        return str(value)
    raise TypeError(f"cannot print {type(value).__name__} as JSON")


def _exact(value: object) -> str:
    """Nothing rounded: what a program reads is what was measured."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return " ".join(_exact(item) for item in value)
    return str(value)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000.0 else f"{value:.0f}"
    if isinstance(value, list | tuple):
        return " ".join(_cell(item) for item in value)
    return str(value)
