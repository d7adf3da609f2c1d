"""How a running monitor is found, and a dead one is not."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from monitor.daemon.handle import Handle, await_reload, find_running, handle_path

HOLDER = """
import sys, time
from pathlib import Path
from monitor.daemon.handle import Handle
handle = Handle(Path(sys.argv[1]), Path("monitor.yaml"))
handle.take()
print("taken", flush=True)
time.sleep(60)
"""


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[Handle]:
    handle = Handle(tmp_path / "var" / "monitor.db.run", tmp_path / "monitor.yaml")
    handle.take()
    yield handle
    handle.release()


def test_it_lies_beside_the_database() -> None:
    assert handle_path(make_url("sqlite:////srv/monitor.db")) == Path("/srv/monitor.db.run")
    assert handle_path(make_url("postgresql://h/db")) == Path("var/events.run")


def test_a_monitor_is_found_until_it_ends(handle: Handle, tmp_path: Path) -> None:
    path = tmp_path / "var" / "monitor.db.run"
    found = find_running(path)
    assert found is not None
    assert (found.config, found.reloads) == (str(tmp_path / "monitor.yaml"), 0)
    handle.release()
    assert find_running(path) is None


def test_a_monitor_that_was_killed_is_not_found(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db.run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "taken\n"
    found = find_running(path)
    assert found is not None
    assert found.pid == holder.pid
    holder.kill()
    holder.communicate()
    assert path.exists()
    assert find_running(path) is None


def test_what_became_of_a_reload_is_told(handle: Handle, tmp_path: Path) -> None:
    path = tmp_path / "var" / "monitor.db.run"
    before = find_running(path)
    assert before is not None
    assert await_reload(path, before, 0.3) is None
    news = threading.Timer(0.2, lambda: handle.tell(reloads=1, rejected="a line", restart=("x",)))
    news.start()
    begun = time.monotonic()
    after = await_reload(path, before, 10.0)
    assert after is not None
    assert (after.rejected, after.restart, after.generation) == ("a line", ("x",), 1)
    assert time.monotonic() - begun < 5.0
