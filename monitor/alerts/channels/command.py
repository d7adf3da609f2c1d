"""A program of this machine, started with a list of arguments: no shell ever reads an alert."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess

from jinja2 import TemplateError

from monitor.alerts.notices import Notice, RefusedError, UnavailableError
from monitor.config.channels import CommandConfig
from monitor.config.templates import render
from monitor.telemetry import redact


class CommandChannel:
    """Implements `Channel`. Exit code 0 is delivered, 65 (EX_DATAERR) refused, others later."""

    def __init__(self, settings: CommandConfig) -> None:
        self._settings = settings

    def probe(self) -> None:
        """Whether the program is there."""
        if shutil.which(self._settings.argv[0]) is None:
            raise UnavailableError(f"there is no program {self._settings.argv[0]}")

    def send(self, notice: Notice) -> None:
        """Run the program with the notice as JSON on its input."""
        program, *templates = self._settings.argv
        values = notice.values()
        try:
            arguments = [render(template, values) for template in templates]
        except (TemplateError, TypeError) as error:
            raise RefusedError(f"an argument cannot be filled in: {error}") from error
        if any("\0" in argument for argument in arguments):
            raise RefusedError("an argument holds a NUL character")
        self._run([program, *arguments], json.dumps(values).encode())

    def close(self) -> None:
        """Nothing is kept open."""

    def _run(self, argv: list[str], given: bytes) -> None:
        try:
            process = subprocess.Popen(  # noqa: S603 - argv of the configuration, no shell
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise UnavailableError(f"{argv[0]} cannot be started: {error.strerror}") from error
        with process:
            try:
                _, said = process.communicate(given, timeout=self._settings.timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                raise UnavailableError(
                    f"{argv[0]} took longer than {self._settings.timeout:g} s"
                ) from None
        if process.returncode:
            words = redact(" ".join(said.decode(errors="replace").split())[:120])
            text = f"{argv[0]} ended with {process.returncode}: {words}"
            refused = process.returncode == os.EX_DATAERR
            raise RefusedError(text) if refused else UnavailableError(text)
