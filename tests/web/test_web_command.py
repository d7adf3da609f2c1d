"""`web password` and `web token`: what they print goes into a configuration and works."""

from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.config import WebConfig
from monitor.config.web import Role
from monitor.errors import UsageError
from monitor.web.credentials import hash_token, verify_password


def run(*arguments: str, given: str | None = None) -> tuple[dict[str, Any], str]:
    result = CliRunner().invoke(app, ["web", *arguments], input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return YAML(typ="safe").load(result.stdout), result.stderr


def test_a_password_becomes_a_line_that_lets_in() -> None:
    line, _ = run("password", "anna", "--role", "operator", "--stdin", given="four words do it\n")
    user = WebConfig.model_validate({"users": line}).users["anna"]
    assert user.role is Role.OPERATOR
    assert verify_password(user.password.get_secret_value(), "four words do it")
    assert not verify_password(user.password.get_secret_value(), "four words do it\n")
    assert "four words" not in str(line)


def test_a_token_is_told_once_beside_its_line() -> None:
    line, told = run("token", "prometheus")
    token = WebConfig.model_validate({"tokens": line}).tokens["prometheus"]
    assert token.role is Role.VIEWER
    assert hash_token(told.split()[-1]) == token.hash.get_secret_value()


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (("password", "anna", "--stdin"), "short\n", "5 characters"),
        (("password", "anna", "--stdin"), "", "is empty"),
        (("password", "an na", "--stdin"), "four words do it\n", "does not do"),
        (("password", "anna"), "four words do it\n", "no terminal"),
        (("token", "a/b"), None, "does not do"),
    ],
)
def test_what_makes_no_line(arguments: tuple[str, ...], given: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        run(*arguments, given=given)
    assert "four words" not in str(caught.value)
