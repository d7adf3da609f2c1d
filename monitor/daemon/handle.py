"""The file by which a running monitor is found: its process, and what became of its reloads.

It lies beside the event database (or in `var/` for a database server) and is locked as long as
the process lives, so that a number left behind by a dead one is never taken for a monitor.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from sqlalchemy import URL

from monitor.errors import ServiceError, UsageError
from monitor.events.spool import default_spool
from monitor.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """A monitor that runs.

    `config`: the file it was started with. `reloads` counts the tries, `generation` the
    configurations that came into force. Of the last try: `rejected` says why its file was not
    taken (empty: it was), `changed` what of it is new, `restart` which keys wait for a restart.
    """

    pid: int
    config: str
    generation: int = 1
    reloads: int = 0
    rejected: str = ""
    changed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


def handle_path(database: URL) -> Path:
    """Where the handle of a database's monitor lies."""
    return default_spool(database).with_suffix(".run")


class Handle:
    """The file, held by the process it tells of."""

    def __init__(self, path: Path, config: Path) -> None:
        self._path = path
        self._running = Running(os.getpid(), str(config.resolve()))
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Make the file; without it the monitor runs as well, but `reload` does not find it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a+", encoding="utf-8")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            log.warning("`reload` will not find this monitor; SIGHUP works", file=str(self._path),
                        reason=error.strerror or str(error))  # fmt: skip
            return
        self._file = file
        self._write()

    def tell(self, **news: Any) -> None:
        """Note what became of a reload: fields of Running."""
        self._running = replace(self._running, **news)
        self._write()

    def release(self) -> None:
        """The monitor ends."""
        if self._file is not None:
            with suppress(OSError):
                self._path.unlink()
            self._file.close()
            self._file = None

    def _write(self) -> None:
        if self._file is None:
            return
        with suppress(OSError):  # a full disk costs the answer to a reload, not the reload
            self._file.seek(0)
            self._file.truncate()
            json.dump(asdict(self._running), self._file)
            self._file.flush()


def find_running(path: Path) -> Running | None:
    """The monitor whose handle that is; None if none runs.

    Raises ServiceError if the file cannot be read.
    """
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServiceError(
            f"the running monitor cannot be found: {error.strerror}",
            where=str(path),
            remedy="run this as the user the monitor runs as, or as root",
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(file)
    return None


def signal_reload(running: Running) -> None:
    """Ask for a reload. Raises UsageError when this user may not, ServiceError when it is gone."""
    try:
        os.kill(running.pid, signal.SIGHUP)
    except PermissionError as error:
        raise UsageError(
            f"this user may not signal process {running.pid}",
            remedy="run this as the user the monitor runs as, or as root",
        ) from error
    except ProcessLookupError as error:
        raise ServiceError(f"process {running.pid} has just ended") from error


def await_reload(path: Path, before: Running, patience: float) -> Running | None:
    """The monitor after its next reload; None if it ended or that took `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        now = find_running(path)
        if now is None or now.reloads > before.reloads:
            return now
        time.sleep(0.1)
    return None


def _read(file: IO[str]) -> Running:
    """What it says; it is looked at once more if it was being written."""
    for _ in range(20):
        file.seek(0)
        try:
            fields = json.load(file)
        except json.JSONDecodeError:
            time.sleep(0.05)
            continue
        fields |= {key: tuple(fields[key]) for key in ("changed", "restart")}
        return Running(**fields)
    raise ServiceError("the running monitor does not say who it is", where=file.name)
