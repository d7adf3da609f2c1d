"""What is wrong with a configuration, said so that the line can be found and mended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from monitor.telemetry import redact

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the root of the file, such as ("cameras", "door", "zones")."""

_PLAIN = re.compile(r"[\w-]+")


class Severity(StrEnum):
    """Whether the daemon can run in spite of it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at one place; `line` and `column` count from 1, 0 is the file itself.

    `what` and `allowed` are sentences without a full stop. Neither ever holds a credential.
    """

    file: str
    line: int
    column: int
    path: KeyPath
    what: str
    allowed: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """`file:line:column: key.path: what is wrong; what is allowed`."""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        mark = "warning: " if self.severity is Severity.WARNING else ""
        name = f"{format_path(self.path)}: " if self.path else ""
        allowed = f"; {self.allowed}" if self.allowed else ""
        return f"{where}: {mark}{name}{self.what}{allowed}"


def format_path(path: KeyPath) -> str:
    """`cameras.door.zones."my desk".polygon[2]`: odd names are quoted, logins masked."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _PLAIN.fullmatch(part) else f'"{redact(part)}"'
            text += f".{name}" if text else name
    return text
