"""Every slip in a configuration is named with its line, its key and the way out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.config import MonitorConfig, Severity, check_config, load_config
from monitor.errors import ConfigError

SECRET = "hunter2"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a model."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "inference.json").touch()
    (folder / "inference.pdiparams").touch()
    return folder


def problems_of(tmp_path: Path, text: str, *, look: bool = False) -> list[str]:
    """The problems of `text` as printed, without the file's name."""
    file = tmp_path / "my.yaml"
    file.write_text(text, encoding="utf-8")
    _, problems = check_config(file, look=look)
    assert all(str(problem).startswith(str(file)) for problem in problems)
    return [str(problem).removeprefix(f"{file}:") for problem in problems]


def camera(extra: str = "", url: str = "rtsp://cam/1") -> str:
    return f"cameras:\n  door:\n    source: {{url: '{url}'}}\n{extra}"


def test_a_good_file_loads(tmp_path: Path, model: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(
        f"inference: {{model: {model}}}\n"
        "defaults: {sample_fps: 2, presence: {exit_after: 1m 30s, enter_threshold: 0.7}}\n"
        "cameras:\n"
        "  door:\n"
        "    source: {url: 'rtsp://cam/1'}\n"
        "    presence: {enter_threshold: 0.9}\n"
        "    zones: {desk: {polygon: [[0, 0], [1, 0], [1, 1]], presence: {exit_after: 5}}}\n"
        "  7: {source: {url: /dev/video9}}\n"
    )
    config, problems = check_config(file)
    assert config is not None
    assert [p.severity for p in problems] == [Severity.WARNING]  # the webcam is not there
    desk = config.cameras["door"].zones["desk"].presence
    assert (desk.enter_threshold, desk.exit_after) == (0.9, 5.0)
    assert config.cameras["7"].presence.exit_after == 90.0
    assert config.cameras["7"].sample_fps == 2.0
    assert load_config(file) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            camera("loging: {}\n"),
            r"4:1: loging: is an unknown key, did you mean logging\?",
        ),
        (camera("    enter_threshold: 0.5\n"), r"4:5: .*it belongs under presence:"),
        (camera("    samplefps: 3\n"), r"4:5: .*did you mean sample_fps\?"),
        (
            camera("    sample_fps: fast\n"),
            r"4:17: cameras\.door\.sample_fps: 'fast' .* above 0",
        ),
        (camera("    sample_fps: true\n"), r"4:17: .*true is no number"),
        (
            camera("    sample_fps: .nan\n"),
            r"4:17: .*out of range; .* and at most 60",
        ),
        (camera("    sample_fps:\n"), r"4:5: .*has no value; a number"),
        (
            camera("    view: letterbx\n"),
            r"4:11: .*did you mean letterbox\?; pulc",
        ),
        (camera("web: {port: 70000}\n"), r"4:13: web\.port: 70000 is out of range; .* 0 to 65535"),
        (camera("web: {users: {a: {password: hunter2}}}\n"), r"4:29: .*is no hash of a password; "),
        (camera("web: {users: {a: {role: boss}}}\n"), r"4:25: .*viewer"),
        (camera("web: {tokens: {a: {hash: hunter2}}}\n"), r"4:26: .*is no hash of a token; "),
        (camera("web: {trusted_proxies: [10.0.0.1/8]}\n"), r"4:25: .*is no address; "),
        (camera("inference: {workers: many}\n"), r"4:22: inference\.workers: .*auto, or a whole"),
        (camera("inference: {max_wait: 5x}\n"), r"4:23: .*no duration; write 20ms"),
        (camera("    presence: {exit_after: -3s}\n"), r"4:28: .*no duration"),
        (camera("    presence: {max_gap: 2d}\n"), r"4:25: .*above 0s and at most 1d"),
        (camera("    zones: []\n"), r"4:12: cameras\.door\.zones: a list .*; a mapping of names"),
        (camera("    zones: {a: {polygon: [[0,0],[1,1]]}}\n"), r"4:26: .*2 entries; a list of 3"),
        (
            camera("    zones: {a: {polygon: [[0,0],[1,2],[0,1]]}}\n"),
            r"4:36: .*polygon\[1\]",
        ),
        (
            camera("    zones: {a b: {polygon: [[0,0],[1,1],[0,1]]}}\n"),
            r"4:13: .*the name",
        ),
        ("cameras: {}\n", r"1:10: cameras: is empty; .*at least one"),
        ("web: {port: 1}\n", r"1:1: cameras: is missing"),
        ("cameras: {door: {}}\n", r"1:11: cameras\.door\.source: is missing; keys url"),
        ("cameras: {door: {source: {}}}\n", r"1:18: .*source\.url: is missing; rtsp\(s\)"),
        ("cameras: {door: }\n", r"1:11: cameras\.door: has no value"),
        ("- a\n", r"1:1: a list is of the wrong kind; keys database"),
        ("", r"1:1: the file is empty; at least cameras:"),
        ("# nothing\n", r"1:1: the file is empty"),
        ("cameras:\n\tdoor: 1\n", r"2:1: a tab indents this line; indent with spaces"),
        ("cameras: [1,\n", r": a quote or bracket is never closed"),
        ("cameras: a: b\n", r"1:11: a second ': ' in one line"),
        ("cameras: *x\n", r"1:10: an alias"),
        ("cameras: !secret x\n", r"1:10: cameras: a YAML tag"),
        ("a: 1\n---\nb: 2\n", r"2:1: a second document"),
        ("? [a]\n: 1\n", r"1:3: a list or mapping as a key"),
        ("a: &a [*a]\n", r"1:4: a\[0\]: an alias of something it stands in"),
        ("a: \x07\n", r"1:4: a control character"),
        ("x: " + "[" * 1000, r"1:1: .*(nested too deeply|no YAML)"),
        ("w: &w 1\n<<: *w\n", r"2:1: << takes an alias of a mapping"),
    ],
)
def test_one_slip_one_line(tmp_path: Path, text: str, expected: str) -> None:
    found = problems_of(tmp_path, text)
    assert [line for line in found if re.search(expected, line)], found


