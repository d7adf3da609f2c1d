"""Alerts, measured: a broker that is down half of the time, kill -9, latency, floods.

    python benchmarks/alerts.py broker --alerts 10000     0 lost, duplicates carry the same key
    python benchmarks/alerts.py kill --alerts 10000       0 lost through kill -9
    python benchmarks/alerts.py latency --alerts 500      commit of the event -> webhook received
    python benchmarks/alerts.py flood --minutes 3         1,000 transitions a minute, coalesced

Everything is real: SQLite with fsync, the event writer, mosquitto, an HTTP server. `kill` uses the
process of tests/alerts/victim.py.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

from alerts.broker import Broker, Listener  # noqa: E402
from alerts.conftest import EVENTS, HandClock, Line, came, configured, left  # noqa: E402
from alerts.receivers import Hook  # noqa: E402
from alerts.victim import AT_ONCE  # noqa: E402
from sqlalchemy import Engine, text  # noqa: E402

from monitor.clock import SystemClock  # noqa: E402
from monitor.events.schema import migrate  # noqa: E402
from monitor.storage.database import open_database  # noqa: E402

RULE = {"on": "occupied", "channels": ["out"], "cooldown": 0}


def broker(engine: Engine, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Alerts through a broker that is killed and started again, down for half of the time."""
    kept = "persistence true", f"persistence_location {folder}/", "max_queued_messages 0"
    server = Broker(folder, *kept, "user root")
    server.start()
    listener = Listener(server.port, lasting=True)
    channel = {"mqtt": {"host": "127.0.0.1", "port": server.port, "states": False, "timeout": "2s"}}
    config = configured(rules={"someone": RULE}, channels={"out": channel})
    over = threading.Event()
    down = [0.0]

    def flap() -> None:
        while not over.wait(options.period):
            gone = time.monotonic()
            server.stop(gently=True)
            over.wait(options.period)
            server.start()
            down[0] += time.monotonic() - gone

    flapping = threading.Thread(target=flap)
    flapping.start()
    started = time.monotonic()
    line = Line(engine, config, SystemClock(), folder)
    for number in range(options.alerts):
        zone = ("gate", "yard")[number % 2]
        line.writer.put(came(str(number), number, zone))
        line.writer.put(left(str(number), number + 0.5, zone))
        if number % 16 == 15:  # a site's pace; one huge transaction would keep the channel out
            line.writer.flush(600.0)
    line.writer.flush(600.0)
    _wait(lambda: not _owed(engine), 3600)
    took = time.monotonic() - started
    over.set()
    flapping.join()
    keys = _keys(engine)
    heard = _heard(listener)
    deadline = time.monotonic() + 60
    while keys - heard.keys() and time.monotonic() < deadline:
        time.sleep(0.5)
        heard = _heard(listener)
    line.stop()
    listener.stop()
    server.stop()
    return {
        "alerts": len(keys),
        "lost": len(keys - heard.keys()),
        "duplicates": sum(count - 1 for count in heard.values()),
        "strange_keys": len(heard.keys() - keys),
        "seconds": round(took, 1),
        "broker_down_share": round(down[0] / took, 2),
    }


def _heard(listener: Listener) -> Counter[str]:
    return Counter(
        pairs["idempotency-key"]
        for topic, _, _, pairs in list(listener.messages)
        if topic == "presence/alerts"
    )


