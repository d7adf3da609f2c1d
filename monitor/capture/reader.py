"""One camera's reader: a thread that opens, decodes, samples, and comes back after trouble."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from monitor.capture.backoff import backoff_delay
from monitor.capture.composing import Composer, fingerprint
from monitor.capture.decoding import Decoder
from monitor.capture.economy import Economy, Pick
from monitor.capture.failures import Failure, SourceLostError, explain
from monitor.capture.resting import Rest
from monitor.capture.sampling import LagMeter, RateMeter, Sampler, Timeline
from monitor.capture.sources import OpenSource, Source, SourceKind, opened, source_of
from monitor.capture.status import FROZEN, ReaderState, ReaderStats, Status
from monitor.capture.units import Assembler
from monitor.clock import Clock, Stamp
from monitor.config import CameraConfig
from monitor.messages import Attention, Frame, Outage, OutageReason
from monitor.telemetry import camera_context, get_logger

log = get_logger(__name__)

HEALTHY_STRETCH = 10.0
"""Seconds of pictures after which a camera's earlier failures are forgotten."""

UNDECODABLE_LIMIT = 30.0
"""Seconds of packets without a first picture after which the source is opened anew. Longer than
the keyframe interval of any camera, because nothing can be decoded before the first keyframe."""

Backoff = Callable[[int, OutageReason, float], float]

_ENDED = Failure(OutageReason.ENDED, "the stream ended")
_BEHIND = Failure(OutageReason.LAGGING, "the stream is behind and does not catch up")
_SILENT = Failure(OutageReason.TIMEOUT, "no answer in time")
_EMPTY = Failure(OutageReason.CORRUPT, "no picture in it could be decoded")


