"""Opening a database, and bringing its tables up to date, on both databases."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Engine, inspect, text
from sqlalchemy.exc import IntegrityError

from mappings.database import (
    _config,
    _known_revisions,
    _set_pragmas,
    autogenerate,
    ensure_ready,
    newest_revision,
    open_engine,
    revisions,
    upgrade,
)
from mappings.errors import StoreError
from mappings.locks import pair_lock
from mappings.rows import Told
from mappings.runs import RunLog
from mappings.store import Store
from mappings.tables import UtcDateTime, metadata
from tests.support.clock import NOW
from tests.support.rows import identity

PASSWORD = "s3cret-pass"
UPGRADER = """
import sys
from mappings.database import ensure_ready, open_engine, upgrade

engine = open_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
upgrade(engine)
ensure_ready(engine)
"""


def assert_up_to_date(engine: Engine) -> None:
    with engine.connect() as connection:
        assert autogenerate(connection) == []
    current, newest = revisions(engine)
    assert current == newest is not None
    assert set(inspect(engine).get_table_names()) == {*metadata.tables, "alembic_version"}


# --- the migrations


def test_the_migrations_build_exactly_the_tables(empty_engine: Engine) -> None:
    """From nothing, the migrations leave nothing that Alembic would still change."""
    upgrade(empty_engine)
    assert_up_to_date(empty_engine)


def test_the_way_back_and_forth(empty_engine: Engine) -> None:
    """Downgraded to nothing no table is left, and the way up works again."""
    upgrade(empty_engine)
    _migrate(empty_engine, command.downgrade, "base")
    assert inspect(empty_engine).get_table_names() == ["alembic_version"]
    upgrade(empty_engine)
    assert_up_to_date(empty_engine)


def test_an_upgrade_keeps_what_is_there(empty_engine: Engine) -> None:
    """An upgrade of a database that is up to date changes nothing."""
    upgrade(empty_engine)
    pair = Store(empty_engine).pair(identity())
    upgrade(empty_engine)
    ensure_ready(empty_engine)
    assert Store(empty_engine).all_pairs() == [pair]


@pytest.mark.parametrize("revision", sorted(_known_revisions() - {newest_revision()}))
def test_an_upgrade_from_any_revision_keeps_runs_and_their_changes(
    empty_engine: Engine, revision: str
) -> None:
    """What refers to each other is still there after the tables were rebuilt, and is checked."""
    _migrate(empty_engine, command.upgrade, revision)
    _fill(empty_engine)
    upgrade(empty_engine)
    assert_up_to_date(empty_engine)
    [run] = RunLog(empty_engine).latest(1)
    [change] = Store(empty_engine).journal.changes(1, run_id=run.id)
    assert (change.kind, change.after) == ("create", {"name": "Kept"})
    with pytest.raises(IntegrityError), empty_engine.begin() as connection:
        connection.execute(text("DELETE FROM runs"))


@pytest.mark.parametrize(
    ("topics", "told"), [('["7 refused"]', ["7 refused"]), ("[]", None)], ids=["told", "over"]
)
def test_what_was_told_before_addresses_were_told_apart_is_kept(
    empty_engine: Engine, topics: str, told: list[str] | None
) -> None:
    """Whatever address it was, so that an upgrade tells nobody anything twice; and back."""
    _migrate(empty_engine, command.upgrade, "0014")
    _fill(empty_engine)
    with empty_engine.begin() as connection:
        noticed = "UPDATE pairs SET noticed = :topics, noticed_at = :at"
        connection.execute(text(noticed), {"topics": topics, "at": NOW})
    for _ in range(2):
        upgrade(empty_engine)
        [pair] = Store(empty_engine).all_pairs()
        assert pair.told("an address") == Told(told, NOW)
        assert pair.topics_told == (told and frozenset(told))
        _migrate(empty_engine, command.downgrade, "0014")
        with empty_engine.connect() as connection:
            columns = text("SELECT noticed, noticed_at FROM pairs")
            before = connection.execute(columns.columns(noticed=JSON, noticed_at=UtcDateTime)).one()
        assert (before.noticed, before.noticed_at) == (json.loads(topics), NOW)


def _migrate(engine: Engine, way: Callable[[Config, str], None], revision: str) -> None:
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        way(config, revision)


def _fill(engine: Engine) -> None:
    """A pair, a run and a change, in columns that every revision has."""
    rows = {
        "pairs": {
            "testrail_url": "u",
            "testrail_project": 1,
            "testably_url": "v",
            "testably_project": "p",
        },
        "runs": {
            "id": "20260301-120000-abcd",
            "pair_id": 1,
            "trigger": "migration",
            "state": "succeeded",
            "holder": "ann",
            "started_at": NOW,
            **dict.fromkeys(("counts", "requests", "options"), "{}"),
            "problems": "[]",
            "stop_requested": False,
        },
        "changes": {
            "pair_id": 1,
            "run_id": "20260301-120000-abcd",
            "testrail_id": 7,
            "kind": "create",
            "state": "done",
            "before": "{}",
            "after": '{"name": "Kept"}',
            "note": "",
            "at": NOW,
        },
    }
    with engine.begin() as connection:
        for table, row in rows.items():
            names = ", ".join(f'"{name}"' for name in row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


def test_a_failed_upgrade_leaves_nothing_behind(empty_engine: Engine) -> None:
    """An upgrade is whole or not at all, so it can be tried again after its cause is gone."""
    with empty_engine.begin() as connection:
        connection.execute(text("CREATE TABLE runs (id INTEGER)"))
    with pytest.raises(StoreError, match="could not be upgraded"):
        upgrade(empty_engine)
    assert inspect(empty_engine).get_table_names() == ["runs"]
    with empty_engine.begin() as connection:
        connection.execute(text("DROP TABLE runs"))
    upgrade(empty_engine)
    assert_up_to_date(empty_engine)


def test_processes_may_upgrade_at_once(empty_engine: Engine) -> None:
    """Web, worker and schedule that start together on a new database all find it ready."""
    url = empty_engine.url.render_as_string(hide_password=False)
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen([sys.executable, "-c", UPGRADER, url], stdin=pipe, stdout=pipe, text=True)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        process.communicate()
    assert [process.returncode for process in started] == [0, 0, 0]
    assert_up_to_date(empty_engine)


def test_the_newest_revision_is_the_one_that_alembic_finds() -> None:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest_revision() == head


def test_the_database_of_a_newer_version_is_left_alone(empty_engine: Engine) -> None:
    """It is said who has made it, and what to do; nothing in it is changed."""
    upgrade(empty_engine)
    with empty_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (ensure_ready, upgrade):
        with pytest.raises(StoreError, match="revision 9999: a newer milesync") as caught:
            use(empty_engine)
        assert "Update milesync" in caught.value.hint
    assert revisions(empty_engine)[0] == "9999"


# --- being ready


def test_sqlite_upgrades_itself_and_postgresql_asks(empty_engine: Engine) -> None:
    """A new SQLite file is ready by itself; on PostgreSQL a person runs the named command."""
    if empty_engine.dialect.name == "sqlite":
        ensure_ready(empty_engine)
    else:
        with pytest.raises(StoreError, match="revision none, this version needs") as caught:
            ensure_ready(empty_engine)
        assert "milesync db upgrade" in caught.value.hint
        assert inspect(empty_engine).get_table_names() == []
        upgrade(empty_engine)
    assert_up_to_date(empty_engine)


def test_the_pragmas_of_sqlite_are_set(tmp_path: Path) -> None:
    """Every connection has a write-ahead log, a long patience and enforced references."""
    engine = open_engine(f"sqlite:///{tmp_path / 'milesync.db'}")
    wanted = {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 30000, "foreign_keys": 1}
    with engine.connect() as one, engine.connect() as other:
        for connection in (one, other):
            for pragma, value in wanted.items():
                assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value
    engine.dispose()


@pytest.mark.parametrize(
    ("code", "told"), [(sqlite3.SQLITE_BUSY, False), (sqlite3.SQLITE_IOERR, True)]
)
def test_who_meets_another_switching_to_the_log_goes_on(code: int, told: bool) -> None:
    """A process that opens a new file while another sets its write-ahead log need not fail."""

    class Meeting(sqlite3.Connection):
        def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:
            if "journal_mode" not in sql:
                return super().execute(sql, *given)
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = code
            raise error

    connection = sqlite3.connect(":memory:", factory=Meeting)
    with pytest.raises(sqlite3.OperationalError) if told else nullcontext():
        _set_pragmas(connection, None)
    connection.close()


# --- what cannot be reached


@pytest.fixture
def unreachable() -> Iterator[Engine]:
    """A PostgreSQL URL whose port nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        engine = open_engine(f"postgresql+psycopg://milesync:{PASSWORD}@{place}/milesync")
        yield engine
        engine.dispose()


