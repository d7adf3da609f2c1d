"""Downloads that survive a broken line: resumed where they stopped, whole or not there at all.

While under way the data is in `FILE.part` beside the target, with `FILE.part.json` saying which
version of the remote file it belongs to. Only a download whose version the server confirms
(`If-Range` with its ETag or modification date) is resumed; otherwise it starts over.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any, Final

import httpx

from monitor.errors import ModelError, ServiceError
from monitor.telemetry import redact

TRIES: Final = 4
"""Attempts before giving up; each resumes where the last one stopped."""

PAUSE: Final = 0.5
"""Seconds before the second attempt; doubled each time."""

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})

Progress = Callable[[int, int | None], None]
"""Told the bytes there are so far and the total, None if the server does not say."""


@dataclass(frozen=True, slots=True)
class Download:
    """What to get: `limit` in bytes bounds what is accepted, `sha256` (hex) what it must be."""

    url: str
    target: Path
    limit: int
    sha256: str | None = None


class _BrokeOffError(Exception):
    """The connection ended early; the next attempt goes on from there."""


def download(
    job: Download,
    *,
    progress: Progress | None = None,
    pause: float = PAUSE,
    timeout: float = 30.0,
) -> Path:
    """Get `job.url` into `job.target` and return it.

    Raises ServiceError when the server cannot be reached, refuses, or keeps breaking off (what
    has arrived is kept for the next run), ModelError when the file is larger than the limit or
    has another SHA-256 (what has arrived is thrown away).
    """
    part = job.target.with_name(job.target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    with (
        _locked(part, job) as stream,
        httpx.Client(follow_redirects=True, timeout=timeout) as client,
    ):
        _attempts(client, job, stream, part, progress=progress, pause=pause)
        stream.flush()
        os.fsync(stream.fileno())
        if job.sha256 is not None:
            _check_digest(job, stream, part)
        part.replace(job.target)
        _notes(part).unlink(missing_ok=True)
    return job.target


def _attempts(
    client: httpx.Client,
    job: Download,
    stream: BufferedRandom,
    part: Path,
    *,
    progress: Progress | None,
    pause: float,
) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            _attempt(client, job, stream, part, progress)
        except (httpx.TransportError, _BrokeOffError) as error:
            stream.flush()
            if attempt == TRIES:
                raise _gave_up(job, part, error) from None
            time.sleep(pause * 2 ** (attempt - 1))
        except httpx.HTTPError as error:
            raise _gave_up(job, part, error) from None
        except httpx.InvalidURL as error:
            raise ServiceError(
                f"is no URL: {error}", where=shown(job.url), remedy="correct --url"
            ) from None
        else:
            return


def _attempt(
    client: httpx.Client,
    job: Download,
    stream: BufferedRandom,
    part: Path,
    progress: Progress | None,
) -> None:
    have = stream.seek(0, os.SEEK_END)
    validator = _validator(part, job.url) if have else None
    headers = {"Accept-Encoding": "identity"}
    if validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    with client.stream("GET", job.url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            _settle_unsatisfiable(response, stream, part, have)
            return
        _check_status(response, job)
        start, total = _span(response)
        if start not in (0, have):
            raise _BrokeOffError(f"the server sent bytes from {start}, not {have}")
        if start == 0:
            _write_notes(part, job.url, response)
        stream.seek(start)
        stream.truncate()
        _check_size(job, total or 0, part)
        have = start
        for block in response.iter_raw():
            have += len(block)
            _check_size(job, have, part)
            stream.write(block)
            if progress is not None:
                progress(have, total)
        if total is not None and have != total:
            raise _BrokeOffError(f"{have} of {total} bytes arrived")


def _settle_unsatisfiable(
    response: httpx.Response, stream: BufferedRandom, part: Path, have: int
) -> None:
    """416 answers a range beyond the end: either all is here already, or it is another file."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is not None and match[3] == str(have):
        return
    stream.truncate(0)
    _notes(part).unlink(missing_ok=True)
    raise _BrokeOffError("the file has changed on the server")


def _check_status(response: httpx.Response, job: Download) -> None:
    if response.status_code in _RETRIED:
        raise _BrokeOffError(f"the server answered {response.status_code}")
    if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        raise ServiceError(
            f"the server answered {response.status_code} {response.reason_phrase}".rstrip(),
            where=shown(job.url),
            remedy="check the URL, or give another with --url",
        )


def _span(response: httpx.Response) -> tuple[int, int | None]:
    """First byte and total size of what the response holds."""
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or match[1] is None:
            raise _BrokeOffError("the server sent a part without saying which")
        return int(match[1]), None if match[3] == "*" else int(match[3])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _check_size(job: Download, size: int, part: Path) -> None:
    if size > job.limit:
        part.unlink(missing_ok=True)
        _notes(part).unlink(missing_ok=True)
        raise ModelError(
            f"the file is larger than the limit of {job.limit / 1e6:.0f} MB",
            where=shown(job.url),
            remedy="check the URL; a person_exists archive has about 7 MB",
        )


def _check_digest(job: Download, stream: BufferedRandom, part: Path) -> None:
    stream.seek(0)
    digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != (job.sha256 or "").lower():
        part.unlink(missing_ok=True)
        _notes(part).unlink(missing_ok=True)
        raise ModelError(
            f"the file has SHA-256 {digest}, not {job.sha256}",
            where=shown(job.url),
            remedy="the file was changed or damaged: do not use it; check --sha256 and --url",
        )


@contextmanager
def _locked(part: Path, job: Download) -> Iterator[BufferedRandom]:
    """The part file, open for reading and writing, for this process alone."""
    with part.open("a+b") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(
                "another process is downloading this file",
                where=str(job.target),
                remedy="wait until it has finished",
            ) from None
        with part.open("r+b") as stream:
            try:
                yield stream
            finally:
                if part.exists() and part.stat().st_size == 0:
                    part.unlink()
                    _notes(part).unlink(missing_ok=True)


def _validator(part: Path, url: str) -> str | None:
    """What `If-Range` needs to resume this URL, None if the part cannot be trusted."""
    try:
        notes: Any = json.loads(_notes(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(notes, dict) or notes.get("url") != _fingerprint(url):
        return None
    validator = notes.get("validator")
    return validator if isinstance(validator, str) else None


def _write_notes(part: Path, url: str, response: httpx.Response) -> None:
    etag = response.headers.get("ETag", "")
    strong = etag if etag and not etag.startswith("W/") else None
    validator = strong or response.headers.get("Last-Modified")
    notes = json.dumps({"url": _fingerprint(url), "validator": validator})
    _notes(part).write_text(notes, encoding="utf-8")


def _fingerprint(url: str) -> str:
    """Tells URLs apart without writing down the password one may hold."""
    return hashlib.sha256(url.encode()).hexdigest()


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _gave_up(job: Download, part: Path, error: Exception) -> ServiceError:
    kept = part.stat().st_size if part.exists() else 0
    reason = redact(str(error)) or type(error).__name__
    return ServiceError(
        f"the download failed: {reason}",
        where=shown(job.url),
        remedy=f"run it again: it goes on after the {kept} bytes that have arrived"
        if kept
        else "check the network, a proxy (HTTPS_PROXY) and the URL",
    )


def shown(url: str) -> str:
    """The URL without user, password and query, fit for logs and errors."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "the URL"
    host = parsed.host + (f":{parsed.port}" if parsed.port else "")
    return f"{parsed.scheme}://{host}{parsed.path}"
