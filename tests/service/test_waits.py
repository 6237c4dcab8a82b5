"""Every wait is bounded by its own length: for a broker, for a clock, for refused credentials."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from kombu.exceptions import OperationalError

from tests.service.stack import Stack
from tests.support.clock import FakeClock
from worker.sync.apply.writer import GRACE, STALL, TargetWriter
from worker.sync.options import Trigger
from worker.tasks.jobs import keep_publishing
from worker.tasks.slices import Job, work


class Away:
    """A broker that refuses so many connections."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> None:
        self.left -= 1
        if self.left >= 0:
            raise OperationalError("Connection refused")


def test_a_continuation_is_published_once_the_broker_is_back() -> None:
    """Minutes later; not for ever, and not while the worker is to stop."""
    assert keep_publishing(Away(200), lambda: False, FakeClock(), 300.0)
    clock = FakeClock()
    assert not keep_publishing(Away(9999), lambda: False, clock, 300.0)
    assert 300 <= clock.passed < 310
    clock = FakeClock()
    assert not keep_publishing(Away(9999), lambda: True, clock, 300.0)
    assert clock.passed == 0


def test_a_clock_that_is_set_back_lengthens_no_wait() -> None:
    """By two hours, while a create is in doubt: its own wait, and no more."""
    clock = FakeClock()
    target = SimpleNamespace(request_timeout=30.0)
    writer = TargetWriter(*cast("Any", (None, "run", target, None, clock)))
    deadline = clock.now() + timedelta(seconds=30)
    clock.start -= timedelta(hours=2)
    writer.wait_until(deadline + GRACE)
    assert clock.passed <= 30 + (STALL + GRACE).total_seconds() + 1


def test_refused_credentials_are_tried_again_once_an_hour(stack: Stack) -> None:
    """And a token that the vendor accepts again releases the pair; it needs no command."""
    with stack.deployment as here:
        job = Job(here.settings.projects[0], Trigger.SCHEDULE)

        def paused_because() -> str | None:
            return here.store.all_pairs()[0].paused_because

        assert work(here, job, lambda: False) is None
        assert paused_because() is None
        stack.extra["MILESYNC_TESTABLY_TOKEN"] = "wrong-token"
        with stack.deployment as wrong:
            refused = Job(wrong.settings.projects[0], Trigger.SCHEDULE)
            wrong.store.update_pair(wrong.store.all_pairs()[0].id, listed_at=None)
            assert work(wrong, refused, lambda: False) is None
        why = paused_because() or ""
        assert "401" in why
        assert "`milesync sync`" in why
        assert "[credentials" not in why
        # the vendor accepts it again: as the right token, refused a moment ago
        from worker.tasks.paused import _mark

        pair = here.store.all_pairs()[0]
        mark = _mark(job.pair)
        here.store.update_pair(pair.id, refused_credentials=mark)
        before = len(stack.testably.requests)
        assert work(here, job, lambda: False) is None
        assert len(stack.testably.requests) == before
        here.store.update_pair(pair.id, paused_at=here.clock.now() - timedelta(hours=1))
        assert work(here, job, lambda: False) is None
        assert paused_because() is None
