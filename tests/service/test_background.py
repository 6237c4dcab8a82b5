"""`migrate --background`: handed to a worker, shown from the database, stopped and seen again."""

from __future__ import annotations

import json
import signal

import pytest

from tests.service.stack import ENDED, Stack, eventually


def fill(stack: Stack, count: int) -> None:
    for number in range(count):
        stack.testrail.model.add(1, {"name": f"M{number}"})


def run_id(stack: Stack) -> str:
    with stack.deployment as here:
        (run,) = here.runs.latest(here.store.all_pairs()[0].id, 9)
        return run.id


def test_a_migration_in_the_background(stack: Stack) -> None:
    """Shown to its end; the document and the exit code are those of `migrate`."""
    fill(stack, 5)
    stack.worker()
    done = stack.command("migrate", "--background", "--yes", "--json")
    assert done.returncode == 0, done.stdout
    document = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert document["state"] == "succeeded"
    assert document["projects"][0]["created"] == 5
    assert len(stack.targets()) == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_it_running_and_stop_stops_it(stack: Stack, number: signal.Signals) -> None:
    """The terminal goes, the run goes on; `stop` ends it at the next item."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "10/2s"
    fill(stack, 100)
    stack.worker()
    shown = stack.start("shown", "worker.cli", "migrate", "--background", "--yes", "--json")
    eventually(lambda: len(stack.targets()) >= 2, 20, stack.logs("worker", "shown"))
    watching = stack.start("watching", "worker.cli", "status", "--watch", "--json")
    eventually(lambda: "running," in stack.log("watching"), 20, stack.logs("watching"))
    for process, name in ((shown, "shown"), (watching, "watching")):
        process.send_signal(number)
        assert process.wait(ENDED) == 128 + number
        assert "It goes on without this terminal" in stack.log(name)
    told = stack.log("shown")
    document = json.loads(told[told.index("{\n") :])
    assert (document["state"], document["error"]["kind"]) == ("aborted", "interrupted")
    seen = len(stack.targets())
    eventually(lambda: len(stack.targets()) > seen, 20, stack.logs("worker"))
    assert stack.command("stop", run_id(stack), "--yes").returncode == 0
    assert stack.command("status", "--watch").returncode == 0
    with stack.deployment as here:
        ended = here.runs.get(run_id(stack))
        assert ended is not None
        assert (ended.state, ended.stop_requested) == ("aborted", True)
    assert len(stack.targets()) < 100


def test_a_worker_that_is_stopped_ends_its_slice_and_another_goes_on(stack: Stack) -> None:
    """SIGTERM: within seconds, cleanly; the continuation is one run with the first part."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "20/2s"
    fill(stack, 40)
    first = stack.worker("first")
    shown = stack.start("shown", "worker.cli", "migrate", "--background", "--yes")
    eventually(lambda: len(stack.targets()) >= 4, 20, stack.logs("first", "shown"))
    first.send_signal(signal.SIGTERM)
    assert first.wait(ENDED) == 0, stack.log("first")
    assert len(stack.targets()) < 40
    lists = stack.testably.count("GET", "page=")
    stack.worker("second")
    assert shown.wait(ENDED) == 0, stack.log("shown")
    assert (len(stack.targets()), stack.doubled()) == (40, {})
    assert stack.testably.count("GET", "page=") == lists
    run_id(stack)  # there is but one
