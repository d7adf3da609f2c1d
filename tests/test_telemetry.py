"""No password leaves through the log, whatever it looks like and whoever logs it."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from monitor.telemetry import (
    MASK,
    camera_context,
    configure_logging,
    get_logger,
    redact,
    redact_value,
)


@dataclass(frozen=True)
class Settings:
    format: str = "json"
    level: str = "debug"


@pytest.fixture
def log_stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A configured root logger that writes JSON into a buffer; everything put back after."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr("sys.excepthook", None)
    monkeypatch.setattr("threading.excepthook", threading.excepthook)
    stream = io.StringIO()
    configure_logging(Settings(), stream=stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


SECRET = "Zq7"  # stands in the middle of every generated password
FILLER = st.text(st.sampled_from("ab1@:/?#%&=+$!*'\"<>[]{}()\\|^~`,;.-_é密"), max_size=12)
SCHEME = st.sampled_from(["rtsp", "rtsps", "http", "https", "postgresql+psycopg", "RTSP", "mqtt"])
PASSWORD = st.builds(lambda before, after: f"{before}{SECRET}{after}", FILLER, FILLER)
AROUND = st.sampled_from(["", " ", "'", '"', "<", "(", "url=", "[rtsp @ 0x55] ", "é ", "12:30:00 "])


@given(SCHEME, PASSWORD, AROUND, AROUND)
def test_no_password_survives_raw(scheme: str, password: str, before: str, after: str) -> None:
    text = f"{before}{scheme}://admin:{password}@cam-3.example:554/s?x=1{after}"
    assert SECRET not in redact(text)
    assert "admin" not in redact(text)
    assert "cam-3.example:554" in redact(text)


@given(SCHEME, PASSWORD, st.integers(0, 2))
def test_no_password_survives_percent_encoding(scheme: str, password: str, times: int) -> None:
    url = f"{scheme}://admin:{quote(password, safe='')}@cam/s"
    for _ in range(times):
        url = quote(url, safe="")
    text = f"GET http://proxy:1984/api?src={url} failed"
    assert SECRET not in redact(text)
    assert redact(text).endswith(" failed")


@given(st.lists(st.tuples(SCHEME, PASSWORD), min_size=2, max_size=4), st.sampled_from(" \n\t"))
def test_several_urls_in_one_text(urls: list[tuple[str, str]], gap: str) -> None:
    text = gap.join(
        f"{scheme}://u:{password}@host{i}/" for i, (scheme, password) in enumerate(urls)
    )
    assert SECRET not in redact(text)
    assert all(f"host{i}" in redact(text) for i in range(len(urls)))


@given(
    st.sampled_from(["password", "pwd", "token", "access_token", "PASS", "api_key", "secret"]),
    st.text(st.sampled_from("ab1@:/?#%+$!*'\"<>[]{}"), max_size=8),
)
def test_secret_query_values(name: str, filler: str) -> None:
    text = f"http://cam/cgi?user=a&{name}={filler}{SECRET}&channel=2"
    assert SECRET not in redact(text)
    assert "channel=2" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://cam:554/stream?channel=1",
        "see https://github.com/@someone",
        "mail root@example.org",
        "50% done, 3 frames at 12:30:01",
        "wrote /var/snapshots//a.jpg",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"SplitResult(scheme='rtsp', netloc='admin:{SECRET}@cam:554')",
        f"Authorization: Basic {SECRET}==",
        f'authorization=\'Digest username="a", response="{SECRET}"\'',
        f"{{'password': '{SECRET}'}}",
        rf"rtsp:\/\/u:{SECRET}@cam",
        f"rtsp://{SECRET}@cam/",
    ],
)
def test_other_shapes(text: str) -> None:
    assert SECRET not in redact(text)


@pytest.mark.parametrize(
    "text", ["a:b,//%3A%2F%2F" * 20_000 + "@", "a" * 300_000 + "@%", "password: " * 30_000 + "@"]
)
def test_long_hostile_text_takes_linear_time(text: str) -> None:
    begun = time.perf_counter()
    redact(text)
    assert time.perf_counter() - begun < 8.0


def test_values_are_redacted_in_depth() -> None:
    value = {
        "list": [f"rtsp://u:{SECRET}@h", {"deep": (f"x://a:{SECRET}@h",)}],
        "db_password": SECRET,
        f"rtsp://u:{SECRET}@h": 1,
        "error": ValueError(f"bad rtsp://u:{SECRET}@h"),
        "count": 3,
        "nothing": None,
    }
    assert SECRET not in repr(redact_value(value))
    assert redact_value(value)["count"] == 3
    assert redact_value(value)["nothing"] is None


def test_object_without_text_costs_no_line() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    assert redact_value([Broken()]) == ["<Broken>"]


def test_structlog_line_with_values_and_traceback(log_stream: io.StringIO) -> None:
    log = get_logger("monitor.test")
    url = f"rtsp://u:p@{SECRET}/x@cam/s"
    try:
        raise OSError(f"cannot open {url}")
    except OSError as error:
        log.exception("opening %s failed", url, source=url, cause=error, nested={"all": [url]})
    [line] = lines(log_stream)
    assert SECRET not in log_stream.getvalue()
    assert line["event"] == f"opening rtsp://{MASK}@cam/s failed"
    assert line["level"] == "error"
    assert line["logger"] == "monitor.test"
    assert "Traceback" in str(line["exception"])
    assert "cannot open rtsp://***@cam/s" in str(line["exception"])


@pytest.mark.parametrize("name", ["libav.rtsp", "sqlalchemy.engine", "uvicorn.error", "other"])
def test_third_party_records(log_stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).error(
        "Could not open %s", f"rtsp://u:{SECRET}@cam", extra={"dsn": f"postgresql://u:{SECRET}@db"}
    )
    [line] = lines(log_stream)
    assert SECRET not in log_stream.getvalue()
    assert line["logger"] == name
    assert line["dsn"] == "postgresql://***@db"


def test_chained_exceptions_and_stack(log_stream: io.StringIO) -> None:
    try:
        try:
            raise ValueError(f"rtsp://u:{SECRET}@a")
        except ValueError as inner:
            raise OSError(f"http://u:{SECRET}@b") from inner
    except OSError:
        logging.getLogger("x").warning("lost", exc_info=True, stack_info=True)
    [line] = lines(log_stream)
    assert SECRET not in log_stream.getvalue()
    assert "direct cause" in str(line["exception"])


def test_uncaught_exception_of_a_thread(log_stream: io.StringIO) -> None:
    def fail() -> None:
        raise RuntimeError(f"rtsp://u:{SECRET}@cam")

    thread = threading.Thread(target=fail, name="reader-x")
    thread.start()
    thread.join()
    [line] = lines(log_stream)
    assert "reader-x" in str(line["event"])
    assert SECRET not in log_stream.getvalue()
    assert "rtsp://***@cam" in str(line["exception"])


def test_warnings_are_logged(log_stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn(f"deprecated http://u:{SECRET}@h", stacklevel=1)
        logging.captureWarnings(False)
    assert "deprecated http://***@h" in log_stream.getvalue()
    assert SECRET not in log_stream.getvalue().replace("{SECRET}", "")


def test_a_broken_call_does_not_print_its_arguments(
    log_stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()  # pytest's own handlers fail on such a call by design
    monkeypatch.setattr(
        root, "handlers", [h for h in root.handlers if "_pytest" not in repr(type(h))]
    )
    logging.getLogger("lib").error("%d frames", f"rtsp://u:{SECRET}@h")
    assert log_stream.getvalue() == "log line from lib lost: TypeError\n"


def test_camera_and_thread_context(log_stream: io.StringIO) -> None:
    def read() -> None:
        with camera_context("door"):
            get_logger("monitor.capture").info("opened")
            logging.getLogger("libav").warning("late packet")

    thread = threading.Thread(target=read, name="reader-door")
    thread.start()
    thread.join()
    get_logger("monitor").info("after")
    ours, libs, after = lines(log_stream)
    assert ours["camera"] == libs["camera"] == "door"
    assert ours["thread"] == libs["thread"] == "reader-door"
    assert "camera" not in after
    assert "thread" not in after


def test_console_format_and_level(log_stream: io.StringIO) -> None:
    stream = io.StringIO()
    configure_logging(Settings(format="console", level="warning"), stream=stream)
    get_logger("m").info("hidden")
    try:
        raise OSError(f"rtsp://u:{SECRET}@cam")
    except OSError:
        get_logger("m").exception("shown", url=f"rtsp://u:{SECRET}@cam")
    text = stream.getvalue()
    assert "hidden" not in text
    assert "shown" in text
    assert "Traceback" in text
    assert SECRET not in text.replace("{SECRET}", "")