def test_all_problems_at_once_in_order(tmp_path: Path) -> None:
    text = camera("    sample_fps: 0\n    view: x\nweb: {port: -1}\nnope: 1\n")
    found = problems_of(tmp_path, text)
    assert [line.split(":")[0] for line in found] == ["4", "5", "6", "7"]


def test_duplicate_camera_names_both_lines(tmp_path: Path) -> None:
    text = "cameras:\n  door: {view: x, source: {url: 'rtsp://h'}}\n" + (
        "  door: {source: {url: x}}\n  yard: {nope: 1, source: {url: y}}\n"
    )
    found = problems_of(tmp_path, text)
    assert "cameras.door.view: 'x' is no choice" in found[0]  # the rest is checked none the less
    assert found[1].startswith("3:3: cameras.door: camera 'door' appears twice, first in line 2")
    assert "nope" in found[2]
    assert len(found) == 3


def test_a_slip_in_defaults_is_reported_once_where_it_stands(tmp_path: Path) -> None:
    text = "defaults:\n  sample_fps: 0\n  nope: 1\ncameras:\n" + "".join(
        f"  cam{i}: {{source: {{url: 'rtsp://cam/{i}'}}}}\n" for i in range(5)
    )
    found = problems_of(tmp_path, text)
    assert len(found) == 2
    assert found[0].startswith("2:15: defaults.sample_fps: 0 is out of range")
    assert found[1].startswith("3:3: defaults.nope: is an unknown key")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "defaults: {presence: {enter_threshold: 0.3}}\n" + camera(),
            "1:40: defaults.presence.enter_threshold: 0.3 is not above exit_threshold 0.4 "
            "(built in); more than 0.4",
        ),
        (
            "defaults: {presence: {enter_threshold: 0.7}}\n"
            + camera("    presence: {exit_threshold: 0.75}\n"),
            "5:32: cameras.door.presence.exit_threshold: 0.75 is not below enter_threshold 0.7 "
            "(defaults.presence.enter_threshold, line 1); less than 0.7",
        ),
        (
            camera(
                "    presence: {exit_threshold: 0.65}\n"
                "    zones:\n      desk:\n        polygon: [[0, 0], [1, 0], [1, 1]]\n"
                "        presence: {enter_threshold: 0.6}\n"
            ),
            "8:37: cameras.door.zones.desk.presence.enter_threshold: 0.6 is not above "
            "exit_threshold 0.65 (cameras.door.presence.exit_threshold, line 4); more than 0.65",
        ),
        (
            "defaults: {presence: {evidence: {exit_belief: 0.95}}}\n" + camera(),
            "1:47: defaults.presence.evidence.exit_belief: 0.95 is not below enter_belief 0.9 "
            "(built in); less than 0.9",
        ),
    ],
)
def test_contradicting_thresholds_point_at_the_line_that_sets_them(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert problems_of(tmp_path, text) == [expected]


def test_aliases_and_merge_keys_work(tmp_path: Path) -> None:
    file = tmp_path / "merge.yaml"
    file.write_text(
        "cameras:\n"
        "  a: &a {sample_fps: 3, source: {url: 'rtsp://cam/a'}}\n"
        "  b: {<<: *a, sample_fps: 4}\n"
        "  c: {<<: [*a]}\n"
    )
    config = load_config(file, look=False)
    assert [config.cameras[name].sample_fps for name in "abc"] == [3.0, 4.0, 3.0]


def test_aliases_of_aliases_do_not_eat_the_memory(tmp_path: Path) -> None:
    text = "a0: &a0 [1]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    assert any("more than 100000 values" in line for line in problems_of(tmp_path, text))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"rtps://u:{SECRET}@cam/1", "rtps:// is no known kind of source, did you mean rtsps"),
        (f"ftp://u:{SECRET}@cam/1", "ftp:// is no known kind of source"),
        (f"rtsp://u:{SECRET} x@cam/1", "holds a blank or control character"),
        (f"rtsp://u:hun/{SECRET}@cam/1", "host or port cannot be told apart"),
        (f"rtsp://u:a@{SECRET}@cam/1", "more than one @"),
        ("rtsp:///1", "names no host"),
        ("rtsp:cam", "lacks //"),
        ("rtsp://cam:99999/", "host or port cannot be told apart"),
        (f"admin:{SECRET}@cam", "is neither a URL nor an existing file"),
        ("/dev/snd", "is no webcam"),
        ("", "is empty"),
    ],
)
def test_urls_that_cannot_be_sources(tmp_path: Path, url: str, expected: str) -> None:
    [line] = problems_of(tmp_path, camera(url=url))
    assert expected in line
    assert SECRET not in line


