"""Which packets are decoded: the decode policy of one stream, live or recorded.

Decoding is what a camera costs, and a picture that depends on others costs them, too. Packets
that need not be seen now are kept, as far back as where the decoder stands. So a closer look is
always possible from there on: every picture is decoded in its order, none from thin air. A
decoder that is fed a later picture without the earlier ones shows garbage, and says nothing.

The decoder may wait for a keyframe at any time: from there on nothing before it matters, and
what was kept is let go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import ceil
from typing import NamedTuple

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from monitor.capture.decoding import Decoder
from monitor.capture.sampling import SLOT_TOLERANCE, Sampler
from monitor.clock import Stamp
from monitor.config import CameraConfig, DecodePolicy
from monitor.telemetry import get_logger

log = get_logger(__name__)

GLANCE_EVERY = 0.5
"""Seconds between two keyframes that are looked at while all is settled: cameras that send
nothing but keyframes (MJPEG) need not be decoded at their full rate."""

KEPT_BYTES = 4 * 2**20
"""Most that is kept of one camera; beyond, it is decoded to keep the way back open. Four
megabytes are two seconds at 16 Mbit/s."""

SELDOM = 2.0
"""Times `max_blind` that two keyframes may be apart without a look in between while rare glances
will do: whoever leaves meanwhile is taken to have left in the middle of it."""

SLACK = 0.1
"""Share of `max_blind` that a keyframe is waited for beyond it: where one comes every two seconds
or so, for cameras keep time loosely, not all before it is decoded for a moment."""

RARE = 3
"""Groups in a row that are too long before the log says so: under load, or after a gap in its time
stamps, a stream's first group may seem longer than it is."""

PATIENT = 10.0
"""Seconds without a first keyframe after which the decoder has to try without."""

DEPENDENT = frozenset({PictureType.P, PictureType.B})
"""Kinds of pictures that do not stand alone."""


class Pick(NamedTuple):
    """A decoded picture. `arrived`: when its packet came; `wanted`: whether to look at it."""

    picture: VideoFrame
    arrived: Stamp
    wanted: bool


