"""From a file to a configuration, or to every reason why not, each with its line."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from monitor.config.document import Document, read_document
from monitor.config.explain import explain
from monitor.config.presence import THRESHOLD_ORDER
from monitor.config.problems import KeyPath, Problem, Severity, format_path
from monitor.config.root import MonitorConfig
from monitor.config.surroundings import look_around
from monitor.errors import ConfigError

_MOST_SHOWN = 40
_DEPTH = 6
"""Rounds of taking broken parts out: each removes one level more, and no file is deeper."""


def load_config(path: Path | str, *, look: bool = True) -> MonitorConfig:
    """The configuration in `path`, secrets filled in.

    With `look` the files and devices it names are looked for, too. Raises ConfigError (exit
    code 78) that lists every problem, a line each; warnings alone do not stop it.
    """
    config, problems = check_config(path, look=look)
    if config is not None:
        return config
    errors = [str(problem) for problem in problems if problem.severity is Severity.ERROR]
    shown = errors[:_MOST_SHOWN]
    if more := len(errors) - len(shown):
        shown.append(f"… and {more} more")
    count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
    raise ConfigError(
        "\n".join([f"{count} in the configuration", *(f"  {line}" for line in shown)]),
        where=str(path),
        remedy="mend the lines above; `run_monitor.py check FILE` looks again",
    )


def check_config(
    path: Path | str, *, look: bool = True
) -> tuple[MonitorConfig | None, list[Problem]]:
    """The configuration (None if it cannot be used) and all its problems in the file's order."""
    document = read_document(Path(path))
    config = None
    if document.data is not None:
        config = _validate(document)
    if config is not None and look:
        _look_around(config, document)
    problems = sorted(set(document.problems), key=lambda p: (p.line, p.column, format_path(p.path)))
    broken = any(problem.severity is Severity.ERROR for problem in problems)
    return None if broken else config, problems


def _validate(document: Document) -> MonitorConfig | None:
    """The configuration; of a broken one, what is left when the broken parts are taken out."""
    known = {problem.path for problem in document.problems}
    data = document.data
    for attempt in range(_DEPTH):
        try:
            return MonitorConfig.model_validate(data)
        except ValidationError as error:
            details = error.errors(include_url=False)
        if attempt == 0:
            for detail in details:
                _add(document, detail, known)
            data = deepcopy(data)
        for detail in details:
            path = _written(document, _path(detail))
            _take_out(data, path[:-1] if detail["type"] == "missing" else path)
    return None


def _take_out(data: Any, path: KeyPath) -> None:
    """Remove what stands at `path` from its mapping; an item of a list takes the list along."""
    first_index = next((i for i, key in enumerate(path) if isinstance(key, int)), len(path))
    *above, last = path[:first_index] or ("",)
    for key in above:
        data = data.get(key) if isinstance(data, dict) else None
    if isinstance(data, dict):
        data.pop(last, None)


def _path(error: ErrorDetails) -> KeyPath:
    return tuple(part for part in error["loc"] if part != "[key]")


def _add(document: Document, error: ErrorDetails, known: set[KeyPath]) -> None:
    path = _path(error)
    if error["type"] == THRESHOLD_ORDER:
        _add_threshold_order(document, error, path)
        return
    path = _written(document, path)
    if path in known and error["input"] is None:
        return  # it has no value because it could not be read, which has been reported
    place = document.place(path)
    what, allowed = explain(error, path, MonitorConfig, secret=place.secret)
    whole = path not in document.places or error["type"] == "extra_forbidden"
    document.add(
        path, what, allowed, at=place.key if whole or "[key]" in error["loc"] else place.value
    )


def _written(document: Document, path: KeyPath) -> KeyPath:
    """Where a value that was handed down is written: itself, its camera, or `defaults`."""
    for candidate in (path, *_above(path)):
        if candidate in document.places:
            return candidate
    return path


def _above(path: KeyPath) -> list[KeyPath]:
    """The places a zone's or camera's setting is inherited from, nearest first."""
    if path[:1] != ("cameras",) or len(path) < 3:
        return []
    if path[2] == "zones" and path[4:5] == ("presence",):
        return [(*path[:2], *path[4:]), ("defaults", *path[4:])]
    return [("defaults", *path[2:])]


def _add_threshold_order(document: Document, error: ErrorDetails, path: KeyPath) -> None:
    """Point at the most specific line that sets either threshold, and say where the other is."""
    values = error.get("ctx", {})
    keys = tuple(values)  # the lower one first
    levels = [path, *_above(path)]
    written = [
        (*level, key) for level in levels for key in keys if (*level, key) in document.places
    ]
    culprit = written[0]
    mine = str(culprit[-1])
    other = keys[1 - keys.index(mine)]
    other_path = next((candidate for candidate in written if candidate[-1] == other), None)
    origin = "built in"
    if other_path:
        origin = f"{format_path(other_path)}, line {document.place(other_path).key[0]}"
    relation, allowed = ("below", "less") if mine == keys[0] else ("above", "more")
    document.add(
        culprit,
        f"{values[mine]:g} is not {relation} {other} {values[other]:g} ({origin})",
        f"{allowed} than {values[other]:g}",
        at=document.place(culprit).value,
    )


def _look_around(config: MonitorConfig, document: Document) -> None:
    for path, what, allowed, severity in look_around(config):
        written = _written(document, path)
        document.add(written, what, allowed, at=document.place(written).value, severity=severity)
