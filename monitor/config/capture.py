"""How cameras are read."""

from __future__ import annotations

import os
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from monitor.config.base import ConfigModel

MOST_PROCESSES: Final = 64

CAMERAS_A_PROCESS: Final = 128
"""As many as threads of one process were seen to read for less than several processes take.

`python -m benchmarks.scale --cameras 32 64 128 --processes 0 2` on two processors, 720p with nobody
in sight: threads took 4.3, 4.5 and 5.0 ms a stream second, two processes 5.1, 5.0 and 6.3, and
up to seven tenths more memory. Where one interpreter is saturated was not reached.
"""


def _check_processes(value: Any) -> Any:
    """One clear sentence instead of one complaint for each member of the union."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    whole = isinstance(number, int) and not isinstance(number, bool)
    if value == "auto" or (whole and 0 <= number <= MOST_PROCESSES):
        return number
    raise ValueError(
        f"this is no number of processes; auto, or a whole number from 0 to {MOST_PROCESSES}"
    )


Processes = Annotated[
    Annotated[int, Field(ge=0, le=MOST_PROCESSES)] | Literal["auto"],
    BeforeValidator(_check_processes),
]


class CaptureConfig(ConfigModel):
    """Processes that read cameras."""

    processes: Processes = "auto"
    """Processes beside the daemon's own that read cameras; 0: the daemon reads them itself, in
    threads, which costs less. `auto` is 0 up to 128 cameras and one for every 128 beyond that, at
    most one a processor."""

    def process_count(self, cameras: int) -> int:
        """How many processes read that many cameras; 0: threads of this process do."""
        if self.processes != "auto":
            return min(self.processes, cameras)
        if cameras <= CAMERAS_A_PROCESS:
            return 0
        return min(-(-cameras // CAMERAS_A_PROCESS), os.cpu_count() or 1)
