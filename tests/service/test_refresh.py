"""A refresh of a milestone in every pair of its project, whatever becomes of it in one of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from structlog.testing import capture_logs

from mappings.deaths import MOST_DEATHS
from mappings.deliveries import Deliveries, Hint
from tests.service.stack import Stack
from tests.support.mortal import Died
from worker.bootstrap import Deployment
from worker.errors import CredentialsRefused
from worker.sandbox.faults import FaultKind
from worker.sync.options import Trigger
from worker.tasks import refresh as module
from worker.tasks.hinted import overdue
from worker.tasks.hints import Hints
from worker.tasks.paused import pause
from worker.tasks.refresh import Refreshed, refresh
from worker.tasks.slices import Job, work


@pytest.fixture
def here(stack: Stack) -> Iterator[Deployment]:
    """One TestRail project that is mirrored into two, in step; its milestone was renamed since."""
    stack.testably.model.projects.add("proj_two")
    stack.extra["MILESYNC_PROJECTS"] = "1=proj_abc123,1=proj_two"
    made = stack.testrail.model.add(1, {"name": "before"})
    with stack.deployment as here:
        for pair in here.settings.projects:
            assert work(here, Job(pair, Trigger.SCHEDULE), lambda: False) is None
        stack.testrail.model.update(int(str(made["id"])), {"name": "after"})
        yield here


def hinted(stack: Stack, here: Deployment, delivery: str) -> Hint:
    """A hint at the milestone, whose delivery waits."""
    stack.redis.flushall()
    hint = Hint(1, 1, delivery)
    Deliveries(here.store.engine).record(delivery, "run_closed", hint, here.clock.now())
    return hint


def waiting(here: Deployment) -> int:
    return Deliveries(here.store.engine).waiting()


def test_one_pair_that_cannot_be_read_keeps_no_other_from_its_refresh(
    stack: Stack, here: Deployment
) -> None:
    """The one that could not be read is left to a sync of its whole pair."""
    here.clock.sleep = lambda seconds: None  # type: ignore[method-assign]  # noqa: ARG005
    stack.testably.faults.script(
        FaultKind.SERVER_ERROR, method="GET", contains="proj_abc123", times=99
    )
    done = refresh(here, stack.redis, hinted(stack, here, "first"))
    assert [pair.testably for pair in done.to_sync] == ["proj_abc123"]
    assert (stack.names(), stack.names("proj_two")) == (["before"], ["after"])
    stack.testably.faults.clear()
    done = refresh(here, stack.redis, hinted(stack, here, "second"))
    assert done.error is None
    assert (stack.names(), stack.names("proj_two")) == (["after"], ["after"])
    assert waiting(here) == 0


def test_a_fault_of_ours_is_logged_and_not_tried_for_ever(
    stack: Stack, here: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a refresh, and of a hinted sync."""

    def broken(*_: object) -> None:
        raise KeyError("ours")

    with monkeypatch.context() as patched, capture_logs() as lines:
        patched.setattr(module, "run_pair", broken)
        patched.setattr(module, "_refresh_pair", broken)
        assert refresh(here, stack.redis, hinted(stack, here, "first")).error is None
    assert sum("fault of milesync" in str(line["event"]) for line in lines) == 2
    assert waiting(here) == 0
    hinted(stack, here, "second")
    with monkeypatch.context() as patched, capture_logs() as lines:
        patched.setattr("worker.sync.run.Run.apply", broken)
        for pair in here.settings.projects:
            assert work(here, Job(pair, Trigger.WEBHOOK), lambda: False) is None
    assert sum("fault of milesync" in str(line["event"]) for line in lines) == 2
    assert waiting(here) == 0
    assert here.runs.open(here.store.all_pairs()[0].id) == []


