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
expected, nothing more is shown until the next keyframe. Of H.265, what goes on with a picture comes
in one packet with the next picture; they are taken apart.

That is enough where FFmpeg tells that half
a picture is none, as it does of H.264. Of H.265 it does not: from a live camera, every one waits.
MP4 and its like promise whole pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

BEFORE_SLICES = frozenset({*range(32, 36), 39, *range(41, 45), *range(48, 56)})
"""Kinds of H.265's NAL units that begin a new picture if they follow a slice (7.4.2.4.4)."""

KEYFRAMES = range(16, 24)
"""Kinds of H.265's slices that nothing before them is needed for (IRAP, 7.4.2.2)."""

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

    @property
    def behind_lengths(self) -> bool:
        """Whether it comes from a container that knows where pictures end."""
        return bool(self._length_size)

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

    def next_picture(self, data: bytes) -> tuple[int, bool] | None:
        """Where in H.265 that goes on with a picture the next one begins; whether as a keyframe.

        FFmpeg's parser looks for the end of a picture only where it saw one begin.
        """
        begin: int | None = None
        for at in self._units(data):
            kind = data[at] >> 1 & 0x3F
            if kind in BEFORE_SLICES:
                begin = at if begin is None else begin
            elif kind < 32:
                if data[at + 2 : at + 3] >= b"\x80":
                    return (at if begin is None else begin) - len(START_CODE), kind in KEYFRAMES
                begin = None
        return None

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
        self._untold = context.name == "hevc" and not self._slices.behind_lengths
        self._held: Unit | None = None
        self._keyframes = 0
        self._cut = False
        self._pts: int | None = None
        self._interval = 0.0
        self._before = 0.0

    @property
    def waits_for_more(self) -> bool:
        """Whether a keyframe waits for the packet after it."""
        return self._held is not None and self._held.packet.is_keyframe

    def parts(self, packet: Packet[VideoStream]) -> Sequence[Packet[VideoStream]]:
        """`packet`; in two if it goes on with a picture and holds the next one, too."""
        if not self._untold or self._slices.begin(packet):
            return (packet,)
        data = _bytes(packet)
        found = self._slices.next_picture(data)
        if found is None:
            return (packet,)
        at, is_keyframe = found
        rest = _packet(data[:at], like=packet)
        rest.pts, rest.dts = packet.pts, packet.dts
        following = _packet(data[at:], like=packet)  # nobody knows its time
        following.is_keyframe = is_keyframe
        return rest, following

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
        if self._keyframes < 2 or self._cut or self._untold:
            return True
        return packet.is_keyframe and self._interval < SLOW


def _together(first: Packet[VideoStream], rest: Packet[VideoStream]) -> Packet[VideoStream]:
    whole = _packet(_bytes(first) + _bytes(rest), like=first)
    whole.pts = first.pts if first.pts is not None else rest.pts
    whole.dts = first.dts if first.dts is not None else rest.dts
    return whole


def _packet(data: bytes, *, like: Packet[VideoStream]) -> Packet[VideoStream]:
    made: Any = Packet(data)
    made.stream, made.time_base, made.is_keyframe = like.stream, like.time_base, like.is_keyframe
    return cast("Packet[VideoStream]", made)


def _bytes(packet: Packet[VideoStream]) -> bytes:
    source: Any = packet  # has the buffer protocol, which its types do not tell
    return bytes(source)


def _length_size(extradata: bytes, *, h265: bool) -> int:
    """Bytes of the lengths before NAL units (ISO 14496-15); 0 where start codes stand."""
    at = 21 if h265 else 4
    return (extradata[at] & 3) + 1 if len(extradata) > at and extradata[0] == 1 else 0
