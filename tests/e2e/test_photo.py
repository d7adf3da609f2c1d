"""A camera with a small stream to watch and a better one to show: the event shows the better."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

from .conftest import Monitor, wait_for

GREY = 200


class _Still(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = cv2.imencode(".jpg", np.full((480, 640, 3), GREY, np.uint8))[1].tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def test_the_snapshot_comes_from_the_better_stream(
    start: Callable[..., Monitor], footage: Path
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Still)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    still = f"http://127.0.0.1:{server.server_port}/still.jpg"
    monitor = start({"pad": {"source": {"url": str(footage), "loop": True, "snapshot_url": still}}})

    def shown() -> bool:
        pictures = monitor.folder.glob("snapshots/**/*.jpg")
        return any(_is_the_still(each) for each in pictures)

    wait_for(shown, 40, "an event with the still picture")
    assert monitor.events()
    assert monitor.stop() == 0
    server.shutdown()
    server.server_close()


def _is_the_still(path: Path) -> bool:
    picture = cv2.imread(str(path))
    return picture is not None and abs(float(picture.mean()) - GREY) < 2 and picture.std() < 2