def kill(engine: Engine, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """A process that writes events and delivers alerts, killed again and again."""
    told: set[UUID] = set()
    kills, started = 0, time.monotonic()
    with Hook() as hook:
        first = 0
        while _count(engine, "alerts") < options.alerts:
            numbers = _live_and_die(engine, hook, folder, first)
            told.update(uuid5(EVENTS, str(number)) for number in numbers)
            first, kills = numbers[-1] + 1 + AT_ONCE, kills + 1
        channel = {"webhook": {"url": hook.url, "allow": ["127.0.0.1"]}}
        rules = {"someone": RULE | {"channels": ["hook"]}}
        config = configured(rules=rules, channels={"hook": channel})
        survivor = Line(engine, config, SystemClock(), folder)
        _wait(lambda: not _owed(engine), 600)
        survivor.stop()
        heard = Counter(headers["Idempotency-Key"] for _, _, headers, _ in hook.requests)
    keys, events = _ids(engine, "deliveries", "key"), _ids(engine, "occupancy_events", "id")
    return {
        "kills": kills,
        "alerts": _count(engine, "alerts"),
        "committed_events_missing": len(told - events),
        "events_without_alert": len(events - _ids(engine, "alerts", "event_id")),
        "alerts_lost": len(keys - {UUID(key) for key in heard}),
        "duplicates": sum(count - 1 for count in heard.values()),
        "strange_keys": len({UUID(key) for key in heard} - keys),
        "seconds": round(time.monotonic() - started, 1),
    }


def _live_and_die(engine: Engine, hook: Hook, folder: Path, first: int) -> list[int]:
    """One life of the victim, ended at any moment; the numbers it said were committed."""
    script = PROJECT / "tests/alerts/victim.py"
    argv = [sys.executable, str(script), str(engine.url), hook.url, str(folder), str(first)]
    victim = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    begun = int(victim.stdout.readline())
    time.sleep(random.uniform(0.2, 6.0))
    victim.kill()
    whole = victim.communicate()[0].rpartition("\n")[0]
    return [begun, *map(int, whole.split())]


def latency(engine: Engine, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """From the commit of the event to the arrival at a webhook on this machine, in ms."""
    committed: list[float] = []
    with Hook() as hook:
        channel = {"webhook": {"url": hook.url, "allow": ["127.0.0.1"]}}
        config = configured(rules={"someone": RULE}, channels={"out": channel})
        line = Line(engine, config, SystemClock(), folder)
        for number in range(options.alerts):
            line.tell(came(str(number), number))
            committed.append(time.monotonic())
            _wait(lambda: len(hook.arrivals) > number, 30)  # noqa: B023
            line.tell(left(str(number), number + 0.5))
        spans = sorted(1000 * (b - a) for a, b in zip(committed, hook.arrivals, strict=True))
        line.stop()
    return {
        "alerts": len(spans),
        **{f"p{q}_ms": round(spans[min(len(spans) - 1, len(spans) * q // 100)], 1)
           for q in (50, 90, 99)},
    }  # fmt: skip


def flood(engine: Engine, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """1,000 transitions a minute (500 visits), the clock moved by hand; how many are told."""
    clock = HandClock()
    with Hook() as hook:
        channel = {"webhook": {"url": hook.url, "allow": ["127.0.0.1"]}}
        rule = {**RULE, "coalesce": "10s"}
        line = Line(engine, configured(rules={"r": rule}, channels={"out": channel}), clock, folder)
        for number in range(500 * options.minutes):
            clock.seconds = number * 0.12
            zone = ("gate", "yard")[number % 2]
            change = came(str(number), clock.seconds, zone), left(str(number), clock.seconds, zone)
            line.writer.put(change[0])
            line.writer.put(change[1])
            if number % 25 == 24:
                line.writer.flush(10)
                line.room.tick(clock.now())
        clock.seconds += 700.0
        line.room.on_committed()
        _wait(lambda: not _owed(engine), 60)
        line.stop()
        told = [body["count"] for body in hook.bodies]
    return {
        "transitions": 1000 * options.minutes,
        "alerts": _count(engine, "alerts"),
        "messages": len(told),
        "counts": told,
    }


def _count(engine: Engine, table: str, where: str = "1 = 1") -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table} WHERE {where}")) or 0)


def _owed(engine: Engine) -> int:
    return _count(engine, "deliveries", "state = 'pending'")


def _keys(engine: Engine) -> set[str]:
    return {str(key) for key in _ids(engine, "deliveries", "key")}


def _ids(engine: Engine, table: str, column: str) -> set[UUID]:
    with engine.connect() as connection:
        return {UUID(each) for each in connection.scalars(text(f"SELECT {column} FROM {table}"))}


def _wait(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.001 if seconds <= 30 else 0.2)


def main() -> None:
    """Run one measurement and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("broker", "kill", "latency", "flood"))
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--period", type=float, default=3.0, help="seconds up, then down")
    parser.add_argument("--minutes", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="alerts-"))
    try:
        url = f"sqlite:///{folder}/monitor.db"
        migrate(url)
        engine = open_database(url)
        measure = {"broker": broker, "kill": kill, "latency": latency, "flood": flood}
        result = measure[options.what](engine, folder, options)
        engine.dispose()
        print(json.dumps({"what": options.what, **result}))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
