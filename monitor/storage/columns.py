"""Column types that mean the same on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Float, String
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

NAME_LENGTH = 64
"""Longest camera or zone name (monitor.config.camera.check_name)."""


class UTCDateTime(TypeDecorator[datetime]):
    """Microsecond instants: aware in, aware UTC out; naive ones are refused.

    SQLite keeps ISO text (which sorts by time), PostgreSQL `timestamptz`, MariaDB
    `datetime(6)` holding UTC.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value.isoformat()}; the database keeps aware UTC")
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def name_type() -> String:
    """A camera or zone name, compared byte for byte (MariaDB would fold case by default)."""
    exact = mysql.VARCHAR(NAME_LENGTH, charset="utf8mb4", collation="utf8mb4_bin")
    return String(NAME_LENGTH).with_variant(exact, "mysql", "mariadb")


class SecondsBetween(FunctionElement[float]):
    """`later - earlier` of two UTCDateTime expressions, in seconds."""

    type = Float()
    inherit_cache = True

    def __init__(self, earlier: ColumnElement[Any], later: ColumnElement[Any]) -> None:
        super().__init__(earlier, later)


def _operands(element: SecondsBetween, compiler: SQLCompiler, **kw: Any) -> tuple[str, str]:
    earlier, later = element.clauses
    return compiler.process(earlier, **kw), compiler.process(later, **kw)


@compiles(SecondsBetween, "sqlite")
def _sqlite(element: SecondsBetween, compiler: SQLCompiler, **kw: Any) -> str:
    earlier, later = _operands(element, compiler, **kw)
    return f"((julianday({later}) - julianday({earlier})) * 86400.0)"


@compiles(SecondsBetween, "postgresql")
def _postgresql(element: SecondsBetween, compiler: SQLCompiler, **kw: Any) -> str:
    earlier, later = _operands(element, compiler, **kw)
    return f"CAST(EXTRACT(EPOCH FROM ({later} - {earlier})) AS DOUBLE PRECISION)"


@compiles(SecondsBetween, "mysql")
@compiles(SecondsBetween, "mariadb")
def _mariadb(element: SecondsBetween, compiler: SQLCompiler, **kw: Any) -> str:
    earlier, later = _operands(element, compiler, **kw)
    return f"(TIMESTAMPDIFF(MICROSECOND, {earlier}, {later}) / 1000000.0)"
