"""A command that shares the ledger in Redis with others, and what becomes of it without Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.stack import ENDED, Stack, eventually, free_port
from tests.service.test_chaos import fill, in_step, own_redis
from worker.sandbox.server import serve_testably, serve_testrail


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """One pair on SQLite, and an address at which a Redis may be."""
    with serve_testrail() as testrail, serve_testably(rate=None) as testably:
        redis = f"redis://127.0.0.1:{free_port()}/0"
        made = Stack(testrail, testably, f"sqlite:///{tmp_path}/milesync.db", redis, tmp_path)
        made.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "20/2s"
        yield made
        made.close()


def port(stack: Stack) -> int:
    return int(str(stack.redis_url).rpartition(":")[2].partition("/")[0])


def test_a_migration_waits_for_a_redis_that_is_started_again(stack: Stack) -> None:
    """What was done is done, and the rest follows; it says what it waits for."""
    fill(stack, 30)
    with own_redis(stack.folder, port(stack)):
        command = stack.start("migrate", "worker.cli", "migrate", "--yes", "--json")
        eventually(lambda: len(stack.targets()) >= 5, 30, stack.logs("migrate"))
    eventually(lambda: "waits for the rate limiter" in stack.log("migrate"), 20)
    assert command.poll() is None
    with own_redis(stack.folder, port(stack)):
        assert command.wait(ENDED) == 0, stack.log("migrate")
    assert (in_step(stack), stack.doubled()) == (True, {})


def test_without_a_redis_a_command_fails_at_once_and_nobody_waits_for_it(stack: Stack) -> None:
    """Its run is closed as failed: the service goes on with none that a person began."""
    fill(stack, 1)
    done = stack.command("sync", "--json")
    assert done.returncode == 1, done.stdout
    document = json.loads(done.stdout[done.stdout.index("{\n") :])
    [project] = document["projects"]
    assert (document["state"], project["state"]) == ("failed", "failed")
    assert project["error"]["kind"] == "redis"
    assert "run it again" in project["error"]["hint"]
    with stack.deployment as here:
        assert here.runs.open(here.store.all_pairs()[0].id) == []