class Reader:
    """Reads one camera in a thread of its own until it is stopped.

    Raises ConfigError for a source of no known kind. The callbacks run in the reader's thread
    (`on_outage` also in the watchdog's); what they raise is logged and otherwise ignored.
    """

    def __init__(
        self,
        camera: str,
        config: CameraConfig,
        *,
        on_frame: Callable[[Frame], None],
        on_outage: Callable[[Outage], None],
        clock: Clock,
        max_side: int,
        backoff: Backoff = backoff_delay,
    ) -> None:
        self.camera = camera
        self._source: Source = source_of(config.source)
        self._settings = config
        self._on_frame = on_frame
        self._on_outage = on_outage
        self._clock = clock
        self._backoff = backoff
        self._composer = Composer(camera, config, max_side)
        self._status = Status(camera, clock, frozen_after=config.frozen_after)
        self._stop = threading.Event()
        self._deaf = False
        self._attention = Attention(camera, dense=False)
        self._wake = threading.Event()
        # FFmpeg cannot be interrupted before its timeout; as a daemon, a thread that still
        # waits in there does not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, name=f"reader-{camera}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def request_stop(self) -> None:
        """Tell it to stop; returns at once. Join it to be sure that no callback runs."""
        self._stop.set()
        self._wake.set()
        self._status.stopped()

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def attend(self, attention: Attention) -> None:
        """How closely it is to look from now on."""
        self._attention = attention
        if attention.dense:
            self._wake.set()

    def stats(self) -> ReaderStats:
        """How it stands."""
        return self._status.stats()

    def check(self) -> None:
        """For the watchdog: note and report that a picture is overdue."""
        self._report(self._status.overdue(self._source.open_timeout, self._source.read_timeout))

    def _run(self) -> None:
        with camera_context(self.camera):
            attempt = 0
            while not self._stop.is_set():
                self._status.connecting()
                session = _Session(self._settings)
                failure = self._session(session)
                if failure is None:
                    return
                if failure.reason is OutageReason.ENDED and self._source.kind is SourceKind.FILE:
                    self._report(self._status.lost(ReaderState.FAILED, failure))
                    return
                self._report(self._status.lost(ReaderState.BACKOFF, failure))
                attempt = 0 if session.stretch >= HEALTHY_STRETCH else attempt
                jitter = random.random()  # noqa: S311 - spreads reconnects, guards nothing
                delay = self._backoff(attempt, failure.reason, jitter)
                log.debug("next try", seconds=round(delay, 1), reason=failure.reason.value)
                attempt += 1
                self._stop.wait(delay)

    def _session(self, session: _Session) -> Failure | None:
        """Read the source from opening to its end; why it ended, None if told to stop."""
        try:
            while not self._stop.is_set():
                session.rewind()
                with opened(self._source) as source:
                    session.opening, session.asked = False, time.monotonic()
                    self._stream(source, session)
                if self._stop.is_set():
                    return None
                if session.decoder.decoded == session.decoded_before:
                    return _EMPTY if self._source.kind is SourceKind.FILE else _ENDED
                if not self._source.loop:
                    return _ENDED
        except Exception as error:  # noqa: BLE001 - whatever happens, the camera is tried again
            if self._stop.is_set():
                return None
            waited = time.monotonic() - session.asked
            return explain(error, self._source, opening=session.opening, waited=waited)
        return None

    def _stream(self, source: OpenSource, session: _Session) -> None:
        """Handle packets until the stream ends or the reader is told to stop."""
        context = source.stream.codec_context
        decoder = session.decoder
        economy = Economy(
            self._settings,
            decoder,
            context,
            dense=lambda: self._attention.dense,
            sparse=lambda: self._attention.sparse,
        )
        assembler, rest = Assembler(context), Rest()
        last_picture = time.monotonic()
        for packet in source.container.demux(source.stream):
            if self._stop.is_set():
                return
            self._check_in_time(session)
            corrupt, decoded = decoder.corrupt, decoder.decoded
            self._look(self._picks(packet, source, session, assembler, economy), source, session)
            self._status.worked(
                corrupt=decoder.corrupt - corrupt,
                group=economy.group,
                lag=session.lag.lag,
                dense=self._attention.dense,
            )
            self._status.patience = economy.longest_wait
            now = session.asked = time.monotonic()
            if decoder.decoded > decoded:
                last_picture = now
            elif now - last_picture > economy.longest_wait + self._undecodable(session, economy):
                raise SourceLostError(_EMPTY)
            if self._source.waits and not assembler.waits_for_more:
                rest.note(packet)
                idle = economy.idle(session.seconds)
                self._rest(rest.seconds(idle=idle, lag=session.lag.lag, fps=session.fps), session)

    def _rest(self, seconds: float, session: _Session) -> None:
        """Let packets gather for so long, unless somebody wants to see something."""
        if seconds and not self._stop.is_set():
            session.rested = time.monotonic()
            self._wake.clear()
            if not (self._attention.dense or self._stop.is_set()):
                self._wake.wait(seconds)
            session.asked = time.monotonic()

    def _check_in_time(self, session: _Session) -> None:
        """When its read times out, FFmpeg gives what its parser still has, as if it were new."""
        waited = time.monotonic() - session.asked
        if self._source.kind is not SourceKind.FILE and waited >= self._source.read_timeout:
            raise SourceLostError(_SILENT)

    def _look(self, picks: Iterator[Pick], source: OpenSource, session: _Session) -> None:
        """Deal with each. Afterwards nothing here holds a picture: FFmpeg reuses its memory."""
        for pick in picks:
            self._picture(pick, source, session)
            if self._stop.is_set():
                return

    def _undecodable(self, session: _Session, economy: Economy) -> float:
        """Seconds without a picture that can be decoded after which a new connection may help.

        Where there were pictures, a camera may have changed its codec under way.
        """
        if session.decoder.decoded == session.decoded_before:
            return UNDECODABLE_LIMIT
        return min(UNDECODABLE_LIMIT, self._source.read_timeout + (economy.group or 0.0))

    def _picks(
        self,
        packet: Packet[VideoStream],
        source: OpenSource,
        session: _Session,
        assembler: Assembler,
        economy: Economy,
    ) -> Iterator[Pick]:
        """What is to be seen now that `packet` has come: a picture, or one more part of it."""
        for part in assembler.parts(packet):
            joined = assembler.joined(part)
            if joined is False:
                economy.lose_track()
            if joined is not None:
                continue
            arrived = self._receive(part, source, session)
            for unit in assembler.units(part, session.seconds, arrived):
                yield from economy.pictures(*unit)

    def _receive(self, packet: Packet[VideoStream], source: OpenSource, session: _Session) -> Stamp:
        """Take note of a packet, in its time if the file is paced; when it arrived."""
        arrived = self._clock.now()
        if packet.size:
            session.receive(source.seconds(packet.dts), arrived.monotonic)
        if self._source.paced:
            self._status.waiting()
            self._stop.wait(session.early(arrived.monotonic))
            arrived = self._clock.now()
        self._status.received(arrived, session.fps)
        live = self._source.kind is not SourceKind.FILE
        if live and session.lag.too_late(session.seconds, arrived.monotonic):
            raise SourceLostError(_BEHIND)
        return session.came(arrived)

    def _picture(self, pick: Pick, source: OpenSource, session: _Session) -> None:
        picture = pick.picture
        pts = source.seconds(picture.pts)
        seconds = session.advance(pts, pick.arrived.monotonic)
        before = self._status.stats()
        due = pick.wanted and session.sampler.due(seconds)
        if due and not self._status.looked(fingerprint(picture)):
            session.frozen()
            return
        codec = source.stream.codec_context.name
        seen = self._status.decoded(codec, picture.width, picture.height)
        session.seen(seen.monotonic)
        if self._stop.is_set():
            return  # what was on its way is no news: the state of before is that of the stop
        self._log_change(before, picture)
        if due:
            frame = self._composer.compose(picture, pick.arrived, pts)
            self._status.sampled()
            self._deliver(frame)

    def _deliver(self, frame: Frame) -> None:
        if self._stop.is_set():
            return
        self._status.busy(True)
        try:
            self._on_frame(frame)
        except Exception:
            if not self._deaf:  # once for a row of failures, not five times a second
                log.exception("a frame was refused by its consumer")
            self._deaf = True
        else:
            self._deaf = False
        finally:
            self._status.busy(False)

    def _report(self, outage: Outage | None) -> None:
        if outage is None or self._stop.is_set():
            return
        log.warning(
            "camera not seen", camera=self.camera, reason=outage.reason.value, detail=outage.detail
        )
        try:
            self._on_outage(outage)
        except Exception:
            log.exception("an outage was refused by its consumer", camera=self.camera)

    def _log_change(self, before: ReaderStats, picture: VideoFrame) -> None:
        """Say that the camera is seen (again), or that its pictures have another size now."""
        size = (picture.width, picture.height)
        if before.state is not ReaderState.STREAMING:
            log.info("camera seen", width=size[0], height=size[1], reconnects=before.reconnects)
        if before.width is not None and size != (before.width, before.height):
            log.info(
                "the camera's pictures have another size now",
                reason=OutageReason.RESOLUTION_CHANGED.value,
                before=f"{before.width}x{before.height}",
                now=f"{size[0]}x{size[1]}",
            )


