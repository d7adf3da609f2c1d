"""How a camera encodes a stream, read from ONVIF's XML and written back into it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TypeVar
from xml.etree.ElementTree import Element

from monitor.capture.soap import local, text_of

T = TypeVar("T", int, float)
_ENDS = ("Min", "Max")


@dataclass(frozen=True, slots=True)
class Encoder:
    """How a stream is encoded. None or "" is what the camera does not say.

    `fps` is the frame rate limit, of which every `interval`-th picture is encoded; `gov` the
    pictures from one keyframe to the next; `bitrate` in kbit/s; `shared` how many profiles use
    it. `element` is the camera's own XML, kept whole for sending it back.
    """

    token: str
    encoding: str
    width: int | None
    height: int | None
    fps: float | None
    interval: int
    gov: int | None
    bitrate: int | None
    shared: int
    element: Element = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an encoder can be set to; None is what the camera does not say."""

    gov: tuple[int, int] | None = None
    fps: tuple[float, float] | None = None
    fps_choices: tuple[float, ...] = ()

    def fit_fps(self, wanted: float) -> float:
        """The nearest frame rate from below that the camera offers."""
        if self.fps_choices:
            below = [each for each in self.fps_choices if each <= wanted]
            return max(below) if below else min(self.fps_choices)
        return min(max(wanted, self.fps[0]), self.fps[1]) if self.fps else wanted

    def fit_gov(self, wanted: int) -> int:
        """The nearest group length that the camera offers."""
        return min(max(wanted, self.gov[0]), self.gov[1]) if self.gov else wanted


def encoder_of(element: Element) -> Encoder:
    """An encoder from the XML of either service."""
    gov = element.get("GovLength") or next(
        (each.text for each in element.iter() if local(each) == "GovLength"), None
    )
    return Encoder(
        token=element.get("token", ""),
        encoding=text_of(element, "Encoding"),
        width=number(int, text_of(element, "Resolution", "Width")),
        height=number(int, text_of(element, "Resolution", "Height")),
        fps=number(float, text_of(element, "RateControl", "FrameRateLimit")),
        interval=number(int, text_of(element, "RateControl", "EncodingInterval")) or 1,
        gov=number(int, gov or ""),
        bitrate=number(int, text_of(element, "RateControl", "BitrateLimit")),
        shared=number(int, text_of(element, "UseCount")) or 1,
        element=element,
    )


def changed(element: Element, gov: int, fps: float) -> Element:
    """A copy with another group length and frame rate, and all else as it was."""
    fresh = copy.deepcopy(element)
    if "GovLength" in fresh.attrib:
        fresh.set("GovLength", str(gov))
    for each in fresh.iter():
        if local(each) == "GovLength":
            each.text = str(gov)
        elif local(each) == "FrameRateLimit":
            each.text = f"{fps:g}"
    return fresh


def limits_of(options: Element, encoding: str) -> Limits:
    """Of both services: ranges as elements below the encoding's name, or as attributes."""
    choices = tuple(
        rate
        for text in options.get("FrameRatesSupported", "").split()
        if (rate := number(float, text)) is not None
    )
    if "GovLengthRange" in options.attrib:
        ends = [number(int, text) for text in options.attrib["GovLengthRange"].split()]
        gov = _range(ends[0], ends[-1]) if ends else None
        return Limits(gov=gov, fps_choices=choices)
    inner = next((each for each in options.iter() if local(each) == encoding), None)
    return Limits(
        gov=_range(*(number(int, text_of(inner, "GovLengthRange", end)) for end in _ENDS)),
        fps=_range(*(number(float, text_of(inner, "FrameRateRange", end)) for end in _ENDS)),
        fps_choices=choices,
    )


def _range(low: T | None, high: T | None) -> tuple[T, T] | None:
    return (low, high) if low is not None and high is not None and low <= high else None


def number(kind: type[T], text: str) -> T | None:
    """A number of the camera's; None if it is none, or none that can be."""
    try:
        value = kind(text)
    except ValueError:
        return None
    return value if 0 <= value < 10**9 else None
