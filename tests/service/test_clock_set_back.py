"""The host's clock is set back by two hours, with SQLite, whose times are the host's."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.stack import ENDED, Process, Stack, eventually
from tests.service.test_chaos import fill, in_step
from worker.sandbox.server import serve_testably, serve_testrail

TWO_HOURS = -7200


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Stack]:
    """One pair on SQLite, and short waits for what is in doubt."""
    with serve_testrail() as testrail, serve_testably(rate=None) as testably:
        stack = Stack(testrail, testably, f"sqlite:///{tmp_path}/milesync.db", None, tmp_path)
        stack.extra["MILESYNC_HTTP_TIMEOUT"] = "3"
        yield stack
        stack.close()


def start(stack: Stack, name: str) -> Process:
    offset = str(stack.folder / "offset")
    return stack.start(name, "tests.service.jumping", offset, "migrate", "--yes", "--json")


def set_clock(stack: Stack, seconds: float) -> None:
    (stack.folder / "offset").write_text(str(seconds))


@pytest.mark.parametrize("seconds", [TWO_HOURS, -TWO_HOURS])
def test_while_creates_are_in_doubt(alone: Stack, seconds: float) -> None:
    """Each waits its own length and no longer; all are there, and none twice."""
    fill(alone, 6)
    for _ in range(3):
        alone.testably.faults.script("reset_after", method="POST")
    process = start(alone, "migrate")
    eventually(lambda: alone.testably.count("POST") >= 3, 30, alone.logs("migrate"))
    set_clock(alone, seconds)
    assert process.wait(90) == 0, alone.log("migrate")
    assert (in_step(alone), alone.doubled()) == (True, {})


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_after_a_run_that_was_killed_in_the_middle_of_a_write(alone: Stack, method: str) -> None:
    """What it left as being written ends far in the future; the next run does not wait for that.

    The write arrives within the time-out of 3 s and the grace of 10 s, and is found.
    """
    ids = leave_one_being_written(alone, method, delay=11.0)
    assert start(alone, "next").wait(90) == 0, alone.log("next")
    assert (in_step(alone), alone.doubled()) == (True, {})
    assert alone.testably.count("POST") == len(ids), "none was created again"


def test_a_create_that_arrives_after_every_wait_is_reported(alone: Stack) -> None:
    """The next run has created it again by then; a later one says that there are two (R2)."""
    (id_, *_) = leave_one_being_written(alone, "POST", delay=25.0)
    assert start(alone, "next").wait(90) == 0, alone.log("next")
    eventually(lambda: alone.doubled() == {"M0": 2}, 60, alone.logs("next"))
    assert start(alone, "later").wait(90) == 3, alone.log("later")
    (project,) = json.loads(alone.command("failures", "--json").stdout)["projects"]
    (failure,) = project["failures"]
    assert (failure["kind"], failure["testrail_id"]) == ("second_target", id_)


def leave_one_being_written(stack: Stack, method: str, delay: float) -> list[int]:
    """Three milestones, and a killed run whose first write arrives ``delay`` seconds late."""
    ids = fill(stack, 3)
    if method == "PATCH":
        assert start(stack, "first").wait(ENDED) == 0, stack.log("first")
        for id_ in ids:
            stack.testrail.model.update(id_, {"name": f"M{id_} renamed"})
    stack.testably.faults.script("late", method=method, delay=delay)
    process = start(stack, "killed")
    eventually(lambda: stack.testably.count(method), 30, stack.logs("killed"))
    stack.kill(process, signal.SIGKILL)
    set_clock(stack, TWO_HOURS)
    return ids
