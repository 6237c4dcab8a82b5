"""`migrate --background`: handed to a worker, shown from the database, stopped and seen again."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from typing import Any

import pytest

from mappings.errors import Busy
from mappings.locks import pair_lock
from tests.cli.schemas import RUNS, must_fit
from tests.cli.terminal import milesync
from tests.service.stack import ENDED, Stack, eventually
from tests.support.rows import at_once
from worker.background import enqueue_migration
from worker.sync.options import Options, Trigger


def fill(stack: Stack, count: int) -> None:
    for number in range(count):
        stack.testrail.model.add(1, {"name": f"M{number}"})


def run_id(stack: Stack) -> str:
    with stack.deployment as here:
        (run,) = here.runs.latest(here.store.all_pairs()[0].id, 9)
        return run.id


def migrate(stack: Stack, *more: str, typed: str = "") -> tuple[int, str]:
    """Hand a migration over from a terminal on which this is typed: its exit code and stdout."""
    outer, inner = pty.openpty()
    try:
        os.write(outer, typed.encode())
        ended = subprocess.run(
            milesync("migrate", "--background", *more),
            cwd=stack.folder,
            env=stack.environment,
            stdin=inner,
            capture_output=True,
            text=True,
            timeout=ENDED,
        )
    finally:
        os.close(inner)
        os.close(outer)
    return ended.returncode, ended.stdout


def document_of(stack: Stack, *more: str, typed: str = "") -> tuple[int, dict[str, Any]]:
    """The same with --json, and its one document."""
    code, printed = migrate(stack, "--json", *more, typed=typed)
    document: dict[str, Any] = json.loads(printed)
    must_fit(document, RUNS)
    return code, document


def test_a_migration_in_the_background(stack: Stack) -> None:
    """Shown to its end; the document and the exit code are those of `migrate`."""
    fill(stack, 5)
    stack.worker()
    code, document = document_of(stack, "--yes")
    assert (code, document["state"]) == (0, "succeeded")
    [project] = document["projects"]
    assert (project["created"], len(stack.targets())) == (5, 5)
    assert (project["verified"]["in_step"], project["verified"]["compared"]) == (True, 5)


def test_what_it_shows_a_person_is_what_migrate_shows(stack: Stack) -> None:
    """The proof too, and what an undo holds and a person lives with."""
    fill(stack, 2)
    stack.worker()
    code, shown = migrate(stack, "--yes")
    assert (code, "Both sides were read and agree: 2 compared." in shown) == (0, True), shown
    assert stack.command("undo", run_id(stack), "--yes").returncode == 0
    assert stack.command("accept", "--all").returncode == 0
    code, shown = migrate(stack, "--yes")
    accepted = "2 milestones are held after an undo and accepted; `milesync accept --revoke ID`"
    assert (code, accepted in shown) == (0, True), shown


def test_what_ended_it_keeps_its_kind(stack: Stack) -> None:
    stack.extra["MILESYNC_TESTABLY_TOKEN"] = "of-somebody-else"
    stack.worker()
    code, document = document_of(stack, "--yes")
    [project] = document["projects"]
    assert (code, document["state"]) == (1, "failed")
    assert document["error"] == project["error"]
    assert project["error"]["kind"] == "credentials"


def test_a_worker_with_other_settings_says_so_where_it_was_agreed_to(stack: Stack) -> None:
    """Nothing is written; the document has the guard's words and the next step."""
    fill(stack, 1)
    stack.worker("worker", 1, MILESYNC_TESTRAIL_TIMEZONE="Europe/Berlin")
    code, document = document_of(stack, "--yes")
    assert (code, document["state"], stack.targets()) == (1, "aborted", [])
    error = document["error"]
    assert error["kind"] == "guard"
    assert "another time zone (none where it was agreed to, Europe/Berlin" in error["message"]
    assert "Have the same settings" in error["hint"]


def test_a_person_is_asked_beside_the_document(stack: Stack) -> None:
    """stdout has nothing but the document, also where the plan is shown first."""
    fill(stack, 1)
    stack.worker()
    code, document = document_of(stack, typed="y\n")
    assert (code, document["projects"][0]["created"]) == (0, 1)


def test_a_pair_that_is_busy_keeps_no_other_from_the_workers(stack: Stack) -> None:
    """And what became of the others is told: it would be done without anybody's knowing."""
    stack.testrail.model.projects.add(2)
    stack.testably.model.projects.add("proj_two")
    stack.extra["MILESYNC_PROJECTS"] = "2=proj_two,1=proj_abc123"
    stack.testrail.model.add(2, {"name": "Of the second project"})
    stack.worker()
    with stack.deployment as here:
        pair = here.store.pair(here.identity(here.settings.projects[1]))
        with pair_lock(here.engine, pair.id):
            code, document = document_of(stack, "--yes")
    done, busy = document["projects"]
    assert (code, done["state"], done["created"]) == (1, "succeeded", 1)
    assert (busy["testrail_project"], busy["state"], busy["run"]) == (1, "aborted", None)
    assert (busy["error"]["kind"], "by this call" in busy["error"]["hint"]) == ("busy", False)


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
    before = len(stack.testably.requests)
    stack.worker("second")
    assert shown.wait(ENDED) == 0, stack.log("shown")
    assert (len(stack.targets()), stack.doubled()) == (40, {})
    later = [request.method for request in stack.testably.requests[before:]]
    last_post = len(later) - later[::-1].index("POST")
    assert set(later[:last_post]) == {"POST"}  # nothing is listed again, but for the proof
    run_id(stack)  # there is but one


def test_a_worker_that_waits_for_the_rate_limit_is_stopped_at_once(stack: Stack) -> None:
    """Not after the wait, when it would be killed in the middle; another one goes on."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "3/100s"
    fill(stack, 5)
    worker = stack.worker("first")
    stack.start("shown", "worker.cli", "migrate", "--background", "--yes")
    eventually(lambda: stack.testably.requests, 30, stack.logs("first", "shown"))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(25) == 0, stack.log("first")  # it would wait for 34 seconds
    with stack.deployment as here:
        [run] = here.runs.open(here.store.all_pairs()[0].id)
        assert (run.id, run.state) == (run_id(stack), "unfinished")
    assert "another one goes on" in stack.log("first")


def test_of_migrations_that_are_handed_over_at_once_one_is_taken(stack: Stack) -> None:
    """The others are told that the pair is busy."""

    def hand_over(_: int) -> str | None:
        with stack.deployment as here:
            try:
                return enqueue_migration(
                    here, here.settings.projects[0], Options(Trigger.MIGRATION)
                ).id
            except Busy:
                return None

    taken = [id_ for id_ in at_once(hand_over) if id_ is not None]
    assert taken == [run_id(stack)]
    assert stack.redis.llen("migration") == 1
