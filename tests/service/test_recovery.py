"""What is lost or dies is gone on with: within a minute of the moment when the work can go on.

The tests marked `soak` wait for the real times, and print the seconds that it took; the others
have the database's times set back instead.
"""

from __future__ import annotations

import random
import signal
import statistics
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from mappings.deaths import MOST_DEATHS
from mappings.locks import pair_lock, settle_dead
from mappings.run_record import RunRecord
from tests.service.stack import ENDED, Process, Stack, eventually, free_port
from tests.service.test_chaos import fill, in_step, own_redis, tick
from worker.sandbox.limit import ServerRate
from worker.sandbox.server import serve_testably, serve_testrail
from worker.tasks import sweep_deliveries, use_settings
from worker.tasks.jobs import _sweep
from worker.tasks.refresh import QUIET

A_MINUTE = 60.0


def beat(stack: Stack) -> None:
    stack.start("beat", "celery", "-A", "worker.tasks", "beat")


def set_back(stack: Stack, seconds: int = 31) -> None:
    """As if so much time had passed since the last sign of life."""
    with stack.deployment as here, here.engine.begin() as connection:
        ago = f"interval '{seconds} seconds'"
        connection.execute(
            text(f"UPDATE runs SET heartbeat_at = heartbeat_at - {ago}, due_at = due_at - {ago}")
        )


def runs(stack: Stack) -> list[RunRecord]:
    with stack.deployment as here:
        return here.runs.latest(here.store.all_pairs()[0].id, 9)


def measured(case: str, began: float) -> None:
    seconds = time.monotonic() - began
    print(f"\n{case}: {seconds:.1f} s")  # noqa: T201
    assert seconds <= A_MINUTE


def killed_in_the_middle(stack: Stack) -> Process:
    """A worker that died under `migrate --background`; what still shows the run."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "20/2s"
    fill(stack, 40)
    worker = stack.worker("first")
    shown = stack.start("shown", "worker.cli", "migrate", "--background", "--yes")
    eventually(lambda: len(stack.targets()) >= 5, 30, stack.logs("first", "shown"))
    stack.kill(worker)
    return shown


def test_a_migration_whose_worker_was_killed_is_taken_over_once(stack: Stack) -> None:
    """By the sweep; the message that is delivered again later finds it done."""
    shown = killed_in_the_middle(stack)
    set_back(stack)
    stack.worker("second")
    use_settings(stack.settings)
    sweep_deliveries.apply_async()
    assert shown.wait(ENDED) == 0, stack.log("shown") + stack.log("second")
    assert (in_step(stack), stack.doubled(), len(runs(stack))) == (True, {}, 1)
    asked = len(stack.testrail.requests)
    for tag in stack.redis.zrange("unacked_index", 0, -1):
        stack.redis.zadd("unacked_index", {str(tag, "utf-8"): 1.0})  # type: ignore[arg-type]
    eventually(lambda: "the run has ended already" in stack.log("second"), 40)
    assert len(stack.testrail.requests) == asked


def test_a_run_that_is_alive_or_holds_its_lock_is_not_taken_over(stack: Stack) -> None:
    """A free lock alone proves no death, and neither does a heartbeat that stopped."""
    with stack.deployment as here:
        pair = here.store.pair(here.identity(here.settings.projects[0]))
        run = here.runs.begin(pair.id, "schedule", "process 1", here.clock.now())
        settle_dead(here.runs)
        assert runs(stack)[0].state == "running"
        set_back(stack)
        with pair_lock(here.engine, pair.id):
            settle_dead(here.runs)
            assert runs(stack)[0].state == "running"
        assert here.runs.beat(run)
        settle_dead(here.runs)
        assert runs(stack)[0].state == "running"
        set_back(stack)
        settle_dead(here.runs)
        assert runs(stack)[0].state == "unfinished"
        assert not here.runs.beat(run)


def test_what_a_person_began_is_closed_and_not_gone_on_with(stack: Stack) -> None:
    """A command that died: `status` says so, and the sweep starts nothing."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "10/2s"
    fill(stack, 40)
    command = stack.start("command", "worker.cli", "migrate", "--yes")
    eventually(lambda: len(stack.targets()) >= 2, 30, stack.logs("command"))
    stack.kill(command)
    set_back(stack)
    shown = stack.command("status", "--json")
    assert '"state": "aborted"' in shown.stdout
    assert '"state": "running"' not in shown.stdout
    stack.worker()
    use_settings(stack.settings)
    sweep_deliveries.apply_async()
    eventually(lambda: "sweep_deliveries" in stack.log("worker"), 20)
    eventually(lambda: " succeeded in " in stack.log("worker"), 20)
    assert stack.redis.llen("sync") == stack.redis.llen("migration") == 0


