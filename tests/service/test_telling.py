"""Notices of a service: its sweep sends them, and nothing waits for an address."""

from __future__ import annotations

from contextlib import ExitStack

from tests.service.stack import Stack, eventually
from tests.service.test_chaos import fill, in_step, tick
from tests.test_notices import hostile_server, json_sink
from worker.sync.options import Trigger
from worker.tasks import sweep_deliveries, use_settings
from worker.tasks.slices import Job, work


def test_the_sweep_sends_what_a_sync_found(stack: Stack) -> None:
    """The sync itself waits for no address."""
    fill(stack, 1)
    stack.testably.model.create("proj_abc123", {"name": "M0"})
    with json_sink() as (address, got):
        stack.extra["MILESYNC_NOTIFY"] = address
        with stack.deployment as here:
            job = Job(here.settings.projects[0], Trigger.SCHEDULE)
            assert work(here, job, lambda: False) is None
        assert got == []
        use_settings(stack.settings)
        stack.worker()
        sweep_deliveries.apply_async()
        eventually(lambda: bool(got), 20, stack.logs("worker"))
    assert [one["event"] for one in got] == ["needs_a_person"]


def test_an_address_that_never_answers_keeps_no_webhook_waiting(stack: Stack) -> None:
    """With several pairs that need a person, and sweeps, in real time."""
    (id_,) = fill(stack, 1)
    stack.extra["MILESYNC_PROJECTS"] = "1=proj_abc123,2=proj_b,3=proj_c,4=proj_d"
    stack.extra["MILESYNC_SCHEDULE"] = "0 0 1 1 *"
    with ExitStack() as ending:
        address, asked = ending.enter_context(hostile_server(b"", b"", 0.1))
        stack.extra["MILESYNC_NOTIFY"] = address
        here = ending.enter_context(stack.deployment)
        for one in here.settings.projects[1:]:
            pair = here.store.pair(here.identity(one))
            here.store.update_pair(pair.id, paused_because="Nobody knows.")
        stack.worker("worker", 2)
        url = stack.web()
        tick(stack)
        eventually(lambda: in_step(stack), 20, stack.logs("worker"))
        stack.start("beat", "celery", "-A", "worker.tasks", "beat")
        eventually(lambda: len(asked) == 1, 30, stack.logs("worker", "beat"))
        stack.testrail.model.update(id_, {"name": "after"})
        assert stack.hook(url, project_id=1, milestone_id=id_).status_code == 202
        eventually(lambda: stack.names() == ["after"], 8, stack.logs("worker"))
        done = "Task milesync.sweep_deliveries"
        eventually(lambda: stack.log("worker").count(done) >= 4, 40, stack.logs("worker"))
    assert len(asked) == 1
