"""What does not belong into a queue, and what a message must not ask for, stops nothing."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.service.stack import Stack, eventually
from worker.tasks import sync_project, use_settings


def message(task: str, args: list[Any], kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
    """A message as Celery sends it."""
    body = json.dumps([args, kwargs or {}, {"callbacks": None, "errbacks": None}])
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": "1", "root_id": "1", "argsrepr": "()"},
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "sync", "routing_key": "sync"},
            "delivery_mode": 2,
            "delivery_tag": "tag-1",
            "correlation_id": "1",
        },
    }


def without(key: str) -> dict[str, Any]:
    made = message("milesync.sync_project", [1, "proj_abc123", "schedule"])
    return {name: value for name, value in made.items() if name != key}


SYNC = "milesync.sync_project"
PAIR = [1, "proj_abc123", "schedule"]
ENTRIES = {
    "not JSON": b"\xff{secret",
    "a number": b"17",
    "null": b"null",
    "a list": b"[[[]]]",
    "deeply nested": b"[" * 100_000,
    "no properties": json.dumps(without("properties")).encode(),
    "no headers": json.dumps(without("headers")).encode(),
    "no body": json.dumps(without("body")).encode(),
    "headers of a wrong type": json.dumps({**message(SYNC, PAIR), "headers": 5}).encode(),
    "a body of a wrong type": json.dumps({**message(SYNC, PAIR), "body": {"a": 1}}).encode(),
    "a body that is not base64": json.dumps({**message(SYNC, PAIR), "body": "*"}).encode(),
    "an unknown encoding": json.dumps({**message(SYNC, PAIR), "content-encoding": "x"}).encode(),
    "an unknown task": json.dumps(message("milesync.nothing", [])).encode(),
    "no arguments": json.dumps(message(SYNC, [])).encode(),
    "wrong arguments": json.dumps(message(SYNC, [[], {}, None, 1, 2, 3, 4, 5])).encode(),
    "a huge number": json.dumps(message(SYNC, [2**70, "proj_abc123", "schedule"])).encode(),
    "an unknown trigger": json.dumps(message(SYNC, [1, "proj_abc123", "moon"])).encode(),
    "a huge attempt": json.dumps(message(SYNC, PAIR, {"attempt": 2**70, "run": "x"})).encode(),
    "a run of a wrong type": json.dumps(message(SYNC, PAIR, {"run": {"a": 1}})).encode(),
}


def works(stack: Stack, name: str) -> None:
    """A message that comes afterwards is done."""
    stack.testrail.model.add(1, {"name": name})
    use_settings(stack.settings)
    sync_project.apply_async((1, "proj_abc123", "schedule"))
    eventually(lambda: name in stack.names(), 30, stack.logs("worker"))


def test_no_entry_of_a_queue_stops_a_worker(stack: Stack) -> None:
    """Each kind, in turn and then all at once; the content is in no log."""
    stack.worker()
    for name, entry in ENTRIES.items():
        stack.redis.lpush("sync", entry)
        works(stack, f"after {name}")
    for queue in ("refresh", "sweep", "sync", "migration"):
        stack.redis.lpush(queue, *ENTRIES.values())
    works(stack, "after all")
    assert "dropped an entry of a queue that is no message" in stack.log("worker")
    assert "{secret" not in stack.log("worker")


@pytest.mark.parametrize("queue", ["refresh", "sync"])
def test_a_key_of_a_wrong_type_stops_no_worker(stack: Stack, queue: str) -> None:
    """It is renamed, and its content stays."""
    stack.redis.set(queue, "text")
    stack.worker()
    eventually(lambda: stack.redis.get(f"{queue}:not-a-queue"), 20, stack.logs("worker"))
    works(stack, "afterwards")


def test_an_unreadable_unacknowledged_message_stops_no_other(stack: Stack) -> None:
    stack.redis.hset("unacked", "bad", b"\xff")
    stack.redis.zadd("unacked_index", {"bad": 1.0})
    stack.worker()
    eventually(lambda: not stack.redis.hexists("unacked", "bad"), 30, stack.logs("worker"))
    works(stack, "afterwards")
