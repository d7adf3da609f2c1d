"""Contact sheets: many small pictures with captions on one page, to look a data set in the eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from monitor.errors import InputError
from monitor.messages import Picture
from monitor.training.files import write_with

SIDE: Final = 176
"""Edge of a picture's field in pixels."""

LINE: Final = 15
"""Height of one caption line in pixels."""

GREY: Final = (160, 160, 160)
RED: Final = (190, 50, 40)
"""Colours of a field's frame."""

_GAP: Final = 6
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE: Final = 0.38
_PAPER: Final = (250, 250, 250)
_INK: Final = (30, 30, 30)


@dataclass(frozen=True, slots=True)
class Captioned:
    """One field of the sheet: an RGB uint8 picture, or None for one that cannot be read."""

    picture: Picture | None
    lines: tuple[str, ...]
    frame: tuple[int, int, int] = GREY


def contact_sheet(fields: Sequence[Captioned], *, columns: int = 8, title: str = "") -> Picture:
    """Lay `fields` out row by row under a title; RGB uint8 (height, width, 3).

    Every field is `SIDE` square with its aspect kept, its captions below. OpenCV 5 writes any
    script; OpenCV 4 writes `?` for what is not ASCII.
    """
    columns = max(1, min(columns, len(fields)))
    rows = -(-len(fields) // columns)
    lines = max((len(field.lines) for field in fields), default=0)
    cell_width, cell_height = SIDE + 2 * _GAP, SIDE + 2 * _GAP + lines * LINE
    head = 2 * LINE if title else 0
    width = max(columns * cell_width, 16 + _text_width(title))
    sheet = np.full((head + max(1, rows) * cell_height, width, 3), _PAPER, np.uint8)
    if title:
        _write(sheet, title, 8, LINE + 4)
    for index, field in enumerate(fields):
        top = head + (index // columns) * cell_height + _GAP
        left = (index % columns) * cell_width + _GAP
        _paste(sheet, field, left, top)
    return sheet


def write_contact_sheet(path: Path, sheet: Picture) -> None:
    """Write an RGB sheet atomically, as PNG or what the suffix says; InputError if it cannot."""
    done, data = cv2.imencode(path.suffix or ".png", sheet[:, :, ::-1])
    if not done:
        raise InputError("the contact sheet cannot be encoded", where=str(path))
    write_with(path, lambda stream: stream.write(data.tobytes()))


def _paste(sheet: Picture, field: Captioned, left: int, top: int) -> None:
    if field.picture is None:
        _write(sheet, "unreadable", left + 8, top + SIDE // 2)
    else:
        height, width = field.picture.shape[:2]
        scale = SIDE / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(field.picture, size, interpolation=cv2.INTER_AREA)
        x, y = left + (SIDE - size[0]) // 2, top + (SIDE - size[1]) // 2
        sheet[y : y + size[1], x : x + size[0]] = small
    cv2.rectangle(sheet, (left - 2, top - 2), (left + SIDE + 1, top + SIDE + 1), field.frame, 2)
    for row, line in enumerate(field.lines):
        _write(sheet, _shortened(line, SIDE), left, top + SIDE + _GAP + LINE * row + 9)


def _write(sheet: Picture, text: str, x: int, y: int) -> None:
    cv2.putText(sheet, _plain(text), (x, y), _FONT, _FONT_SCALE, _INK, 1, cv2.LINE_AA)


def _shortened(text: str, width: int) -> str:
    """The end of `text` that fits: of a path the end tells most."""
    while len(text) > 4 and _text_width(text) > width:
        text = "..." + text[4:]
    return text


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(_plain(text), _FONT, _FONT_SCALE, 1)[0][0])


def _plain(text: str) -> str:
    """Names that are no UTF-8 on the disk hold surrogates, which OpenCV does not take."""
    return text.encode("utf-8", "replace").decode()
