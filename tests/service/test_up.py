"""`milesync up`: everything in one terminal, on the embedded broker and SQLite."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.service.stack import ENDED, ROOT, Process, Stack, eventually, free_port
from worker.cli.up import parts
from worker.sandbox.limit import ServerRate
from worker.sandbox.server import serve_testably, serve_testrail

PARTS = {"web", "worker", "refresher", "beat"}
LIMIT = ServerRate(60, 6.0)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Two pairs on SQLite, without Redis, and a free port for the web process."""
    with serve_testrail() as testrail, serve_testably(rate=LIMIT) as testably:
        testrail.model.projects.add(2)
        testably.model.projects.add("proj_two")
        stack = Stack(testrail, testably, f"sqlite:///{tmp_path}/milesync.db", None, tmp_path)
        stack.extra["MILESYNC_LISTEN"] = f"127.0.0.1:{free_port()}"
        stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "60/6s"
        stack.extra["MILESYNC_PROJECTS"] = "1=proj_abc123,2=proj_two"
        stack.extra["MILESYNC_SCHEDULE"] = "0 0 1 1 *"
        yield stack
        for process in stack.processes:
            for member in descendants(process):
                os.kill(member, signal.SIGKILL)
        stack.close()


def start(stack: Stack, **extra: str) -> Process:
    """`milesync up`, once all its processes are at work."""
    before = stack.log("up").count("ready.")
    up = stack.start("up", "worker.cli", "up", **extra)
    eventually(lambda: stack.log("up").count("ready.") >= before + 2, 40, stack.logs("up"))
    eventually(lambda: is_ready(stack), 40, stack.logs("up"))
    return up


def url(stack: Stack) -> str:
    return f"http://{stack.extra['MILESYNC_LISTEN']}"


def is_ready(stack: Stack) -> bool:
    try:
        return httpx.get(f"{url(stack)}/readyz", timeout=2).is_success
    except httpx.HTTPError:
        return False


def ps(*columns: str) -> list[list[str]]:
    command = ["ps", "-A", "-ww", "-o", ",".join(f"{column}=" for column in columns)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split(maxsplit=len(columns) - 1) for line in listed.stdout.splitlines()]


def descendants(process: Process) -> list[int]:
    """The living processes of the session that this one leads."""
    rows = ps("pid", "sess", "stat")
    return [int(p) for p, session, state in rows if int(session) == process.pid and state[0] != "Z"]


def broker(stack: Stack) -> Path:
    return stack.folder / "milesync.db.broker"


def patched_by(stack: Stack) -> set[str]:
    """The processes that say that they sent a PATCH."""
    return {r["process"] for r in stack.records("up") if r.get("method") == "PATCH"}


def test_up_says_that_it_runs_once_it_is_answered(stack: Stack) -> None:
    stack.start("up", "worker.cli", "up")
    eventually(lambda: "milesync runs at" in stack.log("up"), 40, stack.logs("up"))
    assert httpx.get(f"{url(stack)}/healthz", timeout=10).is_success


def test_up_syncs_by_schedule_and_webhook_and_ends_cleanly(stack: Stack) -> None:
    """Web, worker, refresher and beat run without a Redis; Ctrl-C ends all of them with 130."""
    stack.extra["MILESYNC_SCHEDULE"] = "* * * * *"
    first = int(str(stack.testrail.model.add(1, {"name": "first"})["id"]))
    up = start(stack)
    eventually(lambda: stack.targets(), 95, stack.logs("up"))
    stack.testrail.model.update(first, {"name": "renamed"})
    stack.hook(url(stack), project_id=1, milestone_id=first)
    eventually(lambda: stack.targets()[0]["name"] == "renamed", 15, stack.logs("up"))
    eventually(lambda: patched_by(stack), 5, stack.logs("up"))
    assert patched_by(stack) <= {"refresher", "worker"}
    assert {record["process"] for record in stack.records("up") if "process" in record} == PARTS
    up.send_signal(signal.SIGINT)
    assert up.wait(ENDED) == 130, stack.log("up")
    assert "one small team" in stack.log("up")
    assert descendants(up) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_in_order(stack: Stack, number: signal.Signals) -> None:
    up = start(stack)
    up.send_signal(number)
    assert up.wait(ENDED) == 128 + number, stack.log("up")
    assert (descendants(up), broker(stack).exists()) == ([], False)


def test_a_second_signal_ends_everything_at_once(stack: Stack) -> None:
    """Although the worker is in the middle of a request."""
    stack.testrail.model.add(1, {"name": "slow"})
    up = start(stack)
    stack.testably.faults.script("late", method="POST", delay=25.0)
    stack.hook(url(stack), project_id=1)
    eventually(lambda: stack.testably.count("POST"), 20, stack.logs("up"))
    up.send_signal(signal.SIGTERM)
    eventually(lambda: "Ending" in stack.log("up"), 5, stack.logs("up"))
    up.send_signal(signal.SIGTERM)
    assert up.wait(15) == 143  # its request would take longer
    eventually(lambda: not descendants(up), 3)


