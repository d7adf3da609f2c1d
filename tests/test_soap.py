"""SOAP messages as a device checks them."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

from monitor.soap import envelope, security_header


def found(root: ET.Element, name: str) -> str:
    return next(each.text or "" for each in root.iter() if each.tag.rpartition("}")[2] == name)


def test_the_digest_is_that_of_the_username_token_profile() -> None:
    header = security_header("a<b", "pass & word", clock_offset=timedelta(hours=3))
    root = ET.fromstring(envelope(header, "<GetX/>"))
    created = found(root, "Created")
    plain = base64.b64decode(found(root, "Nonce")) + created.encode() + b"pass & word"
    assert base64.b64decode(found(root, "Password")) == hashlib.sha1(plain).digest()
    assert found(root, "Username") == "a<b"
    ahead = datetime.fromisoformat(created) - datetime.now(UTC)
    assert abs(ahead - timedelta(hours=3)) < timedelta(seconds=10)


def test_no_two_headers_are_the_same() -> None:
    assert security_header("a", "b") != security_header("a", "b")
