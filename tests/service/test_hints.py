"""Many hints, little work; and what is lost, put off or refused waits for no more than a minute."""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis import Redis
from sqlalchemy import text

from mappings.locks import pair_lock
from tests.service.stack import Stack, eventually
from tests.service.test_chaos import fill, in_step, tick
from worker.sandbox.faults import FaultKind
from worker.tasks import sweep_deliveries, use_settings
from worker.tasks.hints import Hints
from worker.tasks.paused import PAUSED_FOR, _mark

PAIR = "sync 1=proj_abc123"


def sweep(stack: Stack, name: str = "worker") -> None:
    """One sweep by a worker, to its end."""
    use_settings(stack.settings)
    done = "Task milesync.sweep_deliveries"
    before = sum(done in line and "succeeded" in line for line in stack.log(name).splitlines())
    sweep_deliveries.apply_async()
    eventually(
        lambda: (
            sum(done in line and "succeeded" in line for line in stack.log(name).splitlines())
            > before
        ),
        30,
        stack.logs(name),
    )


def set_back(stack: Stack, seconds: int = 31) -> None:
    """As if the accepted calls were so much older."""
    with stack.deployment as here, here.engine.begin() as connection:
        earlier = f"received_at - interval '{seconds} seconds'"
        connection.execute(text(f"UPDATE deliveries SET received_at = {earlier}"))


def received(stack: Stack, task: str) -> int:
    begins = f"Task milesync.{task}["
    events = [str(record["event"]) for record in stack.records("worker")]
    return sum(event.startswith(begins) and event.endswith(" received") for event in events)


def test_a_mark_stands_no_longer_than_a_lost_message_may(clean_redis: str) -> None:
    """Longer where others are in the queue before it: it may be there still."""
    with Redis.from_url(clean_redis) as redis:
        hints = Hints(redis)
        assert hints.ask("one", "refresh")
        assert 0 < redis.ttl("milesync:queued:one") <= 30
        redis.lpush("refresh", "x")
        assert hints.ask("two", "refresh")
        assert 60 < redis.ttl("milesync:queued:two") <= 120
        redis.delete("refresh")
        redis.set("refresh", "no queue")
        assert hints.ask("three", "refresh")


def test_of_a_milestone_that_cannot_be_read_one_message_is_under_way(stack: Stack) -> None:
    """However often the sweep runs meanwhile; and once it can be read it is, without a message."""
    (id_,) = fill(stack, 1)
    stack.worker()
    url = stack.web()
    tick(stack)
    eventually(lambda: in_step(stack), 20, stack.logs("worker"))
    stack.testrail.faults.rates = {FaultKind.SERVER_ERROR: 1.0}
    stack.testrail.model.update(id_, {"name": "renamed"})
    stack.hook(url, project_id=1, milestone_id=id_)
    eventually(lambda: "put off until" in stack.log("worker"), 60, stack.logs("worker"))
    set_back(stack)
    for _ in range(5):
        sweep(stack)
    assert received(stack, "refresh_milestone") == 1
    stack.testrail.faults.clear()
    stack.redis.delete(*stack.redis.keys("milesync:queued:*"))
    stack.redis.delete(*stack.redis.keys("milesync:recent:*"))
    sweep(stack)
    eventually(lambda: in_step(stack), 30, stack.logs("worker"))
    assert received(stack, "refresh_milestone") == 2


def test_a_hinted_sync_of_a_busy_pair_is_one_message_and_begins_soon(stack: Stack) -> None:
    """Not a minute after the pair was let go, and not once for each sweep."""
    fill(stack, 1)
    stack.worker()
    url = stack.web()
    with stack.deployment as here:
        pair = here.store.pair(here.identity(here.settings.projects[0]))
        with pair_lock(here.engine, pair.id):
            stack.hook(url, project_id=1)
            eventually(lambda: "goes on later" in stack.log("worker"), 20, stack.logs("worker"))
            eventually(lambda: stack.redis.exists(f"milesync:queued:{PAIR}"), 5)
            set_back(stack)
            for _ in range(3):
                sweep(stack)
            assert not stack.redis.exists(f"milesync:recent:{PAIR}")
            assert received(stack, "sync_project") <= 2
    eventually(lambda: in_step(stack), 40, stack.logs("worker"))


def test_a_worker_that_was_killed_in_a_hinted_sync_delays_the_next_by_no_more_than_a_minute(
    stack: Stack,
) -> None:
    """The mark that it leaves ends soon."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "10/2s"
    fill(stack, 30)
    worker = stack.worker()
    url = stack.web()
    stack.hook(url, project_id=1)
    eventually(lambda: len(stack.targets()) >= 2, 30, stack.logs("worker"))
    stack.kill(worker)
    left = int(stack.redis.ttl(f"milesync:recent:{PAIR}"))
    assert 0 < left <= 60


@pytest.mark.parametrize("repaired", [True, False])
def test_a_paused_pair_tries_its_credentials_again_after_an_hour(
    stack: Stack, repaired: bool
) -> None:
    """By itself, whatever its schedule: this one is due once a year."""
    stack.extra["MILESYNC_SCHEDULE"] = "0 0 1 1 *"
    if not repaired:
        stack.extra["MILESYNC_TESTABLY_TOKEN"] = "still-wrong"
    fill(stack, 1)
    stack.worker()
    with stack.deployment as here:
        configured = here.settings.projects[0]
        pair = here.store.pair(here.identity(configured))

        def pause(since: timedelta) -> None:
            here.store.update_pair(
                pair.id,
                paused_because="refused",
                paused_at=here.clock.now() - since,
                refused_credentials=_mark(configured),
            )

        def was_paused_again() -> bool:
            found = here.store.all_pairs()[0]
            return found.paused_at is not None and found.paused_at > here.clock.now() - PAUSED_FOR

        pause(PAUSED_FOR / 2)
        sweep(stack)
        assert received(stack, "sync_project") == 0
        pause(PAUSED_FOR)
        sweep(stack)
        ready = (lambda: in_step(stack)) if repaired else was_paused_again
        eventually(ready, 30, stack.logs("worker"))
        eventually(lambda: "run ended" in stack.log("worker"), 20, stack.logs("worker"))
        assert (here.store.all_pairs()[0].paused_because is None) is repaired
