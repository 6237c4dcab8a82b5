"""The tasks: each rebuilds its values and calls one function. Arguments are ids, never secrets."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import structlog
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from mappings.deliveries import Deliveries, Hint
from mappings.errors import StoreError
from mappings.runs import Run
from worker.bootstrap import Deployment
from worker.settings import ProjectPair, Settings
from worker.sync.scene import Trigger
from worker.tasks import slices
from worker.tasks.celery_app import app, deployment, is_stopping
from worker.tasks.hints import Hints
from worker.tasks.refresh import QUIET, pairs_of, refresh, refresh_name

SYNC_QUIET: Final = 60
"""Seconds from one hinted sync of a pair to the next."""
_SYNC_LONGEST: Final = 600
_LONGEST_WAIT: Final = 30.0
OVERDUE: Final = timedelta(seconds=60)
"""A delivery that waits for longer is asked for again by the sweep."""
KEPT: Final = timedelta(days=7)
"""How long a handled delivery is remembered."""

_OURS_AWAY: Final[dict[str, Any]] = {
    "autoretry_for": (StoreError, RedisError, OperationalError),
    "max_retries": 10,
    "retry_backoff": 2,
    "retry_backoff_max": 120,
}
"""The database or the broker did not answer: the same again, later."""

_UNTIL_IT_IS_BACK: Final = {"max_retries": 30, "interval_start": 0.5, "interval_max": 5}
"""A worker whose broker is away has nothing better to do than to wait with its continuation."""

log = structlog.get_logger(__name__)


# --- asking for work


def ask_refresh(redis: Redis, hint: Hint) -> None:
    """Enqueue what a hint asks for, unless it is queued already. Raises on a broken broker."""
    if hint.milestone is None:
        raise ValueError("a hint at a project is asked for with `ask_sync`")
    if Hints(redis).ask(refresh_name(hint.project, hint.milestone)):
        refresh_milestone.apply_async((hint.project, hint.milestone, hint.correlation))


def ask_sync(redis: Redis, pair: ProjectPair, correlation: str) -> None:
    """Enqueue a hinted sync of a pair, unless one is queued already."""
    if Hints(redis).ask(f"sync {pair}"):
        sync_project.apply_async(
            (pair.testrail, pair.testably, Trigger.WEBHOOK.value),
            {"correlation": correlation},
        )


def ask(redis: Redis, settings: Settings, hint: Hint) -> None:
    """Enqueue what a hint asks for: a refresh, or a sync of each pair of its project."""
    if hint.milestone is not None:
        ask_refresh(redis, hint)
        return
    for pair in pairs_of(settings, hint.project):
        ask_sync(redis, pair, hint.correlation)


def go_on(pair: tuple[int, str], run: Run, countdown: float = 0.0) -> None:
    """Enqueue the next slice of a recorded run."""
    _enqueue(pair, Trigger(run.trigger), slices.Next(run.id, 0, countdown), None, None)


def _enqueue(
    pair: tuple[int, str],
    trigger: Trigger,
    after: slices.Next,
    correlation: str | None,
    retry_policy: Mapping[str, float] | None,
) -> None:
    sync_project.apply_async(
        (*pair, trigger.value),
        {"run": after.run, "attempt": after.attempt, "correlation": correlation},
        queue="migration" if trigger is Trigger.MIGRATION else "sync",
        countdown=after.countdown or None,
        retry_policy=retry_policy,
    )


# --- the tasks


@app.task(name="milesync.sync_project", bind=True, **_OURS_AWAY)  # type: ignore[untyped-decorator]
def sync_project(
    self: Any,
    testrail: int,
    testably: str,
    trigger: str,
    run: str | None = None,
    attempt: int = 0,
    correlation: str | None = None,
) -> None:
    """One slice of a run of a project pair, and its continuation."""
    found = _pair(deployment().settings, testrail, testably)
    with bound_contextvars(correlation=correlation or self.request.id, project=str(found)):
        if found is None:
            log.warning("skipped: this pair is not configured or not enabled", testrail=testrail)
            if run is not None:
                deployment().runs.change(run, state="aborted")
            return
        _sync(found, Trigger(trigger), run, attempt, correlation)


def _sync(
    pair: ProjectPair, trigger: Trigger, run: str | None, attempt: int, correlation: str | None
) -> None:
    redis = _redis()
    hinted = trigger is Trigger.WEBHOOK and run is None
    ids = (pair.testrail, pair.testably)
    wait = Hints(redis).begin(f"sync {pair}", _SYNC_LONGEST) if hinted else 0.0
    if wait:
        after = slices.Next(None, attempt, min(wait, _LONGEST_WAIT))
        _enqueue(ids, trigger, after, correlation, _UNTIL_IT_IS_BACK)
        return
    job = slices.Job(pair, trigger, run, attempt)
    try:
        then = slices.work(deployment(), job, _watch(redis))
    finally:
        if hinted:
            Hints(redis).end(f"sync {pair}", SYNC_QUIET)
    if then is not None:
        _enqueue(ids, trigger, then, correlation, _UNTIL_IT_IS_BACK)


@app.task(name="milesync.refresh_milestone", bind=True, **_OURS_AWAY)  # type: ignore[untyped-decorator]
def refresh_milestone(
    self: Any, project: int, milestone: int, correlation: str | None = None
) -> None:
    """Read one milestone afresh, in every pair of its project."""
    hint = Hint(project, milestone, correlation or self.request.id)
    redis = _redis()
    with bound_contextvars(correlation=hint.correlation):
        done = refresh(deployment(), redis, hint)
        for pair in done.to_sync:
            ask_sync(redis, pair, hint.correlation)
        if done.wait:
            refresh_milestone.apply_async(
                (project, milestone, correlation), countdown=min(done.wait, QUIET)
            )
        if done.error is not None:
            raise self.retry(exc=done.error, countdown=min(10 * 2**self.request.retries, 300))


@app.task(name="milesync.sweep_deliveries")  # type: ignore[untyped-decorator]
def sweep_deliveries() -> None:
    """Ask again for what a lost message left: waiting deliveries, unfinished runs."""
    here = deployment()
    redis, now = _redis(), here.clock.now()
    deliveries = Deliveries(here.store.engine)
    for hint in deliveries.forgotten(now - OVERDUE):
        ask(redis, here.settings, hint)
    for run in here.runs.unfinished():
        if slices.in_background(run) and slices.is_abandoned(run, now):
            _go_on_again(here, run)
    deliveries.purge(now - KEPT)


def _go_on_again(here: Deployment, run: Run) -> None:
    found = next((pair for pair in here.store.all_pairs() if pair.id == run.pair_id), None)
    if found is not None:
        here.runs.change(run.id, finished_at=here.clock.now())
        go_on((found.identity.testrail_project, found.identity.testably_project), run)


# --- shared


def _redis() -> Redis:
    found = deployment().redis
    assert found is not None  # noqa: S101  (a worker has a broker)
    return found


def _watch(redis: Redis) -> slices.Watch:
    def waiting_refreshes() -> int:
        with suppress(RedisError):
            return int(redis.llen("refresh"))
        return 0

    return slices.Watch(is_stopping, waiting_refreshes)


def _pair(settings: Settings, testrail: int, testably: str) -> ProjectPair | None:
    for pair in pairs_of(settings, testrail):
        if pair.testably == testably:
            return pair
    return None