def test_whatever_up_started_ends_with_it(stack: Stack) -> None:
    """Killed without a terminal: nobody holds the port, and the next one starts."""
    up = start(stack)
    assert len(descendants(up)) >= 8
    os.kill(up.pid, signal.SIGKILL)
    up.wait(ENDED)
    eventually(lambda: not descendants(up), 15, stack.logs("up"))
    assert broker(stack).exists()
    assert stack.command("sync", "--json").returncode == 0, stack.log("command")
    again = start(stack)
    again.send_signal(signal.SIGTERM)
    assert again.wait(ENDED) == 143


def test_up_ends_when_one_of_its_processes_is_killed(stack: Stack) -> None:
    """Celery's own processes, which the killed one leaves, end too."""
    up = start(stack)
    mine = descendants(up)
    refreshers = [p for p, a in ps("pid", "args") if int(p) in mine and "refresher@" in a]
    os.kill(min(map(int, refreshers)), signal.SIGKILL)
    assert up.wait(ENDED) == 1
    assert "The refresher ended by itself" in stack.log("up")
    assert descendants(up) == []


def test_the_embedded_broker_asks_for_its_password(stack: Stack) -> None:
    """It is in no log and on no command line, and its file is for the owner only."""
    start(stack, MILESYNC_LOG_LEVEL="debug")
    address = broker(stack).read_text()
    password = address.partition("redis://:")[2].partition("@")[0]
    assert len(password) >= 32
    assert broker(stack).stat().st_mode & 0o777 == 0o600
    with Redis.from_url(address) as client:
        assert client.ping()
    for wrong in ("", ":x@", f"somebody:{password}@"):
        refused = Redis.from_url(address.replace(f":{password}@", wrong))
        with refused as client, pytest.raises(RedisError):
            client.ping()
    assert password not in stack.log("up")
    assert all(password not in arguments for (arguments,) in ps("args"))


def test_its_processes_are_those_of_the_procfile() -> None:
    text = (ROOT / "Procfile").read_text().replace("${WORKER_PROCESSES:-2}", "2")
    lines = dict(line.split(": ", 1) for line in text.splitlines())
    commands = {name: lines[name].removeprefix("python -m ").split() for name in PARTS}
    ours = {name: [word for word in words if word != "--quiet"] for name, words in parts().items()}
    assert ours == commands


def test_a_second_up_is_told_that_there_is_one(stack: Stack) -> None:
    start(stack)
    refused = stack.command("up", "--json")
    assert refused.returncode == 1
    assert "runs on this database already" in refused.stdout
    assert is_ready(stack)


def test_a_command_beside_up_keeps_to_one_rate_limit_with_it(stack: Stack) -> None:
    """Both write at once on one token, and nobody is ever told 429."""
    for number in range(60):
        stack.testrail.model.add(1, {"name": f"A{number}"})
        stack.testrail.model.add(2, {"name": f"B{number}"})
    start(stack, MILESYNC_PROJECTS="1=proj_abc123")
    eventually(lambda: stack.targets(), 95, stack.logs("up"))
    command = stack.start("command", "worker.cli", "migrate", "--yes", "--project", "2")
    eventually(lambda: stack.targets("proj_two"), 20, stack.logs("command"))
    assert len(stack.targets()) < 60
    assert command.wait(ENDED) == 0, stack.log("command")
    eventually(lambda: len(stack.targets()) == 60, 60, stack.logs("up"))
    assert len(stack.targets("proj_two")) == 60
    assert stack.testably.count(status=429) == 0
    assert (stack.doubled(), stack.doubled("proj_two")) == ({}, {})


def test_a_command_goes_on_when_up_is_killed_beside_it(stack: Stack) -> None:
    for number in range(60):
        stack.testrail.model.add(2, {"name": f"B{number}"})
    up = start(stack, MILESYNC_PROJECTS="1=proj_abc123")
    command = stack.start("command", "worker.cli", "migrate", "--yes", "--project", "2")
    eventually(lambda: len(stack.targets("proj_two")) > 5, 20, stack.logs("command"))
    os.kill(up.pid, signal.SIGKILL)
    assert command.wait(ENDED) == 0, stack.log("command")
    assert len(stack.targets("proj_two")) == 60
    assert "answers no more" in stack.log("command")


def test_a_migration_is_handed_to_the_workers_of_up(stack: Stack) -> None:
    start(stack)
    # what is due for the first time is synced as soon as the beat starts
    eventually(lambda: stack.log("up").count("run ended") == 2, 60, stack.logs("up"))
    for number in range(5):
        stack.testrail.model.add(1, {"name": f"A{number}"})
    arguments = ("migrate", "--background", "--yes", "--json", "--project", "1")
    assert stack.command(*arguments).returncode == 0, stack.log("command")
    assert len(stack.targets()) == 5