def test_what_is_not_on_this_machine(tmp_path: Path, model: Path) -> None:
    text = camera(
        f"  clip: {{source: {{url: {tmp_path}/none.mp4}}}}\n"
        f"  folder: {{source: {{url: {tmp_path}}}}}\n"
        f"  off: {{enabled: false, source: {{url: {tmp_path}/none.mp4}}}}\n"
        "  slow: {sample_fps: 0.05, source: {url: 'rtsp://no-such-host.invalid/'}}\n"
        "  webcam: {source: {url: /dev/video77}}\n"
        "inference:\n  model: /no/model\n"
    )
    found = problems_of(tmp_path, text, look=True)
    assert "4:24: cameras.clip.source.url: video file" in found[0]
    assert "5:26: cameras.folder.source.url:" in found[1]
    assert "is no file" in found[1]
    assert "warning: cameras.off.source.url" in found[2]
    assert "cameras.slow.presence.max_gap: 10s is no longer than the time between" in found[3]
    assert "warning: cameras.webcam.source.url: /dev/video77 is not there now" in found[4]
    assert "10:10: inference.model: /no/model does not exist" in found[5]
    assert len(found) == 6


def test_the_machine_is_looked_at_even_if_other_keys_are_wrong(tmp_path: Path) -> None:
    text = camera(
        "    view: x\n    zones: {a: {polygon: [[0, 0], [2, 0], [1, 1]]}}\n"
        "    presence: {enter_threshold: 0.2}\n"
        f"  clip: {{nope: 1, source: {{url: {tmp_path}/none.mp4}}}}\n"
        "  lost: {}\n"
        "inference:\n  model: /no/model\n  workers: none\n"
    )
    found = problems_of(tmp_path, text, look=True)
    assert [line.split(": ")[1] for line in found] == [
        "cameras.door.view",
        "cameras.door.zones.a.polygon[1][0]",
        "cameras.door.presence.enter_threshold",
        "cameras.clip.nope",
        "cameras.clip.source.url",
        "cameras.lost.source",
        "inference.model",
        "inference.workers",
    ]


@pytest.mark.parametrize("present", ["", "inference.json"])
def test_a_folder_that_is_no_model(tmp_path: Path, present: str) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    if present:
        (folder / present).touch()
    [line] = problems_of(tmp_path, camera(f"inference: {{model: {folder}}}\n"), look=True)
    assert ("lacks inference.pdiparams" if present else "holds neither") in line


def test_all_cameras_off_is_a_warning(tmp_path: Path, model: Path) -> None:
    text = camera(f"    enabled: false\ninference: {{model: {model}}}\n")
    [line] = problems_of(tmp_path, text, look=True)
    assert "warning: cameras: no camera is enabled" in line


def test_config_error_lists_everything_on_one_screen(tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(camera("".join(f"nope{i}: 1\n" for i in range(60))))
    with pytest.raises(ConfigError) as caught:
        load_config(file, look=False)
    lines = caught.value.what.splitlines()
    assert lines[0] == "60 problems in the configuration"
    assert lines[-1] == "  … and 20 more"
    assert len(lines) == 42
    assert caught.value.exit_code == 78
    assert caught.value.where == str(file)


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_files_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "x.yaml"
    if kind == "folder":
        file.mkdir()
    if kind == "binary":
        file.write_bytes(b"a: 1\nb: \xff\xfe\n")
    [problem] = check_config(file)[1]
    expected = {"missing": "No such file", "folder": "directory", "binary": "x.yaml:2:4: "}
    assert expected[kind] in str(problem)


def test_a_url_that_is_cut_short_shows_no_password(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(f"rtsp://u:{SECRET}@h/ rtsp://u:{SECRET}@h/")
    [problem] = check_config(file, look=False)[1]
    assert SECRET not in str(problem)


TOKENS = st.sampled_from(
    ["cameras:", "door:", "source:", "url:", " ", "\n", "  ", "- ", "[", "]", "{", "}", "&a ", "*a",
     "<<: ", "!x ", "'", '"', "${", "}", "0.5", "null", "#", ": ", "\t", "%", "|", ">", "é", "? ",
     "defaults:", "presence:", "zones:", "---", "true", ", ", "\\", "@", "rtsp://u:hunter2@h/"]
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TOKENS, max_size=25).map("".join))
def test_no_text_breaks_the_loader_and_no_password_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "fuzz.yaml"
    file.write_text(text, encoding="utf-8")
    config, problems = check_config(file, look=False)
    assert (config is None) or isinstance(config, MonitorConfig)
    assert config is not None or problems
    assert SECRET not in "\n".join(map(str, problems))
