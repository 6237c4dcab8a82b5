"""The host's clock is set back by two hours, with SQLite, whose times are the host's."""

from __future__ import annotations

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
    """What it left as being written ends far in the future; the next run does not wait for that."""
    ids = fill(alone, 3)
    if method == "PATCH":
        assert start(alone, "first").wait(ENDED) == 0, alone.log("first")
        for id_ in ids:
            alone.testrail.model.update(id_, {"name": f"M{id_} renamed"})
    alone.testably.faults.script("late", method=method, delay=20.0)
    process = start(alone, "killed")
    eventually(lambda: alone.testably.count(method), 30, alone.logs("killed"))
    alone.kill(process, signal.SIGKILL)
    set_clock(alone, TWO_HOURS)
    assert start(alone, "next").wait(90) == 0, alone.log("next")
    assert (in_step(alone), alone.doubled()) == (True, {})
