"""Whatever stands in Redis where the service, the broker or the beat keeps its own: it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from tests.service.stack import Stack, eventually
from tests.service.test_chaos import fill, in_step
from worker.tasks import sync_project, use_settings

TEXT = b"\xff{not ours"
LARGE = b"9" * 400
PASSING = (b"unacked", b"unacked_index", b"unacked_mutex", b"_kombu.binding.reply.celery.pidbox")
"""Keys of the broker that are there at times only."""
Garble = Callable[[Redis, bytes], Any]


def _add_members(redis: Redis, key: bytes) -> None:
    """What no reader expects, among what stands there."""
    kind = redis.type(key)
    for text in (TEXT, b"", LARGE):
        if kind == b"set":
            redis.sadd(key, text)
        elif kind == b"zset":
            redis.zadd(key, {text: 1.0})
        elif kind == b"list":
            redis.lpush(key, text)
        elif kind == b"hash":
            for field in redis.hkeys(key):
                redis.hset(key, field, text)
        else:
            redis.set(key, text)


def _replace_by(put: Garble) -> Garble:
    def garble(redis: Redis, key: bytes) -> None:
        redis.delete(key)
        put(redis, key)

    return garble


GARBLES: dict[str, Garble] = {
    "other members": _add_members,
    "a text": _replace_by(lambda redis, key: redis.set(key, TEXT)),
    "a list": _replace_by(lambda redis, key: redis.rpush(key, TEXT)),
    "a hash": _replace_by(lambda redis, key: redis.hset(key, TEXT, TEXT)),
    "a sorted set": _replace_by(lambda redis, key: redis.zadd(key, {TEXT: 1.0})),
}
OFTEN = ("other members", "a hash")
"""What the short tests try; the soak tries every kind."""


@pytest.fixture
def at_work(stack: Stack) -> tuple[Stack, str]:
    """A service that has synced one milestone and refreshed it; with its web process's address."""
    (id_,) = fill(stack, 1)
    stack.worker()
    stack.start("beat", "celery", "-A", "worker.tasks", "beat")
    url = stack.web()
    eventually(lambda: in_step(stack), 60, stack.logs("worker", "beat"))
    stack.testrail.model.update(id_, {"name": "renamed"})
    stack.hook(url, project_id=1, milestone_id=id_)
    eventually(lambda: in_step(stack), 60, stack.logs("worker"))
    return stack, url


def _keys(stack: Stack) -> list[bytes]:
    return [bytes(key) for key in stack.redis.keys("*")]  # type: ignore[arg-type]


def works(stack: Stack, url: str, name: str, *logs: str) -> None:
    """A sync and a refresh are done, and the beat ticks."""
    processes = stack.logs(*logs)
    id_ = int(str(stack.testrail.model.add(1, {"name": name})["id"]))
    use_settings(stack.settings)
    sync_project.apply_async((1, "proj_abc123", "schedule"))
    eventually(lambda: in_step(stack), 60, processes)
    stack.testrail.model.update(id_, {"name": f"{name}, renamed"})
    assert stack.hook(url, project_id=1, milestone_id=id_).status_code == 202
    eventually(lambda: in_step(stack), 60, processes)
    stack.redis.delete("milesync:beat:ticked")
    eventually(lambda: stack.redis.get("milesync:beat:ticked"), 60, processes)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "garble",
    [
        pytest.param(garble, id=name, marks=() if name in OFTEN else pytest.mark.soak)
        for name, garble in GARBLES.items()
    ],
)
def test_all_keys_at_once_stop_neither_what_runs_nor_what_starts(
    at_work: tuple[Stack, str], garble: Garble
) -> None:
    stack, url = at_work
    keys = [*sorted(_keys(stack)), *PASSING]
    for key in keys:
        garble(stack.redis, key)
    works(stack, url, "running", "worker", "web", "beat")
    for process in stack.processes:
        stack.kill(process)
    for key in keys:
        garble(stack.redis, key)
    stack.worker("new-worker")
    stack.start("new-beat", "celery", "-A", "worker.tasks", "beat")
    works(stack, stack.web("new-web"), "started", "new-worker", "new-web", "new-beat")
    for log in ("worker", "beat", "new-worker", "new-beat"):
        for line in stack.log(log).splitlines():
            assert "Traceback" not in line, (log, line)
            assert "{not ours" not in line


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("garble", GARBLES.values(), ids=list(GARBLES))
def test_each_key_stops_nothing(at_work: tuple[Stack, str], garble: Garble) -> None:
    stack, url = at_work
    for key in [*sorted(_keys(stack)), *PASSING]:
        garble(stack.redis, key)
        works(stack, url, f"after {key.decode()}", "worker", "web", "beat")
