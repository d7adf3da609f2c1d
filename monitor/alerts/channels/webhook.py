"""HTTP POST, signed.

    X-Presence-Signature: t=1767225600,v1=<hex HMAC-SHA256 of "1767225600." + body>
    Idempotency-Key: <the delivery's key, the same at every try>

The receiver recomputes the signature over timestamp and body, refuses old timestamps (replays),
and drops keys it has seen. See docs/integrators.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from jinja2 import TemplateError

from monitor.alerts.channels.http import HttpCaller
from monitor.alerts.notices import Notice, RefusedError
from monitor.config.channels import WebhookBody, WebhookConfig
from monitor.config.templates import render

_COLOURS = {"critical": "attention", "warning": "warning", "info": "good"}


class WebhookChannel:
    """Implements `Channel`."""

    def __init__(self, settings: WebhookConfig) -> None:
        self._settings = settings
        self._http = HttpCaller(settings)

    def send(self, notice: Notice) -> None:
        """POST the notice."""
        body = self._body(notice)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "presence-monitor",
            "Idempotency-Key": str(notice.key),
            **{name: value.get_secret_value() for name, value in self._settings.headers.items()},
        }
        if self._settings.secret is not None:
            stamp = int(time.time())
            signature = sign(self._settings.secret.get_secret_value(), stamp, body)
            headers["X-Presence-Signature"] = f"t={stamp},v1={signature}"
        self._http.call(
            "POST", self._settings.url.get_secret_value(), content=body, headers=headers
        )

    def probe(self) -> None:
        """Whether somebody listens there."""
        self._http.probe(self._settings.url.get_secret_value())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _body(self, notice: Notice) -> bytes:
        settings = self._settings
        if settings.template is not None:
            try:
                return render(settings.template, notice.values()).encode()
            except (TemplateError, TypeError) as error:
                raise RefusedError(f"the template cannot be filled in: {error}") from error
        if settings.body is WebhookBody.SLACK:
            return _json(slack(notice))
        if settings.body is WebhookBody.TEAMS:
            return _json(teams(notice))
        values = dict(notice.values())
        picture = notice.picture() if settings.snapshot else None
        if picture is not None:
            values["snapshot"] = base64.b64encode(picture).decode()
        return _json(values)


def sign(secret: str, stamp: int, body: bytes) -> str:
    """The signature of a body at a Unix time, as hexadecimal text."""
    return hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def slack(notice: Notice) -> dict[str, Any]:
    """A message for an incoming webhook of Slack; `&<>` escaped as Slack asks."""
    text = f"*{notice.severity.upper()}* {notice.headline}\n{'; '.join(notice.reasons)}"
    for sign_, code in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign_, code)
    return {"text": text}


def teams(notice: Notice) -> dict[str, Any]:
    """A message with an adaptive card, as workflows of Microsoft Teams take it."""
    facts = [
        {"title": "Severity", "value": notice.severity},
        {"title": "Rule", "value": notice.rule},
        {"title": "At", "value": notice.at.isoformat(timespec="seconds")},
        {"title": "Why", "value": "; ".join(notice.reasons)},
    ]
    headline = {
        "type": "TextBlock",
        "text": notice.headline,
        "weight": "bolder",
        "wrap": True,
        "color": _COLOURS.get(notice.severity, "default"),
    }
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [headline, {"type": "FactSet", "facts": facts}],
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
