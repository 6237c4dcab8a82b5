"""SIGINT, SIGTERM and SIGHUP to real commands, at the moments where they can come."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM
from typing import Any

import pytest

from tests.service.stack import ENDED, ROOT, Process, Stack, eventually
from worker.sandbox.server import serve_testably, serve_testrail

COUNT = 6
AT_ONCE = 12.0
"""Seconds within which a command that waits has to end, its own farewell included: less than any
of the waits here that it breaks off, and enough on a busy machine."""


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Stack]:
    """One pair on SQLite, without Redis: what a person at a terminal has."""
    with serve_testrail() as testrail, serve_testably(rate=None) as testably:
        for number in range(COUNT):
            testrail.model.add(1, {"name": f"M{number}"})
        stack = Stack(testrail, testably, f"sqlite:///{tmp_path}/milesync.db", None, tmp_path)
        yield stack
        stack.close()


def migrate(stack: Stack, **extra: str) -> Process:
    return stack.start("migrate", "worker.cli", "migrate", "--yes", "--json", **extra)


def document(stack: Stack, name: str = "migrate") -> Any:
    """The one JSON document of a command, behind the lines of its log."""
    text = stack.log(name)
    return json.loads(text[text.index("{\n") :])


def latest_run(stack: Stack) -> Any:
    text = stack.command("status", "--json").stdout
    return json.loads(text[text.rindex('{\n  "projects"') :])["projects"][0]["runs"][0]


def must_be_interrupted(stack: Stack, process: Process, number: signal.Signals) -> None:
    """The exit code, the document and the recorded run; then the next one finishes the work."""
    assert process.returncode == 128 + number, stack.log("migrate")
    told = document(stack)
    [project] = told["projects"]
    assert (told["state"], told["error"]["kind"]) == ("aborted", "interrupted")
    assert number.name in told["error"]["message"]
    assert (project["state"], project["created"]) == ("aborted", len(stack.targets()))
    assert latest_run(stack)["state"] == "aborted"
    assert stack.command("sync", "--json").returncode == 0, stack.log("command")
    assert sorted(stack.names()) == [f"M{number}" for number in range(COUNT)]


@pytest.mark.parametrize("number", [SIGINT, SIGTERM, SIGHUP])
def test_in_the_middle_of_a_post_its_answer_is_waited_for(
    alone: Stack, number: signal.Signals
) -> None:
    """The create is recorded, and no other one is begun: nothing is left in doubt."""
    alone.testably.faults.script("late", method="POST", delay=2.0)
    process = migrate(alone)
    eventually(lambda: alone.testably.count("POST"), 20, alone.logs("migrate"))
    process.send_signal(number)
    process.wait(ENDED)
    assert (alone.testably.count("POST"), len(alone.targets())) == (1, 1)
    before = len(alone.testably.requests)
    must_be_interrupted(alone, process, number)
    assert alone.testably.requests[before].method == "GET"
    assert alone.testably.count("POST") == COUNT


@pytest.mark.parametrize("number", [SIGINT, SIGTERM, SIGHUP])
def test_while_it_waits_for_the_rate_limit_it_ends_at_once(
    alone: Stack, number: signal.Signals
) -> None:
    process = migrate(alone, MILESYNC_TESTABLY_RATE_LIMIT="3/60s")
    eventually(lambda: alone.testably.count(), 20, alone.logs("migrate"))
    before = time.monotonic()
    process.send_signal(number)
    process.wait(ENDED)
    assert time.monotonic() - before < AT_ONCE
    must_be_interrupted(alone, process, number)


def test_while_reading_it_ends_after_the_request(alone: Stack) -> None:
    alone.testrail.faults.script("late", method="GET", contains="get_milestones", delay=2.0)
    process = migrate(alone)
    eventually(lambda: alone.testrail.count("GET", "get_milestones"), 20, alone.logs("migrate"))
    process.send_signal(SIGTERM)
    process.wait(ENDED)
    assert alone.testably.count("POST") == 0
    must_be_interrupted(alone, process, SIGTERM)


def test_while_a_create_in_doubt_is_waited_for_it_ends_at_once(alone: Stack) -> None:
    """The create stays in doubt, and the next run looks before it creates it again."""
    alone.testably.faults.script("reset_after", method="POST")
    process = migrate(alone, MILESYNC_HTTP_TIMEOUT="5")
    eventually(lambda: alone.testably.count("POST") == COUNT, 20, alone.logs("migrate"))
    before = time.monotonic()
    process.send_signal(SIGTERM)
    process.wait(ENDED)
    assert time.monotonic() - before < AT_ONCE
    assert process.returncode == 143, alone.log("migrate")
    assert document(alone)["error"]["kind"] == "interrupted"
    assert latest_run(alone)["state"] == "aborted"
    assert alone.command("sync", "--json").returncode == 0, alone.log("command")
    assert sorted(alone.names()) == [f"M{number}" for number in range(COUNT)]


@pytest.mark.parametrize("second", [SIGINT, SIGTERM, SIGHUP])
def test_a_second_signal_ends_it_although_the_request_is_not_over(
    alone: Stack, second: signal.Signals
) -> None:
    alone.testably.faults.script("late", method="POST", delay=20.0)
    process = migrate(alone)
    eventually(lambda: alone.testably.count("POST"), 20, alone.logs("migrate"))
    process.send_signal(SIGTERM)
    eventually(lambda: not _is_pending(process, SIGTERM))
    process.send_signal(second)
    assert process.wait(AT_ONCE) == 128 + second, alone.log("migrate")


def _is_pending(process: Process, number: signal.Signals) -> bool:
    """Whether the system has not delivered the signal yet; two at once would count as one."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return False
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    pending = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
    return bool(pending & 1 << (number - 1))


