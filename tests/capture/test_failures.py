"""Every error becomes a reason and a sentence, and never shows the URL."""

from __future__ import annotations

import errno

import av
import av.error
import pytest

from monitor.capture.failures import explain
from monitor.capture.sources import source_of
from monitor.config import SourceConfig
from monitor.messages import OutageReason as Why

URL = "rtsp://admin:s3cret@cam.example/live?password=s3cret"
RTSP = source_of(SourceConfig.model_validate({"url": URL}))
FILE = source_of(SourceConfig.model_validate({"url": "clip.mp4"}))


def ffmpeg(kind: type[av.error.FFmpegError], number: int = 1) -> Exception:
    return kind(number, f"cannot open {URL}", URL)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ffmpeg(av.error.HTTPUnauthorizedError), Why.UNAUTHORIZED),
        (ffmpeg(av.error.HTTPForbiddenError), Why.UNAUTHORIZED),
        (ffmpeg(av.error.HTTPNotFoundError), Why.NOT_FOUND),
        (ffmpeg(av.error.HTTPServerError), Why.ERROR),
        (ffmpeg(av.error.ExitError), Why.TIMEOUT),
        (ffmpeg(av.error.TimeoutError, errno.ETIMEDOUT), Why.TIMEOUT),
        (ffmpeg(av.error.ConnectionRefusedError, errno.ECONNREFUSED), Why.REFUSED),
        (ffmpeg(av.error.ConnectionResetError, errno.ECONNRESET), Why.ENDED),
        (ffmpeg(av.error.FileNotFoundError, errno.ENOENT), Why.NOT_FOUND),
        (ffmpeg(av.error.DecoderNotFoundError), Why.CODEC_UNSUPPORTED),
        (ffmpeg(av.error.EOFError), Why.ENDED),
        (ffmpeg(av.error.OSError, errno.EHOSTUNREACH), Why.UNREACHABLE),
        (ffmpeg(av.error.OSError, errno.EIO), Why.UNREACHABLE),
        (ffmpeg(av.error.OSError, errno.EBUSY), Why.REFUSED),
        (ffmpeg(av.error.OSError, errno.ENODEV), Why.NOT_FOUND),
        (ffmpeg(av.error.BugError), Why.ERROR),
        (RuntimeError(URL), Why.ERROR),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_names_the_reason_and_hides_the_url(error: Exception, reason: Why) -> None:
    failure = explain(error, RTSP, opening=True, waited=0.1)
    assert failure.reason is reason
    assert failure.detail
    assert not any(word in repr(failure) for word in ("s3cret", "admin", "example"))


@pytest.mark.parametrize(
    ("source", "opening", "waited", "reason"),
    [
        (RTSP, True, RTSP.open_timeout + 0.01, Why.TIMEOUT),
        (RTSP, True, 0.2, Why.CORRUPT),
        (RTSP, False, 60.0, Why.CORRUPT),
        (FILE, True, 60.0, Why.CORRUPT),
    ],
)
def test_tells_silence_from_nonsense(source, opening, waited, reason) -> None:
    error = ffmpeg(av.error.InvalidDataError)
    assert explain(error, source, opening=opening, waited=waited).reason is reason


def test_an_input_output_error_of_a_running_stream_is_no_unknown_host() -> None:
    error = ffmpeg(av.error.OSError, errno.EIO)
    assert explain(error, RTSP, opening=False, waited=0.0).reason is Why.ENDED
    assert explain(error, FILE, opening=False, waited=0.0).reason is Why.ERROR


def test_the_place_of_an_unforeseen_error_is_told() -> None:
    try:
        raise KeyError(URL)
    except KeyError as error:
        failure = explain(error, RTSP, opening=False, waited=0.0)
    assert failure.detail.startswith("KeyError in test_failures.py:")
