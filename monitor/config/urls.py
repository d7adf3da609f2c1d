"""What a source may be, told from its text alone: no host is asked, no file is opened."""

from __future__ import annotations

import re
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_WEBCAM = re.compile(r"/dev/video\d+")
_NETWORK = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "mjpeg", "https": "mjpeg"}
_ALLOWED = "rtsp://…, rtsps://…, http://…, https://…, a file path, or /dev/video0"
_ENCODE = (
    "write @ : / ? # % and blanks in a password as %40 %3A %2F %3F %23 %25 %20, "
    "or keep it outside the file as ${NAME}"
)


class SourceKind(StrEnum):
    """The kinds of source there are."""

    RTSP = "rtsp"
    MJPEG = "mjpeg"
    WEBCAM = "webcam"
    FILE = "file"


def source_kind(url: str) -> SourceKind:
    """Which kind of source `url` names, once `check_source` has passed it."""
    scheme = _SCHEME.match(url)
    if scheme and scheme[1].lower() in _NETWORK:
        return SourceKind(_NETWORK[scheme[1].lower()])
    return SourceKind.WEBCAM if _WEBCAM.fullmatch(url) else SourceKind.FILE


def check_source(url: str) -> None:
    """Refuse what can be no source. Raises ValueError, whose text holds no part of a login."""
    if not url.strip():
        raise ValueError(f"is empty; {_ALLOWED}")
    scheme = _SCHEME.match(url)
    if scheme and scheme[1].lower() in _NETWORK:
        _check_network(url)
    elif "://" in url and scheme:
        name = scheme[1].lower()
        close = get_close_matches(name, list(_NETWORK), n=2)
        hint = f", did you mean {' or '.join(f'{each}://' for each in close)}?" if close else ""
        raise ValueError(f"{name}:// is no known kind of source{hint}; {_ALLOWED}")
    elif scheme and len(scheme[1]) > 1 and not Path(url).exists():
        raise ValueError(f"is neither a URL nor an existing file; {_ALLOWED}")
    elif "\0" in url:
        raise ValueError(f"holds a NUL character; {_ALLOWED}")
    elif url.startswith("/dev/") and not _WEBCAM.fullmatch(url):
        raise ValueError("is no webcam; /dev/video0, /dev/video1 and so on")


def _check_network(url: str) -> None:
    if any(character.isspace() or ord(character) < 32 for character in url):
        raise ValueError(f"the URL holds a blank or control character; {_ENCODE}")
    if "://" not in url:
        raise ValueError(f"the URL lacks // after its scheme; {_ALLOWED}")
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"the URL's host or port cannot be told apart; {_ENCODE}") from None
    if not host:
        raise ValueError(f"the URL names no host; {parts.scheme}://host:port/path")
    if "@" in parts.netloc.rpartition("@")[0]:
        raise ValueError(f"the URL has more than one @; {_ENCODE}")
