"""Access units: packets that hold whole pictures, whatever the camera and FFmpeg's parser made.

Many cameras cut a picture into slices. Some of them, and GStreamer's payloader, repeat the
parameter sets before each slice of a keyframe; there FFmpeg's parser begins a new packet. Two
packets of one time stamp come, both called keyframes, and the decoder makes half a picture of
each. Here they are put together again.

That a packet goes on with the picture before it is told by its first slice: only the first one of
a picture has a set bit in its header (H.264 7.3.3: `first_mb_in_slice` is 0; H.265 7.3.6.1:
`first_slice_segment_in_pic_flag`). If its time is another one, then its own first slice was lost
on the way, and the decoder makes of it what it can. That nothing more follows is told by the next
packet only, so a packet that may be cut has to wait for it: every packet until one whole group has
been seen, keyframes ever after, and others once one of them was cut. Where one is cut that nobody
expected, nothing more is shown until the next keyframe.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from monitor.clock import Stamp

HEAD = 4096
"""Bytes of a packet in which its first slice has to begin; parameter sets take some hundred."""

SLOW = 0.25
"""Seconds between two packets from which on a keyframe does not wait for the next one."""

SLICED = frozenset({"h264", "hevc"})
"""FFmpeg's names of the codecs whose pictures may come in several packets."""

START_CODE = b"\x00\x00\x01"


class Unit(NamedTuple):
    """A packet that holds a whole picture; `seconds` of media time, and when it came."""

    packet: Packet[VideoStream]
    seconds: float
    arrived: Stamp


class Slices:
    """Tells whether a packet begins a picture, for one opened stream."""

    def __init__(self, context: VideoCodecContext) -> None:
        self._h265 = context.name == "hevc"
        self._known = context.name in SLICED
        self._length_size = _length_size(context.extradata or b"", h265=self._h265)

    def begin(self, packet: Packet[Any]) -> bool:
        """Whether its first slice is the first of a picture; True where that cannot be told."""
        if not self._known or not packet.size:
            return True
        source: Any = packet  # has the buffer protocol, which its types do not tell
        head = bytes(memoryview(source)[:HEAD])
        for at in self._units(head):
            kind = head[at] >> 1 & 0x3F if self._h265 else head[at] & 0x1F
            if kind < 32 if self._h265 else kind in (1, 5):
                flag = at + 2 if self._h265 else at + 1
                return flag >= len(head) or bool(head[flag] & 0x80)
        return True

    def _units(self, head: bytes) -> Iterator[int]:
        """Where its NAL units begin: behind start codes (live), or lengths (MP4, MKV)."""
        at = 0
        if self._length_size:
            while at + self._length_size < len(head):
                begin = at + self._length_size
                yield begin
                at = begin + int.from_bytes(head[at:begin], "big")
            return
        while (at := head.find(START_CODE, at) + len(START_CODE)) >= len(START_CODE):
            if at < len(head):
                yield at


class Assembler:
    """Puts the packets of one opened stream together to whole pictures."""

    def __init__(self, context: VideoCodecContext) -> None:
        self._slices = Slices(context)
        self._known = context.name in SLICED
        self._held: Unit | None = None
        self._keyframes = 0
        self._cut = False
        self._pts: int | None = None
        self._interval = 0.0
        self._before = 0.0

    def joined(self, packet: Packet[VideoStream]) -> bool | None:
        """Put `packet` to the picture that waits, if it goes on with it.

        None if it begins a picture of its own. False if the picture it belongs to has gone
        already, incomplete: the decoder is wrong from here to the next keyframe.
        """
        later = None not in (packet.pts, self._pts) and packet.pts != self._pts
        if later or self._slices.begin(packet):
            return None
        if self._held is None:
            self._cut = True
            return False
        first = self._held.packet
        self._cut = self._cut or not first.is_keyframe
        self._held = self._held._replace(packet=_together(first, packet))
        return True

    def units(self, packet: Packet[VideoStream], seconds: float, arrived: Stamp) -> Iterator[Unit]:
        """The whole pictures that are there now that `packet` begins another one."""
        if self._held is not None:
            held, self._held = self._held, None
            yield held
        self._pts = packet.pts
        self._interval, self._before = seconds - self._before, seconds
        self._keyframes += packet.is_keyframe and self._keyframes < 2
        unit = Unit(packet, seconds, arrived)
        if self._known and packet.size and self._may_go_on(packet):
            self._held = unit
        else:
            yield unit

    def _may_go_on(self, packet: Packet[VideoStream]) -> bool:
        if self._keyframes < 2 or self._cut:
            return True
        return packet.is_keyframe and self._interval < SLOW


def _together(first: Packet[VideoStream], rest: Packet[VideoStream]) -> Packet[VideoStream]:
    parts: tuple[Any, Any] = (first, rest)
    whole: Any = Packet(b"".join(bytes(part) for part in parts))
    whole.stream, whole.time_base = first.stream, first.time_base
    whole.pts = first.pts if first.pts is not None else rest.pts
    whole.dts = first.dts if first.dts is not None else rest.dts
    whole.is_keyframe = first.is_keyframe
    return cast("Packet[VideoStream]", whole)


def _length_size(extradata: bytes, *, h265: bool) -> int:
    """Bytes of the lengths before NAL units (ISO 14496-15); 0 where start codes stand."""
    at = 21 if h265 else 4
    return (extradata[at] & 3) + 1 if len(extradata) > at and extradata[0] == 1 else 0