def test_a_refresh_that_takes_too_long_is_left_to_a_sync_of_the_whole_pair(
    stack: Stack, here: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So are the pairs after it. Its delivery was not read, and waits for that."""

    def endless(*_: object) -> None:
        raise SoftTimeLimitExceeded

    hint = hinted(stack, here, "first")
    with monkeypatch.context() as patched, capture_logs() as lines:
        patched.setattr("worker.sync.run.Run.apply", endless)
        done = refresh(here, stack.redis, hint)
    assert done.to_sync == here.settings.projects
    assert "fault of milesync" not in str(lines)
    assert waiting(here) == 1
    for pair in done.to_sync:
        assert work(here, Job(pair, Trigger.WEBHOOK), lambda: False) is None
    assert (stack.names(), stack.names("proj_two"), waiting(here)) == (["after"], ["after"], 0)


def test_a_refresh_whose_process_dies_each_time_is_left_to_a_sync_of_the_whole_pair(
    stack: Stack, here: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not begun a sixth time; one that comes to its end counts for nothing."""
    hint = hinted(stack, here, "first")
    began: list[int] = []

    def die(*_: object) -> None:
        began.append(1)
        raise Died

    def again() -> Refreshed:
        stack.redis.delete("milesync:recent:refresh 1/1")
        return refresh(here, stack.redis, hint)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_read_again", die)
        patched.setattr(Hints, "end", lambda *_: None)  # who dies tidies nothing
        for _ in range(MOST_DEATHS):
            with pytest.raises(Died):
                again()
        with capture_logs() as lines:
            assert again().to_sync == here.settings.projects
    assert (len(began), [line["log_level"] for line in lines]) == (MOST_DEATHS, ["error"])
    assert waiting(here) == 1
    for pair in here.settings.projects:
        assert work(here, Job(pair, Trigger.WEBHOOK), lambda: False) is None
    assert (waiting(here), again()) == (0, Refreshed())
    hint = hinted(stack, here, "second")
    for _ in range(MOST_DEATHS + 1):
        assert again() == Refreshed()
    assert waiting(here) == 0


def test_a_delivery_waits_until_each_pair_of_its_project_has_read_it(
    stack: Stack, here: Deployment
) -> None:
    """What both pairs leave to a sync is not closed by the first one's: the message may be lost."""
    stack.testrail.model.add(1, {"name": "new"})
    stack.redis.flushall()
    hint = Hint(1, 2, "of a new one")
    Deliveries(here.store.engine).record("of a new one", "milestone", hint, here.clock.now())
    first, second = refresh(here, stack.redis, hint).to_sync
    assert waiting(here) == 1
    assert work(here, Job(first, Trigger.WEBHOOK), lambda: False) is None
    assert (waiting(here), len(stack.names("proj_two"))) == (1, 1)
    assert work(here, Job(second, Trigger.WEBHOOK), lambda: False) is None
    assert (waiting(here), len(stack.names("proj_two"))) == (0, 2)


@pytest.mark.parametrize("why", ["removed", "disabled", "paused"])
def test_a_delivery_of_a_project_that_no_pair_is_left_to_read_is_closed(
    stack: Stack, here: Deployment, why: str
) -> None:
    """Whether it names a milestone or not; of a project that has a pair it is asked for."""
    deliveries, second = Deliveries(here.store.engine), timedelta(seconds=1)
    early = here.clock.now() - 60 * second
    for number, milestone in enumerate([None, 1]):
        deliveries.record(f"call {number}", "e", Hint(1, milestone, f"call {number}"), early)
    assert {hint.project for hint in overdue(here, 30 * second)} == {1}
    if why == "paused":
        error = CredentialsRefused("Testably refused the credentials with 401", "")
        for pair in here.settings.projects:
            pause(here, pair, here.store.pair(here.identity(pair)), error)
    elif why == "removed":
        stack.extra["MILESYNC_PROJECTS"] = "2=proj_abc123"
    else:
        stack.extra["MILESYNC_PROJECTS"] = ""
        (stack.folder / "milesync.toml").write_text(
            '[[projects]]\ntestrail = 1\ntestably = "proj_abc123"\nenabled = false\n'
        )
    with stack.deployment as now:
        assert overdue(now, 30 * second) == []
    assert waiting(here) == 0


def test_a_refresh_for_no_pair_says_so(stack: Stack, here: Deployment) -> None:
    """Its delivery is closed: no work that could be asked for would do it."""
    hint = hinted(stack, here, "first")
    stack.extra["MILESYNC_PROJECTS"] = "2=proj_abc123"
    with stack.deployment as now, capture_logs() as told:
        assert refresh(now, stack.redis, hint).to_sync == ()
    why = "skipped: no pair is left to read what a webhook hinted at"
    assert [line["project"] for line in told if line["event"] == why] == [1]
    assert waiting(here) == 0


def test_a_pair_whose_credentials_were_refused_is_not_waited_for(
    stack: Stack, here: Deployment
) -> None:
    """Its next run reads everything anyway."""
    refused, other = here.settings.projects
    error = CredentialsRefused("Testably refused the credentials with 401", "")
    pause(here, refused, here.store.pair(here.identity(refused)), error)
    refresh(here, stack.redis, hinted(stack, here, "first"))
    assert (stack.names(), stack.names(other.testably)) == (["before"], ["after"])
    assert waiting(here) == 0
