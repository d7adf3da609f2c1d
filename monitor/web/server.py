"""The web server: a thread around uvicorn whose port is taken before anything else starts."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI

from monitor.config.web import TlsConfig
from monitor.errors import ServiceError
from monitor.telemetry import get_logger

_GRACE = 3
log = get_logger(__name__)


class WebServer:
    """Listens from construction on, answers from `start` to `stop`.

    `port` 0 takes a free one; the attribute `port` says which. With `tls` it speaks HTTPS; what
    `trusted_proxies` say of whom they ask for is believed. Raises ServiceError if the address
    cannot be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: TlsConfig | None = None,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        self._tls = tls
        self._proxies = list(trusted_proxies)
        self._socket = _listen(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._app: FastAPI | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        local = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104
        host = local.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether requests are being answered."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, app: FastAPI) -> None:
        """Answer with `app`, made by `create_app`. Raises ServiceError if that fails."""
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(self._proxies),
            forwarded_allow_ips=self._proxies,
            ssl_certfile=self._tls.certificate if self._tls else None,
            ssl_keyfile=self._tls.key if self._tls else None,
            timeout_graceful_shutdown=_GRACE,
        )
        self._load(config)
        self._app, self._server = app, uvicorn.Server(config)
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._server, started), name="web", daemon=True
        )
        self._thread.start()
        while not started.wait(0.01):
            if self._server.started:
                log.info("web server ready", url=self.url)
                return
        raise ServiceError(
            "the web server could not start", where=self.url, remedy="the log above says why"
        )

    def _load(self, config: uvicorn.Config) -> None:
        """Read the certificate now, where what is wrong with it can be said."""
        try:
            config.load()
        except OSError as error:  # ssl.SSLError is one
            raise ServiceError(
                f"the certificate or its key is no use: {error.strerror or error}",
                where=str(self._tls.certificate) if self._tls else self.url,
                remedy="web.tls needs PEM files that belong together, the key without passphrase",
            ) from error

    def _run(self, server: uvicorn.Server, ended: threading.Event) -> None:
        try:
            server.run(sockets=[self._socket])
        except SystemExit:  # uvicorn's way to say that the application did not start
            log.error("web server ended early")
        finally:
            ended.set()

    def stop(self, timeout: float = 5.0) -> bool:
        """End streams, answer what is under way, close the port; whether all that was in time."""
        if self._server is not None and self._app is not None:
            self._app.state.feed.close_soon()
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout)
        self._socket.close()
        return not self.alive


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise _refusal(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _refusal(host, port, error) from error
    return listener


def _refusal(host: str, port: int, error: Exception) -> ServiceError:
    where = f"{host}:{port}"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return ServiceError(
            f"port {port} is in use by another program",
            where=where,
            remedy="set web.port to another port, or to 0 for a free one; "
            f"`ss -ltnp sport = :{port}` shows who has it",
        )
    if number in {errno.EACCES, errno.EPERM}:
        return ServiceError(
            f"port {port} is reserved for the system's own services",
            where=where,
            remedy="set web.port to 1024 or more, or grant CAP_NET_BIND_SERVICE",
        )
    return ServiceError(
        f"cannot listen there: {getattr(error, 'strerror', None) or 'the host name is no use'}",
        where=where,
        remedy="set web.host to an address of this machine: 127.0.0.1, or 0.0.0.0 for all",
    )
