"""The audit log: chained on all three databases, whoever writes at the same time."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from monitor.cli.app import app
from monitor.errors import DatabaseError, UsageError
from monitor.events.database import open_database, writing
from monitor.storage import chain
from monitor.storage.audit import GENESIS, Anchor, Content, find_entries, record
from monitor.storage.chain import Verdict, parse_anchor, verify

from .conftest import ALL_BACKENDS

BACKENDS = ALL_BACKENDS


def fill(engine: Engine, count: int) -> list[Anchor]:
    with writing(engine).begin() as connection:
        return [
            record(connection, actor="ann", action="test", subject=f"thing {n}", details={"n": n})
            for n in range(1, count + 1)
        ]


def tamper(engine: Engine, *statements: str) -> None:
    """What somebody with the database's own tools can do."""
    off = {
        "sqlite": ["DROP TRIGGER audit_log_no_update", "DROP TRIGGER audit_log_no_delete"],
        "postgresql": ["SET session_replication_role = replica"],
        "mariadb": ["DROP TRIGGER audit_log_no_update", "DROP TRIGGER audit_log_no_delete"],
    }[engine.dialect.name]
    on = {
        "sqlite": [
            f"CREATE TRIGGER audit_log_no_{what} BEFORE {what} ON audit_log "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            for what in ("update", "delete")
        ],
        "postgresql": ["SET session_replication_role = DEFAULT"],
        "mariadb": [
            f"CREATE TRIGGER audit_log_no_{what} BEFORE {what} ON audit_log FOR EACH ROW "
            "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit log is append-only'"
            for what in ("update", "delete")
        ],
    }[engine.dialect.name]
    with writing(engine).begin() as connection:
        for statement in (*off, *statements, *on):
            connection.execute(text(statement))


def first_bad(engine: Engine, anchor: Anchor | None = None) -> int | None:
    fault = verify(engine, anchor).fault
    return fault.seq if fault else None


def test_an_empty_log_is_intact(engine: Engine) -> None:
    assert verify(engine) == Verdict(0, Anchor(0, GENESIS), None)
    assert verify(engine, Anchor(0, GENESIS)).fault is None


