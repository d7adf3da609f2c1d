"""Real PostgreSQL and MariaDB servers, started from installed packages in their own folders.

Neither server runs as root, so when the tests do, the servers run as `nobody`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from sqlalchemy import create_engine, delete, text
from sqlalchemy.exc import SQLAlchemyError

from monitor.events.database import parse_url
from monitor.events.models import Base
from monitor.events.schema import migrate
from monitor.storage.audit import GENESIS

USER, PASSWORD = "guard", "open sesame/@:%"
QUOTED = "open%20sesame%2F%40%3A%25"
START_TIMEOUT = 60.0


class Server:
    """One database server on a free port of 127.0.0.1; `kill` makes it go away."""

    _forget_audit: tuple[str, ...] = ()

    def __init__(self, scheme: str, maintenance: str) -> None:
        self._scheme = scheme
        self._maintenance = maintenance
        self._folder = Path(tempfile.mkdtemp(prefix=f"presence-{scheme}-"))
        self._data = self._folder / "data"
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._made = False
        if os.geteuid() == 0:
            shutil.chown(self._folder, "nobody")

    def url(self, database: str) -> str:
        return f"{self._scheme}://{USER}:{QUOTED}@127.0.0.1:{self._port}/{database}"

    def empty_database(self) -> str:
        """The URL of a database with the present schema and nothing in it."""
        url = self.url("presence")
        if not self._made:
            self.execute("CREATE DATABASE presence")
            migrate(url)
            self._made = True
        engine = create_engine(parse_url(url))
        with engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(delete(table))
            for statement in self._forget_audit:
                connection.execute(text(statement))
        engine.dispose()
        return url

    def execute(self, statement: str) -> None:
        engine = create_engine(parse_url(self.url(self._maintenance)))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))
        engine.dispose()

    def start(self) -> None:
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(
            self._command(), stdout=log, stderr=log, cwd=self._folder, **_as_nobody()
        )
        log.close()
        end = time.monotonic() + START_TIMEOUT
        while True:
            try:
                return self.execute("SELECT 1")
            except SQLAlchemyError:
                if time.monotonic() > end or self._process.poll() is not None:
                    said = (self._folder / "log").read_text(errors="replace")[-2000:]
                    pytest.fail(f"{self._scheme} did not start:\n{said}")
                time.sleep(0.1)

    def kill(self) -> None:
        """Power loss, as far as clients can tell."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    def __enter__(self) -> Self:
        self._prepare()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self._folder, capture_output=True, check=False, **_as_nobody(),
        )  # fmt: skip
        if done.returncode:
            pytest.fail(f"{command[0]} failed: {done.stderr.decode(errors='replace')[-2000:]}")

    def _prepare(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError


_FRESH_HEAD = (
    "DELETE FROM audit_head",
    f"INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '{GENESIS}')",
)


class PostgreSQL(Server):
    _forget_audit = (
        "SET session_replication_role = replica",  # no triggers: the log is append-only
        "TRUNCATE audit_log",
        "SET session_replication_role = DEFAULT",
        *_FRESH_HEAD,
    )

    def __init__(self) -> None:
        super().__init__("postgresql", "postgres")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        self._bin = found[-1].parent if found else _binary("initdb").parent

    def _prepare(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            self._bin / "initdb", "-D", self._data, "-U", USER, "--pwfile", secret,
            "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip

    def _command(self) -> list[str]:
        return [
            str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self._port),
            "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
            "-c", "fsync=off",
        ]  # fmt: skip


class MariaDB(Server):
    _forget_audit = ("TRUNCATE TABLE audit_log", *_FRESH_HEAD)

    def __init__(self) -> None:
        super().__init__("mariadb", "mysql")

    def _prepare(self) -> None:
        self._run(
            _binary("mariadb-install-db"), "--no-defaults", f"--datadir={self._data}",
            "--basedir=/usr", "--auth-root-authentication-method=normal", "--skip-test-db",
        )  # fmt: skip
        grant = self._folder / "grant.sql"
        grant.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'%';\n"
        )
        grant.chmod(0o644)

    def _command(self) -> list[str]:
        return [
            str(_binary("mariadbd")), "--no-defaults", f"--datadir={self._data}",
            f"--port={self._port}", "--bind-address=127.0.0.1",
            f"--socket={self._folder / 'sock'}", f"--pid-file={self._folder / 'pid'}",
            f"--init-file={self._folder / 'grant.sql'}", "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=32M",
        ]  # fmt: skip


def _binary(name: str) -> Path:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    if found is None:
        pytest.fail(f"{name} is not installed; run scripts/system-deps.sh")
    return Path(found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_nobody() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}
