"""One monitor a database, however the other one ends; readers are never in the way."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from monitor.errors import DatabaseError
from monitor.events.database import open_database
from monitor.events.queries import EventFilter, find_events
from monitor.storage import ownership
from monitor.storage.ownership import Ownership

from .conftest import ALL_BACKENDS

BACKENDS = ALL_BACKENDS
ROOT = Path(__file__).resolve().parents[2]

OWNER = """
import sys, time
from monitor.storage.ownership import Ownership
Ownership(sys.argv[1]).take()
print("mine", flush=True)
time.sleep(600)
"""


def refused(url: str) -> str:
    with pytest.raises(DatabaseError, match="another monitor works on this database") as caught:
        Ownership(url, patience=0.0).take()
    return caught.value.what


def test_a_second_one_is_refused_until_the_first_ends(url: str) -> None:
    with Ownership(url):
        said = refused(url)
        assert "process" in said or "connection" in said
    with Ownership(url):
        pass


def test_readers_are_not_in_the_way(engine: Engine, url: str) -> None:
    with Ownership(url):
        other = open_database(url)
        assert find_events(other, EventFilter()).events == []
        other.dispose()


def test_a_successor_waits_for_one_that_is_ending(url: str) -> None:
    first = Ownership(url)
    first.take()
    ending = threading.Timer(0.5, first.release)
    ending.start()
    with Ownership(url):
        pass
    ending.join()


def test_the_lock_of_a_killed_process_is_free(url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    said = refused(url)
    assert str(process.pid) in said or "connection" in said
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with Ownership(url):
        pass


def end_sessions(engine: Engine) -> None:
    """What a restart of the server does to the owner's session."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name LIKE 'presence-monitor process%'"
                )
            )
            return
        ids = connection.scalars(
            text("SELECT ID FROM information_schema.PROCESSLIST WHERE ID != CONNECTION_ID()")
        ).all()
        for ident in ids:
            try:
                connection.execute(text(f"KILL {ident}"))
            except SQLAlchemyError:
                continue  # one of the server's own


def wait_for(event: threading.Event) -> bool:
    return event.wait(20.0)


def test_a_lock_that_was_lost_is_taken_again_or_given_up(
    engine: Engine, url: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "sqlite":
        return  # a lock of the kernel is not lost
    monkeypatch.setattr(ownership, "BEAT_EVERY", 0.2)
    lost = threading.Event()
    told: list[str] = []

    def on_lost(owner: str) -> None:
        told.append(owner)
        lost.set()

    first = Ownership(url, on_lost=on_lost)
    first.take()
    end_sessions(engine)
    time.sleep(1.0)
    refused(url)  # got back by itself
    assert not lost.is_set()

    monkeypatch.setattr(ownership, "BEAT_EVERY", 2.0)
    time.sleep(0.5)
    end_sessions(engine)
    second = Ownership(url, patience=1.0)
    second.take()
    assert wait_for(lost)
    assert len(told) == 1
    first.release()
    refused(url)
    second.release()


def test_two_names_of_one_file_are_one_database(tmp_path: Path, backend: str) -> None:
    if backend != "sqlite":
        return
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with Ownership(f"sqlite:///{tmp_path}/real/monitor.db"):
        refused(f"sqlite:///{tmp_path}/link/monitor.db")


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path, backend: str) -> None:
    if backend != "sqlite":
        return
    (tmp_path / "monitor.db.lock").mkdir()
    with pytest.raises(DatabaseError, match="lock beside the database cannot be made"):
        Ownership(f"sqlite:///{tmp_path}/monitor.db").take()
