"""Opening the database: the engine with its pragmas, and bringing the tables up to date.

Alembic is imported only where tables are changed: every command asks for the revisions, and few
have anything to upgrade.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, Select, create_engine, event, func, inspect, select
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from mappings.causes import is_numbered_twice, store_error
from mappings.errors import DoesNotFit, StoreAway, StoreError
from mappings.sharing import object_of

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_NOTED_IN: Final = "alembic_version"
"""Alembic's own table."""

_alembic_lock = threading.Lock()
"""Alembic's context is a module global, so one upgrade at a time in a process."""

_making = threading.Lock()
"""Held while a database is made, so that no thread opens it before its maker has closed it."""

_ALONE = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SELECT pg_advisory_xact_lock(x'6D736C6B'::bigint)",
}
"""Makes other processes wait with their upgrade, and an upgrade of SQLite whole or not at all."""
_BOUNDS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Of a connection to PostgreSQL, so that a server that is cut off is an error within 30 s.

Seconds, the last in milliseconds; what a database URL says itself goes before it.
"""


class Connected:
    """What keeps something in the database; every method is one short transaction.

    Raises StoreError where the database does not answer.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Commit what is done inside, or nothing of it. Raises StoreError, DoesNotFit."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            misfit = isinstance(error, IntegrityError) and not is_numbered_twice(error)
            kind = DoesNotFit if misfit else StoreError
            raise store_error("The database did not answer", error, kind) from error


def open_engine(url: str) -> Engine:
    """An engine for a SQLite or PostgreSQL URL; connects only when it is first used."""
    given = make_url(url)
    if given.get_backend_name() != "sqlite":
        bounds = {name: value for name, value in _BOUNDS.items() if name not in given.query}
        return create_engine(url, pool_pre_ping=True, connect_args=bounds, **_JSON)
    engine = create_engine(url, connect_args={"timeout": 30}, **_JSON)
    event.listen(engine, "do_connect", lambda *_: _make_private(engine.url.database))
    event.listen(engine, "connect", _set_pragmas)
    return engine


_ENCODER: Final = json.JSONEncoder(allow_nan=False, default=dict)
"""Writes JSON as PostgreSQL takes it: a number that is none is a ValueError, on SQLite too."""
_DECODER: Final = json.JSONDecoder(object_pairs_hook=object_of)


def _of_json(text: str | bytes) -> Any:
    return _DECODER.decode(text if isinstance(text, str) else text.decode())


_JSON: Final[Mapping[str, Any]] = {
    "json_serializer": _ENCODER.encode,
    "json_deserializer": _of_json,
}


def _make_private(file: str | None) -> None:
    """Make a database that is not there yet, for its owner only; SQLite's own files follow it.

    One that is there is never opened: to close it again would let go of the locks that SQLite
    holds on it in this process.
    """
    if file is None:
        return
    with _making, suppress(OSError):  # what cannot be made here, SQLite says in its own words
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


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
        raise store_error(f"{_named(engine)} cannot be reached", error) from error


def _named(engine: Engine) -> str:
    """The database as messages have it: a file by its name, with links followed."""
    return f"The database {engine.url.database if engine.dialect.name == 'sqlite' else ''}".strip()


def upgrade(engine: Engine) -> None:
    """Bring the tables to the newest revision. Raises StoreError."""
    from alembic import command

    _require_known(revisions(engine)[0])
    config = _config()
    try:
        with _alembic_lock, _alone(engine) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except (SQLAlchemyError, OSError) as error:
        raise store_error("The database could not be upgraded", error) from error


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """One transaction that no other upgrade runs beside.

    SQLite changes a table by making it anew and dropping the old one, to whose rows others still
    refer: its references are checked once all is done, and not on the way.
    """
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if is_sqlite:
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.commit()
        try:
            with connection.begin():
                connection.exec_driver_sql(_ALONE[engine.dialect.name])
                yield connection
                if is_sqlite:
                    _require_references(connection)
        finally:
            if is_sqlite:
                connection.exec_driver_sql("PRAGMA foreign_keys=ON")


def _require_references(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise StoreError(f"The upgrade would leave rows of {broken[0]} without {broken[2]}.")


def revisions(engine: Engine) -> tuple[str | None, str | None]:
    """The database's revision and the newest one. Raises StoreError, StoreAway."""
    try:
        with engine.connect() as connection:
            current = _current(connection)
    except (SQLAlchemyError, OSError) as error:
        away = engine.dialect.name != "sqlite" and isinstance(error, OperationalError)
        kind = StoreAway if away else StoreError
        raise store_error(f"{_named(engine)} cannot be reached", error, kind) from error
    return current, newest_revision()


def newest_revision() -> str:
    """The revision that this version of the program needs: the last of its migrations."""
    return max(_known_revisions())


def _known_revisions() -> set[str]:
    return {file.name.partition("_")[0] for file in _MIGRATIONS.glob("versions/[0-9]*.py")}


def _current(connection: Connection) -> str | None:
    """The revision that Alembic has noted; None in an empty database."""
    if not inspect(connection).has_table(_NOTED_IN):
        return None
    noted: Select[Any] = select(sql_column("version_num")).select_from(sql_table(_NOTED_IN))
    return connection.execute(noted).scalar()


def ensure_ready(engine: Engine) -> None:
    """Upgrade SQLite by itself; ask for `milesync db upgrade` on PostgreSQL. Raises StoreError."""
    current, newest = revisions(engine)
    if current == newest:
        return
    _require_known(current)
    if engine.dialect.name == "sqlite":
        upgrade(engine)
        return
    raise StoreError(
        f"The database is at revision {current or 'none'}, this version needs {newest}.",
        "Run `milesync db upgrade`.",
    )


def _require_known(revision: str | None) -> None:
    """Raises StoreError for the database of a later version, whose tables are not known here."""
    if revision is not None and revision not in _known_revisions():
        raise StoreError(
            f"The database is at revision {revision}: a newer milesync has made it.",
            f"Update milesync; this version knows revisions up to {newest_revision()}.",
        )


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def autogenerate(connection: Connection) -> list[Any]:
    """What Alembic would still change; empty when the migrations match the tables."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from mappings.tables import metadata

    return list(compare_metadata(MigrationContext.configure(connection), metadata))
