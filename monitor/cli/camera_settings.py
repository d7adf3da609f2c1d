"""`cameras probe --apply`: keyframes and frame rate, set at the camera by ONVIF."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.capture.advice import GOP_SECONDS, MAX_FPS
from monitor.capture.encoders import Encoder, Limits
from monitor.capture.onvif import OnvifCamera, Profile, profile_of
from monitor.cli.camera_login import Login
from monitor.errors import ServiceError, UsageError
from monitor.telemetry import redact


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted: seconds between keyframes, and frames a second (None: at most MAX_FPS)."""

    gop: float = GOP_SECONDS
    fps: float | None = None


class Setting(NamedTuple):
    """Pictures from one keyframe to the next, and the frame rate limit."""

    gov: int | None
    fps: float | None


def change_settings(
    stream_url: str, onvif_url: str, login: Login, *, wish: Wish, profile: str | None, yes: bool
) -> dict[str, object]:
    """Show what would change, ask, set it, and tell what the camera says afterwards.

    Raises ServiceError if the camera refuses or keeps its own, UsageError if the stream's
    profile cannot be told.
    """
    with OnvifCamera(onvif_url, login.user, login.password) as camera:
        found = _chosen(camera.profiles(), stream_url, profile)
        encoder = found.encoder
        if encoder is None or encoder.gov is None or encoder.fps is None:
            raise ServiceError(
                "the camera lets group length and frame rate of this stream not be set",
                where=f"{redact(onvif_url)}, profile {found.token}",
            )
        before = Setting(encoder.gov, encoder.fps)
        wanted = wanted_setting(encoder, camera.limits(encoder), wish)
        _show(found, encoder, before, wanted)
        result: dict[str, object] = {
            "profile": found.token,
            "before": before._asdict(),
            "after": before._asdict(),
        }
        if wanted == before:
            _say("nothing to change")
            return result
        if not yes:
            typer.confirm("Set this at the camera?", abort=True, err=True)
        assert wanted.gov is not None
        assert wanted.fps is not None
        now = camera.set_encoder(encoder, gov=wanted.gov, fps=wanted.fps)
    after = Setting(now.gov, now.fps)
    if after != wanted:
        raise ServiceError(
            f"the camera said yes, but now has {_words(after)} instead of {_words(wanted)}",
            where=f"{redact(onvif_url)}, profile {found.token}",
            remedy="set it in the camera's own pages; smart codecs must be off",
        )
    _say(f"the camera now has {_words(after)}")
    return result | {"after": after._asdict()}


def wanted_setting(encoder: Encoder, limits: Limits, wish: Wish) -> Setting:
    """What the camera should be set to: the wish, as far as it offers that.

    A frame rate that does is not touched, nor are keyframes that come often enough. 0 is how some
    cameras say that they choose.
    """
    fps = limits.fit_fps(wish.fps if wish.fps is not None else min(encoder.fps or MAX_FPS, MAX_FPS))
    longest = max(1, round(fps / encoder.interval * wish.gop))
    return Setting(limits.fit_gov(min(encoder.gov or longest, longest)), fps)


def _chosen(profiles: list[Profile], stream_url: str, token: str | None) -> Profile:
    if token is None:
        found = profile_of(profiles, stream_url)
    else:
        found = next((each for each in profiles if each.token == token), None)
    if found is None:
        names = ", ".join(f"{each.token} ({redact(each.url)})" for each in profiles)
        raise UsageError(
            "the camera has no profile of that name"
            if token
            else "which of the camera's profiles this stream is cannot be told",
            where=redact(stream_url),
            remedy=f"--profile with one of: {names or 'none'}",
        )
    return found


def _show(profile: Profile, encoder: Encoder, before: Setting, wanted: Setting) -> None:
    table = Table("setting", "now", "wanted", box=SIMPLE_HEAD, pad_edge=False)
    for name, now, then in (
        ("keyframe every, pictures", before.gov, wanted.gov),
        ("frames a second, at most", before.fps, wanted.fps),
    ):
        table.add_row(name, f"{now:g}", f"{then:g}", style=None if now == then else "bold")
    console = Console(stderr=True, highlight=False)
    console.print(Text(f"profile {profile.token}, {profile.name}: {encoder.encoding}"))
    console.print(table)
    if encoder.shared > 1:
        _say(f"{encoder.shared} profiles share this encoder: all of them change")


def _words(setting: Setting) -> str:
    gov, fps = ("?" if each is None else f"{each:g}" for each in setting)
    return f"a keyframe every {gov} pictures at {fps} a second"


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
