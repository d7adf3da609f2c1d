"""Packets in, whole pictures out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import av.error
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream


class Decoder:
    """Decodes every packet and passes on what is whole; the rest is counted."""

    def __init__(self) -> None:
        self.decoded = 0
        """Whole pictures."""
        self.corrupt = 0
        """Pictures that FFmpeg marked as damaged, and packets it could not decode at all."""
        self.seconds = 0.0
        """Processor time spent on it."""

    def frames(self, packet: Packet[VideoStream]) -> Iterator[VideoFrame]:
        """The whole pictures that come out when `packet` goes in, in the order of display."""
        yield from self._whole(packet.decode)

    def drain(self, context: VideoCodecContext, time_base: Fraction) -> Iterator[VideoFrame]:
        """The pictures a decoder still holds; it forgets them, and all that came before."""
        for frame in self._whole(lambda: context.decode(None)):
            frame.time_base = time_base  # which comes with packets otherwise
            yield frame
        context.flush_buffers()

    def _whole(self, decode: Callable[[], Sequence[VideoFrame]]) -> Iterator[VideoFrame]:
        begin = time.thread_time()
        try:
            frames = decode()
        except av.error.InvalidDataError:
            self.corrupt += 1
            return
        finally:
            self.seconds += time.thread_time() - begin
        for frame in frames:
            if frame.is_corrupt:
                self.corrupt += 1
            else:
                self.decoded += 1
                yield frame