class Economy:
    """Decodes the packets of one opened stream as its camera's settings and presence say.

    `dense` answers whether every picture is wanted just now, `sparse` whether rare glances will
    do; they are asked for each packet.
    """

    def __init__(
        self,
        settings: CameraConfig,
        decoder: Decoder,
        context: VideoCodecContext,
        dense: Callable[[], bool],
        sparse: Callable[[], bool] = lambda: False,
    ) -> None:
        self._policy = settings.decode
        self._decoder = decoder
        self._context = context
        self._dense = dense
        self._sparse = sparse
        self._slots = Sampler(settings.sample_fps)
        self._glance = max(GLANCE_EVERY, 1.0 / settings.sample_fps - 0.1)
        self._blind = max(settings.max_blind, 1.0 / settings.sample_fps)
        self._slack = SLACK * self._blind
        self._seldom = _seldom(settings, self._blind)
        self._kept: deque[tuple[Packet[VideoStream], Stamp]] = deque()
        self._kept_bytes = 0
        self._joined = False
        self._lost = False
        self._close = False
        self._looked = 0.0
        self._latest: int | None = None
        self._reorders = False
        self._origin: float | None = None
        self._keyed: float | None = None
        self._repeated: int | None = None
        self._rare, self._told = 0, False
        self.group: float | None = None
        """Seconds between the latest two keyframes; None before the second."""

    @property
    def longest_wait(self) -> float:
        """Seconds that may pass between two decoded pictures, on purpose."""
        if self._policy is DecodePolicy.ALL:
            return 0.0
        return self._patience() if self._policy is DecodePolicy.ADAPTIVE else (self.group or 30.0)

    def idle(self, seconds: float) -> float:
        """Seconds from `seconds` on in which nothing is going to be decoded; 0 if unknown."""
        all_wanted = self._policy is DecodePolicy.ALL or self._close or self._dense()
        if all_wanted or not self._joined or self.group is None or self._keyed is None:
            return 0.0
        keyframe = self._keyed + self.group
        adaptive = self._policy is DecodePolicy.ADAPTIVE
        return (min(keyframe, self._next_look()) if adaptive else keyframe) - seconds

    def pictures(
        self, packet: Packet[VideoStream], seconds: float, arrived: Stamp
    ) -> Iterator[Pick]:
        """What is to be seen now that `packet` has come, at `seconds` of media time."""
        key = packet.is_keyframe and packet.size > 0
        if key:
            self._lost = False
            self._measure_group(seconds)
        self._note_order(packet)
        if self._lost:
            return
        close = self._policy is DecodePolicy.ADAPTIVE and self._dense()
        fresh, self._close = close and not self._close, close
        blindfold = self._keyed is None and seconds <= PATIENT
        if self._policy is DecodePolicy.ALL or (self._keyed is None and not blindfold):
            yield from self._feed(packet, arrived, wanted=True)
        elif close:
            yield from self._closely(packet, seconds, arrived, key=key, fresh=fresh)
        elif key:
            yield from self._glance_at(packet, seconds, arrived)
        elif self._policy is DecodePolicy.ADAPTIVE and self._joined:
            self._keep(packet, arrived)
            if seconds + SLOT_TOLERANCE >= self._next_look() or self._kept_bytes > KEPT_BYTES:
                self._looked = seconds
                yield from self._catch_up(every=False)

    def lose_track(self) -> None:
        """A picture went by incomplete: nothing is to be decoded before the next keyframe."""
        self._lost, self._joined = True, False
        self._decoder.corrupt += 1
        self._forget()

    def _closely(
        self,
        packet: Packet[VideoStream],
        seconds: float,
        arrived: Stamp,
        *,
        key: bool,
        fresh: bool,
    ) -> Iterator[Pick]:
        """Decode everything up to what is looked at, if `fresh` beginning with what was kept.

        What is left of a group behind its last look is never decoded: no later picture needs it,
        unless pictures are not sent in their order.
        """
        if key:
            self._joined = True
            if len(self._kept) <= 1 or not (fresh or self._reorders):
                self._forget()
        if not self._joined:
            return
        self._keep(packet, arrived)
        due = self._slots.due(seconds - (self._origin or 0.0))
        if due or fresh or self._kept_bytes > KEPT_BYTES:
            self._looked = seconds
            yield from self._catch_up(every=True)

    def _glance_at(
        self, packet: Packet[VideoStream], seconds: float, arrived: Stamp
    ) -> Iterator[Pick]:
        """Decode a keyframe alone, unless the last look was a moment ago."""
        self._forget()
        if not self._is_due(seconds) and self._joined:
            self._keep(packet, arrived)
            return
        pictures = list(self._decoder.frames(packet))
        if not pictures or (packet.pts is not None and pictures[-1].pts != packet.pts):
            # The decoder waits for later pictures to put them in order. What it is made to give
            # now costs it its memory: it can go on from this keyframe only.
            pictures += self._decoder.drain(self._context, packet.time_base)
            self._keep(packet, arrived)
            self._repeated = pictures[-1].pts if pictures else None
        self._joined = bool(pictures)  # on a damaged keyframe nothing can be built
        if not pictures:
            self._forget()
            return
        self._looked = seconds
        self._check_alone(pictures[-1])
        for picture in pictures:
            yield Pick(picture, arrived, picture is pictures[-1])

    def _next_look(self) -> float:
        """When to look if no keyframe comes before; all pictures up to there have to be decoded.

        So that the last look of a group is as early in it as may be, looks are `max_blind` apart
        counted from the next keyframe backwards.
        """
        blind = self._patience()
        latest = self._looked + blind
        if self.group is None or self._keyed is None:
            return latest
        keyframe = self._keyed + self.group
        looks = ceil((keyframe - self._looked - self._slack) / blind) - 1
        if looks > 0:
            return min(latest, keyframe - looks * blind)
        return max(latest, keyframe + self._slack) if looks == 0 else latest

    def _patience(self) -> float:
        """Seconds that two looks may be apart where keyframes are rare."""
        return max(self._blind, self._seldom) if self._sparse() else self._blind

    def _note_order(self, packet: Packet[VideoStream]) -> None:
        """Whether pictures are sent in another order than that in which they are shown."""
        if packet.pts is not None:
            self._reorders |= self._latest is not None and packet.pts < self._latest
            self._latest = packet.pts

    def _is_due(self, seconds: float) -> bool:
        if self._policy is DecodePolicy.KEYFRAMES:
            return self._slots.due(seconds)
        if self.group is None:
            return True
        passed = seconds - self._looked
        if self._sparse() and passed + self.group <= min(self._blind, self._seldom) + self._slack:
            return False  # the next one is early enough
        return self.group >= self._glance or passed >= self._glance

    def _catch_up(self, *, every: bool) -> Iterator[Pick]:
        """Decode what was kept; look at every picture, or at the last one only."""
        while self._kept:
            packet, arrived = self._kept.popleft()
            self._kept_bytes -= packet.size
            yield from self._feed(packet, arrived, wanted=every or not self._kept)

    def _feed(self, packet: Packet[VideoStream], arrived: Stamp, *, wanted: bool) -> Iterator[Pick]:
        for picture in self._decoder.frames(packet):
            if self._repeated is not None and picture.pts == self._repeated:
                self._repeated = None  # the keyframe that was looked at already
            else:
                yield Pick(picture, arrived, wanted)

    def _keep(self, packet: Packet[VideoStream], arrived: Stamp) -> None:
        self._kept.append((packet, arrived))
        self._kept_bytes += packet.size

    def _forget(self) -> None:
        self._kept.clear()
        self._kept_bytes = 0
        self._repeated = None

    def _check_alone(self, picture: VideoFrame) -> None:
        """Some cameras refresh their pictures bit by bit; none of them stands alone."""
        if picture.pict_type in DEPENDENT:
            log.warning(
                "the camera's keyframes are no whole pictures; every picture is decoded",
                remedy="switch off intra refresh (smart codec, H.264+) at the camera",
            )
            self._policy = DecodePolicy.ALL

    def _measure_group(self, seconds: float) -> None:
        before, self._keyed = self._keyed, seconds
        if before is None:
            self._origin = seconds
            return
        self.group = seconds - before
        self._rare = self._rare + 1 if self.group > self._blind + self._slack else 0
        if self._rare >= RARE and not self._told and self._policy is not DecodePolicy.ALL:
            self._told = True
            adaptive = self._policy is DecodePolicy.ADAPTIVE
            log.warning(
                "keyframes are rare; a shorter keyframe interval at the camera saves decoding",
                every_s=round(self.group, 1),
                max_blind_s=self._blind,
                decoded_percent=round(100 * (1 - self._blind / self.group)) if adaptive else None,
                remedy=f"set the camera's keyframe interval to 1 s, at most {self._blind:g} s",
            )


def _seldom(camera: CameraConfig, blind: float) -> float:
    """Seconds that rare glances may be apart, so that no absence that ends an occupancy falls
    between two of them, and no zone counts as not seen."""
    zones = [zone.presence for zone in camera.zones.values()] or [camera.presence]
    return min(SELDOM * blind, *(min(each.exit_after, each.max_gap / 2.0) for each in zones))
