"""A Redis that is full, or takes no writes for a while: nothing ends, and all goes on after it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from mappings.deliveries import Deliveries
from tests.service.stack import Stack, eventually, free_port
from tests.service.test_chaos import fill, in_step, own_redis

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


def test_a_redis_that_hangs_does_not_hold_up_the_intake(stack: Stack) -> None:
    """It takes connections and says nothing, for five seconds each time: none of them counts."""
    port = free_port()
    stack.redis_url = f"redis://127.0.0.1:{port}/0"
    with own_redis(stack.folder, port) as server:
        url = stack.web()
        server.send_signal(signal.SIGSTOP)
        try:

            def call(number: int) -> float:
                began = time.monotonic()
                answer = stack.hook(url, f"call {number}", project_id=1, milestone_id=number + 1)
                assert answer.status_code == 202
                return time.monotonic() - began

            with ThreadPoolExecutor(60) as pool:
                took = list(pool.map(call, range(100)))
        finally:
            server.send_signal(signal.SIGCONT)
    assert max(took) < 5.0
    with stack.deployment as here:
        assert Deliveries(here.store.engine).waiting() == 100