def test_a_run_by_hand_that_ends_in_step_closes_what_was_left(stack: Stack) -> None:
    fill(stack, 3)
    with stack.deployment as here:
        pair = here.store.pair(here.identity(here.settings.projects[0]))
        left = here.runs.begin(
            pair.id, "schedule", "process 1", here.clock.now() - timedelta(hours=1)
        )
        here.runs.change(left.id, state="unfinished")
        assert here.runs.postpone(left.id, "process 1", 300.0)
        assert stack.command("sync").returncode == 0
        closed = here.runs.get(left.id)
        assert closed is not None
        assert (closed.state, (closed.error or {}).get("kind")) == ("aborted", "superseded")


def test_a_run_whose_worker_dies_each_time_ends_and_says_so(stack: Stack) -> None:
    """For want of memory, say: the sweep gives it four more workers, and then tells people."""
    use_settings(stack.settings)
    with stack.deployment as here, capture_logs() as told:
        pair = here.store.pair(here.identity(here.settings.projects[0]))
        run = here.runs.begin(pair.id, "schedule", "worker 1", here.clock.now())
        for number in range(2, 2 + MOST_DEATHS):
            set_back(stack)
            _sweep(here, stack.redis)
            stack.redis.flushdb()
            found = here.runs.get(run.id)
            if found is None or found.state != "unfinished":
                break
            here.runs.resume(run.id, pair.id, f"worker {number}")
        levels = [line["log_level"] for line in told if line.get("run") == run.id]
        assert levels == ["info"] * (MOST_DEATHS - 1) + ["error"]
    shown = stack.command("status", "--json")
    assert '"state": "failed"' in shown.stdout
    assert "give the worker more" in shown.stdout
    assert stack.command("runs").returncode == 0


