"""Real receivers: an HTTP server that keeps what it is sent and answers as told."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """Answers `status` to every request; `delay` in seconds; requests are kept in order."""

    status: int = 200
    delay: float = 0.0
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)

    def __enter__(self) -> Hook:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hook.arrivals.append(time.monotonic())
                hook.requests.append((self.command, self.path, dict(self.headers), body))
                time.sleep(hook.delay)
                self.send_response(hook.status)
                if hook.status in (301, 302, 307):
                    self.send_header("Location", hook.url)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST = do_PUT = answer  # noqa: N815

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *request: Any) -> None:
                """A sender that was killed is no news."""
                if not isinstance(sys.exception(), ConnectionError):
                    super().handle_error(*request)

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, _, body in self.requests]
