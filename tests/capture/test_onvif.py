"""A camera's settings by ONVIF, against a stand-in that checks signatures for real."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from onvif_standin.camera import TT, OnvifStandIn

from monitor.capture.encoders import Limits
from monitor.capture.onvif import OnvifCamera, Profile, device_url, profile_of
from monitor.capture.soap import parse, same_host
from monitor.errors import ServiceError

SECRET = "geheim<&>"
Start = Callable[..., OnvifStandIn]


@pytest.fixture
def standin() -> Iterator[Start]:
    started: list[OnvifStandIn] = []

    def start(**options: Any) -> OnvifStandIn:
        started.append(OnvifStandIn(**options))
        return started[-1]

    yield start
    for each in started:
        each.close()


def open_camera(camera: OnvifStandIn, password: str = SECRET, user: str = "admin") -> OnvifCamera:
    return OnvifCamera(camera.url, user, password, timeout=5.0)


@pytest.mark.parametrize(
    "options", [{}, {"media2": True}, {"old": True}, {"shy": True}, {"http_digest": True}]
)
def test_profiles_and_settings(standin: Start, options: dict[str, bool]) -> None:
    camera = standin(**options)
    with open_camera(camera) as onvif:
        main, sub = onvif.profiles()
        assert (main.token, main.name) == ("p-main", "main stream")
        assert main.url == "rtsp://127.0.0.1:554/main"
        assert sub.encoder is not None
        assert (sub.encoder.width, sub.encoder.height, sub.encoder.gov) == (640, 360, 60)
        assert (sub.encoder.fps, sub.encoder.bitrate) == (15.0, 4096)
        assert sub.encoder.encoding == ("H265" if camera.media2 else "H264")
        limits = onvif.limits(sub.encoder)
        assert limits.gov == (1, 250)
        assert limits.fit_fps(15.0) == (12.0 if camera.media2 else 15.0)
        after = onvif.set_encoder(sub.encoder, gov=24, fps=limits.fit_fps(15.0))
        assert after.gov == 24
        assert camera.encoders["sub"]["gov"] == 24
        assert camera.encoders["main"]["gov"] == 100
    assert all(SECRET.encode() not in request for request in camera.requests)
    assert all(b"geheim" not in request for request in camera.requests)


def test_what_is_not_understood_goes_back_as_it_came(standin: Start) -> None:
    camera = standin()
    with open_camera(camera) as onvif:
        encoder = onvif.encoder("main")
        onvif.set_encoder(encoder, gov=50, fps=25)
    (sent,) = camera.sets
    assert sent.findtext(f"{{{TT}}}Extra") == "maker's own"
    assert sent.findtext(f"{{{TT}}}Name") == "enc <main>"
    assert sent.findtext(f"{{{TT}}}RateControl/{{{TT}}}BitrateLimit") == "4096"
    assert encoder.gov == 100  # the one it came from is untouched


@pytest.mark.parametrize("hours", [-9000, 3])
def test_a_camera_with_a_wrong_clock_is_signed_in_its_own_time(standin: Start, hours: int) -> None:
    camera = standin(clock_ahead=timedelta(hours=hours))
    with open_camera(camera) as onvif:
        assert len(onvif.profiles()) == 2


@pytest.mark.parametrize("options", [{}, {"http_digest": True}])
@pytest.mark.parametrize(("user", "password"), [("admin", "falsch"), ("other", SECRET)])
def test_a_wrong_login(standin: Start, user: str, password: str, options: Any) -> None:
    with (
        pytest.raises(ServiceError, match="user or password is wrong") as caught,
        open_camera(standin(**options), password, user) as onvif,
    ):
        onvif.profiles()
    assert password not in str(caught.value)


def test_no_login_is_sent_where_none_is_given(standin: Start) -> None:
    camera = standin()
    with (
        OnvifCamera(camera.url, None, "") as onvif,
        pytest.raises(ServiceError, match="user or password"),
    ):
        onvif.profiles()
    assert not any(b"UsernameToken" in request for request in camera.requests)


def test_a_refusal_is_told_in_one_clean_line(standin: Start) -> None:
    with open_camera(standin()) as onvif:
        encoder = onvif.encoder("sub")
        with pytest.raises(ServiceError) as caught:
            onvif.set_encoder(encoder, gov=9999, fps=15)
    assert caught.value.what == (
        "the camera refuses SetVideoEncoderConfiguration: ter:ConfigModify, so not"
    )


def test_a_camera_that_says_yes_and_does_nothing_is_found_out(standin: Start) -> None:
    with open_camera(standin(stubborn=True)) as onvif:
        assert onvif.set_encoder(onvif.encoder("sub"), gov=30, fps=15).gov == 60


def test_addresses_from_behind_a_translation_are_replaced(standin: Start) -> None:
    camera = standin(inner="10.99.99.99:8000")
    with open_camera(camera) as onvif:
        assert len(onvif.profiles()) == 2
    assert same_host("http://10.0.0.1:81/a?b", "https://cam:444/x") == "https://cam:444/a?b"
    assert same_host("http://[bad", "http://cam/x") == "http://cam/x"
    assert same_host("http://cam:81/a", "http://cam/x") == "http://cam:81/a"


def test_hosts_without_onvif(standin: Start) -> None:
    camera = standin()
    with (
        pytest.raises(ServiceError, match=r"no ONVIF service at this address \(HTTP 404\)"),
        OnvifCamera(f"http://127.0.0.1:{camera.port}/index", "u", "p"),
    ):
        pass
    with (
        pytest.raises(ServiceError, match="cannot be reached"),
        OnvifCamera("http://127.0.0.1:1/onvif/device_service", "u", "p"),
    ):
        pass
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/onvif/device_service"
        with (
            pytest.raises(ServiceError, match="does not answer in time"),
            OnvifCamera(url, "u", "p", timeout=0.3),
        ):
            pass


def test_xml_with_entities_or_nonsense_is_none() -> None:
    assert parse(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>') is None
    assert parse(b"\xff\xfe") is None
    assert parse(b"<a>") is None
    assert parse(b"<a/>") is not None


def test_what_an_encoder_can_do() -> None:
    limits = Limits(gov=(10, 50), fps=(5.0, 12.0))
    assert (limits.fit_gov(1), limits.fit_gov(30), limits.fit_gov(99)) == (10, 30, 50)
    assert (limits.fit_fps(1.0), limits.fit_fps(15.0)) == (5.0, 12.0)
    assert Limits(fps_choices=(25.0, 20.0)).fit_fps(15.0) == 20.0
    assert (Limits().fit_gov(77), Limits().fit_fps(7.5)) == (77, 7.5)


def test_the_profile_of_a_url() -> None:
    def profile(token: str, url: str) -> Profile:
        return Profile(token, token, None, url)

    one, two = profile("1", "rtsp://10.0.0.9/live?ch=1"), profile("2", "rtsp://10.0.0.9/live?ch=2")
    assert profile_of([one, two], "rtsp://u:p@cam:8554/live?ch=2") == two
    assert profile_of([one, two], "rtsp://cam/live") is None
    assert profile_of([one], "rtsp://cam/anything") == one
    assert profile_of([], "rtsp://cam/anything") is None
    assert device_url("rtsp://u:p@[fe80::1]:554/x") == "http://[fe80::1]/onvif/device_service"