def test_a_second_migration_of_a_running_pair_is_refused(stack: Stack) -> None:
    """As busy, with the run that is under way."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "10/2s"
    fill(stack, 40)
    stack.worker()
    tick(stack)
    eventually(lambda: len(stack.targets()) >= 2, 30, stack.logs("worker"))
    refused = stack.command("migrate", "--background", "--yes", "--json")
    assert refused.returncode == 1
    assert '"kind": "busy"' in refused.stdout
    assert runs(stack)[0].id in refused.stdout
    assert len(runs(stack)) == 1


# --- with the real times ----------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_real_time_redis_away_for_eight_seconds(stack: Stack) -> None:
    """And back empty, in the middle of a run in slices."""
    port = free_port()
    stack.redis_url = f"redis://127.0.0.1:{port}/0"
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "40/2s"
    fill(stack, 60)
    with own_redis(stack.folder, port):
        stack.worker()
        beat(stack)
        eventually(lambda: len(stack.targets()) >= 3, 60, stack.logs("worker", "beat"))
    time.sleep(8)
    with own_redis(stack.folder, port):
        began = time.monotonic()
        eventually(lambda: in_step(stack), A_MINUTE, stack.logs("worker", "beat"))
        measured("Redis away for 8 s, back empty", began)
        assert stack.doubled() == {}


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_real_time_a_lost_continuation(stack: Stack) -> None:
    """All messages and marks are gone between two slices; no schedule is due."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "20/2s"
    fill(stack, 40)
    worker = stack.worker("first")
    tick(stack)
    eventually(lambda: len(stack.targets()) >= 4, 30, stack.logs("first"))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(ENDED) == 0
    stack.redis.flushall()
    began = time.monotonic()
    stack.worker("second")
    beat(stack)
    eventually(lambda: in_step(stack), A_MINUTE, stack.logs("second", "beat"))
    measured("a lost continuation", began)
    assert stack.doubled() == {}


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_real_time_a_worker_killed_under_a_background_migration(stack: Stack) -> None:
    shown = killed_in_the_middle(stack)
    began = time.monotonic()
    beat(stack)  # only now, or its first sync would have the pair
    before = len(stack.targets())
    stack.worker("second")
    eventually(lambda: len(stack.targets()) > before, A_MINUTE, stack.logs("second", "beat"))
    measured("a worker killed under migrate --background, first write", began)
    assert shown.wait(ENDED) == 0, stack.log("shown")
    assert (in_step(stack), stack.doubled()) == (True, {})


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_real_time_up_ended_and_started_again(tmp_path: Path, number: int) -> None:
    """In the middle of its first sync; the next `up` goes on by itself."""
    with serve_testrail() as testrail, serve_testably(rate=None) as testably:
        stack = Stack(testrail, testably, f"sqlite:///{tmp_path}/milesync.db", None, tmp_path)
        stack.extra["MILESYNC_LISTEN"] = f"127.0.0.1:{free_port()}"
        stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "20/2s"
        fill(stack, 60)
        try:
            up = stack.start("up", "worker.cli", "up")
            eventually(lambda: len(stack.targets()) >= 5, 60, stack.logs("up"))
            if number == signal.SIGKILL:
                stack.kill(up)
            else:
                up.send_signal(number)
                up.wait(ENDED)
            before = len(stack.targets())
            began = time.monotonic()
            stack.start("again", "worker.cli", "up")
            eventually(lambda: len(stack.targets()) > before, A_MINUTE, stack.logs("again"))
            measured(f"`up` ended by signal {number}, first write of the next", began)
            eventually(lambda: in_step(stack), A_MINUTE, stack.logs("again"))
            assert stack.doubled() == {}
        finally:
            stack.close()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_real_time_a_refresh_beside_two_syncs_in_up(tmp_path: Path) -> None:
    """At 60 a minute, of which the syncs use all: a refresh waits about two slots."""
    limit = ServerRate(60, 60.0)
    with serve_testrail() as testrail, serve_testably(rate=limit) as testably:
        testrail.model.projects.add(2)
        testably.model.projects.add("proj_two")
        stack = Stack(testrail, testably, f"sqlite:///{tmp_path}/milesync.db", None, tmp_path)
        stack.extra["MILESYNC_LISTEN"] = f"127.0.0.1:{free_port()}"
        stack.extra["MILESYNC_PROJECTS"] = "1=proj_abc123,2=proj_two"
        stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "60/60s"
        (first, *_) = fill(stack, 300)
        for number in range(300):
            testrail.model.add(2, {"name": f"B{number}"})
        try:
            stack.start("up", "worker.cli", "up")
            eventually(lambda: stack.targets() and stack.targets("proj_two"), 60, stack.logs("up"))
            slots = [_refreshed(stack, first, f"round {number}") for number in range(12)]
        finally:
            stack.close()
        told = ", ".join(f"{slot:.1f}" for slot in sorted(slots))
        print(f"\na refresh beside two syncs, in slots of 1.02 s: {told}")  # noqa: T201
        assert statistics.median(slots) <= 2.5
        assert testably.count(status=429) == 0


def _refreshed(stack: Stack, id_: int, name: str) -> float:
    """The slots from a webhook to its PATCH; then the milestone is left alone for a while."""
    stack.testrail.model.update(id_, {"name": name})
    began = time.monotonic()
    url = f"http://{stack.extra['MILESYNC_LISTEN']}"
    assert stack.hook(url, project_id=1, milestone_id=id_).status_code == 202
    eventually(lambda: name in stack.names(), 30, stack.logs("up"))
    seconds = time.monotonic() - began
    time.sleep(QUIET + random.uniform(0.5, 1.5))
    return seconds / 1.02
