"""Photos on demand from a camera's better stream, while a smaller one is watched.

A photo costs one connection and one keyframe, so it is taken only when somebody asks: a few
threads serve all cameras, a camera is asked once at a time, and whoever asks meanwhile gets the
next photo.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import av.error
from av.video.frame import VideoFrame

from monitor.capture.composing import shrink
from monitor.capture.converting import Converter
from monitor.capture.failures import Failure, SourceLostError, explain
from monitor.capture.sources import Source, opened, source_of
from monitor.clock import Clock
from monitor.config import CameraConfig
from monitor.imaging.zones import black_out
from monitor.messages import OutageReason, Photo
from monitor.telemetry import get_logger

log = get_logger(__name__)

THREADS = 2
"""Photos that may be on their way at once; the third waits."""

PATIENCE = 15.0
"""Seconds after which a photo is given up: the longest usual keyframe distance, and opening."""

_NO_KEYFRAME = Failure(OutageReason.TIMEOUT, "no whole picture came")


class Photographer:
    """Takes a photo of every camera that names a `snapshot_url`.

    `on_photo` gets each Photo in a thread of the photographer, privacy masks applied and its
    longer side at most `max_side` pixels. A photo that fails is logged when its reason is new,
    and that is all: the picture of the watched stream is there already.

    Raises ConfigError for an address of no known kind.
    """

    def __init__(
        self,
        cameras: Mapping[str, CameraConfig],
        *,
        on_photo: Callable[[Photo], None],
        clock: Clock,
        max_side: int,
    ) -> None:
        self._cameras = _with_better_stream(cameras)
        self._on_photo = on_photo
        self._clock = clock
        self._max_side = max_side
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="photographer")
        self._stopped = Event()
        self._lock = Lock()
        self._asked: dict[str, bool] = {}
        """Cameras with a photo on its way; True if one more was asked for since it began."""
        self._failing: dict[str, OutageReason] = {}

    def request(self, camera: str) -> None:
        """Take a photo as soon as possible; returns at once. Other cameras are ignored."""
        if camera not in self._cameras or self._stopped.is_set():
            return
        with self._lock:
            if camera in self._asked:
                self._asked[camera] = True
                return
            self._asked[camera] = False
        self._threads.submit(self._serve, camera)

    def replace_cameras(self, cameras: Mapping[str, CameraConfig]) -> None:
        """Go by these from the next photo on. Raises ConfigError, having changed nothing."""
        self._cameras = _with_better_stream(cameras)

    def stop(self) -> None:
        """No photo is handed out any more; returns at once.

        A thread that waits for a dead camera inside FFmpeg ends at the camera's timeout.
        """
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _serve(self, name: str) -> None:
        while not self._stopped.is_set():
            with self._lock:
                self._asked[name] = False
            self._take(name)
            with self._lock:
                if not self._asked[name]:
                    del self._asked[name]
                    return

    def _take(self, name: str) -> None:
        known = self._cameras.get(name)
        if known is None:
            return
        camera, source = known
        began = time.monotonic()
        try:
            decoded = self._keyframe(source)
        except (av.error.FFmpegError, OSError, EOFError, SourceLostError) as error:
            waited = time.monotonic() - began
            self._failed(name, explain(error, source, opening=True, waited=waited))
            return
        if decoded is None or self._stopped.is_set():
            return
        stamp = self._clock.now()
        if self._failing.pop(name, None) is not None:
            log.info("photos of the camera can be taken again", camera=name)
        picture = black_out(Converter().full(decoded), camera.privacy_masks)
        self._on_photo(Photo(name, stamp, shrink(picture, self._max_side)))

    def _keyframe(self, source: Source) -> VideoFrame | None:
        """The first whole picture; None if it is not wanted any more."""
        deadline = time.monotonic() + PATIENCE
        with opened(source) as video:
            video.stream.codec_context.skip_frame = "NONKEY"
            for packet in video.container.demux(video.stream):
                for decoded in packet.decode():
                    if not decoded.is_corrupt:
                        return decoded
                if self._stopped.is_set():
                    return None
                if time.monotonic() > deadline:
                    break
        raise SourceLostError(_NO_KEYFRAME)

    def _failed(self, name: str, failure: Failure) -> None:
        if self._failing.get(name) is failure.reason:
            return
        self._failing[name] = failure.reason
        log.warning(
            "no photo of the camera; the watched stream's picture stays",
            camera=name,
            reason=failure.reason.value,
            detail=failure.detail,
        )


def _with_better_stream(
    cameras: Mapping[str, CameraConfig],
) -> dict[str, tuple[CameraConfig, Source]]:
    """The cameras that name a better stream, and that stream."""
    return {
        name: (camera, source_of(camera.source.model_copy(update={"url": address})))
        for name, camera in cameras.items()
        if camera.enabled and (address := camera.source.snapshot_url) is not None
    }
