"""The schema: created, taken back, kept equal to the models, and refused when it is foreign."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from monitor.alerts.models import Base as Alerts
from monitor.errors import DatabaseError
from monitor.events.database import open_database
from monitor.events.models import Base
from monitor.events.schema import (
    current_revision,
    downgrade,
    head_revision,
    migrate,
    require_current,
)
from monitor.storage.audit import Base as Audit

ROOT = Path(__file__).resolve().parents[2]


def test_migrating_creates_folder_and_tables_and_may_be_repeated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/deep/below/monitor.db"
    assert migrate(url) == head_revision()
    assert migrate(url) == head_revision()
    engine = open_database(url)
    require_current(engine)
    assert "occupancy_events" in inspect(engine).get_table_names()
    engine.dispose()


def test_the_models_are_what_the_migrations_create(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, [Base.metadata, Alerts.metadata, Audit.metadata]) == []


def test_down_and_up_again(url: str) -> None:
    downgrade(url, "base")
    engine = open_database(url)
    assert current_revision(engine) is None
    assert inspect(engine).get_table_names() == ["alembic_version"]
    with pytest.raises(DatabaseError, match="db upgrade"):
        require_current(engine)
    engine.dispose()
    assert migrate(url) == head_revision()


def test_a_newer_schema_is_refused_and_left_alone(url: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"9999.*newer version"):
        migrate(url)
    with pytest.raises(DatabaseError, match="9999"):
        require_current(engine)
    assert current_revision(engine) == "9999"
    engine.dispose()


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE customers (id INTEGER)")
    other.close()
    with pytest.raises(DatabaseError, match=r"another program \(tables customers\)"):
        migrate(f"sqlite:///{path}")


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"dear diary, " * 200)
    with pytest.raises(DatabaseError, match="no SQLite database; restore"):
        migrate(f"sqlite:///{path}")
    assert path.read_bytes() == b"dear diary, " * 200


def test_a_damaged_database_is_refused(url: str, tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    for extra in ("-wal", "-shm"):
        (tmp_path / f"monitor.db{extra}").unlink(missing_ok=True)
    data = bytearray(path.read_bytes())
    data[100:4096] = os.urandom(3996)
    path.write_bytes(data)
    with pytest.raises(DatabaseError, match=r"damaged|restore"):
        migrate(url)


def test_a_missing_database_is_not_created_by_looking(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="no such database"):
        open_database(f"sqlite:///{tmp_path}/nowhere.db")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_and_a_file_as_folder(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="this is a folder"):
        migrate(f"sqlite:///{tmp_path}")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatabaseError, match="folder cannot be created"):
        migrate(f"sqlite:///{tmp_path}/file/monitor.db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("not a url at all", "cannot be read"),
        ("sqlite://", "forgets everything"),
        ("sqlite:///:memory:", "forgets everything"),
        ("oracle://scott:tiger@host/db", "not supported"),
    ],
)
def test_urls_that_make_no_sense(url: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said) as caught:
        migrate(url)
    assert "tiger" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "mariadb"])
def test_an_unreachable_server_is_named_without_its_password(scheme: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        migrate(f"{scheme}://guard:s3cr3t%40word@127.0.0.1:1/monitor")
    text = str(caught.value)
    assert "s3cr3t" not in text
    assert "127.0.0.1:1/monitor" in text
    assert "check that the server runs" in text


def test_an_unknown_option_is_named_and_the_query_not_shown() -> None:
    with pytest.raises(DatabaseError, match="options after") as caught:
        migrate("postgresql://guard@127.0.0.1:1/monitor?sslmodus=s3cr3t")
    assert "s3cr3t" not in str(caught.value)


def test_sqlite_is_set_up_for_power_loss(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000


def test_the_folder_alembic_does_not_hide_the_library() -> None:
    code = "import alembic, alembic.command; print(alembic.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_the_alembic_command_works_from_the_project_root(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/by_hand.db"
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env={**os.environ, "PRESENCE_DB": url},
        capture_output=True,
        check=True,
    )
    engine = open_database(url)
    require_current(engine)
    engine.dispose()
