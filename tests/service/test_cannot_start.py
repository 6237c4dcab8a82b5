"""Processes of the service that cannot start: two lines as from a command, and exit code 2."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.stack import ENDED, Stack, eventually, free_port
from worker.sandbox.server import serve_testably, serve_testrail

WORKER = ("celery", "-A", "worker.tasks", "worker", "-c", "1")
BEAT = ("celery", "-A", "worker.tasks", "beat")
WEB = ("worker.web",)
UVICORN = ("uvicorn", "worker.web:app", "--port", "0")
ALIVE = ("worker.tasks.alive",)

NO_SCHEME = {"MILESYNC_NOTIFY": "slak://hush"}
NO_CRON = {"MILESYNC_SCHEDULE": "often"}
NO_BROKER = {"MILESYNC_REDIS_URL": ""}
NO_TOKEN = {"MILESYNC_TESTABLY_TOKEN": ""}
NO_FOLDER = {"MILESYNC_DATABASE_URL": "sqlite:////nowhere/at/all/milesync.db"}
NO_SERVER = {"MILESYNC_DATABASE_URL": "postgresql+psycopg://milesync@127.0.0.1:1/milesync"}
NO_DATABASE = {"MILESYNC_DATABASE_URL": "mysql://somewhere/milesync"}
GUESSED_SECRET = {"MILESYNC_WEBHOOK_SECRET": "x" * 15}
GUESSED_TOKEN = {"MILESYNC_WEB_TOKEN": "x" * 15}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """All settings are there; nothing listens at the Redis address, and nobody gets that far."""
    with serve_testrail() as testrail, serve_testably() as testably:
        database = f"sqlite:///{tmp_path}/milesync.db"
        made = Stack(testrail, testably, database, "redis://127.0.0.1:1/0", tmp_path)
        yield made
        made.close()


@pytest.mark.parametrize(
    ("command", "wrong", "said"),
    [
        (WORKER, NO_CRON, "MILESYNC_SCHEDULE"),
        (WORKER, NO_BROKER, "MILESYNC_REDIS_URL is not set"),
        (WORKER, NO_TOKEN, "Not set: MILESYNC_TESTABLY_TOKEN"),
        (WORKER, NO_FOLDER, "unable to open database file"),
        (WORKER, NO_DATABASE, "MILESYNC_DATABASE_URL"),
        (WORKER, NO_SCHEME, "begins with slak://"),
        (BEAT, NO_CRON, "MILESYNC_SCHEDULE"),
        (BEAT, NO_BROKER, "MILESYNC_REDIS_URL is not set"),
        (BEAT, NO_DATABASE, "MILESYNC_DATABASE_URL"),
        (WEB, NO_CRON, "MILESYNC_SCHEDULE"),
        (WEB, NO_FOLDER, "unable to open database file"),
        (WEB, GUESSED_SECRET, "MILESYNC_WEBHOOK_SECRET is shorter than 16"),
        (WEB, GUESSED_TOKEN, "MILESYNC_WEB_TOKEN is shorter than 16"),
        (UVICORN, GUESSED_SECRET, "MILESYNC_WEBHOOK_SECRET is shorter than 16"),
        (UVICORN, NO_CRON, "MILESYNC_SCHEDULE"),
        (UVICORN, NO_FOLDER, "unable to open database file"),
        (UVICORN, NO_DATABASE, "MILESYNC_DATABASE_URL"),
        (ALIVE, NO_CRON, "MILESYNC_SCHEDULE"),
        (ALIVE, NO_BROKER, "MILESYNC_REDIS_URL is not set"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, (tuple, dict)) else "",
)
def test_two_lines_and_exit_code_2(
    stack: Stack, command: tuple[str, ...], wrong: dict[str, str], said: str
) -> None:
    """What is wrong, and what to do; no traceback, nothing else."""
    stack.extra.update(wrong)
    process = stack.start("process", *command, PYTHONWARNINGS="ignore")
    assert process.wait(ENDED) == 2, stack.log("process")
    [what, hint] = stack.log("process").splitlines()
    assert what.startswith("milesync: ")
    assert said in what
    assert hint.startswith("  ")
    assert hint.strip()


@pytest.mark.parametrize(("command", "starts"), [(WORKER, "celery@"), (WEB, "Uvicorn running")])
def test_a_database_server_that_is_away_is_waited_for(
    stack: Stack, clean_redis: str, command: tuple[str, ...], starts: str
) -> None:
    """It may come back, and a process that ends would have to be started by somebody."""
    stack.redis_url = clean_redis
    stack.extra.update(NO_SERVER, MILESYNC_LISTEN=f"127.0.0.1:{free_port()}")
    process = stack.start("process", *command)
    eventually(lambda: starts in stack.log("process"), 30, stack.logs("process"))
    assert "the work waits for the database" in stack.log("process")
    assert process.poll() is None


def test_a_beat_that_nobody_can_ask_for_is_said_without_a_traceback(stack: Stack) -> None:
    process = stack.start("process", *ALIVE)
    assert process.wait(ENDED) == 1
    assert stack.log("process").startswith("milesync: Redis did not answer")
    assert "Traceback" not in stack.log("process")


def test_a_port_that_is_taken_is_said_in_two_lines(stack: Stack) -> None:
    """By the web process, and by `up`, which begins nothing then."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        stack.extra["MILESYNC_LISTEN"] = f"127.0.0.1:{other.getsockname()[1]}"
        process = stack.start("process", *WEB)
        assert process.wait(ENDED) == 1
        [what, hint] = stack.log("process").splitlines()
        where = stack.extra["MILESYNC_LISTEN"]
        assert what == f"milesync: Nothing can listen at {where}: Address already in use."
        assert "MILESYNC_LISTEN" in hint
        stack.redis_url = None
        up = stack.start("up", "worker.cli", "up")
        assert up.wait(ENDED) == 1
        assert stack.log("up").splitlines() == [what, hint]
        told = stack.start("json", "worker.cli", "up", "--json")
        assert told.wait(ENDED) == 1
        document = json.loads(stack.log("json"))
        assert (document["state"], document["error"]["kind"]) == ("failed", "listen")
