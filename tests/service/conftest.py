"""The whole service for a test: sandbox servers over HTTP, PostgreSQL, Redis, real processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import text

from mappings.database import open_engine
from mappings.tables import metadata
from tests.service.stack import Stack
from worker.sandbox.server import serve_testably, serve_testrail
from worker.tasks import app


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These wait for real processes; a machine that is busy gets its time (`stack.BUSY`)."""
    for item in items:
        is_ours = item.path.is_relative_to(Path(__file__).parent)
        if is_ours and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture
def clean_redis(redis_url: str) -> str:
    """The Redis of this test process, emptied."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
    app._after_fork()  # or it would take the queues of the test before for declared
    return redis_url


@pytest.fixture
def clean_postgres(postgres_url: str) -> str:
    """The PostgreSQL database of this test process, without a row."""
    engine = open_engine(postgres_url)
    with engine.begin() as connection:
        names = ", ".join(table.name for table in metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    engine.dispose()
    return postgres_url


@pytest.fixture
def stack(clean_redis: str, clean_postgres: str, tmp_path: Path) -> Iterator[Stack]:
    """A service on real servers with one pair; nothing of it runs until it is started."""
    with ExitStack() as open_:
        testrail = open_.enter_context(serve_testrail())
        testably = open_.enter_context(serve_testably(rate=None))
        made = Stack(testrail, testably, clean_postgres, clean_redis, tmp_path)
        open_.callback(made.close)
        yield made
