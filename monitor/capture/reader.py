"""One camera's reader: a thread that opens, decodes, samples, and comes back after trouble."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from av.video.frame import VideoFrame

from monitor.capture.backoff import backoff_delay
from monitor.capture.composing import Composer, seconds_of
from monitor.capture.decoding import Decoder
from monitor.capture.failures import Failure, SourceLostError, explain
from monitor.capture.sampling import RateMeter, Sampler, Timeline
from monitor.capture.sources import OpenSource, Source, SourceKind, opened, source_of
from monitor.capture.status import ReaderState, ReaderStats, Status
from monitor.clock import Clock
from monitor.config import CameraConfig
from monitor.messages import Frame, Outage, OutageReason
from monitor.telemetry import camera_context, get_logger

log = get_logger(__name__)

HEALTHY_STRETCH = 10.0
"""Seconds of pictures after which a camera's earlier failures are forgotten."""

UNDECODABLE_LIMIT = 30.0
"""Seconds of packets without a picture after which the source is opened anew. Longer than the
keyframe interval of any camera, because nothing can be decoded before the first keyframe."""

Backoff = Callable[[int, OutageReason, float], float]

_ENDED = Failure(OutageReason.ENDED, "the stream ended")
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
        self._sample_fps = config.sample_fps
        self._on_frame = on_frame
        self._on_outage = on_outage
        self._clock = clock
        self._backoff = backoff
        self._composer = Composer(camera, config, max_side)
        self._status = Status(camera, clock)
        self._stop = threading.Event()
        self._deaf = False
        # FFmpeg cannot be interrupted before its timeout; as a daemon, a thread that still
        # waits in there does not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, name=f"reader-{camera}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def request_stop(self) -> None:
        """Tell it to stop; returns at once. Join it to be sure that no callback runs."""
        self._stop.set()
        self._status.stopped()

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

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
                session = _Session(self._sample_fps)
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
                    session.opening = False
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
        """Decode packets until the stream ends or the reader is told to stop."""
        codec = source.stream.codec_context.name
        decoder = session.decoder
        last_picture = time.monotonic()
        for packet in source.container.demux(source.stream):
            if self._stop.is_set():
                return
            corrupt = decoder.corrupt
            decoded = decoder.decoded
            for picture in decoder.frames(packet):
                pts = seconds_of(picture.pts, picture.time_base) if source.timed else None
                self._picture(picture, pts, codec, session)
                if self._stop.is_set():
                    return
            self._status.packet(decoder.corrupt - corrupt)
            now = session.asked = time.monotonic()
            if decoder.decoded > decoded:
                last_picture = now
            elif now - last_picture > UNDECODABLE_LIMIT:
                raise SourceLostError(_EMPTY)

    def _picture(
        self, picture: VideoFrame, pts: float | None, codec: str, session: _Session
    ) -> None:
        seconds = session.advance(pts, self._clock.now().monotonic)
        if self._source.paced:
            self._wait_for(seconds, session)
        before = self._status.stats()
        stamp = self._status.decoded(
            codec, picture.width, picture.height, session.meter.add(seconds)
        )
        session.seen(stamp.monotonic)
        self._log_change(before, picture)
        if session.sampler.due(seconds) and not self._stop.is_set():
            frame = self._composer.compose(picture, stamp, pts)
            self._status.sampled()
            self._deliver(frame)

    def _wait_for(self, seconds: float, session: _Session) -> None:
        """Pace a file: wait until its media time has come."""
        self._status.waiting()
        self._stop.wait(session.early(seconds, self._clock.now().monotonic))

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

    def __init__(self, sample_fps: float) -> None:
        self._sample_fps = sample_fps
        self.decoder = Decoder()
        self._first: float | None = None
        self._last: float | None = None
        self.rewind()

    def rewind(self) -> None:
        """The source is opened (again, for a looped file): time and slots begin anew."""
        self.opening = True
        self.asked = time.monotonic()
        self.decoded_before = self.decoder.decoded
        self.timeline = Timeline()
        self.sampler = Sampler(self._sample_fps)
        self.meter = RateMeter()
        self._arrived: float | None = None
        self._start: float | None = None

    def advance(self, pts: float | None, now: float) -> float:
        """Seconds of the stream: by PTS, or by arrival where the PTS are no use."""
        step = 0.0 if self._arrived is None else now - self._arrived
        self._arrived = now
        return self.timeline.advance(pts, step)

    def early(self, seconds: float, now: float) -> float:
        """How long before its time a frame of a paced file was decoded, at least 0."""
        if self._start is None or now - self._start - seconds > 1.0:
            self._start = now - seconds  # so late that catching up would be a rush
        return max(0.0, self._start + seconds - now)

    def seen(self, now: float) -> None:
        """A picture was decoded."""
        self._first = now if self._first is None else self._first
        self._last = now

    @property
    def stretch(self) -> float:
        """Seconds from the first to the last picture."""
        return 0.0 if self._first is None or self._last is None else self._last - self._first
