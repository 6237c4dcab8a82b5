"""A PostgreSQL that is stopped and started again in the middle of everything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from mappings.database import open_engine, upgrade
from tests.conftest import _start_postgres, fresh_database
from tests.service.stack import Stack, eventually
from tests.service.test_chaos import fill, in_step, tick
from tests.service.test_recovery import A_MINUTE, measured
from worker.sandbox.server import serve_testably, serve_testrail


class Database:
    """A PostgreSQL server of this test's own."""

    def __init__(self) -> None:
        self.server = _start_postgres()
        server = make_url(self.server.get_uri(driver="psycopg"))
        self.url = fresh_database(server, "milesync")
        engine = open_engine(self.url)
        upgrade(engine)
        engine.dispose()


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    made = Database()
    yield made
    made.server.cleanup()


@pytest.mark.timeout(300)
def test_a_database_that_is_stopped_and_started_again(
    database: Database, clean_redis: str, tmp_path: Path
) -> None:
    """Workers, beat and web live through it; the run goes on, and nothing is doubled."""
    with serve_testrail() as testrail, serve_testably(rate=None) as testably:
        stack = Stack(testrail, testably, database.url, clean_redis, tmp_path)
        stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "20/2s"
        (first, *_) = fill(stack, 40)

        def answer() -> int:
            return stack.hook(url, project_id=1, milestone_id=first).status_code

        try:
            stack.worker()
            stack.worker("refresher", 1, "--queues", "sweep,refresh")
            stack.start("beat", "celery", "-A", "worker.tasks", "beat")
            url = stack.web()
            processes = stack.logs("worker", "refresher", "beat", "web")
            tick(stack)
            eventually(lambda: len(stack.targets()) >= 5, 60, processes)
            database.server.stop()
            assert answer() == 503
            eventually(lambda: "not all was asked for" in stack.log("refresher"), 60, processes)
            database.server.start()
            began, before = time.monotonic(), len(stack.targets())
            eventually(lambda: answer() == 202, 20, processes)
            eventually(lambda: len(stack.targets()) > before, A_MINUTE, processes)
            measured("PostgreSQL stopped and started again, first write", began)
            eventually(lambda: in_step(stack), A_MINUTE, processes)
            assert stack.doubled() == {}
            assert [process.poll() for process in stack.processes] == [None] * 4
        finally:
            stack.close()
