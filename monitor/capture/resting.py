"""When a reader leaves a live stream alone, so that it takes several packets at once.

Waking up for a packet of which nothing is decoded, waiting for Python's lock and finding all
caches cold costs several times what is done to it. So while nothing is to be decoded soon, packets
wait in the kernel's buffer, and are taken in one go. Only where they are not lost there (TCP), and
no more than fit without slowing the camera down.
"""

from __future__ import annotations

from av.packet import Packet
from av.video.stream import VideoStream

LONGEST = 0.4
"""Seconds of a rest at most."""

FEWEST = 2
"""Packets that come in a rest, or it saves nothing."""

EARLY = 0.1
"""Seconds before the next look from which on there is no rest: keyframes may come early."""

BUFFERED = 64 * 1024
"""Bytes that may gather: half of the buffer that Linux gives a connection at its beginning."""

WEIGHT = 0.1
"""Share of a packet in the average size; every tenth picture or so may be a large one."""


class Rest:
    """Decides about the rests of one opened stream."""

    def __init__(self) -> None:
        self._size = 0.0
        """Average bytes of the packets between keyframes."""

    def note(self, packet: Packet[VideoStream]) -> None:
        """A packet came."""
        if not packet.is_keyframe:
            self._size += WEIGHT * (packet.size - self._size)

    def seconds(self, *, idle: float, lag: float, fps: float | None) -> float:
        """How long to rest now; 0 for not at all.

        `idle`: seconds in which nothing is to be decoded; `lag`: seconds that the stream is
        behind; `fps`: packets a second.
        """
        if fps is None or fps * lag >= 1.0:
            return 0.0  # there is more to be taken
        room = BUFFERED / max(1.0, self._size * fps)
        rest = min(LONGEST, room, idle - EARLY)
        return rest if rest * fps >= FEWEST else 0.0
