"""Answers WS-Discovery's questions on loopback's multicast."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading

GROUP = "239.255.255.250"
_MATCH = """<?xml version="1.0" encoding="UTF-8"?>
<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"
 xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">
<e:Header><w:RelatesTo>{relates}</w:RelatesTo></e:Header><e:Body><d:ProbeMatches><d:ProbeMatch>
<w:EndpointReference><w:Address>{identity}</w:Address></w:EndpointReference>
<d:Types xmlns:n="http://www.onvif.org/ver10/network/wsdl">n:NetworkVideoTransmitter</d:Types>
<d:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/{name}
 onvif://www.onvif.org/hardware/DS-2CD onvif://www.onvif.org/location/yard</d:Scopes>
<d:XAddrs>{xaddrs}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>
</d:ProbeMatch></d:ProbeMatches></e:Body></e:Envelope>"""


class Responder:
    """Cameras by identity: name (percent-encoded) and addresses of their device service, with
    `{me}` for this machine's, from which the answer comes.

    Answers every question twice, and with `noise` first: what strangers might send.
    """

    def __init__(self, cameras: dict[str, tuple[str, str]], noise: tuple[bytes, ...] = ()) -> None:
        self._cameras, self._noise = cameras, noise
        self.questions: list[str] = []
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind(("", 0))
        self.port = self._sock.getsockname()[1]
        member = struct.pack(
            "=4s4si", socket.inet_aton(GROUP), b"\0" * 4, socket.if_nametoindex("lo")
        )
        self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._sock.settimeout(0.1)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._sock.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                data, sender = self._sock.recvfrom(65535)
                question = data.decode()
                self.questions.append(question)
                relates = re.search(r"MessageID>([^<]+)<", question)[1]
                for text in self._answers(relates, sender[0]):
                    self._sock.sendto(text, sender)

    def _answers(self, relates: str, me: str) -> list[bytes]:
        own = [
            _MATCH.format(
                relates=relates, identity=identity, name=name, xaddrs=xaddrs.format(me=me)
            ).encode()
            for identity, (name, xaddrs) in self._cameras.items()
        ]
        other = _MATCH.format(
            relates="urn:uuid:other", identity="stranger", name="x", xaddrs="http://127.0.0.1/o"
        )
        return [*self._noise, other.encode(), *own, *own]
