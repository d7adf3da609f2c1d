"""From exceptions of FFmpeg to the closed list of reasons.

FFmpeg's error texts hold the whole URL with its password. They are never shown: every kind of
error has its own sentence here, and an unknown one is named by its class.
"""

from __future__ import annotations

import errno
import traceback
from dataclasses import dataclass
from pathlib import Path

import av.error

from monitor.capture.sources import Source, SourceKind
from monitor.messages import OutageReason


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a source cannot be read: a reason for machines and a sentence for people."""

    reason: OutageReason
    detail: str


class SourceLostError(Exception):
    """The reader itself gives a source up; carries its Failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


_TIMED_OUT = Failure(OutageReason.TIMEOUT, "no answer in time")
_NO_VIDEO = Failure(
    OutageReason.CORRUPT, "the data is no video, or one that was cut off or damaged"
)
_BROKEN_OFF = Failure(OutageReason.ENDED, "the other side broke the connection")
_NO_SUCH_HOST = Failure(OutageReason.UNREACHABLE, "the host is not known or does not answer")
_UNKNOWN_FORMAT = Failure(
    OutageReason.CODEC_UNSUPPORTED, "there is no video in it that this build of FFmpeg can read"
)

_BY_TYPE: tuple[tuple[type[BaseException], Failure], ...] = (
    (
        av.error.HTTPUnauthorizedError,
        Failure(OutageReason.UNAUTHORIZED, "user or password is wrong"),
    ),
    (av.error.HTTPForbiddenError, Failure(OutageReason.UNAUTHORIZED, "access is forbidden")),
    (
        av.error.HTTPNotFoundError,
        Failure(OutageReason.NOT_FOUND, "the server knows no such stream"),
    ),
    (
        av.error.HTTPTooManyRequestsError,
        Failure(OutageReason.REFUSED, "the server has too many viewers"),
    ),
    (av.error.HTTPServerError, Failure(OutageReason.ERROR, "the server has a fault of its own")),
    (av.error.HTTPClientError, Failure(OutageReason.ERROR, "the server refuses the request")),
    (av.error.ExitError, _TIMED_OUT),
    (TimeoutError, _TIMED_OUT),
    (ConnectionRefusedError, Failure(OutageReason.REFUSED, "nothing listens on that port")),
    (ConnectionError, _BROKEN_OFF),
    (FileNotFoundError, Failure(OutageReason.NOT_FOUND, "there is no such file or device")),
    (PermissionError, Failure(OutageReason.UNAUTHORIZED, "no permission to read it")),
    (IsADirectoryError, Failure(OutageReason.NOT_FOUND, "it is a folder, not a video")),
    (av.error.DecoderNotFoundError, _UNKNOWN_FORMAT),
    (av.error.DemuxerNotFoundError, _UNKNOWN_FORMAT),
    (av.error.ProtocolNotFoundError, _UNKNOWN_FORMAT),
    (av.error.PatchWelcomeError, _UNKNOWN_FORMAT),
    (EOFError, Failure(OutageReason.ENDED, "the stream ended")),
)

_BY_ERRNO: dict[int, Failure] = {
    errno.EHOSTUNREACH: Failure(OutageReason.UNREACHABLE, "there is no route to the host"),
    errno.ENETUNREACH: Failure(OutageReason.UNREACHABLE, "there is no route to the network"),
    errno.ENETDOWN: Failure(OutageReason.UNREACHABLE, "the network is down"),
    errno.EHOSTDOWN: Failure(OutageReason.UNREACHABLE, "the host is down"),
    errno.EADDRNOTAVAIL: Failure(OutageReason.UNREACHABLE, "the address cannot be reached"),
    errno.ENODEV: Failure(OutageReason.NOT_FOUND, "there is no such device"),
    errno.ENXIO: Failure(OutageReason.NOT_FOUND, "there is no such device"),
    errno.ENOTTY: Failure(OutageReason.NOT_FOUND, "it is not a video device"),
    errno.EBUSY: Failure(OutageReason.REFUSED, "the device is in use by another program"),
}


def explain(error: Exception, source: Source, *, opening: bool, waited: float) -> Failure:
    """Why reading `source` failed, without a word of the error's own text.

    `opening`: the error came before the first packet. `waited`: seconds that the failed call
    took. They tell apart what FFmpeg reports alike: a host that accepts and never answers
    looks like invalid data, a name that does not resolve like an input/output error.
    """
    if isinstance(error, SourceLostError):
        return error.failure
    networked = source.kind in (SourceKind.RTSP, SourceKind.HTTP)
    if isinstance(error, av.error.InvalidDataError):
        unanswered = networked and opening and waited >= source.open_timeout
        return _TIMED_OUT if unanswered else _NO_VIDEO
    for kind, failure in _BY_TYPE:
        if isinstance(error, kind):
            return failure
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EIO and networked:
        return _NO_SUCH_HOST if opening else _BROKEN_OFF
    return _BY_ERRNO.get(number or 0) or Failure(OutageReason.ERROR, _place(error))


def _place(error: Exception) -> str:
    """Class and place of an error that nobody foresaw; its text might hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    number = f" {error.errno}" if isinstance(error, OSError) and error.errno else ""
    return f"{type(error).__name__}{number}{where}"
