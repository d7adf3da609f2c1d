"""The capture room spread over processes, for more cameras than one interpreter can read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from monitor.capture.lookout import Lookout
from monitor.capture.room import CaptureRoom, readable
from monitor.capture.status import ReaderStats
from monitor.clock import Clock
from monitor.config import CameraConfig, CaptureConfig, LoggingConfig
from monitor.messages import Attention, Frame, Outage


def make_capture(
    cameras: Mapping[str, CameraConfig],
    *,
    on_frame: Callable[[Frame], None],
    on_outage: Callable[[Outage], None],
    clock: Clock,
    max_side: int,
    settings: CaptureConfig,
    logging: LoggingConfig,
) -> CaptureRoom | CaptureFleet:
    """A room in this process or, if `settings` say so, in others. Raises as these do."""
    count = settings.process_count(sum(camera.enabled for camera in cameras.values()))
    if not count:
        return CaptureRoom(
            cameras, on_frame=on_frame, on_outage=on_outage, clock=clock, max_side=max_side
        )
    return CaptureFleet(
        cameras,
        on_frame=on_frame,
        on_outage=on_outage,
        clock=clock,
        max_side=max_side,
        processes=count,
        logging=logging,
    )


class CaptureFleet:
    """A `CaptureRoom` whose cameras are read by `processes` processes.

    The callbacks run in one thread for each process. `on_frame` must not be slow, for it delays
    the other cameras of its process; `on_outage` must not block. A process that dies or hangs is
    replaced, and its cameras count as not seen meanwhile; the others notice nothing.

    Raises ConfigError for a source of no known kind, ServiceError if there is no memory for the
    frames on their way.
    """

    def __init__(
        self,
        cameras: Mapping[str, CameraConfig],
        *,
        on_frame: Callable[[Frame], None],
        on_outage: Callable[[Outage], None],
        clock: Clock,
        max_side: int,
        processes: int,
        logging: LoggingConfig,
    ) -> None:
        names = list(wanted := readable(cameras))
        self.lookouts = [
            Lookout(
                f"capture-{index}",
                {name: wanted[name] for name in names[index::processes]},
                on_frame=on_frame,
                on_outage=on_outage,
                clock=clock,
                max_side=max_side,
                logging=logging,
            )
            for index in range(processes)
        ]

    def start(self) -> None:
        """Start all processes; waits for none."""
        for lookout in self.lookouts:
            lookout.start()

    def stop(self, timeout: float = 2.0) -> None:
        """Stop all within about `timeout` seconds. No callback begins after it has returned."""
        deadline = time.monotonic() + timeout
        for lookout in self.lookouts:
            lookout.request_stop()
        for lookout in self.lookouts:
            lookout.join(max(0.1, deadline - time.monotonic()))

    def add(self, cameras: Mapping[str, CameraConfig]) -> None:
        """Read these, too, if they are enabled. Raises ConfigError, having started none."""
        for name, camera in readable(cameras).items():
            least = min(self.lookouts, key=lambda lookout: len(lookout.cameras))
            least.add({name: camera})

    def drop(self, cameras: Iterable[str]) -> None:
        """Read these no longer; what they still send is thrown away. That is no outage."""
        names = set(cameras)
        for lookout in self.lookouts:
            if gone := names & lookout.cameras:
                lookout.drop(gone)

    def attend(self, attention: Attention) -> None:
        """Look closely at a camera, or no longer; returns at once."""
        for lookout in self.lookouts:
            lookout.attend(attention)

    def log_by(self, settings: LoggingConfig) -> None:
        """Let the processes write their log like this from now on."""
        for lookout in self.lookouts:
            lookout.log_by(settings)

    def stats(self) -> dict[str, ReaderStats]:
        """How every reader stands, by camera."""
        return {name: each for lookout in self.lookouts for name, each in lookout.stats().items()}
