"""kill -9 at any moment: no alert is lost, and what comes twice has the same key."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from monitor.clock import SystemClock

from .conftest import Line, configured, hook_channel, until
from .receivers import Hook
from .victim import AT_ONCE

KILLS = 2


@pytest.mark.timeout(120)
def test_no_alert_is_lost_to_kill_9(
    line: Callable[..., Line], engine: Engine, url: str, tmp_path: Path, hook: Hook
) -> None:
    committed, first = 0, 0
    for _ in range(KILLS):
        victim = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("victim.py")), url, hook.url,
             str(tmp_path), str(first)],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert victim.stdout is not None
        assert victim.stdout.readline()  # it works
        time.sleep(random.uniform(0.1, 0.6))
        victim.kill()
        numbers = victim.communicate()[0].split()
        committed += len(numbers) + 1
        first = (int(numbers[-1]) if numbers else first) + 1 + AT_ONCE
    rules = {"someone": {"on": "occupied", "channels": ["hook"], "cooldown": 0}}
    line(configured(rules=rules, channels={"hook": hook_channel(hook)}), SystemClock())

    def owed() -> int:
        query = "SELECT count(*) FROM deliveries WHERE state != 'sent'"
        with engine.connect() as connection:
            return int(connection.scalar(text(query)) or 0)

    until(lambda: not owed(), 30)
    with engine.connect() as connection:
        events = connection.scalar(text("SELECT count(*) FROM occupancy_events"))
        alerts = connection.scalar(text("SELECT count(*) FROM alerts"))
    assert events is not None
    assert events >= committed > 0
    assert alerts == events, "an event without its alert"
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in hook.requests}
    assert len(keys) == alerts, "an alert was never delivered"
