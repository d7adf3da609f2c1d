"""`web password|token`: what `web.users` and `web.tokens` of a configuration take."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.prompt import Prompt

from monitor.config import Role
from monitor.config.camera import check_name
from monitor.errors import UsageError

app = typer.Typer(
    help="Make the lines of `web.users` and `web.tokens`: who may sign in, and which programs.",
    no_args_is_help=True,
)

RoleOption = Annotated[
    Role, typer.Option(help="viewer looks; operator also acknowledges and marks.")
]


@app.command()
def password(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")],
    role: RoleOption = Role.VIEWER,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the password from the input, once, for scripts.")
    ] = False,
) -> None:
    """Ask for a password and print the line that goes below `users:` in `web:`.

    Only the hash stands in the line (Argon2id), so the file may be read by those who may not
    sign in, though it need not. The running monitor takes it with `reload`; whoever was signed in
    with another password of that name is signed out.

    Example: `run_monitor.py web password anna --role operator`
    """
    from monitor.web.credentials import hash_password

    _check(name)
    hashed = hash_password(_given() if stdin else _asked())
    sys.stdout.write(f"{name}: {{password: '{hashed}', role: {role}}}\n")


@app.command()
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What shall ask with it.")],
    role: RoleOption = Role.VIEWER,
) -> None:
    """Make a token for a program; print the line that goes below `tokens:` in `web:`.

    The token itself is shown once, on the error output, and kept nowhere: give it to the program,
    which sends it as `Authorization: Bearer …`.

    Example: `run_monitor.py web token prometheus`
    """
    from monitor.web.credentials import hash_token, new_token

    _check(name)
    made = new_token()
    sys.stdout.write(f"{name}: {{hash: '{hash_token(made)}', role: {role}}}\n")
    sys.stdout.flush()
    sys.stderr.write(f"the token, shown this once: {made}\n")


def _check(name: str) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _given() -> str:
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise UsageError("the input is empty", remedy="echo the password into it, one line")
    return text


def _asked() -> str:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at", remedy="give it by --stdin")
    first = Prompt.ask("Password", password=True)
    if first != Prompt.ask("Once more", password=True):
        raise UsageError("the two differ", remedy="try again")
    return first
