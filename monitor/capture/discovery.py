"""Which ONVIF cameras are in the network: WS-Discovery, a question by multicast to everybody.

Forty lines of UDP instead of a library: the one that is kept up (WSDiscovery) is LGPL, needs a
compiler for `netifaces`, which nobody maintains any more, and says of itself that it does not
verify what it receives. IPv4 only, as cameras answer it.
"""

from __future__ import annotations

import socket
import struct
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

from monitor.capture.soap import clean, local, parse, text_of
from monitor.errors import ServiceError, UsageError
from monitor.soap import ENVELOPE

GROUP, PORT = "239.255.255.250", 3702
REPEAT = 0.25
"""Seconds until the question is asked once more: UDP loses some (SOAP-over-UDP asks for it)."""

MAX_DEVICES = 1024
MAX_DATAGRAM = 65535
_SCOPE = "onvif://www.onvif.org/"
_TYPES = {
    "Device": "http://www.onvif.org/ver10/device/wsdl",
    "NetworkVideoTransmitter": "http://www.onvif.org/ver10/network/wsdl",
}
"""Some cameras answer to one of these only."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device that answered, in its own words, made printable.

    `address` is where the answer came from; `xaddrs` are the addresses of its device service,
    and `onvif` the one of them at `address`, None if it names others only: then it is somebody
    else's, and no login should be shown to it.
    """

    identity: str
    address: str
    name: str
    hardware: str
    location: str
    xaddrs: tuple[str, ...]

    @property
    def onvif(self) -> str | None:
        """The device service at the address that answered."""
        return next((each for each in self.xaddrs if _host(each) == self.address), None)


def discover(
    timeout: float, *, interfaces: Iterable[str] | None = None, port: int = PORT
) -> list[Device]:
    """Ask through `interfaces` (all but loopback) and listen for `timeout` seconds.

    Raises UsageError for an interface that is not there, ServiceError if none can be asked
    through.
    """
    questions = [_question(kind, namespace) for kind, namespace in _TYPES.items()]
    ours = {ident for ident, _ in questions}
    found: dict[str, Device] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        begin, asked = time.monotonic(), 0
        while (now := time.monotonic()) - begin < timeout and len(found) < MAX_DEVICES:
            if asked < 2 and now - begin >= asked * REPEAT:
                _ask(sock, [text for _, text in questions], _indices(interfaces), port)
                asked += 1
            left = begin + timeout - now
            sock.settimeout(max(0.01, min(left, REPEAT) if asked < 2 else left))
            try:
                data, (address, _) = sock.recvfrom(MAX_DATAGRAM)
            except TimeoutError:
                continue
            for device in answers(data, address, ours):
                found.setdefault(device.identity, device)
    return sorted(found.values(), key=lambda device: (_numeric(device.address), device.name))


def answers(data: bytes, address: str, ours: set[str]) -> Iterator[Device]:
    """The devices of a datagram that answers one of our questions; anything else is silence."""
    root = parse(data)
    if root is None or not ours & {clean(e.text or "") for e in _named(root, "RelatesTo")}:
        return
    for match in _named(root, "ProbeMatch"):
        scopes = [unquote(each) for each in text_of(match, "Scopes").split()]
        xaddrs = tuple(each for each in text_of(match, "XAddrs").split() if _host(each))
        identity = text_of(match, "EndpointReference", "Address") or address
        yield Device(
            identity=identity,
            address=address,
            name=_scope(scopes, "name"),
            hardware=_scope(scopes, "hardware"),
            location=_scope(scopes, "location"),
            xaddrs=xaddrs,
        )


def _question(kind: str, namespace: str) -> tuple[str, bytes]:
    ident = f"urn:uuid:{uuid.uuid4()}"
    addressing = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
    discovery = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
    text = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<s:Envelope xmlns:s="{ENVELOPE}" xmlns:a="{addressing}"><s:Header>'
        f'<a:Action s:mustUnderstand="1">{discovery}/Probe</a:Action>'
        f"<a:MessageID>{ident}</a:MessageID>"
        f'<a:To s:mustUnderstand="1">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>'
        f'</s:Header><s:Body><Probe xmlns="{discovery}">'
        f'<d:Types xmlns:d="{discovery}" xmlns:dp0="{namespace}">dp0:{kind}</d:Types>'
        "</Probe></s:Body></s:Envelope>"
    )
    return ident, text.encode()


def _ask(sock: socket.socket, questions: list[bytes], indices: list[int], port: int) -> None:
    failed = 0
    for index in indices:
        through = struct.pack("=4s4si", b"\0" * 4, b"\0" * 4, index)  # struct ip_mreqn
        try:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, through)
            for question in questions:
                sock.sendto(question, (GROUP, port))
        except OSError:  # it is down, or has no IPv4
            failed += 1
    if failed == len(indices):
        raise ServiceError(
            "no network interface takes the question",
            where=f"multicast to {GROUP}:{port}",
            remedy="name one with --interface; in a container, use the host's network",
        )


def _indices(names: Iterable[str] | None) -> list[int]:
    known = {name: index for index, name in socket.if_nameindex()}
    if names is None:
        return [index for name, index in known.items() if name != "lo"]
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"there is no interface {name!r}", remedy=f"one of: {', '.join(sorted(known))}"
            )
    return [known[name] for name in wanted]


def _named(root: Element, name: str) -> Iterator[Element]:
    return (each for each in root.iter() if local(each) == name)


def _scope(scopes: list[str], kind: str) -> str:
    """`onvif://www.onvif.org/name/Dock%203` says that the name is `Dock 3`."""
    start = f"{_SCOPE}{kind}/"
    found = (scope[len(start) :] for scope in scopes if scope.lower().startswith(start))
    return clean(next(found, ""))


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in ("http", "https") else None


def _numeric(address: str) -> bytes:
    return socket.inet_aton(address)