@pytest.mark.parametrize(
    ("command", "slow"),
    [
        (("plan", "--json"), True),
        (("verify", "--json"), True),
        (("check", "--json"), True),
        (("rebuild", "--json"), True),
        (("migrate", "--dry-run", "--json"), True),
        (("sync", "--json"), True),
        (("demo", "--json"), False),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_every_long_command_ends_with_one_document(
    alone: Stack, command: tuple[str, ...], slow: bool
) -> None:
    """Each is at its first request, or in the middle of what it does."""
    for server in (alone.testrail, alone.testably):
        if slow:
            server.faults.script("late", delay=1.0)
    process = alone.start("migrate", "worker.cli", *command, TMPDIR=str(alone.folder))
    if slow:
        requests = lambda: alone.testrail.count() + alone.testably.count()  # noqa: E731
        eventually(requests, 20, alone.logs("migrate"))
    else:
        begun = alone.folder.glob
        eventually(lambda: [*begun("milesync-demo-*/milesync.db")], 20, alone.logs("migrate"))
    process.send_signal(SIGTERM)
    assert process.wait(ENDED) == 143, alone.log("migrate")
    told = document(alone)
    assert (told["state"], told["error"]["kind"]) == ("aborted", "interrupted")
    if command[0] in ("rebuild", "sync"):
        [project], run = told["projects"], latest_run(alone)
        assert (project["run"], project["requests"]) == (run["run"], run["requests"])


def test_an_undo_ends_after_its_request_and_goes_on_when_it_is_called_again(alone: Stack) -> None:
    assert alone.command("sync", "--json").returncode == 0, alone.log("command")
    migrated = latest_run(alone)["run"]
    alone.testably.faults.script("late", method="PATCH", delay=1.5)
    process = alone.start("migrate", "worker.cli", "undo", migrated, "--yes", "--json")
    eventually(lambda: alone.testably.count("PATCH"), 20, alone.logs("migrate"))
    process.send_signal(SIGTERM)
    assert process.wait(ENDED) == 143, alone.log("migrate")
    told = document(alone)
    assert (told["state"], told["error"]["kind"]) == ("aborted", "interrupted")
    assert (latest_run(alone)["run"] != migrated, latest_run(alone)["state"]) == (True, "aborted")
    [project] = told["projects"]
    assert (project["run"], project["archived"]) == (latest_run(alone)["run"], 1)
    assert _archived(alone) == 1
    assert alone.command("undo", migrated, "--yes", "--json").returncode == 0, alone.log("command")
    assert (_archived(alone), alone.testably.count("PATCH")) == (COUNT, COUNT)


def _archived(stack: Stack) -> int:
    return sum(target["status"] == "archived" for target in stack.targets())


@pytest.mark.parametrize("number", [SIGINT, SIGTERM, SIGHUP])
def test_the_sandbox_has_told_its_document_already(alone: Stack, number: signal.Signals) -> None:
    ports = ("--testrail-port", "0", "--testably-port", "0")
    process = alone.start("migrate", "worker.cli", "sandbox", *ports, "--json")
    eventually(lambda: "settings" in alone.log("migrate"), 20, alone.logs("migrate"))
    process.send_signal(number)
    assert process.wait(ENDED) == 128 + number
    assert document(alone)["state"] == "running"


# --- on a terminal ----------------------------------------------------------------------------


@pytest.fixture
def terminal(alone: Stack) -> Iterator[tuple[Callable[..., Process], int]]:
    """Starts a command whose stdin and stderr are a terminal; and the terminal's other end."""
    ours, theirs = pty.openpty()

    def start(*command: str) -> Process:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("MILESYNC_")}
        with (alone.folder / "migrate.log").open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "worker.cli", *command],
                cwd=alone.folder,
                env={**plain, **alone.variables, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
                stdin=theirs,
                stdout=out,
                stderr=theirs,
                start_new_session=True,
            )
        alone.processes.append(process)
        return process

    yield start, ours
    os.close(theirs)


