"""`cameras probe` and `cameras discover` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from onvif_standin.camera import OnvifStandIn
from onvif_standin.responder import Responder
from rtsp_server.clips import write_clip, write_video
from rtsp_server.process import Clip
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from monitor.capture import discovery
from monitor.cli import cameras
from monitor.cli.camera_login import Login
from monitor.cli.camera_settings import Wish, change_settings
from monitor.config import CameraConfig
from monitor.errors import MonitorError, ServiceError, UsageError

SECRET = "geheim<&>"
LOGIN = Login("admin", SECRET)


def run(*words: object, **options: Any) -> Result:
    return CliRunner().invoke(cameras.app, [str(word) for word in words], **options)


def section(text: str) -> dict[str, CameraConfig]:
    found = YAML(typ="safe").load(text)["cameras"]
    return {name: CameraConfig.model_validate(each) for name, each in found.items()}


@pytest.fixture
def standin() -> Iterator[OnvifStandIn]:
    camera = OnvifStandIn()
    yield camera
    camera.close()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "dock.mp4", frames=75, fps=15, gop=60)


def test_a_probe_for_people_and_for_programs(video: Path) -> None:
    shown = run("probe", video)
    assert shown.exit_code == 0
    assert "h264 Constrained Baseline" in shown.stdout
    assert "4 s, 60 pictures" in shown.stdout
    assert "set a keyframe every 2 s" in shown.stdout
    assert list(section(run("probe", video, "-f", "yaml").stdout)) == ["dock"]
    (line,) = run("probe", video, "-f", "json").stdout.splitlines()
    row = json.loads(line)
    assert (row["codec"], row["gop_frames"], len(row["advice"])) == ("h264", 60, 1)
    assert list(section(row["yaml"])) == ["dock"]
    assert run("probe", video, "-f", "csv").stdout.count("\n") == 2


def test_one_that_fails_keeps_no_other_from_being_probed(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEHEIM", "s3cret/@")
    shown = run("probe", video, "rtsp://v:${GEHEIM}@127.0.0.1:1/x", "-f", "json")
    assert shown.exit_code == ServiceError.exit_code
    good, bad = map(json.loads, shown.stdout.splitlines())
    assert good["codec"] == "h264"
    assert bad == {
        "url": "rtsp://***@127.0.0.1:1/x",
        "advice": [],
        "error": "nothing listens on that port",
    }
    assert "s3cret" not in shown.output


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("probe", "rtps://cam/x"), "no known kind of source"),
        (("probe", "rtsp://v:${NOT_SET_AT_ALL}@cam/x"), "NOT_SET_AT_ALL is not set"),
        (("probe", "a", "b", "--apply"), "one camera at a time"),
        (("probe", "a.mp4", "--timeout", "soon"), "no duration"),
        (("probe", "rtsp://cam/x", "--user", "viewer"), "needs a password"),
        (("discover", "--timeout", "2h"), "out of range"),
    ],
)
def test_slips(words: tuple[str, ...], what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAMERA_PASSWORD", raising=False)
    slip = run(*words).exception
    assert isinstance(slip, UsageError)
    assert what in str(slip)


def apply(camera: OnvifStandIn, url: str = "rtsp://127.0.0.1/main", **options: Any) -> Any:
    options = {"wish": Wish(), "profile": None, "yes": True} | options
    return change_settings(url, camera.url, LOGIN, **options)


def test_settings_are_applied_once_and_as_wished(
    standin: OnvifStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    result = apply(standin)
    assert result["before"] == {"gov": 100, "fps": 25.0}
    assert result["after"] == {"gov": 30, "fps": 15.0}
    assert standin.encoders["main"]["gov"] == 30
    assert "a keyframe every 30 pictures at 15 a second" in capsys.readouterr().err
    apply(standin)
    assert len(standin.sets) == 1
    assert "nothing to change" in capsys.readouterr().err
    apply(standin, profile="p-sub", wish=Wish(gop=1.0, fps=10.0))
    assert (standin.encoders["sub"]["gov"], standin.encoders["sub"]["fps"]) == (10, 10)


def test_keyframes_that_come_often_enough_stay(standin: OnvifStandIn) -> None:
    standin.encoders["main"] |= {"gov": 12, "fps": 12}
    assert apply(standin)["after"] == {"gov": 12, "fps": 12.0}
    assert standin.sets == []


def test_a_profile_that_cannot_be_told_is_asked_for(standin: OnvifStandIn) -> None:
    with pytest.raises(UsageError, match="cannot be told") as caught:
        apply(standin, "rtsp://127.0.0.1/other")
    assert "p-main (rtsp://127.0.0.1:554/main), p-sub" in caught.value.remedy
    with pytest.raises(UsageError, match="no profile of that name"):
        apply(standin, profile="p-none")


def test_a_camera_that_keeps_its_own_settings_is_reported(standin: OnvifStandIn) -> None:
    standin.stubborn = True
    with pytest.raises(MonitorError, match="said yes, but now has a keyframe every 100 pictures"):
        apply(standin)


@pytest.mark.rtsp
def test_probe_and_apply_with_a_question(
    standin: OnvifStandIn, rtsp_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", SECRET)
    clips = {"main": Clip(write_clip(tmp_path / "a.au"))}
    server = rtsp_server(clips, auth="digest", user="admin", password=SECRET)
    words = ("probe", server.url("main"), "--user", "admin", "--apply", "--onvif", standin.url)
    words = (*words, "--seconds", "1")
    refused = run(*words, input="n\n")
    assert refused.exit_code == 1
    assert standin.sets == []
    done = run(*words, input="y\n")
    assert done.exit_code == 0
    assert standin.encoders["main"]["gov"] == 30
    assert "url: rtsp://admin:${CAMERA_PASSWORD}@127.0.0.1" in done.output
    assert "geheim" not in refused.output + done.output


def test_discovery_lists_cameras_and_writes_their_entries(
    standin: OnvifStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", SECRET)
    # The stand-in listens on 127.0.0.1; so that is where the answer has to come from.
    monkeypatch.setattr(discovery.Device, "onvif", property(lambda self: self.xaddrs[0]))
    service = f"http://127.0.0.1:{standin.port}/onvif/device_service"
    responder = Responder({"urn:1": ("[bold]Dock%203", service)})
    real = discovery.discover

    def on_loopback(timeout: float, *, interfaces: list[str] | None) -> list[discovery.Device]:
        assert interfaces is None
        return real(timeout, interfaces=["lo"], port=responder.port)

    monkeypatch.setattr(discovery, "discover", on_loopback)
    try:
        plain = run("discover", "--timeout", "400ms")
        assert "[bold]Dock 3" in plain.stdout
        assert "DS-2CD" in plain.stdout
        assert standin.requests == []  # nobody is asked for streams without a login
        written = run("discover", "--timeout", "400ms", "--user", "admin", "-f", "yaml")
        rows = run("discover", "--timeout", "400ms", "--user", "admin", "-f", "json").stdout
    finally:
        responder.close()
    (name, camera), *others = section(written.stdout).items()
    assert (name, others) == ("bold-Dock-3", [])
    assert camera.source.url.get_secret_value().startswith("rtsp://admin:${CAMERA_PASSWORD}@")
    assert camera.source.url.get_secret_value().endswith(":554/sub")
    better = camera.source.snapshot_url
    assert better is not None
    assert better.get_secret_value().endswith(":554/main")
    assert "# snapshots: H264 1920×1080, 25 frames a second" in written.stdout
    assert json.loads(rows)["streams"][1]["gov"] == 60
    assert "geheim" not in plain.output + written.output + rows


def test_no_login_is_shown_to_foreign_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", SECRET)
    liar = discovery.Device("urn:1", "10.0.0.5", "liar", "", "", ("http://10.0.0.6/onvif/x",))
    monkeypatch.setattr(discovery, "discover", lambda timeout, *, interfaces: [liar])
    shown = run("discover", "--user", "admin")
    assert "10.0.0.5: names only addresses that are not its own" in shown.output
