"""Who may sign in: what a file may say, and what of it is dangerous."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.config import Severity, check_config
from monitor.config.web import Role, WebConfig, exposure

USERS = {"anna": {"password": "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"}}
TLS = {"certificate": "cert.pem", "key": "key.pem"}


@pytest.mark.parametrize(
    ("web", "danger"),
    [
        ({}, None),
        ({"host": "127.0.0.5"}, None),
        ({"host": "::1"}, None),
        ({"host": "localhost"}, None),
        ({"host": "0.0.0.0", "enabled": False}, None),
        ({"host": "0.0.0.0"}, "everybody who reaches 0.0.0.0:8080 sees all"),
        ({"host": "::"}, "everybody"),
        ({"host": "monitor.example"}, "everybody"),
        ({"host": "0.0.0.0", "users": USERS}, "unencrypted"),
        ({"host": "0.0.0.0", "users": USERS, "tls": TLS}, None),
        ({"host": "0.0.0.0", "users": USERS, "trusted_proxies": ["10.0.0.1"]}, None),
    ],
)
def test_an_open_port_is_warned_of(web: dict[str, Any], danger: str | None) -> None:
    found = exposure(WebConfig.model_validate(web))
    assert (found is None) == (danger is None)
    assert found is None or (danger and danger in found[0])


def test_check_warns_and_looks_for_the_certificate(tmp_path: Path) -> None:
    file = tmp_path / "monitor.yaml"
    camera = "cameras: {door: {source: {url: 'rtsp://cam/1'}}}\n"
    file.write_text(camera + "web: {host: 0.0.0.0}\n")
    problems = [problem for problem in check_config(file)[1] if problem.path[0] == "web"]
    assert [(p.severity, p.line) for p in problems] == [(Severity.WARNING, 2)]
    file.write_text(camera + "web: {tls: {certificate: /no/cert, key: /no/key}}\n")
    problems = [problem for problem in check_config(file)[1] if problem.path[0] == "web"]
    assert [str(p.path[-1]) for p in problems] == ["certificate", "key"]
    assert {p.severity for p in problems} == {Severity.ERROR}


def test_a_hash_is_a_secret_and_a_viewer_is_the_default() -> None:
    web = WebConfig.model_validate({"users": USERS})
    assert web.users["anna"].role is Role.VIEWER
    assert "argon2" not in repr(web)
    assert "argon2" not in web.model_dump_json()


def test_two_programs_have_two_tokens() -> None:
    token = {"hash": "sha256:" + "0" * 64}
    with pytest.raises(ValueError, match="two tokens are the same"):
        WebConfig.model_validate({"tokens": {"a": token, "b": token}})
