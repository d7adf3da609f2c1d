"""What a URL means to FFmpeg."""

from __future__ import annotations

import av
import pytest
from pydantic import SecretStr

from monitor.capture import CaptureRoom
from monitor.capture.sources import SourceKind, opened, source_of
from monitor.clock import SystemClock
from monitor.config import CameraConfig, SourceConfig
from monitor.errors import ConfigError


def source(url: str, **settings: object):
    return source_of(SourceConfig.model_construct(**_fields(url, settings)))


def _fields(url: str, settings: dict[str, object]) -> dict[str, object]:
    """Also addresses that the configuration itself would refuse."""
    valid = SourceConfig.model_validate({"url": "x.mp4", **settings})
    return {**dict(valid), "url": SecretStr(url)}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("rtsp://host/a", SourceKind.RTSP),
        ("RTSPS://host/a", SourceKind.RTSP),
        ("http://host/a.mjpg", SourceKind.HTTP),
        ("https://host/a", SourceKind.HTTP),
        ("clips/a.mp4", SourceKind.FILE),
        ("file:///clips/a.mp4", SourceKind.FILE),
        ("/dev/shm/a.mp4", SourceKind.FILE),
        ("/dev/video0", SourceKind.DEVICE),
        ("/dev/v4l/by-id/usb-cam", SourceKind.DEVICE),
    ],
)
def test_knows_the_kind(url: str, kind: SourceKind) -> None:
    assert source(url).kind is kind


@pytest.mark.parametrize("url", ["gopher://u:s3cret@host/", "", "://u:s3cret@x", "srt://s3cret"])
def test_refuses_other_kinds_without_showing_the_address(url: str) -> None:
    with pytest.raises(ConfigError, match="no known kind") as caught:
        source(url)
    assert "s3cret" not in str(caught.value)
    assert "rtsp://" in caught.value.remedy


def test_a_room_names_the_camera_whose_source_is_wrong() -> None:
    wrong = CameraConfig.model_construct(
        source=SourceConfig.model_construct(**_fields("gopher://s3cret", {})), enabled=True
    )
    with pytest.raises(ConfigError) as caught:
        CaptureRoom(
            {"dock": wrong}, on_frame=print, on_outage=print, clock=SystemClock(), max_side=64
        )
    assert caught.value.where == "camera dock"


def test_rtsp_is_opened_fast_and_then_patiently() -> None:
    fast, patient = source("rtsp://host/a", transport="udp").attempts
    expected = {"rtsp_transport": "udp", "allowed_media_types": "video", "timeout": "5000000"}
    assert patient == expected
    assert fast == patient | {"probesize": "32", "analyzeduration": "1"}
    assert "fflags" not in fast  # nobuffer throws away the first keyframe


def test_its_repr_does_not_show_the_url() -> None:
    assert "s3cret" not in repr(source("rtsp://u:s3cret@host/a?pw=s3cret"))


def test_file_settings_are_for_files_only() -> None:
    assert source("a.mp4", loop=True).loop
    assert source("a.mp4").paced
    assert not source("a.mp4", pacing="full_speed").paced
    assert not source("rtsp://host/a", loop=True).loop
    assert not source("rtsp://host/a").paced


def test_a_path_with_a_colon_is_no_protocol(tmp_path) -> None:
    assert source("12:30.mp4").url == "file:12:30.mp4"
    assert source("file:///clips/a%20b.mp4").url == "file:/clips/a b.mp4"


def test_a_webcam_goes_through_v4l2_of_this_build() -> None:
    """No build machine has a webcam: the mapping is tested here, the picture is not."""
    assert source("/dev/video0").format == "v4l2"
    assert any("v4l2" in name.split(",") for name in av.formats_available)
    with pytest.raises(FileNotFoundError), opened(source("/dev/video63")):
        pass
