"""What must never happen, with everything going on at once and things dying in between."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from redis import Redis
from sqlalchemy import text

from mappings.deliveries import Deliveries, Hint
from tests.conftest import _redis_program, _wait_for_redis
from tests.service.stack import Stack, eventually, free_port
from worker.sandbox.faults import FaultKind
from worker.tasks import refresh_milestone, sweep_deliveries, sync_project, use_settings


def fill(stack: Stack, count: int) -> list[int]:
    return [int(str(stack.testrail.model.add(1, {"name": f"M{n}"})["id"])) for n in range(count)]


def tick(stack: Stack, trigger: str = "schedule") -> None:
    """What the beat sends; or what a webhook asks for, whose delivery waits."""
    use_settings(stack.settings)
    if trigger == "webhook":
        with stack.deployment as here:
            hint = Hint(1, None, uuid4().hex)
            Deliveries(here.engine).record(hint.correlation, "", hint, here.clock.now())
    sync_project.apply_async((1, "proj_abc123", trigger))


def in_step(stack: Stack) -> bool:
    """Every source milestone has exactly one target, of its name."""
    wanted = sorted(str(row["name"]) for row in stack.testrail.model.everything(1))
    return sorted(stack.names()) == wanted


def test_a_killed_worker_is_gone_on_for_by_the_next_tick(stack: Stack) -> None:
    """kill -9 in the middle of a run: the next worker and tick finish it, nothing doubled."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "40/2s"
    fill(stack, 30)
    worker = stack.worker("first")
    tick(stack)
    eventually(lambda: len(stack.targets()) >= 5, 60, stack.logs("first"))
    stack.kill(worker)
    assert 5 <= len(stack.targets()) < 30
    stack.worker("second")
    tick(stack)
    eventually(lambda: in_step(stack), 50, stack.logs("second"))
    assert stack.doubled() == {}