class _Session:
    """What a reader keeps from one opening of its source to the loss of it."""

    def __init__(self, settings: CameraConfig) -> None:
        self._settings = settings
        self._began = time.monotonic()
        self.decoder = Decoder()
        self._first: float | None = None
        self._last: float | None = None
        self.rewind()

    def rewind(self) -> None:
        """The source is opened (again, for a looped file): time and slots begin anew."""
        self.opening = True
        self.asked = time.monotonic()
        self.decoded_before = self.decoder.decoded
        self.sampler = Sampler(self._settings.sample_fps)
        self.lag = LagMeter(self._settings.source.max_lag)
        self.seconds = 0.0
        self.fps: float | None = None
        self._packets, self._pictures = Timeline(), Timeline()
        self._meter = RateMeter()
        self._received: float | None = None
        self._arrived: float | None = None
        self._start: float | None = None
        self.rested: float | None = None
        """When the latest rest began, while packets of it are still to be taken."""

    def receive(self, dts: float | None, now: float) -> None:
        """A packet came: `seconds` of the stream by its time stamp, or else by arrival."""
        step = 0.0 if self._received is None else now - self._received
        self._received = now
        self.seconds = self._packets.advance(dts, step)
        self.fps = self._meter.add(self.seconds)

    def advance(self, pts: float | None, arrived: float) -> float:
        """Seconds of the stream up to a picture: by PTS, or by arrival where they are no use."""
        step = 0.0 if self._arrived is None else arrived - self._arrived
        self._arrived = arrived
        return self._pictures.advance(pts, step)

    def came(self, taken: Stamp) -> Stamp:
        """When a packet came that was taken now: while the reader rested, or since."""
        if self.rested is None:
            return taken
        waited = min(self.lag.lag, taken.monotonic - self.rested)
        if self.fps is not None and waited * self.fps < 1.0:
            self.rested = None  # that was the last of them
        return taken.shifted(-waited)

    def early(self, now: float) -> float:
        """How long before its time a packet of a paced file was read, at least 0."""
        if self._start is None or now - self._start - self.seconds > 1.0:
            self._start = now - self.seconds  # so late that catching up would be a rush
        return max(0.0, self._start + self.seconds - now)

    def frozen(self) -> None:
        """The picture is still the same; after a while, perhaps a new connection helps."""
        if time.monotonic() - self._began > self._settings.frozen_after:
            raise SourceLostError(FROZEN)

    def seen(self, now: float) -> None:
        """A picture was decoded."""
        self._first = now if self._first is None else self._first
        self._last = now

    @property
    def stretch(self) -> float:
        """Seconds from the first to the last picture."""
        return 0.0 if self._first is None or self._last is None else self._last - self._first
