"""How streams and cameras are printed: tables, lines of JSON, CSV, or YAML to paste."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.capture.advice import Entry, advise, as_yaml
from monitor.capture.probing import StreamReport
from monitor.cli.output import WIDE, print_rows
from monitor.cli.output import Format as Lines


class Format(StrEnum):
    """How findings are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    YAML = "yaml"


FormatOption = Annotated[
    Format,
    typer.Option("--format", "-f", help="table for people, json (a line each), csv, or yaml."),
]


def print_lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], output: Format) -> None:
    """Rows for programs: JSON or CSV."""
    print_rows(rows, columns, Lines(output.value))


def print_table(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> None:
    """Rows for people. What cameras call themselves is text, whatever brackets are in it."""
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*(Text(row[column]) for column in columns))
    console().print(table)


def print_yaml(entries: Sequence[Entry]) -> None:
    """The `cameras:` section, or nothing if there is no camera."""
    if entries:
        sys.stdout.write(as_yaml(entries))


def print_report(report: StreamReport) -> None:
    """One stream for people, and what to change at the camera."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in words_of(report).items():
        table.add_row(Text(name), Text(value))
    out = console()
    out.print(Text(report.url, style="bold"))
    out.print(table)
    found = advise(report)
    out.print(Text("to change at the camera:" if found else "nothing to change at the camera"))
    for line in found:
        out.print(Text(f"- {line}"))


def words_of(report: StreamReport) -> dict[str, str]:
    """A report in words, by what they are about."""
    if report.gop_seconds is None:
        gop = f"longer than the {report.seconds:.3g} s watched"
    else:
        gop = f"{report.gop_seconds:.3g} s, {report.gop_frames} pictures"
        gop += ", irregular" if report.gop_varies else ""
    bitrate = report.bitrate
    return {
        "codec": " ".join(filter(None, [report.codec, report.profile])),
        "resolution": f"{report.width}×{report.height}",
        "pixels": report.pixel_format or "unknown",
        "frames a second": f"{report.fps:.3g}" if report.fps else "unknown",
        "keyframes": gop,
        "B-frames": "yes" if report.b_frames else "no",
        "bit rate": f"{bitrate / 1e6:.3g} Mbit/s" if bitrate is not None else "unknown",
        "sound": report.audio or "none",
        "opened after": f"{report.opened_after:.2g} s",
    }


def console() -> Console:
    """Stdout; a pipe has no width of its own, so nothing is cut there."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
