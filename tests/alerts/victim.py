"""A process that writes visits and delivers alerts until somebody kills it.

`python victim.py DATABASE_URL HOOK_URL FOLDER FIRST`: visits numbered from FIRST, some at a time;
prints each number once its event and alert are committed.
"""

from __future__ import annotations

import sys
import time
from itertools import chain
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from alerts.conftest import Line, came, configured, left  # noqa: E402
from monitor.clock import SystemClock  # noqa: E402
from monitor.storage.database import open_database  # noqa: E402

AT_ONCE = 8
"""Visits that may be one transaction."""


def main(url: str, hook: str, folder: str, first: int) -> None:
    """Run until killed."""
    config = configured(
        rules={"someone": {"on": "occupied", "channels": ["hook"], "cooldown": 0}},
        channels={"hook": {"webhook": {"url": hook, "allow": ["127.0.0.1"]}}},
    )
    line = Line(open_database(url), config, SystemClock(), Path(folder))
    while True:
        numbers = range(first, first + AT_ONCE)
        visits = (
            (came(str(number), number), left(str(number), number + 0.5)) for number in numbers
        )
        line.tell(*chain.from_iterable(visits))
        sys.stdout.write("".join(f"{number}\n" for number in numbers))
        sys.stdout.flush()
        first = numbers.stop
        time.sleep(0.002)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
