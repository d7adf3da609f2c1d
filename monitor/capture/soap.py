"""SOAP 1.2 as ONVIF speaks it: one envelope there, one back, signed with a password's digest.

Of the client libraries, the zeep ones bring an XML compiler and a dozen packages for the eight
calls made here, and none keeps the parts of a configuration that it does not know; cameras
refuse settings that come back with parts missing.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

import httpx

from monitor.errors import ServiceError
from monitor.soap import ENVELOPE, envelope, security_header
from monitor.telemetry import redact

SCHEMA = "http://www.onvif.org/ver10/schema"

MAX_BYTES = 4 * 1024 * 1024
"""No answer of a camera is longer."""

_DENIED = ("NotAuthorized", "FailedAuthentication", "FailedCheck", "InvalidSecurity")

# Some cameras look for the customary prefixes instead of the namespaces.
ET.register_namespace("tt", SCHEMA)
ET.register_namespace("xsi", "http://www.w3.org/2001/XMLSchema-instance")


class FaultError(ServiceError):
    """The camera understood the call and refuses it."""


class SoapClient:
    """Calls a camera's services. Set `clock_offset` to how far its clock is ahead of ours."""

    def __init__(self, user: str | None, password: str, *, timeout: float) -> None:
        self._user, self._password = user, password
        self.clock_offset = timedelta()
        # Digest only: a password is never sent, whatever a camera asks for.
        auth = httpx.DigestAuth(user, password) if user else None
        self._client = httpx.Client(
            auth=auth, timeout=timeout, trust_env=False, verify=_certificates()
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, url: str, namespace: str, body: str, *, signed: bool = True) -> Element:
        """The answer to `body`, an XML element of `namespace` without a prefix of its own.

        Raises ServiceError: not reached, refused, or answered with something else than SOAP.
        """
        name = body[1:].partition(" ")[0].partition("/")[0].partition(">")[0]
        header = ""
        if signed and self._user:
            header = security_header(self._user, self._password, clock_offset=self.clock_offset)
        content = envelope(header, body.replace(f"<{name}", f"<{name} xmlns='{namespace}'", 1))
        kind = f'application/soap+xml; charset=utf-8; action="{namespace}/{name}"'
        status, answer = self._post(url, content, {"Content-Type": kind})
        if status == httpx.codes.UNAUTHORIZED:
            raise denied(url)
        root = parse(answer)
        inner = None if root is None else root.find(f"{{{ENVELOPE}}}Body/*")
        if inner is None:
            raise _no_soap(url, status)
        if inner.tag == f"{{{ENVELOPE}}}Fault":
            raise _fault(inner, url, name)
        if local(inner) != f"{name}Response":
            raise _no_soap(url, status)
        return inner

    def _post(self, url: str, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            with self._client.stream("POST", url, content=content, headers=headers) as answer:
                body = b""
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise _no_soap(url, answer.status_code)
                return answer.status_code, body
        except httpx.TimeoutException as error:
            raise ServiceError(
                "the camera's ONVIF service does not answer in time", where=redact(url)
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ServiceError(
                f"the camera's ONVIF service cannot be reached ({type(error).__name__})",
                where=redact(url),
                remedy="turn ONVIF on at the camera, or name its address: "
                "--onvif http://HOST:PORT/onvif/device_service",
            ) from error


@cache
def _certificates() -> ssl.SSLContext:
    """What this machine believes, its owner's own authorities included; loaded once."""
    return ssl.create_default_context()


def parse(data: bytes) -> Element | None:
    """The XML of a stranger, or None if it is none. Entities are not for cameras."""
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return None
    try:
        return ET.fromstring(data)  # noqa: S314 - no document type gets here
    except (ET.ParseError, ValueError, LookupError):
        return None


def local(element: Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def text_of(element: Element | None, *path: str) -> str:
    """The text at a path of local names, printable and in one line; empty if it is not there.

    Namespaces are not looked at: cameras mix them up.
    """
    found = element
    for name in path:
        if found is None:
            return ""
        found = next(children(found, name), None)
    return clean(found.text or "") if found is not None else ""


def children(element: Element, name: str) -> Iterator[Element]:
    """The children of that local name."""
    return (child for child in element if local(child) == name)


def clean(text: str) -> str:
    """A stranger's text for a terminal: one line, no control characters, not endless."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))[:4096]


def same_host(xaddr: str, url: str) -> str:
    """`xaddr`, a service's address in the camera's own words, as seen from here.

    A camera behind address translation names its inner address; then `url`'s host and port are
    the way in.
    """
    try:
        parts, way_in = urlsplit(xaddr), urlsplit(url)
    except ValueError:
        return url
    if parts.hostname == way_in.hostname:
        return xaddr
    return parts._replace(scheme=way_in.scheme, netloc=way_in.netloc).geturl()


def denied(url: str) -> FaultError:
    """The camera does not take the login."""
    return FaultError(
        "user or password is wrong, or the user may not do this",
        where=redact(url),
        remedy="use an account that ONVIF knows (many cameras keep a list of its own) and that "
        "may change settings",
    )


def _fault(fault: Element, url: str, name: str) -> FaultError:
    codes = [clean(each.text or "").rpartition(":")[2] for each in fault.iter() if each.text]
    if any(code in _DENIED for code in codes):
        return denied(url)
    values = [clean(e.text or "") for e in fault.iter(f"{{{ENVELOPE}}}Value")]
    reason = next((clean(e.text or "") for e in fault.iter(f"{{{ENVELOPE}}}Text")), "")
    said = ", ".join(filter(None, [values[-1] if values else "", redact(reason)]))
    return FaultError(f"the camera refuses {name}: {said or 'no reason given'}", where=redact(url))


def _no_soap(url: str, status: int) -> ServiceError:
    return ServiceError(
        f"there is no ONVIF service at this address (HTTP {status})",
        where=redact(url),
        remedy="turn ONVIF on at the camera, or name its address: "
        "--onvif http://HOST:PORT/onvif/device_service",
    )