@pytest.mark.parametrize("number", [SIGINT, SIGTERM, SIGHUP])
def test_while_it_asks_nothing_is_written(
    alone: Stack, terminal: tuple[Callable[..., Process], int], number: signal.Signals
) -> None:
    start, ours = terminal
    process = start("migrate", "--json")
    seen = b""
    while b"Go on?" not in seen:
        seen += os.read(ours, 4096)
    process.send_signal(number)
    process.wait(ENDED)
    os.close(ours)
    must_be_interrupted(alone, process, number)


def test_the_terminal_closes_in_the_middle_of_a_post(
    alone: Stack, terminal: tuple[Callable[..., Process], int]
) -> None:
    """Its progress cannot be shown any more; the run is closed as interrupted all the same."""
    start, ours = terminal
    alone.testably.faults.script("late", method="POST", delay=2.0)
    process = start("migrate", "--yes", "--json")
    eventually(lambda: alone.testably.count("POST"), 20, alone.logs("migrate"))
    os.close(ours)
    process.send_signal(SIGHUP)
    process.send_signal(SIGHUP)  # once by its shell, once by the system
    process.wait(ENDED)
    assert (alone.testably.count("POST"), len(alone.targets())) == (1, 1)
    must_be_interrupted(alone, process, SIGHUP)


def test_a_hangup_that_is_ignored_stays_ignored(alone: Stack) -> None:
    """As under ``nohup``."""
    alone.testably.faults.script("late", method="POST", delay=1.0)
    before = signal.signal(SIGHUP, signal.SIG_IGN)
    try:
        process = migrate(alone)
    finally:
        signal.signal(SIGHUP, before)
    eventually(lambda: alone.testably.count("POST"), 20, alone.logs("migrate"))
    process.send_signal(SIGHUP)
    assert process.wait(ENDED) == 0, alone.log("migrate")
    assert len(alone.targets()) == COUNT