def locked(engine: Engine) -> None:
    with pair_lock(engine, 1):
        pass


@pytest.mark.parametrize(
    "use",
    [
        revisions,
        upgrade,
        ensure_ready,
        locked,
        lambda engine: Store(engine).pair(identity()),
        lambda engine: Store(engine).links(1),
        lambda engine: RunLog(engine).get("x"),
        lambda engine: RunLog(engine).begin(1, "manual", "ann", NOW),
    ],
)
def test_an_unreachable_database_is_said_without_its_password(
    unreachable: Engine, use: Callable[[Engine], object]
) -> None:
    """Whatever needs the database says that it is not there, and never shows the password."""
    with pytest.raises(StoreError) as caught:
        use(unreachable)
    assert "refused" in caught.value.message
    assert caught.value.hint
    assert PASSWORD not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__!r}"


@pytest.mark.parametrize("use", [revisions, upgrade, ensure_ready])
def test_an_unusable_sqlite_file_is_a_store_error(
    tmp_path: Path, use: Callable[[Engine], object]
) -> None:
    """A folder that does not exist, or a file that is no database, is said in one line."""
    (tmp_path / "notes.txt").write_text("Not a database, but long enough to be looked at." * 9)
    for place in ("missing/milesync.db", "notes.txt"):
        engine = open_engine(f"sqlite:///{tmp_path / place}")
        with pytest.raises(StoreError, match="database") as caught:
            use(engine)
        assert "\n" not in caught.value.message
        engine.dispose()
