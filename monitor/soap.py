"""A SOAP 1.2 message as ONVIF takes it: the envelope, and a login's signature in its header."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape, quoteattr

ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"

_SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_DIGEST = f"{_SECURITY}username-token-profile-1.0#PasswordDigest"
_BASE64 = f"{_SECURITY}soap-message-security-1.0#Base64Binary"


def envelope(header: str, body: str) -> bytes:
    """The message around a header and a body that are XML already."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<s:Envelope xmlns:s="{ENVELOPE}"><s:Header>{header}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def security_header(user: str, password: str, *, clock_offset: timedelta = timedelta()) -> str:
    """WS-Security's UsernameToken: base64(SHA-1(nonce + created + password)).

    `clock_offset`: how far the device's clock is ahead of ours; it refuses what seems old.
    """
    nonce = os.urandom(16)
    created = f"{datetime.now(UTC) + clock_offset:%Y-%m-%dT%H:%M:%S.000Z}"
    plain = nonce + created.encode() + password.encode()
    digest = hashlib.sha1(plain, usedforsecurity=False).digest()  # the profile's own choice
    namespace = quoteattr(f"{_SECURITY}wssecurity-secext-1.0.xsd")
    utility = quoteattr(f"{_SECURITY}wssecurity-utility-1.0.xsd")
    return (
        f"<Security s:mustUnderstand='1' xmlns={namespace}><UsernameToken>"
        f"<Username>{escape(user)}</Username>"
        f"<Password Type='{_DIGEST}'>{base64.b64encode(digest).decode()}</Password>"
        f"<Nonce EncodingType='{_BASE64}'>{base64.b64encode(nonce).decode()}</Nonce>"
        f"<Created xmlns={utility}>{created}</Created></UsernameToken></Security>"
    )
