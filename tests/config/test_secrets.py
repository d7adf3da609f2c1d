"""Secrets come from outside, whole, and never into a message."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import check_config
from monitor.config.secrets import SecretError, fill


def test_placeholders() -> None:
    environment = {"A": "x", "B_2": "${A}"}
    assert fill("1${A}2${ A }", environment) == "1x2x"
    assert fill("$${A} $A $", environment) == "${A} $A $"
    assert fill("${B_2}", environment) == "${A}"  # a secret is never looked into


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1))
def test_any_password_arrives_whole_in_a_url(password: str) -> None:
    url = fill("rtsp://admin:${P}@cam:554/s?a=@b", {"P": password})
    parts = urlsplit(url)
    assert (parts.hostname, parts.port, parts.username) == ("cam", 554, "admin")
    assert unquote(parts.password or "") == password


def test_only_the_login_of_a_url_is_encoded() -> None:
    environment = {"URL": "rtsp://u:p@h/", "PATH_": "a/b", "PW": "a/b"}
    assert fill("${URL}", environment) == "rtsp://u:p@h/"
    assert fill("rtsp://h/${PATH_}@x", environment) == "rtsp://h/a/b@x"
    assert fill("clips/${PATH_}", environment) == "clips/a/b"
    assert fill("${PW}", environment) == "a/b"


def test_secret_files(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("s e c/ret\n")
    assert fill(f"x://u:${{file:{tmp_path}/pw}}@h") == "x://u:s%20e%20c%2Fret@h"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${NOPE}", "environment variable NOPE is not set"),
        ("${EMPTY}", "environment variable EMPTY is empty"),
        ("${A", "never closed"),
        ("${a b}", "holds no name"),
        ("${}", "holds no name"),
        ("${file:/nope/x}", "secret file /nope/x cannot be read: No such file"),
        ("${file:/}", "cannot be read"),
        ("${file:/dev/null}", "is empty"),
        ("${file:/dev/zero}", "too long"),
    ],
)
def test_placeholders_that_cannot_be_filled(text: str, expected: str) -> None:
    with pytest.raises(SecretError) as caught:
        fill(text, {"EMPTY": "", "A": "x"})
    assert expected in caught.value.args[0]


def test_missing_secret_is_one_problem_at_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAMERA_PASSWORD", raising=False)
    file = tmp_path / "a.yaml"
    file.write_text("cameras:\n  door:\n    source:\n      url: rtsp://u:${CAMERA_PASSWORD}@h/\n")
    [problem] = check_config(file, look=False)[1]
    assert (problem.line, problem.column) == (4, 12)
    assert problem.path == ("cameras", "door", "source", "url")
    assert "CAMERA_PASSWORD is not set" in problem.what


def test_values_of_secrets_stay_unsaid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FPS", "hunter2")
    file = tmp_path / "a.yaml"
    file.write_text(
        "web: {port: '${FPS}'}\n"
        "cameras:\n  door: {view: '${FPS}', sample_fps: '${FPS}', source: {url: 'x://${FPS}'}}\n"
    )
    problems = check_config(file, look=False)[1]
    assert len(problems) == 4
    assert "hunter2" not in "".join(map(str, problems))


def test_numbers_may_come_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FPS", "2.5")
    file = tmp_path / "a.yaml"
    file.write_text("cameras: {door: {sample_fps: '${FPS}', source: {url: 'rtsp://h'}}}\n")
    config = check_config(file, look=False)[0]
    assert config is not None
    assert config.cameras["door"].sample_fps == 2.5
