"""HTTP cameras (MJPEG as multipart) and hosts that misbehave on plain sockets."""

from __future__ import annotations

import base64
import gc
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr
from rtsp_server.clips import encode
from structlog.testing import capture_logs

from capture.observing import camera, eventually
from monitor.capture import ReaderState
from monitor.capture.reader import Reader
from monitor.clock import SystemClock
from monitor.config import CameraConfig, SourceConfig

FPS = 10
LOGIN = "Basic " + base64.b64encode(b"viewer:s3cret").decode()


class Handler(BaseHTTPRequestHandler):
    """`/live` never ends, `/short` has five pictures, `/blink` two, `/locked` asks for a login."""

    server: Server

    def do_GET(self) -> None:
        if self.path not in ("/live", "/short", "/blink", "/locked"):
            self.send_error(404)
        elif self.path == "/locked" and self.headers.get("Authorization") != LOGIN:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="cam"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._stream({"/short": 5, "/blink": 2}.get(self.path, 10_000))

    def _stream(self, count: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        pictures = self.server.pictures
        for index in range(count):
            if self.server.closing.wait(1 / FPS):
                return
            picture = pictures[index % len(pictures)]
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + picture + b"\r\n")
            except OSError:
                return

    def log_message(self, *_args: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """A camera with an HTTP interface."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.closing = threading.Event()
        self.pictures = list(encode("mjpeg", frames=10, fps=FPS, gop=1, width=320, height=240))

    def url(self, path: str, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.server_address[1]}{path}"


@pytest.fixture
def http() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_mjpeg_is_sampled_by_arrival(watch, http: Server) -> None:
    """FFmpeg stamps multipart pictures at 25 fps whatever comes: PTS would give 2 a second."""
    watched = watch(camera(http.url("/live"), sample_fps=5))
    eventually(lambda: len(watched.frames["cam"]) >= 3)
    begin, before = time.monotonic(), len(watched.frames["cam"])
    time.sleep(2.0)
    rate = (len(watched.frames["cam"]) - before) / (time.monotonic() - begin)
    assert rate == pytest.approx(5.0, abs=1.1)
    stats = watched.stats()
    assert (stats.codec, stats.width, stats.height) == ("mjpeg", 320, 240)
    assert stats.fps == pytest.approx(FPS, abs=2.0)
    assert watched.frames["cam"][0].pts is None
    assert watched.frames["cam"][-1].picture.shape == (240, 320, 3)


def test_a_stream_that_ends_is_opened_again(watch, http: Server) -> None:
    watched = watch(camera(http.url("/short")))
    eventually(lambda: watched.stats().reconnects >= 1)
    eventually(lambda: watched.stats().state is ReaderState.STREAMING)
    assert watched.reasons()[0] == "ended"


def test_a_stream_of_which_nothing_can_be_decoded_is_opened_again(
    watch, http: Server, monkeypatch
) -> None:
    monkeypatch.setattr("monitor.capture.decoding.Decoder.frames", lambda *_: iter(()))
    monkeypatch.setattr("monitor.capture.reader.UNDECODABLE_LIMIT", 0.3)
    watched = watch(camera(http.url("/live")))
    eventually(lambda: watched.stats().reconnects >= 1)
    assert watched.reasons() == ["corrupt"]
    monkeypatch.undo()
    eventually(lambda: watched.stats().state is ReaderState.STREAMING)


def test_twenty_reconnects_leave_nothing_behind(http: Server) -> None:
    """Through the reader's own loop; threads and descriptors return to their level."""

    def descriptors() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    threads, before = threading.active_count(), descriptors()
    readers = [
        Reader(
            f"cam{index}",
            camera(http.url("/blink")),
            on_frame=lambda _frame: None,
            on_outage=lambda _outage: None,
            clock=SystemClock(),
            max_side=64,
            backoff=lambda *_: 0.01,
        )
        for index in range(4)
    ]
    for reader in readers:
        reader.start()
    eventually(lambda: sum(reader.stats().reconnects for reader in readers) >= 20)
    for reader in readers:
        reader.request_stop()
    assert all(reader.join(2.0) for reader in readers)
    eventually(lambda: threading.active_count() <= threads)  # the server's own included
    eventually(lambda: descriptors() <= before)


def test_logins(watch, http: Server) -> None:
    watched = watch(
        {
            "right": camera(http.url("/locked", "viewer:s3cret@")),
            "wrong": camera(http.url("/locked", "viewer:guess@")),
            "none": camera(http.url("/locked")),
            "absent": camera(http.url("/nothing")),
        }
    )
    eventually(lambda: watched.stats("right").state is ReaderState.STREAMING)
    eventually(lambda: watched.reasons("absent") == ["not_found"])
    eventually(lambda: watched.reasons("wrong") == ["unauthorized"])
    eventually(lambda: watched.reasons("none") == ["unauthorized"])
    assert watched.stats("wrong").state is ReaderState.BACKOFF


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_host_that_accepts_and_never_answers(watch, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/live"
        watched = watch(camera(url, open_timeout=0.6, read_timeout=0.6))
        eventually(lambda: watched.reasons() == ["timeout"])
        eventually(lambda: watched.stats().state is ReaderState.BACKOFF)
        eventually(lambda: watched.stats().reconnects >= 1)
        assert watched.reasons() == ["timeout"]


def test_the_watchdog_reports_a_reader_that_is_stuck_in_open(watch, monkeypatch) -> None:
    """A name server that does not answer blocks inside the C library, beyond any timeout."""
    release = threading.Event()
    monkeypatch.setattr("monitor.capture.sources.av.open", lambda *_a, **_k: release.wait(10.0))
    watched = watch(camera("rtsp://host/live", open_timeout=0.3, read_timeout=0.3))
    eventually(lambda: watched.reasons() == ["timeout"])
    assert watched.stats().state is ReaderState.STALLED
    watched.room.stop(0.1)
    release.set()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_stop_is_prompt_while_opening(watch, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/live"
        watched = watch(camera(url, open_timeout=1.5))
        eventually(lambda: watched.stats().state is ReaderState.CONNECTING)
        time.sleep(0.2)
        begin = time.monotonic()
        watched.room.stop(0.5)
        assert time.monotonic() - begin < 0.9
        assert watched.stats().state is ReaderState.STOPPED
        # The thread that was left behind ends at its timeout and says nothing any more.
        watched.room.stop(5.0)
        assert not any(t.name == "reader-cam" for t in threading.enumerate())
        assert watched.reasons() == []


HOSTILE = [
    "{scheme}://admin:s3cret@127.0.0.1:{port}/live",
    "{scheme}://admin:s3c%40ret%2Fs3cret@127.0.0.1:{port}/live",
    "{scheme}://admin:s3cret@s3cret@127.0.0.1:{port}/?password=s3cret&x=s3cret#s3cret",
    "{scheme}://:s3cret@127.0.0.1:{port}/user=admin_password=s3cret_channel=1",
    "{scheme}://s3cret.invalid/s3cret",
    "{scheme}://admin:s3/cret?s3cret#s3cret@127.0.0.1/x",
]


def unchecked(url: str) -> CameraConfig:
    """A camera whose address the configuration might have refused."""
    source = SourceConfig.model_construct(
        **{**dict(camera("x.mp4", open_timeout=1.0).source), "url": SecretStr(url)}
    )
    return camera("x.mp4").model_copy(update={"source": source})


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_no_part_of_a_url_is_ever_shown(watch, capfd, caplog, scheme: str) -> None:
    """Refused, unknown and malformed hosts: nothing of the URL on any road out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # closed again below: refused
    cameras = {
        f"cam{index}": unchecked(url.format(scheme=scheme, port=port))
        for index, url in enumerate(HOSTILE)
    }
    with capture_logs() as logs:
        watched = watch(cameras)
        eventually(lambda: all(watched.reasons(name) for name in cameras))
        watched.room.stop()
    said = [repr(logs), repr(watched.outages), repr(watched.room.stats()), caplog.text]
    said += [*capfd.readouterr()]
    assert len(logs) >= len(cameras)
    for text in said:
        assert "s3c" not in text
        assert "admin" not in text
