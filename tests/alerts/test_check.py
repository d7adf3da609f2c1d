"""What `check` finds in the section `alerts`, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import Severity, check_config

HEAD = """\
cameras:
  dock:
    source: {url: 'rtsp://127.0.0.1/x'}
    zones: {gate: {polygon: [[0, 0], [1, 0], [1, 1]]}}
alerts:
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "monitor.yaml"
    file.write_text(HEAD + text)
    config, found = check_config(file)
    ours = [problem for problem in found if problem.path[:1] == ("alerts",)]
    assert (config is None) or not [p for p in ours if p.severity is Severity.ERROR]
    return [f"{problem.line}: {problem}".replace(f"{file}:", "") for problem in ours]


HOOK = "  channels: {hook: {webhook: {url: 'https://example.org/'}}}\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (f"  rules:\n    r: {{on: occupied, zones: [dock/gat], channels: [hook]}}\n{HOOK}", 7,
         "there is no zone 'dock/gat', did you mean dock/gate?"),
        (f"  rules:\n    r: {{on: occupied, cameras: [dok], channels: [hook]}}\n{HOOK}", 7,
         "there is no camera 'dok', did you mean dock?"),
        ("  rules:\n    r: {on: occupied, channels: [hook]}\n", 7, "there is no channel 'hook'"),
        (f"  rules:\n    r: {{on: occupied, channels: [hook], armed: [nite]}}\n{HOOK}", 7,
         "there is no schedule 'nite'"),
        ("  rules:\n    r: {on: entered}\n", 7, "'entered' is no choice"),
        (f"  rules:\n    r: {{on: vacant, channels: [hook]}}\n{HOOK}", 7, "without `after`"),
        (f"  rules:\n    r: {{on: door_held, after: 5s, channels: [hook]}}\n{HOOK}", 7,
         "never fires without a door"),
        ("  doors: {front: {zone: dock/gat}}\n", 6, "there is no zone 'dock/gat'"),
        ("  schedules:\n    n: {windows: [mon 8:00-12:00, mon-fri 11:00-13:00]}\n", 7,
         "overlap, mon 11:00 for one"),
        ("  schedules:\n    n: {windows: [mon 8-12]}\n", 7, "is no window"),
        ("  timezone: Europe/Berln\n", 6, "there is no time zone 'Europe/Berln'"),
        ("  channels:\n    h: {webhook: {url: 'https://x/', template: '{{ titel | tojson }}'}}\n",
         7, "the unknown titel"),
        ("  channels:\n    h: {webhook: {url: 'https://x/', template: '{{ title'}}\n", 7,
         "the template cannot be used"),
        ("  channels:\n    h: {webhook: {url: 'https://x/', template: '{{ title }}'}}\n", 7,
         "does not make JSON"),
        ("  channels:\n    h:\n      webhook:\n        url: 'https://x/'\n"
         "        template: '{{ cycler.__init__.__globals__ }}'\n", 10, "the template"),
        ("  channels:\n    h: {webhook: {url: 'https://x/', allow: [10.0.0.0/33]}}\n", 7,
         "10.0.0.0/33"),
        ("  channels:\n    h: {command: {argv: ['{{ title }}']}}\n", 7, "itself is a template"),
        ("  channels:\n    h: {}\n", 7, "exactly one of webhook, mqtt"),
        ("  channels:\n    h: {smtp: {host: x, sender: me, to: [you]}}\n", 7, "no mail address"),
        (HOOK, 6, "no rule uses this channel"),
        ("  intake: {token: short}\n", 6, "too short to be a secret"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_with_its_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    found = problems(tmp_path, text)
    assert any(problem.startswith(f"{line}: ") and said in problem for problem in found), found


def test_no_secret_is_shown(tmp_path: Path) -> None:
    text = (
        "  channels:\n    h: {webhook: {url: 'ftp://me:hunter2@x/', secret: 'hunter2'}}\n"
        "    m: {mqtt: {host: 5, password: [hunter2]}}\n  intake: {token: hunter2}\n"
    )
    found = problems(tmp_path, text)
    assert found
    assert "hunter2" not in "\n".join(found)


def test_the_example_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CAMERA_PASSWORD", "HOOK_SECRET", "MAIL_PASSWORD", "DOOR_TOKEN", "SIREN_PASSWORD"):
        monkeypatch.setenv(name, "0123456789abcdefghij")
    project = Path(__file__).resolve().parents[2]
    monkeypatch.chdir(project)
    _, found = check_config(project / "configs" / "alerts-example.yaml")
    assert [str(problem) for problem in found if problem.path[:1] == ("alerts",)] == []
