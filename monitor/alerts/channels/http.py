"""HTTP calls of channels: to checked addresses only, verified, without redirects."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from monitor.alerts.network import allowed_addresses, probe_tcp, tls_context
from monitor.alerts.notices import RefusedError, UnavailableError
from monitor.config.channels import Outward
from monitor.telemetry import redact

_LATER = frozenset({401, 403, 404, 407, 408, 409, 423, 425, 429})
"""Answers that somebody can mend without changing the alert; other 4xx are final."""


class HttpCaller:
    """One connection pool a channel."""

    def __init__(self, settings: Outward) -> None:
        self._settings = settings
        self._client: httpx.Client | None = None

    def call(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
    ) -> httpx.Response:
        """The answer, which is a success. Raises RefusedError or UnavailableError."""
        name, port = _endpoint(url)
        shown = urlsplit(url).netloc.rpartition("@")[2]
        failure: Exception | None = None
        for address in allowed_addresses(name, port, self._settings.allow):
            target = httpx.URL(url).copy_with(host=address)
            try:
                answer = self._open().request(
                    method,
                    target,
                    content=content,
                    headers={**(headers or {}), "Host": shown},
                    auth=auth if auth is not None else httpx.USE_CLIENT_DEFAULT,
                    extensions={"sni_hostname": name},
                )
            except httpx.ConnectError as error:
                failure = error
                continue
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                raise UnavailableError(_said(error)) from None
            return _checked(answer)
        raise UnavailableError(_said(failure)) from None

    def probe(self, url: str) -> None:
        """Whether somebody listens at the URL's host. Raises UnavailableError."""
        host, port = _endpoint(url)
        addresses = allowed_addresses(host, port, self._settings.allow)
        probe_tcp(addresses, port, self._settings.timeout)

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _open(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(
                verify=tls_context(self._settings.ca_file),
                timeout=self._settings.timeout,
                follow_redirects=False,
                trust_env=False,
            )
        return self._client


def _endpoint(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None, "the configuration takes no URL without a host"
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _said(error: Exception | None) -> str:
    return redact(f"{type(error).__name__}: {error}")[:200]


def _checked(answer: httpx.Response) -> httpx.Response:
    status = answer.status_code
    if answer.is_success:
        return answer
    if 400 <= status < 500 and status not in _LATER:
        raise RefusedError(f"HTTP {status}: {redact(answer.text[:120])}")
    if answer.is_redirect:
        raise UnavailableError(
            f"HTTP {status}: redirects are not followed; configure where it leads"
        )
    raise UnavailableError(f"HTTP {status}")
