"""A delivery waits until what it hints at has reached Testably, and is tried ever less often."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from mappings.deliveries import LONGEST_REST, TRIED_FOR, Deliveries, Hint
from mappings.tables import deliveries
from tests.service.stack import Stack
from worker.bootstrap import Deployment
from worker.sandbox.faults import FaultKind
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import Only, Options, Trigger
from worker.tasks import use_settings
from worker.tasks.hinted import overdue
from worker.tasks.jobs import OVERDUE, ask_sync, sweep_deliveries, sync_project
from worker.tasks.refresh import refresh
from worker.tasks.slices import Job, work


class Service:
    """One pair in step, whose milestone was renamed since; its clock passes only as it is told."""

    def __init__(self, stack: Stack, here: Deployment) -> None:
        self.stack, self.here = stack, here
        self.pair = here.settings.projects[0]
        self.passed = 0.0
        began = here.clock.now()
        here.clock.now = lambda: began + timedelta(seconds=self.passed)  # type: ignore[method-assign]
        here.clock.sleep = self.wait  # type: ignore[method-assign]
        made = stack.testrail.model.add(1, {"name": "before"})
        self.id = int(str(made["id"]))
        self.sync()
        stack.testrail.model.update(self.id, {"name": "after"})

    def wait(self, seconds: float) -> None:
        self.passed += seconds

    def hint(self, milestone: int | None) -> Hint:
        """A hint whose delivery waits."""
        hint = Hint(1, milestone, f"of {milestone}")
        now = self.here.clock.now()
        assert Deliveries(self.here.store.engine).record(hint.correlation, "e", hint, now)
        return hint

    def sync(self, trigger: Trigger = Trigger.SCHEDULE) -> None:
        """A run of the pair with all that follows it, until nothing follows."""
        after = work(self.here, Job(self.pair, trigger), lambda: False)
        while after is not None:
            self.wait(after.countdown)
            after = work(
                self.here, Job(self.pair, trigger, after.run, after.attempt), lambda: False
            )

    def sweep(self) -> int:
        """What a sweep asks for, done at once; how much that was."""
        hints = overdue(self.here, OVERDUE)
        self.stack.redis.flushall()
        for hint in hints:
            asked = hint.milestone is None or refresh(self.here, self.stack.redis, hint).to_sync
            if asked:
                self.sync(Trigger.WEBHOOK)
        return len(hints)

    def states(self) -> list[str]:
        with self.here.engine.connect() as connection:
            return list(connection.execute(select(deliveries.c.state)).scalars())

    def fails(self, method: str | None) -> None:
        """Testably fails at all such requests."""
        self.stack.testably.faults.script(
            FaultKind.SERVER_ERROR, method=method, contains="proj_abc123", times=9999
        )


@pytest.fixture
def service(stack: Stack) -> Iterator[Service]:
    with stack.deployment as here:
        yield Service(stack, here)


@pytest.mark.parametrize("method", [None, "PATCH"])
@pytest.mark.parametrize("names", ["a milestone", "the project"])
def test_what_did_not_reach_testably_is_asked_for_again(
    service: Service, method: str | None, names: str
) -> None:
    """Where a run fails, and where a milestone does; whatever the next moment of the schedule."""
    service.hint(service.id if names == "a milestone" else None)
    service.fails(method)
    service.wait(60)
    assert service.sweep() == 1
    assert (service.states(), service.stack.names()) == (["waiting"], ["before"])
    service.stack.testably.faults.clear()
    service.wait(LONGEST_REST.total_seconds())
    assert service.sweep() == 1
    assert (service.states(), service.stack.names()) == (["done"], ["after"])
    assert service.sweep() == 0


@pytest.mark.parametrize("method", [None, "PATCH"])
def test_a_scheduled_run_closes_no_delivery_whose_milestone_it_could_not_write(
    service: Service, method: str | None
) -> None:
    service.hint(service.id)
    service.fails(method)
    service.sync()
    assert service.states() == ["waiting"]
    service.stack.testably.faults.clear()
    service.sync()
    assert (service.states(), service.stack.names()) == (["done"], ["after"])


def test_a_run_of_a_part_closes_no_delivery(service: Service) -> None:
    """Whatever it hints at may lie outside."""
    service.stack.testrail.model.update(service.id, {"is_completed": True})
    service.hint(service.id)
    options = Options(Trigger.MIGRATION, only=Only.OPEN)
    kept = {"only": "open", "background": True}
    here = service.here
    pair = here.store.all_pairs()[0]
    run = here.runs.begin(
        pair.id, options.trigger.value, "x", here.clock.now(), kept, state="unfinished"
    )
    assert work(here, Job(service.pair, Trigger.MIGRATION, run.id), lambda: False) is None
    assert (service.states(), service.stack.names()) == (["waiting"], ["before"])


def test_what_fails_for_ever_is_tried_ever_less_often_and_given_up_after_a_day(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that is never whole; the schedule goes on with it, and the log says so.

    The day is one of six hours.
    """
    monkeypatch.setattr("mappings.deliveries.TRIED_FOR", TRIED_FOR / 4)
    service.stack.testably.model.switches = TestablySwitches(total="growing")
    service.stack.testrail.model.add(1, {"name": "new"})
    service.hint(None)
    tries: list[float] = []
    with capture_logs() as told:
        while service.states() == ["waiting"]:
            service.wait(30)
            if service.sweep():
                tries.append(service.passed)
    assert service.states() == ["failed"]
    rests = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) < 2 * TRIED_FOR / 4 / LONGEST_REST
    assert max(rests) < LONGEST_REST.total_seconds() + 60
    assert rests[:4] == sorted(rests[:4])
    assert [line["deliveries"] for line in told if "given up" in str(line["event"])] == [1]
    service.hint(None)  # whoever sends it again is heard
    assert service.states() == ["waiting"]


