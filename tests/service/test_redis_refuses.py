"""A Redis that is full, or takes no writes for a while: nothing ends, and all goes on after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from tests.service.stack import Stack, eventually
from tests.service.test_chaos import fill, in_step

REFUSALS: dict[str, tuple[Callable[[Redis], Any], Callable[[Redis], Any]]] = {
    "full": (
        lambda redis: redis.config_set("maxmemory", 1),
        lambda redis: redis.config_set("maxmemory", 0),
    ),
    "read-only": (
        lambda redis: redis.replicaof("127.0.0.1", 1),
        lambda redis: redis.replicaof("NO", "ONE"),
    ),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("reason", REFUSALS)
def test_a_redis_that_refuses_writes(stack: Stack, reason: str) -> None:
    """In the middle of a run, with a webhook meanwhile; and the log does not grow by megabytes."""
    refuse, allow = REFUSALS[reason]
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "20/2s"
    (first, *_) = fill(stack, 30)
    stack.worker()
    stack.worker("refresher", 1, "--queues", "sweep,refresh")
    stack.start("beat", "celery", "-A", "worker.tasks", "beat")
    url = stack.web()
    processes = stack.logs("worker", "refresher", "beat", "web")
    eventually(lambda: len(stack.targets()) >= 5, 60, processes)
    refuse(stack.redis)
    try:
        stack.testrail.model.update(first, {"name": "renamed"})
        assert stack.hook(url, project_id=1, milestone_id=first).status_code == 202
        eventually(lambda: "beat cannot use Redis" in stack.log("beat"), 60, processes)
        eventually(lambda: "goes on later" in stack.log("worker"), 60, processes)
    finally:
        allow(stack.redis)
    eventually(lambda: in_step(stack), 60, processes)
    assert stack.doubled() == {}
    assert [process.poll() for process in stack.processes] == [None] * 4
    for name in ("worker", "refresher", "beat", "web"):
        assert len(stack.log(name)) < 100_000