def test_a_killed_workers_message_is_delivered_again(stack: Stack) -> None:
    """After the visibility timeout, without a schedule; its age is set, not waited for."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "40/2s"
    fill(stack, 20)
    worker = stack.worker("first")
    tick(stack)
    eventually(lambda: len(stack.targets()) >= 3, 60, stack.logs("first"))
    stack.kill(worker)
    for tag in stack.redis.zrange("unacked_index", 0, -1):
        stack.redis.zadd("unacked_index", {str(tag, "utf-8"): time.time() - 901})  # type: ignore[arg-type]
    stack.worker("second")
    eventually(lambda: in_step(stack), 50, stack.logs("second"))
    assert stack.doubled() == {}


def test_many_workers_a_command_and_webhooks_at_one_pair(stack: Stack) -> None:
    """No milestone doubled, and the last change of each arrives."""
    ids = fill(stack, 10)
    stack.worker("worker", 8)
    url = stack.web()
    with ThreadPoolExecutor(12) as pool:
        for _ in range(4):
            tick(stack, "webhook")
        command = pool.submit(stack.command, "sync", "--json")
        for number in range(50):
            id_ = ids[number % len(ids)]
            stack.testrail.model.update(id_, {"name": f"M{id_} round {number}"})
            pool.submit(stack.hook, url, project_id=1, milestone_id=id_)
        assert command.result().returncode in (0, 1)
    assert stack.doubled() == {}
    eventually(lambda: in_step(stack), 40, stack.logs("worker", "command"))


def test_a_burst_of_hints_costs_two_refreshes(stack: Stack) -> None:
    """Hundreds of calls for one milestone in a few seconds: two reads, and no write too many."""
    (id_,) = fill(stack, 1)
    stack.worker("worker", 2)
    url = stack.web()
    tick(stack)
    eventually(lambda: in_step(stack), 20, stack.logs("worker"))
    before = stack.testrail.count("GET", f"get_milestone/{id_}")
    with httpx.Client() as client, ThreadPoolExecutor(8) as pool:
        body = {"project_id": 1, "milestone_id": id_, "secret": "hook-very-secret"}

        def call(number: int) -> int:
            if number == 150:
                stack.testrail.model.update(id_, {"name": "renamed"})
            return client.post(f"{url}/webhooks/testrail", json=body).status_code

        assert set(pool.map(call, range(300))) == {202}
    eventually(lambda: stack.names() == ["renamed"], 20, stack.logs("worker"))
    eventually(lambda: _waiting(stack) == 0, 20, stack.logs("worker"))
    assert stack.testrail.count("GET", f"get_milestone/{id_}") - before <= 2
    assert stack.testably.count("PATCH") == 1


def _waiting(stack: Stack) -> int:
    with stack.deployment as here, here.engine.connect() as connection:
        found = connection.execute(text("SELECT count(*) FROM deliveries WHERE state = 'waiting'"))
        return int(found.scalar_one())


def test_a_refresh_goes_before_what_was_queued_first(stack: Stack) -> None:
    """One worker process: refresh, then sync, then migration, whatever came first."""
    (id_,) = fill(stack, 1)
    use_settings(stack.settings)
    for queue in ("migration", "sync"):
        sync_project.apply_async((1, f"unknown-{queue}", "schedule"), queue=queue)
    url = stack.web()
    stack.hook(url, project_id=1, milestone_id=id_)
    eventually(lambda: stack.redis.llen("refresh") == 1, 10, stack.logs("web"))
    stack.worker()
    eventually(lambda: stack.log("worker").count(" succeeded in ") >= 3, 60, stack.logs("worker"))
    received = [
        record["event"].split()[1]
        for record in stack.records("worker")
        if record["event"].startswith("Task ") and " received" in record["event"]
    ]
    assert received[0].startswith("milesync.refresh_milestone")


def test_a_sweep_goes_before_many_refreshes(stack: Stack) -> None:
    """It takes a moment, and expires soon: behind them, what is lost would wait for all of them."""
    use_settings(stack.settings)
    for number in range(20):
        refresh_milestone.apply_async((1, number))
    sweep_deliveries.apply_async()
    stack.worker("worker", 1, "--queues", "sweep,refresh")
    eventually(lambda: stack.log("worker").count(" received") >= 21, 30, stack.logs("worker"))
    events = [str(record["event"]) for record in stack.records("worker")]
    received = [event for event in events if event.endswith(" received")]
    assert received[0].startswith("Task milesync.sweep_deliveries")


def test_an_accepted_call_outlives_the_web_process(stack: Stack) -> None:
    """Killed after its 202 with no broker to tell: the sweep asks again, and it is done."""
    (id_,) = fill(stack, 1)
    good, stack.redis_url = stack.redis_url, "redis://127.0.0.1:1/0"
    url = stack.web()
    assert stack.hook(url, project_id=1, milestone_id=id_).status_code == 202
    stack.kill(stack.processes[-1])
    stack.redis_url = good
    with stack.deployment as here, here.engine.begin() as connection:
        late = "UPDATE deliveries SET received_at = received_at - interval '2 minutes'"
        connection.execute(text(late))
    stack.worker()
    use_settings(stack.settings)
    sweep_deliveries.apply_async()
    eventually(lambda: in_step(stack), 20, stack.logs("worker"))
    eventually(lambda: _waiting(stack) == 0, 10, stack.logs("worker"))


@contextmanager
def own_redis(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [_redis_program(), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for_redis(f"redis://127.0.0.1:{port}/0")
            yield server
        finally:
            server.kill()


def test_a_redis_that_is_away_and_comes_back_empty(stack: Stack) -> None:
    """Worker, beat and web recover by themselves; nothing is lost or doubled."""
    port = free_port()
    stack.redis_url = f"redis://127.0.0.1:{port}/0"
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "40/2s"
    fill(stack, 25)
    with own_redis(stack.folder, port):
        stack.worker()
        stack.start("beat", "celery", "-A", "worker.tasks", "beat")
        eventually(lambda: len(stack.targets()) >= 3, 60, stack.logs("worker", "beat"))
    time.sleep(2)
    with own_redis(stack.folder, port):
        eventually(lambda: in_step(stack), 50, stack.logs("worker", "beat"))
        assert stack.doubled() == {}
        with Redis.from_url(stack.redis_url) as client:
            eventually(lambda: client.get("milesync:beat:ticked"), 20, stack.logs("beat"))


def test_a_database_that_cuts_every_connection(stack: Stack) -> None:
    """As a restarted PostgreSQL does: the run goes on or is tried again, nothing doubled."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "40/2s"
    fill(stack, 25)
    stack.worker()
    tick(stack, "webhook")
    eventually(lambda: len(stack.targets()) >= 5, 60, stack.logs("worker"))
    with stack.deployment as here, here.engine.begin() as connection:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
        connection.execute(text(cut))
    eventually(lambda: in_step(stack), 50, stack.logs("worker"))
    assert stack.doubled() == {}


@pytest.mark.parametrize("side", ["testrail", "testably"])
def test_a_network_that_is_cut(stack: Stack, side: str) -> None:
    """Every connection to one API is reset for a while: afterwards both are in step."""
    stack.extra["MILESYNC_HTTP_TIMEOUT"] = "5"  # what is ambiguous is settled that much sooner
    fill(stack, 10)
    server = stack.testrail if side == "testrail" else stack.testably
    cut = threading.Timer(3.0, server.faults.clear)
    server.faults.rates = {FaultKind.RESET: 1.0}
    stack.worker()
    tick(stack, "webhook")
    cut.start()
    eventually(lambda: in_step(stack), 60, stack.logs("worker"))
    assert stack.doubled() == {}
