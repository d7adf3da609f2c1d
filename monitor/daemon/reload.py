"""Another configuration while the monitor runs: read when asked, taken whole or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Engine

from monitor.config import load_config
from monitor.config.changes import Changes
from monitor.daemon.handle import Handle
from monitor.daemon.house import House
from monitor.daemon.record import note_configuration
from monitor.errors import ConfigError, DatabaseError
from monitor.telemetry import get_logger

log = get_logger(__name__)


class Reloader:
    """Reads the file in a thread of its own, so that no camera waits; asked twice, twice.

    It reads the file whenever `asked` is set, as a signal handler may do. A file with errors
    changes nothing: they are logged as `check` prints them, and health says so until a good one
    comes.
    """

    def __init__(
        self,
        file: Path,
        house: House,
        engine: Engine,
        handle: Handle,
        *,
        asked: threading.Event,
    ) -> None:
        self._file = file.resolve()
        self._house = house
        self._engine = engine
        self._handle = handle
        self._asked = asked
        self._stopping = False
        self._tries = 0
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End after the reload in progress."""
        self._stopping = True
        self._asked.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._asked.wait() and not self._stopping:
            self._asked.clear()
            self._tries += 1
            try:
                self._reload()
            except ConfigError as error:
                log.error(
                    "the configuration is rejected, the last good one stays in force",
                    file=str(self._file),
                    problems=error.what.splitlines()[1:] or [error.what],
                )
                self._reject(error.what.splitlines()[-1].strip())
            except Exception as error:
                log.exception("the configuration was taken in part only: restart the monitor")
                self._reject(f"taken in part only, {type(error).__name__}: restart")

    def _reject(self, why: str) -> None:
        self._house.status.configuration_rejected(why)
        self._handle.tell(reloads=self._tries, rejected=why, changed=(), restart=())

    def _reload(self) -> None:
        wanted = load_config(self._file)
        changes = self._house.reconfigure(wanted)
        generation = self._house.status.configuration_taken()
        changed = [f"{what}: {', '.join(names)}" for what, names in _told(changes) if names]
        log.info("configuration reloaded", generation=generation, changes=changed or "none")
        if changes.restart:
            log.warning("these keys wait for a restart", keys=list(changes.restart))
        self._record()
        self._handle.tell(
            generation=generation,
            reloads=self._tries,
            rejected="",
            changed=tuple(changed),
            restart=changes.restart,
        )

    def _record(self) -> None:
        try:
            note_configuration(self._engine, self._house.config, how="reload")
        except DatabaseError as error:
            log.error("the audit log does not know of the reload", reason=str(error))


def _told(changes: Changes) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (
        ("cameras started", changes.started),
        ("cameras stopped", changes.stopped),
        ("cameras reopened", changes.reopened),
        ("cameras judged otherwise", changes.retuned),
        ("zones ended", tuple(sorted("/".join(place) for place in changes.ended))),
        ("sections", changes.sections),
    )
