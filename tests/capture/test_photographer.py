"""Photos from a camera's better stream: RTSP and still pictures, masks, failures, stopping."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from rtsp_server.clips import write_clip
from rtsp_server.fixture import StartServer
from rtsp_server.process import Clip
from structlog.testing import capture_logs

from capture.observing import camera, eventually
from monitor.capture import Photographer
from monitor.clock import SystemClock
from monitor.config import CameraConfig
from monitor.messages import Photo

WATCHED = "rtsp://camera.invalid/sub"


class Stills(ThreadingHTTPServer):
    """Serves `/still.jpg`; with `hold` set a request waits until it is released."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests = 0
        self.hold = threading.Event()
        self.hold.set()
        self.missing = False

    @property
    def url(self) -> str:
        return f"http://viewer:geheim@127.0.0.1:{self.server_port}/still.jpg"


class _Handler(BaseHTTPRequestHandler):
    server: Stills

    def do_GET(self) -> None:
        self.server.requests += 1
        self.server.hold.wait(10)
        if self.server.missing:
            self.send_error(404)
            return
        picture = np.full((480, 640, 3), 200, np.uint8)
        body = cv2.imencode(".jpg", picture)[1].tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def stills() -> Iterator[Stills]:
    server = Stills()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


Take = Callable[[dict[str, CameraConfig]], tuple[Photographer, list[Photo]]]


@pytest.fixture
def take() -> Iterator[Take]:
    """Photographers whose photos go into a list."""
    made: list[Photographer] = []

    def begin(cameras: dict[str, CameraConfig]) -> tuple[Photographer, list[Photo]]:
        photos: list[Photo] = []
        photographer = Photographer(
            cameras, on_photo=photos.append, clock=SystemClock(), max_side=320
        )
        made.append(photographer)
        return photographer, photos

    yield begin
    for each in made:
        each.stop()


def test_a_still_picture_is_masked_and_shrunk(stills: Stills, take: Take) -> None:
    masked = camera(WATCHED, snapshot_url=stills.url).model_copy(
        update={"privacy_masks": [[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]]}
    )
    photographer, photos = take({"dock": masked})
    photographer.request("dock")
    eventually(lambda: photos, what="a photo")
    picture = photos[0].picture
    assert (photos[0].camera, picture.shape) == ("dock", (240, 320, 3))
    assert picture[:, :150].max() < 10
    assert picture[:, 170:].min() > 180


def test_a_camera_without_a_better_stream_is_ignored(stills: Stills, take: Take) -> None:
    photographer, photos = take({"dock": camera(WATCHED)})
    photographer.request("dock")
    photographer.request("unheard of")
    photographer.replace_cameras({"dock": camera(WATCHED, snapshot_url=stills.url)})
    photographer.request("dock")
    eventually(lambda: photos, what="a photo")
    assert stills.requests == 1


def test_who_asks_meanwhile_gets_one_more_photo(stills: Stills, take: Take) -> None:
    stills.hold.clear()
    photographer, photos = take({"dock": camera(WATCHED, snapshot_url=stills.url)})
    photographer.request("dock")
    eventually(lambda: stills.requests == 1, what="the first request")
    for _ in range(5):
        photographer.request("dock")
    stills.hold.set()
    eventually(lambda: len(photos) == 2, what="two photos")
    photographer.request("dock")
    eventually(lambda: len(photos) == 3, what="the third photo")
    assert stills.requests == 3


def test_a_failure_is_told_once_and_so_is_its_end(stills: Stills, take: Take) -> None:
    stills.missing = True
    photographer, photos = take({"dock": camera(WATCHED, snapshot_url=stills.url)})
    with capture_logs() as logs:
        for number in (1, 2):
            photographer.request("dock")
            eventually(partial(_requested, stills, number), what="a request")
            eventually(lambda: logs, what="a line")
        stills.missing = False
        eventually(lambda: _asked(photographer, photos), what="a photo")
    told = [
        (each["log_level"], each.get("reason")) for each in logs if each.get("camera") == "dock"
    ]
    assert told == [("warning", "not_found"), ("info", None)]
    assert "geheim" not in str(logs)


def _requested(stills: Stills, number: int) -> bool:
    return stills.requests == number


def _asked(photographer: Photographer, photos: list[Photo]) -> bool:
    photographer.request("dock")
    return bool(photos)


def test_nothing_is_handed_out_after_the_stop(stills: Stills, take: Take) -> None:
    stills.hold.clear()
    photographer, photos = take({"dock": camera(WATCHED, snapshot_url=stills.url)})
    photographer.request("dock")
    eventually(lambda: stills.requests == 1, what="the request")
    photographer.stop()
    stills.hold.set()
    photographer.request("dock")
    eventually(lambda: not _alive(), what="the end of its threads")
    assert photos == []


def _alive() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("photographer")]


@pytest.mark.rtsp
def test_a_photo_of_a_stream_is_its_next_keyframe(
    rtsp_server: StartServer, take: Take, tmp_path: Path
) -> None:
    clip = Clip(write_clip(tmp_path / "main.h264", sizes=((640, 480),)))
    server = rtsp_server({"main": clip})
    better = camera(WATCHED, snapshot_url=server.url("main"))
    photographer, photos = take({"dock": better})
    photographer.request("dock")
    eventually(lambda: photos, timeout=10, what="a photo")
    assert photos[0].picture.shape == (240, 320, 3)
