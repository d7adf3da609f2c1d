"""E-mail: text and HTML, the snapshot inline, the alert's key in its Message-ID."""

from __future__ import annotations

import html
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import format_datetime

from monitor.alerts.network import tls_context
from monitor.alerts.notices import Notice, RefusedError, UnavailableError
from monitor.config.channels import SmtpConfig, SmtpSecurity
from monitor.telemetry import redact

_PERMANENT = 500


class SmtpChannel:
    """Implements `Channel`; one connection a mail, for servers hang up on idle ones."""

    def __init__(self, settings: SmtpConfig) -> None:
        self._settings = settings

    def probe(self) -> None:
        """Greet the server, log in, leave."""
        self._with_server(lambda server: server.noop())

    def send(self, notice: Notice) -> None:
        """Send one mail to all recipients."""
        message = compose(self._settings, notice)
        self._with_server(lambda server: server.send_message(message))

    def close(self) -> None:
        """Nothing is kept open."""

    def _with_server(self, work: Callable[[smtplib.SMTP], object]) -> None:
        try:
            with self._open() as server:
                self._log_in(server)
                work(server)
        except smtplib.SMTPRecipientsRefused as error:
            raise _failure(*next(iter(error.recipients.values()))) from None
        except smtplib.SMTPAuthenticationError as error:
            raise UnavailableError(f"the login is refused: {error.smtp_code}") from None
        except smtplib.SMTPResponseException as error:
            raise _failure(error.smtp_code, error.smtp_error) from None
        except (OSError, smtplib.SMTPException) as error:
            said = redact(f"{type(error).__name__}: {error}")
            raise UnavailableError(f"the mail server: {said}") from None

    def _open(self) -> smtplib.SMTP:
        settings = self._settings
        if settings.security is SmtpSecurity.TLS:
            context: ssl.SSLContext = tls_context(settings.ca_file)
            return smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=settings.timeout, context=context
            )
        return smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout)

    def _log_in(self, server: smtplib.SMTP) -> None:
        settings = self._settings
        if settings.security is SmtpSecurity.STARTTLS:
            server.starttls(context=tls_context(settings.ca_file))
        if settings.username is not None:
            password = settings.password.get_secret_value() if settings.password else ""
            server.login(settings.username, password)


def compose(settings: SmtpConfig, notice: Notice) -> EmailMessage:
    """The mail of a notice."""
    message = EmailMessage()
    message["Subject"] = f"[{notice.severity}] {notice.headline}"[:200]
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = f"<{notice.key}@{settings.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    facts = {
        "What": notice.headline,
        "When": notice.at.isoformat(timespec="seconds"),
        "Where": ", ".join(notice.members),
        "Why": "; ".join(notice.reasons),
        "Rule": notice.rule,
        "Alert": str(notice.id),
    }
    message.set_content("\n".join(f"{name + ':':7}{value}" for name, value in facts.items()))
    rows = "".join(
        f"<tr><th align=left>{name}</th><td>{html.escape(value)}</td></tr>"
        for name, value in facts.items()
    )
    picture = notice.picture() if settings.snapshot else None
    image = '<p><img src="cid:snapshot" alt="snapshot"></p>' if picture else ""
    message.add_alternative(f"<table>{rows}</table>{image}", subtype="html")
    if picture:
        part = message.get_payload()[1]  # type: ignore[index]
        assert isinstance(part, EmailMessage)
        part.add_related(
            picture,
            "image",
            "jpeg",
            cid="<snapshot>",
            filename="snapshot.jpg",
            disposition="inline",
        )
    return message


def _failure(code: int, said: bytes | str) -> RefusedError | UnavailableError:
    words = said.decode(errors="replace") if isinstance(said, bytes) else said
    text = redact(f"SMTP {code}: {words}")[:200]
    return RefusedError(text) if code >= _PERMANENT else UnavailableError(text)
