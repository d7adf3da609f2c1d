"""An ONVIF camera that checks signatures, ages and nonces for real, and keeps its settings.

The messages have the form of ONVIF's media.wsdl (ver10, ver20) and devicemgmt.wsdl.
"""

from __future__ import annotations

import hashlib
import re
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

TDS = "http://www.onvif.org/ver10/device/wsdl"
TRT = "http://www.onvif.org/ver10/media/wsdl"
TR2 = "http://www.onvif.org/ver20/media/wsdl"
TT = "http://www.onvif.org/ver10/schema"
SOAP = "http://www.w3.org/2003/05/soap-envelope"
_OASIS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
WSSE = f"{_OASIS}wssecurity-secext-1.0.xsd"
WSU = f"{_OASIS}wssecurity-utility-1.0.xsd"

MAX_AGE = 5.0
"""Seconds a signature is good for."""

WITHOUT_LOGIN = ("GetSystemDateAndTime",)


class RefusalError(Exception):
    """Becomes a SOAP fault with this subcode."""


class OnvifStandIn:
    """One camera. Streams by token: name, size, fps, group length, path.

    `clock_ahead`: how wrong its clock is. `media2`: has ver20's media service. `old`: knows no
    GetServices. `shy`: does not tell the time without a login. `http_digest`: asks for a login
    by HTTP instead of WS-Security. `stubborn`: says yes to settings and keeps its own. `inner`:
    the host it names in its addresses, as behind address translation.
    """

    def __init__(
        self,
        *,
        user: str = "admin",
        password: str = "geheim<&>",
        clock_ahead: timedelta = timedelta(),
        media2: bool = False,
        old: bool = False,
        shy: bool = False,
        http_digest: bool = False,
        stubborn: bool = False,
        inner: str | None = None,
        rtsp: str = "rtsp://127.0.0.1:554",
    ) -> None:
        self.user, self.password = user, password
        self.clock_ahead, self.media2, self.old = clock_ahead, media2, old
        self.shy, self.http_digest = shy, http_digest
        self.stubborn, self.inner, self.rtsp = stubborn, inner, rtsp
        self.encoders: dict[str, dict[str, Any]] = {
            "main": {"size": (1920, 1080), "fps": 25, "gov": 100, "path": "/main"},
            "sub": {"size": (640, 360), "fps": 15, "gov": 60, "path": "/sub"},
        }
        self.requests: list[bytes] = []
        self.sets: list[Element] = []
        self._nonces: set[str] = set()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = camera.answer(self.path, body, self.headers["Authorization"])
                self.send_response(status)
                if status == 401:
                    self.send_header(
                        "WWW-Authenticate", 'Digest realm="cam", nonce="n1", qop="auth"'
                    )
                self.send_header("Content-Type", "application/soap+xml; charset=utf-8")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/onvif/device_service"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, body: bytes, login: str | None) -> tuple[int, bytes]:
        self.requests.append(body)
        if self.http_digest and not self._right_digest(path, login or ""):
            return 401, b""
        if not path.startswith("/onvif/"):
            return 404, b"<html>not here</html>"
        envelope = ET.fromstring(body)
        call = envelope.find(f"{{{SOAP}}}Body")[0]
        namespace, _, name = call.tag[1:].partition("}")
        try:
            if not self.http_digest and (self.shy or name not in WITHOUT_LOGIN):
                self._check(envelope)
            return 200, _envelope(self._method(path, namespace, name)(call))
        except RefusalError as refusal:
            return 400, _envelope(_fault(str(refusal)))

    def _check(self, envelope: Element) -> None:
        token = envelope.find(f"{{{SOAP}}}Header/{{{WSSE}}}Security/{{{WSSE}}}UsernameToken")
        if token is None:
            raise RefusalError("NotAuthorized")
        password = token.find(f"{{{WSSE}}}Password")
        assert password.get("Type").endswith("#PasswordDigest")
        nonce = token.findtext(f"{{{WSSE}}}Nonce")
        created = token.findtext(f"{{{WSU}}}Created")
        digest = hashlib.sha1(b64decode(nonce) + created.encode() + self.password.encode())
        age = self.now() - datetime.fromisoformat(created)
        good = (
            password.text == b64encode(digest.digest()).decode()
            and token.findtext(f"{{{WSSE}}}Username") == self.user
            and abs(age.total_seconds()) <= MAX_AGE
            and nonce not in self._nonces
        )
        self._nonces.add(nonce)
        if not good:
            raise RefusalError("NotAuthorized")

    def _right_digest(self, path: str, login: str) -> bool:
        """RFC 7616 with MD5 and qop=auth."""
        said = dict(re.findall(r'(\w+)="?([^",]*)"?', login))
        if not login.startswith("Digest ") or said["username"] != self.user:
            return False
        who = _md5(f"{self.user}:cam:{self.password}")
        middle = ":".join(said[key] for key in ("nonce", "nc", "cnonce", "qop"))
        return said["response"] == _md5(f"{who}:{middle}:{_md5(f'POST:{path}')}")

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_ahead

    def _method(self, path: str, namespace: str, name: str) -> Callable[[Element], str]:
        service = {TDS: "device", TRT: "media", TR2: "media2"}.get(namespace, "?")
        known = path == f"/onvif/{service}_service" and not (
            service == "media2" and not self.media2
        )
        method = getattr(self, f"_{service}_{name}", None)
        if not known or method is None or (self.old and name == "GetServices"):
            raise RefusalError("ActionNotSupported")
        return method

    # device

    def _device_GetSystemDateAndTime(self, _: Element) -> str:  # noqa: N802
        now = self.now()
        return (
            f"<GetSystemDateAndTimeResponse xmlns='{TDS}' xmlns:tt='{TT}'><SystemDateAndTime>"
            "<tt:DateTimeType>NTP</tt:DateTimeType><tt:UTCDateTime><tt:Time>"
            f"<tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute>"
            f"<tt:Second>{now.second}</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year>"
            f"<tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date>"
            "</tt:UTCDateTime></SystemDateAndTime></GetSystemDateAndTimeResponse>"
        )

    def _device_GetServices(self, _: Element) -> str:  # noqa: N802
        services = {TDS: "device", TRT: "media"} | ({TR2: "media2"} if self.media2 else {})
        inner = "".join(
            f"<Service><Namespace>{namespace}</Namespace><XAddr>{self._xaddr(name)}</XAddr>"
            "<Version/></Service>"
            for namespace, name in services.items()
        )
        return f"<GetServicesResponse xmlns='{TDS}'>{inner}</GetServicesResponse>"

    def _device_GetCapabilities(self, _: Element) -> str:  # noqa: N802
        return (
            f"<GetCapabilitiesResponse xmlns='{TDS}' xmlns:tt='{TT}'><Capabilities><tt:Media>"
            f"<tt:XAddr>{self._xaddr('media')}</tt:XAddr></tt:Media></Capabilities>"
            "</GetCapabilitiesResponse>"
        )

    def _xaddr(self, name: str) -> str:
        return f"http://{self.inner or f'127.0.0.1:{self.port}'}/onvif/{name}_service"

    # media, ver10

    def _media_GetProfiles(self, _: Element) -> str:  # noqa: N802
        inner = "".join(
            f"<Profiles token='p-{token}'><tt:Name>{token} stream</tt:Name>"
            f"{self._encoder(token, 'tt:VideoEncoderConfiguration')}</Profiles>"
            for token in self.encoders
        )
        return f"<GetProfilesResponse xmlns='{TRT}' xmlns:tt='{TT}'>{inner}</GetProfilesResponse>"

    def _media_GetStreamUri(self, call: Element) -> str:  # noqa: N802
        assert call.findtext(f"{{{TRT}}}StreamSetup/{{{TT}}}Stream") == "RTP-Unicast"
        path = self._path(call.findtext(f"{{{TRT}}}ProfileToken"))
        return (
            f"<GetStreamUriResponse xmlns='{TRT}' xmlns:tt='{TT}'><MediaUri><tt:Uri>"
            f"{escape(path)}</tt:Uri></MediaUri></GetStreamUriResponse>"
        )

    def _media_GetVideoEncoderConfiguration(self, call: Element) -> str:  # noqa: N802
        inner = self._encoder(self._token(call, TRT), "Configuration")
        name = "GetVideoEncoderConfigurationResponse"
        return f"<{name} xmlns='{TRT}' xmlns:tt='{TT}'>{inner}</{name}>"

    def _media_GetVideoEncoderConfigurationOptions(self, call: Element) -> str:  # noqa: N802
        self._token(call, TRT)
        name = "GetVideoEncoderConfigurationOptionsResponse"
        return (
            f"<{name} xmlns='{TRT}' xmlns:tt='{TT}'><Options><tt:H264>"
            "<tt:GovLengthRange><tt:Min>1</tt:Min><tt:Max>250</tt:Max></tt:GovLengthRange>"
            "<tt:FrameRateRange><tt:Min>1</tt:Min><tt:Max>25</tt:Max></tt:FrameRateRange>"
            f"</tt:H264></Options></{name}>"
        )

    def _media_SetVideoEncoderConfiguration(self, call: Element) -> str:  # noqa: N802
        if call.findtext(f"{{{TRT}}}ForcePersistence") != "true":
            raise RefusalError("InvalidArgVal")
        fresh = call.find(f"{{{TRT}}}Configuration")
        # Real cameras (Axis among them) refuse a configuration with parts missing.
        for part in ("Name", "UseCount", "Quality", "Multicast", "SessionTimeout", "Extra"):
            if fresh.find(f"{{{TT}}}{part}") is None:
                raise RefusalError("InvalidArgVal")
        self._take(fresh, fresh.findtext(f"{{{TT}}}H264/{{{TT}}}GovLength"))
        return f"<SetVideoEncoderConfigurationResponse xmlns='{TRT}'/>"

    def _encoder(self, token: str, tag: str) -> str:
        each = self.encoders[token]
        width, height = each["size"]
        return (
            f"<{tag} token='{token}'><tt:Name>enc &lt;{token}&gt;</tt:Name>"
            "<tt:UseCount>1</tt:UseCount><tt:Encoding>H264</tt:Encoding><tt:Resolution>"
            f"<tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>"
            "<tt:Quality>4</tt:Quality><tt:RateControl>"
            f"<tt:FrameRateLimit>{each['fps']}</tt:FrameRateLimit>"
            "<tt:EncodingInterval>1</tt:EncodingInterval><tt:BitrateLimit>4096</tt:BitrateLimit>"
            f"</tt:RateControl><tt:H264><tt:GovLength>{each['gov']}</tt:GovLength>"
            "<tt:H264Profile>Main</tt:H264Profile></tt:H264><tt:Multicast><tt:Address>"
            "<tt:Type>IPv4</tt:Type></tt:Address></tt:Multicast>"
            "<tt:SessionTimeout>PT1M</tt:SessionTimeout><tt:Extra>maker's own</tt:Extra>"
            f"</{tag}>"
        )

    # media, ver20

    def _media2_GetProfiles(self, call: Element) -> str:  # noqa: N802
        assert call.findtext(f"{{{TR2}}}Type") == "VideoEncoder"
        inner = "".join(
            f"<Profiles token='p-{token}'><Name>{token} stream</Name><Configurations>"
            f"{self._encoder2(token, 'VideoEncoder')}</Configurations></Profiles>"
            for token in self.encoders
        )
        return f"<GetProfilesResponse xmlns='{TR2}' xmlns:tt='{TT}'>{inner}</GetProfilesResponse>"

    def _media2_GetStreamUri(self, call: Element) -> str:  # noqa: N802
        assert call.findtext(f"{{{TR2}}}Protocol") == "RTSP"
        path = self._path(call.findtext(f"{{{TR2}}}ProfileToken"))
        return f"<GetStreamUriResponse xmlns='{TR2}'><Uri>{path}</Uri></GetStreamUriResponse>"

    def _media2_GetVideoEncoderConfigurations(self, call: Element) -> str:  # noqa: N802
        inner = self._encoder2(self._token(call, TR2), "Configurations")
        name = "GetVideoEncoderConfigurationsResponse"
        return f"<{name} xmlns='{TR2}' xmlns:tt='{TT}'>{inner}</{name}>"

    def _media2_GetVideoEncoderConfigurationOptions(self, call: Element) -> str:  # noqa: N802
        self._token(call, TR2)
        name = "GetVideoEncoderConfigurationOptionsResponse"
        return (
            f"<{name} xmlns='{TR2}' xmlns:tt='{TT}'>"
            "<Options GovLengthRange='1 10' FrameRatesSupported='5'>"
            "<tt:Encoding>H264</tt:Encoding></Options>"
            "<Options GovLengthRange='1 250' FrameRatesSupported='25 20 12 6'>"
            f"<tt:Encoding>H265</tt:Encoding></Options></{name}>"
        )

    def _media2_SetVideoEncoderConfiguration(self, call: Element) -> str:  # noqa: N802
        fresh = call.find(f"{{{TR2}}}Configuration")
        assert fresh.findtext(f"{{{TT}}}Encoding") == "H265"
        self._take(fresh, fresh.get("GovLength"))
        return f"<SetVideoEncoderConfigurationResponse xmlns='{TR2}'/>"

    def _encoder2(self, token: str, tag: str) -> str:
        each = self.encoders[token]
        width, height = each["size"]
        return (
            f"<{tag} token='{token}' GovLength='{each['gov']}' Profile='Main'>"
            f"<tt:Name>{token}</tt:Name><tt:UseCount>1</tt:UseCount>"
            f"<tt:Encoding>H265</tt:Encoding><tt:Resolution><tt:Width>{width}</tt:Width>"
            f"<tt:Height>{height}</tt:Height></tt:Resolution><tt:RateControl>"
            f"<tt:FrameRateLimit>{each['fps']}.0</tt:FrameRateLimit>"
            "<tt:BitrateLimit>4096</tt:BitrateLimit></tt:RateControl>"
            f"<tt:Quality>4</tt:Quality></{tag}>"
        )

    # both

    def _take(self, fresh: Element, gov: str | None) -> None:
        token = fresh.get("token")
        fps = float(fresh.findtext(f"{{{TT}}}RateControl/{{{TT}}}FrameRateLimit"))
        if not 1 <= int(gov) <= 250 or not 1 <= fps <= 25:
            raise RefusalError("ConfigModify")
        self.sets.append(fresh)
        if not self.stubborn:
            self.encoders[token] |= {"gov": int(gov), "fps": int(fps)}

    def _token(self, call: Element, namespace: str) -> str:
        token = call.findtext(f"{{{namespace}}}ConfigurationToken")
        if token not in self.encoders:
            raise RefusalError("NoConfig")
        return token

    def _path(self, profile: str) -> str:
        return self.rtsp + self.encoders[profile.removeprefix("p-")]["path"]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _envelope(inner: str) -> bytes:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{head}<S:Envelope xmlns:S='{SOAP}'><S:Body>{inner}</S:Body></S:Envelope>".encode()


def _fault(code: str) -> str:
    return (
        "<S:Fault><S:Code><S:Value>S:Sender</S:Value><S:Subcode>"
        f"<S:Value xmlns:ter='http://www.onvif.org/ver10/error'>ter:{code}</S:Value>"
        "</S:Subcode></S:Code><S:Reason><S:Text xml:lang='en'>so \x1b not</S:Text></S:Reason>"
        "</S:Fault>"
    ).replace("\x1b", "&#9;")
