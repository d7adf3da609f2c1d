"""Which of a camera's streams to watch, and how that is written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from monitor.capture.advice import Entry, shareable_url, with_login
from monitor.capture.onvif import Profile
from monitor.telemetry import MASK

MIN_WIDTH = 480
"""Pixels a stream must be wide to be watched; the network looks at 224, tiles at parts of it."""


def stream_entry(profiles: Sequence[Profile], *, name: str, user: str) -> Entry | None:
    """The entry that watches the smallest stream that does, with snapshots from the best.

    None if no stream has an address.
    """
    usable = sorted((each for each in profiles if each.url), key=_pixels)
    if not usable:
        return None
    watched = next((each for each in usable if _width(each) >= MIN_WIDTH), usable[-1])
    notes = [f"watched: {_words(watched)}"]
    if (best := usable[-1]) is watched:
        return Entry(name=name, url=_url(watched, user), notes=tuple(notes))
    notes.append(f"snapshots: {_words(best)}")
    return Entry(
        name=name,
        url=_url(watched, user),
        snapshot_url=_url(best, user),
        notes=tuple(notes),
    )


def stream_row(profile: Profile) -> dict[str, Any]:
    """One stream for programs; its address holds no login."""
    encoder = profile.encoder
    row: dict[str, Any] = {
        "token": profile.token,
        "name": profile.name,
        "url": shareable_url(profile.url) if profile.url else "",
    }
    if encoder is not None:
        keys = ("encoding", "width", "height", "fps", "gov", "bitrate")
        row |= {key: getattr(encoder, key) for key in keys}
    return row


def _url(profile: Profile, user: str) -> str:
    """With the login that asked, whichever the camera put in; a masked one stays masked."""
    shown = shareable_url(profile.url)
    return shown if MASK in shown else with_login(shown, quote(user, safe=""))


def _words(profile: Profile) -> str:
    encoder = profile.encoder
    if encoder is None or encoder.width is None:
        return profile.name
    words = f"{encoder.encoding} {encoder.width}×{encoder.height}"
    return words if encoder.fps is None else f"{words}, {encoder.fps:g} frames a second"


def _width(profile: Profile) -> int:
    return (profile.encoder.width or 0) if profile.encoder is not None else 0


def _pixels(profile: Profile) -> int:
    encoder = profile.encoder
    return _width(profile) * (encoder.height or 0) if encoder is not None else 0
