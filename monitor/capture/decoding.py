"""Packets in, whole pictures out."""

from __future__ import annotations

from collections.abc import Iterator

import av.error
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream


class Decoder:
    """Decodes every packet and passes on what is whole; the rest is counted."""

    def __init__(self) -> None:
        self.decoded = 0
        """Whole pictures."""
        self.corrupt = 0
        """Pictures that FFmpeg marked as damaged, and packets it could not decode at all."""

    def frames(self, packet: Packet[VideoStream]) -> Iterator[VideoFrame]:
        """The whole pictures that come out when `packet` goes in, in the order of display."""
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            self.corrupt += 1
            return
        for frame in frames:
            if frame.is_corrupt:
                self.corrupt += 1
            else:
                self.decoded += 1
                yield frame