def test_entries_come_back_as_they_went_in_and_the_chain_holds(engine: Engine) -> None:
    moment = datetime(2026, 3, 1, 13, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    anchor = record(
        engine, actor="jörg 你好 \0", action="test", subject="s" * 999, at=moment,
        details={"url": "rtsp://ann:geheim@cam/1", "deep": [{"note": "password=geheim"}], "n": 1},
    )  # fmt: skip
    (entry,) = find_entries(engine)
    assert (entry.seq, entry.actor, entry.subject) == (1, "jörg 你好 ", "s" * 255)
    assert entry.at == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert "geheim" not in entry.details
    assert json.loads(entry.details)["n"] == 1
    assert verify(engine, anchor) == Verdict(1, anchor, None)


def test_an_entry_commits_or_goes_with_its_transaction(engine: Engine) -> None:
    with Session(writing(engine)) as session:
        record(session, actor="ann", action="test")
        session.rollback()
    with Session(writing(engine)) as session, session.begin():
        record(session, actor="bob", action="test")
    with writing(engine).begin() as connection:
        record(connection, actor="cem", action="test")
    assert [entry.actor for entry in find_entries(engine)] == ["cem", "bob"]
    assert verify(engine).entries == 2


def test_many_writers_make_one_chain(engine: Engine, url: str) -> None:
    failures: list[Exception] = []

    def write(name: str) -> None:
        own = open_database(url)
        try:
            for number in range(15):
                record(own, actor=name, action="test", details={"n": number})
        except DatabaseError as error:
            failures.append(error)
        finally:
            own.dispose()

    threads = [threading.Thread(target=write, args=(f"writer {i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert verify(engine) == Verdict(90, verify(engine).head, None)
    for i in range(6):  # each writer's entries in its own order
        mine = find_entries(engine, actor=f"writer {i}")
        assert [json.loads(entry.details)["n"] for entry in mine] == list(range(14, -1, -1))


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET actor = 'bob'", "DELETE FROM audit_log"]
)
def test_the_database_refuses_changes(engine: Engine, statement: str) -> None:
    fill(engine, 2)
    with pytest.raises(DBAPIError, match="append-only"), writing(engine).begin() as connection:
        connection.execute(text(statement))
    assert verify(engine).entries == 2


COPY = (
    "INSERT INTO audit_log (seq, at, actor, action, subject, details, prev_hash, hash) "
    "SELECT {seq}, at, actor, action, subject, details, prev_hash, hash FROM audit_log "
    "WHERE seq = {of}"
)


@pytest.mark.parametrize(
    ("statements", "bad"),
    [
        (["UPDATE audit_log SET actor = 'bob' WHERE seq = 3"], 3),
        (["UPDATE audit_log SET at = '2026-01-01 00:00:00.000000' WHERE seq = 1"], 1),
        (["UPDATE audit_log SET details = '{\"n\": 3}' WHERE seq = 3"], 3),  # only a blank more
        (["UPDATE audit_log SET hash = prev_hash WHERE seq = 5"], 5),
        (["DELETE FROM audit_log WHERE seq = 3"], 3),
        (["DELETE FROM audit_log WHERE seq = 1"], 1),
        (["DELETE FROM audit_log WHERE seq >= 5"], 5),
        (["DELETE FROM audit_log"], 1),
        (["DELETE FROM audit_head"], 7),
        (["UPDATE audit_head SET seq = 4"], 5),
        (["UPDATE audit_head SET hash = 'x'"], 6),
        ([COPY.format(seq=7, of=6)], 7),
        ([COPY.format(seq=-1, of=1)], -1),
        (["DELETE FROM audit_log WHERE seq = 3", COPY.format(seq=3, of=2)], 3),
        ([COPY.format(seq=99, of=3), "DELETE FROM audit_log WHERE seq = 3",
          COPY.format(seq=3, of=4), "DELETE FROM audit_log WHERE seq = 4",
          COPY.format(seq=4, of=99), "DELETE FROM audit_log WHERE seq = 99"], 3),
    ],
)  # fmt: skip
def test_the_first_bad_entry_is_named(engine: Engine, statements: list[str], bad: int) -> None:
    fill(engine, 6)
    tamper(engine, *statements)
    assert first_bad(engine) == bad


def test_an_entry_made_anew_breaks_the_link_after_it(engine: Engine) -> None:
    fill(engine, 4)
    second = find_entries(engine)[2]
    made = Content(
        2, second.at, "bob", second.action, second.subject, second.details, second.prev_hash
    )
    tamper(engine, f"UPDATE audit_log SET actor = 'bob', hash = '{made.digest()}' WHERE seq = 2")
    fault = verify(engine).fault
    assert fault is not None
    assert (fault.seq, fault.what) == (3, "does not follow entry 2: one of the two was replaced")


def test_only_an_anchor_shows_that_the_end_was_cut_off_with_the_head(engine: Engine) -> None:
    anchors = fill(engine, 6)
    kept = anchors[3]
    tamper(
        engine,
        "DELETE FROM audit_log WHERE seq > 4",
        f"UPDATE audit_head SET seq = 4, hash = '{kept.hash}'",
    )
    assert first_bad(engine) is None  # what a chain cannot see
    assert first_bad(engine, kept) is None
    assert first_bad(engine, anchors[5]) == 5
    assert first_bad(engine, Anchor(2, "f" * 64)) == 2


def test_a_log_without_its_head_takes_no_more(engine: Engine) -> None:
    fill(engine, 1)
    tamper(engine, "DELETE FROM audit_head")
    with pytest.raises(DatabaseError, match="head of the audit log is gone"):
        fill(engine, 1)
    tamper(engine, f"INSERT INTO audit_head VALUES (1, 1, '{find_entries(engine)[0].hash}')")


def test_a_chain_of_many_pages(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(engine, 11)
    for size in (1, 2, 5, 11):
        monkeypatch.setattr(chain, "PAGE", size)
        assert verify(engine).entries == 11
    tamper(engine, "UPDATE audit_log SET subject = 'other' WHERE seq = 10")
    assert first_bad(engine) == 10


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=300),
            st.dictionaries(
                st.text(),
                st.none() | st.integers() | st.floats(allow_nan=False) | st.lists(st.text()),
            ),
        ),
        min_size=5,
    )
)
def test_whatever_is_recorded_verifies(
    engine: Engine, entries: list[tuple[str, dict[str, object]]]
) -> None:
    with writing(engine).begin() as connection:
        for words, details in entries:
            record(connection, actor=words, action="test", subject=words, details=details)
    assert verify(engine).fault is None


def test_a_long_story_is_cut_and_still_verifies(engine: Engine) -> None:
    record(engine, actor="ann", action="test", details={"story": "long " * 50_000})
    assert len(find_entries(engine)[0].details) < 61_000
    assert verify(engine).fault is None


@pytest.mark.parametrize("words", ["", "7", "x:" + "a" * 64, "7:abc", "7:" + "G" * 64])
def test_what_is_no_anchor(words: str) -> None:
    with pytest.raises(UsageError, match="no anchor"):
        parse_anchor(words)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "300"})


def test_the_commands(engine: Engine, url: str) -> None:
    anchors = fill(engine, 3)
    shown = run("audit", "list", "--db", url, "--action", "test", "--limit", "2")
    assert "thing 3" in shown.output
    assert "thing 1" not in shown.output
    line = json.loads(run("audit", "list", "--db", url, "-f", "json").stdout.splitlines()[0])
    assert (line["seq"], line["hash"]) == (3, anchors[2].hash)
    fine = run("audit", "verify", "--db", url, "--anchor", str(anchors[1]))
    assert fine.exit_code == 0
    assert f"anchor {anchors[2]}" in fine.output
    tamper(engine, "UPDATE audit_log SET actor = 'bob' WHERE seq = 2")
    bad = run("audit", "verify", "--db", url)
    assert bad.exit_code == 1
    assert "entry 2 was changed" in bad.output
    told = json.loads(run("audit", "verify", "--db", url, "-f", "json").stdout)
    assert (told["intact"], told["first_bad"], told["entries"]) == (False, 2, 1)
