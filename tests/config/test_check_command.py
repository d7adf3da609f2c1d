"""`check` and `schema` on the command line, and the files that are shipped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from typer.testing import CliRunner

from monitor.cli.check import app
from monitor.config import check_config
from monitor.config.base import format_duration, parse_duration
from monitor.config.schema import json_schema

CONFIGS = Path(__file__).parents[2] / "configs"
EDITOR_LINE = "# yaml-language-server: $schema=monitor.schema.json"


@given(st.integers(0, 10**9).map(lambda ms: ms / 1000))
def test_durations_are_read_back(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


def test_problems_exit_78_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("cameras: {door: {}}\n")
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 78
    assert f"{file}:1:11: cameras.door.source: is missing" in result.stderr
    assert result.stdout == ""


def test_summary_of_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "inference.pdmodel").touch()
    (tmp_path / "inference.pdiparams").touch()
    file = tmp_path / "good.yaml"
    file.write_text(
        f"inference: {{model: {tmp_path}}}\n"
        "cameras:\n  door:\n    source: {url: 'rtsp://u:hunter2@cam/1'}\n"
        "    presence: {exit_after: 90s}\n"
        "    zones: {desk: {polygon: [[0, 0], [1, 0], [1, 1]]}}\n"
        "  yard: {enabled: false, source: {url: 'http://h/x'}}\n"
    )
    result = CliRunner().invoke(app, ["check", str(file)], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert "hunter2" not in result.output
    for expected in ("is good", "rtsp://***@cam/1", "desk", "< 0.4 for 1m 30s", "yard (off)"):
        assert expected in result.stdout


def test_schema_to_stdout_and_file(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["schema"])
    written = CliRunner().invoke(app, ["schema", "--output", str(tmp_path / "s.json")])
    assert written.exit_code == 0
    assert json.loads(shown.stdout) == json.loads((tmp_path / "s.json").read_text())
    failed = CliRunner().invoke(app, ["schema", "--output", str(tmp_path / "no" / "s.json")])
    assert "cannot write the schema" in str(failed.exception)


def test_committed_schema_is_current() -> None:
    committed = json.loads((CONFIGS / "monitor.schema.json").read_text())
    assert committed == json_schema(), "run: ./run_monitor.py schema -o configs/monitor.schema.json"


def test_schema_takes_what_the_loader_takes() -> None:
    schema = json_schema()
    definitions = schema["$defs"]
    assert definitions["CameraConfig"]["required"] == ["source"]
    assert "required" not in definitions["PresenceConfig"]
    assert definitions["DatabaseConfig"]["properties"]["url"]["default"].startswith("sqlite:")
    kinds = definitions["PresenceConfig"]["properties"]["exit_after"]["anyOf"]
    assert {kind["type"] for kind in kinds} == {"number", "string"}
    assert "*****" not in json.dumps(schema)


def errors_in_editor(text: str) -> list[str]:
    """What an editor that knows the schema would underline."""
    validator = Draft202012Validator(json_schema())
    return [error.message for error in validator.iter_errors(YAML(typ="safe").load(text))]


@pytest.mark.parametrize(
    ("body", "fine"),
    [
        ("presence: {exit_after: 1h 30m}", True),
        ("presence: {exit_after: 2.5, enter_threshold: '${T}'}", True),
        ("sample_fps: '${file:/run/fps}'", True),
        ("view: tiles", True),
        ("presence: {exit_after: soon}", False),
        ("view: fisheye", False),
        ("samplefps: 3", False),
        ("presence: {enter_threshold: 1.5}", False),
    ],
)
def test_editors_accept_what_the_loader_accepts(body: str, fine: bool) -> None:
    found = errors_in_editor(f"cameras: {{door: {{source: {{url: 'rtsp://h'}}, {body}}}}}")
    assert (not found) is fine, found


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_files_are_valid(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\$\{(\w+)\}", file.read_text()):
        monkeypatch.setenv(name, "p@ss/w:rd and longer")
    assert file.read_text().startswith(EDITOR_LINE)
    config, problems = check_config(file, look=False)
    assert config is not None, problems
    assert errors_in_editor(file.read_text()) == []
