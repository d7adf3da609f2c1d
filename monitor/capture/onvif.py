"""A camera's own settings by ONVIF: which streams it has, and how they are encoded.

Speaks the Media service of Profile S and, where a camera has it, Media2 of Profile T, which
alone knows H.265. Names of calls and elements are those of ONVIF's media.wsdl, ver10 and ver20.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from monitor.capture.encoders import Encoder, Limits, changed, encoder_of, limits_of, number
from monitor.capture.soap import FaultError, SoapClient, children, local, same_host, text_of
from monitor.errors import ServiceError
from monitor.telemetry import redact

DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
MEDIA2 = "http://www.onvif.org/ver20/media/wsdl"

_ENCODER_TAGS = ("VideoEncoderConfiguration", "VideoEncoder")
_SETUP = (
    "<StreamSetup><Stream xmlns='http://www.onvif.org/ver10/schema'>RTP-Unicast</Stream>"
    "<Transport xmlns='http://www.onvif.org/ver10/schema'><Protocol>RTSP</Protocol></Transport>"
    "</StreamSetup>"
)


@dataclass(frozen=True, slots=True)
class Profile:
    """One stream of a camera; `url` holds no login unless the camera puts one there."""

    token: str
    name: str
    encoder: Encoder | None
    url: str = field(repr=False)


class OnvifCamera:
    """One camera's device and media service. Use it as a context manager.

    Every method raises ServiceError if the camera cannot be reached, does not take the login or
    refuses the call.
    """

    def __init__(self, url: str, user: str | None, password: str, *, timeout: float = 5.0) -> None:
        self.url = url
        self._soap = SoapClient(user, password, timeout=timeout)
        self._media: tuple[str, str] | None = None

    def __enter__(self) -> Self:
        """Take over the camera's clock: its check of a signature's age goes by it."""
        try:
            answer = self._soap.call(self.url, DEVICE, "<GetSystemDateAndTime/>", signed=False)
        except FaultError:
            return self  # some want a login even for the time; then clocks must agree
        except BaseException:
            self._soap.close()
            raise
        if (theirs := _utc(answer)) is not None:
            self._soap.clock_offset = theirs - datetime.now(UTC)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._soap.close()

    def profiles(self) -> list[Profile]:
        """Its streams, each with encoder and address."""
        body = "<GetProfiles/>"
        if self._service()[0] == MEDIA2:
            body = "<GetProfiles><Type>VideoEncoder</Type></GetProfiles>"
        answer = self._call(body)
        return [self._profile(each) for each in children(answer, "Profiles")]

    def limits(self, encoder: Encoder) -> Limits:
        """What this encoder can be set to, as far as the camera says."""
        try:
            answer = self._call(_about("GetVideoEncoderConfigurationOptions", encoder.token))
        except FaultError:
            return Limits()
        for options in children(answer, "Options"):
            if text_of(options, "Encoding") in ("", encoder.encoding):
                return limits_of(options, encoder.encoding)
        return Limits()

    def set_encoder(self, encoder: Encoder, *, gov: int, fps: float) -> Encoder:
        """Set group length and frame rate; returns what the camera says it does afterwards.

        Everything else goes back as it came. That some cameras say yes and do something else is
        why it is asked again.
        """
        namespace, _ = self._service()
        element = changed(encoder.element, gov, fps)
        element.tag = f"{{{namespace}}}Configuration"
        inner = ET.tostring(element, encoding="unicode")
        if namespace == MEDIA:
            inner += "<ForcePersistence>true</ForcePersistence>"
        self._call(f"<SetVideoEncoderConfiguration>{inner}</SetVideoEncoderConfiguration>")
        return self.encoder(encoder.token)

    def encoder(self, token: str) -> Encoder:
        """The encoder of that token, as it is set now."""
        if self._service()[0] == MEDIA:
            answer = self._call(_about("GetVideoEncoderConfiguration", token))
            found = children(answer, "Configuration")
        else:
            answer = self._call(_about("GetVideoEncoderConfigurations", token))
            found = children(answer, "Configurations")
        for element in found:
            if element.get("token") == token:
                return encoder_of(element)
        raise ServiceError("the camera no longer has this encoder", where=redact(self.url))

    def _call(self, body: str) -> Element:
        namespace, url = self._service()
        return self._soap.call(url, namespace, body)

    def _service(self) -> tuple[str, str]:
        """Namespace and address of the media service; Media2 if there is one."""
        if self._media is None:
            found = self._services()
            for namespace in (MEDIA2, MEDIA):
                if namespace in found:
                    self._media = namespace, same_host(found[namespace], self.url)
                    break
            else:
                raise ServiceError("this device has no video of its own", where=redact(self.url))
        return self._media

    def _services(self) -> dict[str, str]:
        try:
            answer = self._soap.call(
                self.url,
                DEVICE,
                "<GetServices><IncludeCapability>false</IncludeCapability></GetServices>",
            )
        except FaultError:  # older than ONVIF 2.1
            body = "<GetCapabilities><Category>All</Category></GetCapabilities>"
            answer = self._soap.call(self.url, DEVICE, body)
            address = text_of(answer, "Capabilities", "Media", "XAddr")
            return {MEDIA: address} if address else {}
        return {
            text_of(each, "Namespace"): text_of(each, "XAddr")
            for each in children(answer, "Service")
        }

    def _profile(self, element: Element) -> Profile:
        token = element.get("token", "")
        encoder = next((e for e in element.iter() if local(e) in _ENCODER_TAGS), None)
        return Profile(
            token=token,
            name=text_of(element, "Name") or token,
            encoder=None if encoder is None else encoder_of(encoder),
            url=self._stream_url(token),
        )

    def _stream_url(self, token: str) -> str:
        reference = f"<ProfileToken>{escape(token)}</ProfileToken>"
        if self._service()[0] == MEDIA2:
            body = f"<GetStreamUri><Protocol>RTSP</Protocol>{reference}</GetStreamUri>"
            return _address(text_of(self._call(body), "Uri"))
        body = f"<GetStreamUri>{_SETUP}{reference}</GetStreamUri>"
        return _address(text_of(self._call(body), "MediaUri", "Uri"))


def device_url(stream_url: str) -> str:
    """Where the camera of a stream has its ONVIF service, unless somebody says otherwise."""
    host = urlsplit(stream_url).hostname or ""
    return f"http://{f'[{host}]' if ':' in host else host}/onvif/device_service"


def profile_of(profiles: list[Profile], stream_url: str) -> Profile | None:
    """The profile whose address has the path and query of `stream_url`, or the only one."""
    wanted = urlsplit(stream_url)
    for exact in (True, False):
        found = [
            profile
            for profile in profiles
            if (parts := urlsplit(profile.url)).path.rstrip("/") == wanted.path.rstrip("/")
            and (not exact or parts.query == wanted.query)
        ]
        if len(found) == 1:
            return found[0]
    return profiles[0] if len(profiles) == 1 else None


def _address(uri: str) -> str:
    """A camera's URI, or nothing if it is none."""
    try:
        return uri if urlsplit(uri).hostname else ""
    except ValueError:
        return ""


def _about(call: str, token: str) -> str:
    return f"<{call}><ConfigurationToken>{escape(token)}</ConfigurationToken></{call}>"


def _utc(answer: Element) -> datetime | None:
    path = ("SystemDateAndTime", "UTCDateTime")
    parts = [
        number(int, text_of(answer, *path, *part))
        for part in (
            ("Date", "Year"),
            ("Date", "Month"),
            ("Date", "Day"),
            ("Time", "Hour"),
            ("Time", "Minute"),
            ("Time", "Second"),
        )
    ]
    year, month, day, hour, minute, second = (each if each is not None else -1 for each in parts)
    with suppress(ValueError, OverflowError):
        start = datetime(year, month, day, hour, minute, tzinfo=UTC)
        return start + timedelta(seconds=max(second, 0))
    return None