def test_what_needs_a_person_is_not_waited_for(service: Service) -> None:
    """Neither a conflict, nor the sub-milestone that waits for its parent."""
    service.stack.testably.model.create("proj_abc123", {"name": "there"})
    parent = service.stack.testrail.model.add(1, {"name": "there"})
    child = service.stack.testrail.model.add(1, {"name": "below", "parent_id": parent["id"]})
    service.hint(int(str(child["id"])))
    service.wait(60)
    assert service.sweep() == 1
    run = service.here.runs.latest(service.here.store.all_pairs()[0].id, 1)[0]
    assert {problem["kind"] for problem in run.problems} == {"name_conflict", "waiting"}
    assert service.states() == ["done"]


def test_a_hinted_sync_is_done_only_by_a_pair_that_a_delivery_waits_for(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is asked for; another pair of the project may keep it waiting for hours."""
    stack.testably.model.projects.add("proj_two")
    stack.extra["MILESYNC_PROJECTS"] = "1=proj_abc123,1=proj_two"

    def ask(here: Deployment) -> int:
        """Ask for a sync of the first pair as the sweep does; how many requests it makes."""
        stack.testrail.requests.clear()
        ask_sync(stack.redis, here.settings.projects[0], "x")
        stack.redis.delete("sync", *stack.redis.keys("milesync:recent:*"))
        sync_project(1, "proj_abc123", Trigger.WEBHOOK.value)
        assert stack.redis.keys("milesync:queued:*") == []
        return len(stack.testrail.requests)

    with stack.deployment as here, capture_logs() as told:
        monkeypatch.setattr("worker.tasks.jobs.deployment", lambda: here)
        kept = Deliveries(here.store.engine)
        assert ask(here) == 0
        kept.record("first", "e", Hint(1, None, "first"), here.clock.now())
        assert ask(here) > 0
        assert ask(here) == 0
        assert kept.waiting() == 1
        kept.record("second", "e", Hint(1, 7, "second"), here.clock.now())
        assert ask(here) > 0
        assert work(here, Job(here.settings.projects[1], Trigger.WEBHOOK), lambda: False) is None
        assert kept.waiting() == 0
    why = "skipped: no delivery waits for a sync of this pair"
    assert [line["event"] for line in told].count(why) == 2


def test_the_queue_of_refreshes_grows_no_longer_than_there_are_hints(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where refreshes take so long that their marks lapse; what waits for longest is first."""
    redis = service.stack.redis
    use_settings(service.stack.settings)
    monkeypatch.setattr("worker.tasks.jobs.deployment", lambda: service.here)

    def sweep() -> int:
        """Another sweep, after all marks have lapsed; how long the queue is then."""
        redis.delete(*redis.keys("milesync:queued:*"), "any")
        sweep_deliveries()
        return int(redis.llen("refresh"))

    for number in range(60, 0, -1):
        service.hint(number)
        service.wait(1)
    service.wait(30)
    with capture_logs() as told:
        assert [sweep(), sweep(), sweep()] == [60, 60, 60]
        first = json.loads(redis.lindex("refresh", -1) or b"{}")
        assert json.loads(b64decode(first["body"]))[0][:2] == [1, 60]
        redis.rpop("refresh", 7)
        assert sweep() == 60
    assert "as many refreshes are queued as hints wait" in {line["event"] for line in told}
