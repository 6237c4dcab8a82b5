"""Opening the database: the engine with its pragmas, and bringing the tables up to date."""

from __future__ import annotations

import json
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from mappings.errors import StoreAway, StoreError

_alembic_lock = threading.Lock()
"""Alembic's context is a module global, so one upgrade at a time in a process."""

_ALONE = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SELECT pg_advisory_xact_lock(x'6D736C6B'::bigint)",
}
"""Makes other processes wait with their upgrade, and an upgrade of SQLite whole or not at all."""


def open_engine(url: str) -> Engine:
    """An engine for a SQLite or PostgreSQL URL; connects only when it is first used."""
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, json_serializer=_as_json)
    engine = create_engine(url, connect_args={"timeout": 30}, json_serializer=_as_json)
    event.listen(engine, "connect", _set_pragmas)
    return engine


def _as_json(value: object) -> str:
    """JSON as PostgreSQL takes it. Raises ValueError for a number that is none, on SQLite too."""
    return json.dumps(value, allow_nan=False)


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in ("busy_timeout=30000", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        # Another process makes the same lasting change at this moment; SQLite does not wait here.
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise


def time_of(connection: Connection) -> datetime:
    """The database's own time, aware; with SQLite, whose processes share one host, the host's."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return moment


def read_time(engine: Engine) -> datetime:
    """The database's own time, aware, in UTC. Raises StoreError."""
    try:
        with engine.connect() as connection:
            return time_of(connection).astimezone(UTC)
    except SQLAlchemyError as error:
        raise StoreError(f"The database cannot be reached: {plain(error)}") from error


def upgrade(engine: Engine) -> None:
    """Bring the tables to the newest revision. Raises StoreError."""
    try:
        with _alembic_lock, engine.begin() as connection:
            connection.exec_driver_sql(_ALONE[engine.dialect.name])
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(f"The database could not be upgraded: {plain(error)}") from error


def revisions(engine: Engine) -> tuple[str | None, str | None]:
    """The database's revision and the newest one. Raises StoreError, StoreAway."""
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except (SQLAlchemyError, OSError) as error:
        away = engine.dialect.name != "sqlite" and isinstance(error, OperationalError)
        kind = StoreAway if away else StoreError
        raise kind(f"The database cannot be reached: {plain(error)}") from error
    return current, ScriptDirectory.from_config(_config()).get_current_head()


def ensure_ready(engine: Engine) -> None:
    """Upgrade SQLite by itself; ask for `milesync db upgrade` on PostgreSQL. Raises StoreError."""
    current, newest = revisions(engine)
    if current == newest:
        return
    if engine.dialect.name == "sqlite":
        upgrade(engine)
        return
    raise StoreError(
        f"The database is at revision {current or 'none'}, this version needs {newest}.",
        "Run `milesync db upgrade`.",
    )


def plain(error: Exception) -> str:
    """The driver's own first line; the others may quote the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().partition("\n")[0][:300]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def autogenerate(connection: Connection) -> list[Any]:
    """What Alembic would still change; empty when the migrations match the tables."""
    from alembic.autogenerate import compare_metadata

    from mappings.tables import metadata

    return list(compare_metadata(MigrationContext.configure(connection), metadata))
