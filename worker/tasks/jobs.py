"""The tasks: each rebuilds its values and calls one function. Arguments are ids, never secrets."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import structlog
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from mappings.answers import AnswerStore
from mappings.deliveries import Hint
from mappings.errors import StoreError
from mappings.locks import settle_dead
from mappings.retention import prune as prune_runs
from mappings.run_record import UNFINISHED, RunRecord
from worker.bootstrap import Deployment
from worker.clock import Clock
from worker.errors import BudgetExhausted
from worker.settings import ProjectPair, Settings
from worker.sync.options import Trigger
from worker.tasks import slices
from worker.tasks.age import is_too_old
from worker.tasks.celery_app import app, deployment, is_stopping
from worker.tasks.given_up import NOT_CONFIGURED, give_up
from worker.tasks.hinted import is_waited_for, overdue, pairs_of
from worker.tasks.hints import Hints
from worker.tasks.paused import to_try_again
from worker.tasks.refresh import QUIET, refresh, refresh_name

SYNC_QUIET: Final = 60
"""Seconds from one hinted sync of a pair to the next; the pair's lock sees to those that last."""
OVERDUE: Final = timedelta(seconds=30)
"""A delivery that waits for longer is asked for again by the sweep."""
ALWAYS_QUEUED: Final = 50
"""So many refreshes may be queued whatever waits; beyond, the sweep asks for none."""
PRUNED: Final = "milesync:pruned"
PRUNE_EVERY: Final = 86_400
"""Seconds between two prunings."""

_OURS_AWAY: Final[dict[str, Any]] = {
    "autoretry_for": (StoreError, RedisError, OperationalError),
    "max_retries": 40,
    "retry_backoff": 2,
    "retry_backoff_max": 40,
}
"""The database or the broker did not answer: the same again, within a minute of its return."""

PUBLISH_FOR: Final = 300.0
"""Seconds for which a worker whose broker is away waits with its continuation."""
_PUBLISH_AGAIN: Final = 1.0
_BROKER_AWAY: Final = (OperationalError, RedisError, OSError)

log = structlog.get_logger(__name__)


# --- asking for work


def ask_refresh(redis: Redis, hint: Hint) -> bool:
    """Enqueue what a hint asks for, unless it is queued already. Raises on a broken broker."""
    if hint.milestone is None:
        raise ValueError("a hint at a project is asked for with `ask_sync`")
    is_new = Hints(redis).ask(refresh_name(hint.project, hint.milestone), "refresh")
    if is_new:
        refresh_milestone.apply_async((hint.project, hint.milestone, hint.correlation))
    return is_new


def ask_sync(redis: Redis, pair: ProjectPair, correlation: str) -> None:
    """Enqueue a hinted sync of a pair, unless one is queued already."""
    if Hints(redis).ask(f"sync {pair}", "sync"):
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


def go_on(pair: tuple[int, str], run: RunRecord, countdown: float = 0.0) -> None:
    """Enqueue the next slice of a recorded run; what it writes can be followed by the run's id."""
    _enqueue(pair, Trigger(run.trigger), slices.Next(run.id, 0, countdown), run.id)


def _enqueue(
    pair: tuple[int, str],
    trigger: Trigger,
    after: slices.Next,
    correlation: str | None,
) -> None:
    sync_project.apply_async(
        (*pair, trigger.value),
        {"run": after.run, "attempt": after.attempt, "correlation": correlation},
        queue=_queue_of(trigger),
        countdown=after.countdown or None,
    )


def _queue_of(trigger: Trigger) -> str:
    return "migration" if trigger is Trigger.MIGRATION else "sync"


def keep_publishing(
    publish: Callable[[], None], stops: Callable[[], bool], clock: Clock, longest: float
) -> bool:
    """Publish, however often the broker cannot be reached; False after ``longest`` seconds.

    Celery's own retries do not cover the making of a connection. What is given up is not lost:
    the database knows what is due, and the sweep asks for it.
    """
    began = clock.monotonic()
    while True:
        try:
            publish()
        except _BROKER_AWAY as error:
            if stops() or clock.monotonic() - began > longest:
                log.warning("no continuation was queued; the sweep does it", error=str(error))
                return False
            with suppress(BudgetExhausted):  # it stops meanwhile
                clock.sleep(_PUBLISH_AGAIN)
        else:
            return True


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
    sent_at: float | None = None,
    good_for: float = math.inf,
) -> None:
    """One slice of a run of a project pair, and its continuation."""
    found = _pair(deployment().settings, testrail, testably)
    with bound_contextvars(correlation=correlation or self.request.id, project=str(found)):
        if is_too_old(_redis(), sent_at, good_for):
            log.info("skipped: its message is older than a period of its schedule")
        elif found is None:
            log.warning("skipped: this pair is not configured or not enabled", testrail=testrail)
            if run is not None:
                give_up(deployment(), run, NOT_CONFIGURED)
        else:
            _sync(found, Trigger(trigger), run, attempt, correlation)


def _sync(
    pair: ProjectPair, trigger: Trigger, run: str | None, attempt: int, correlation: str | None
) -> None:
    if trigger is Trigger.WEBHOOK and run is None:
        _sync_because_of_a_hint(pair, attempt, correlation)
        return
    if run is not None:
        Hints(_redis()).forget(f"run {run}")
    _do_slice(slices.Job(pair, trigger, run, attempt), correlation)


def _sync_because_of_a_hint(pair: ProjectPair, attempt: int, correlation: str | None) -> None:
    hints, name = Hints(_redis()), f"sync {pair}"
    if not is_waited_for(deployment(), pair):
        log.info("skipped: no delivery waits for a sync of this pair")
        hints.forget(name)
        return
    job = slices.Job(pair, Trigger.WEBHOOK, attempt=attempt)
    wait = hints.begin(name, SYNC_QUIET)
    if wait:
        log.info("put off: it was synced just now, or is being synced", seconds=round(wait, 1))
        _continue(job, slices.Next(None, attempt, min(wait, slices.SOON)), correlation)
        return
    then = _do_slice(job, correlation)
    with suppress(RedisError):
        if then is not None and then.run is None:
            hints.put_back(name)
        else:
            hints.end(name, SYNC_QUIET)


def _do_slice(job: slices.Job, correlation: str | None) -> slices.Next | None:
    """One slice, and its continuation in the queue."""
    watch = _watch(_redis())
    then = slices.work(deployment(), job, watch.is_over, watch.gives_way)
    if then is not None:
        _continue(job, then, correlation)
    return then


def _continue(job: slices.Job, after: slices.Next, correlation: str | None) -> None:
    def publish() -> None:
        _enqueue((job.pair.testrail, job.pair.testably), job.trigger, after, correlation)

    keep_publishing(publish, is_stopping, deployment().clock, PUBLISH_FOR)


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


@app.task(name="milesync.sweep_deliveries")  # type: ignore[untyped-decorator]
def sweep_deliveries(sent_at: float | None = None, good_for: float = math.inf) -> None:
    """Ask for what no message asks for: waiting deliveries, unfinished runs, paused pairs.

    It is also what sends the notices of a service: no refresh and no sync waits for an address.
    """
    try:
        if is_too_old(_redis(), sent_at, good_for):
            log.info("skipped: a later sweep was sent since")
            return
        _sweep(deployment(), _redis())
    except (StoreError, *_BROKER_AWAY) as error:
        log.warning("not all was asked for; the next sweep does it", error=str(error))


def _sweep(here: Deployment, redis: Redis) -> None:
    hints = Hints(redis)
    _ask_for_overdue(here, redis)
    dead = settle_dead(here.runs)
    for run in dead:
        if run.error is not None:
            log.error("the run does not go on", run=run.id, because=run.error["message"])
    for run in [*dead, *here.runs.overdue()]:
        goes_on = run.state == UNFINISHED and run.in_background
        if goes_on and hints.ask(f"run {run.id}", _queue_of(Trigger(run.trigger))):
            _go_on_again(here, run)
    for pair in to_try_again(here):
        if hints.ask(f"paused {pair}", "sync"):
            log.info("tries the credentials of a paused pair again", pair=str(pair))
            sync_project.apply_async((pair.testrail, pair.testably, Trigger.SCHEDULE.value))
    AnswerStore(here.store.engine).purge()
    if redis.set(PRUNED, "1", nx=True, ex=PRUNE_EVERY):
        _prune(here)
    enabled = [pair for pair in here.settings.projects if pair.enabled]
    here.tell_people(enabled, scheduled=True, hurries=True)


def _ask_for_overdue(here: Deployment, redis: Redis) -> None:
    """Ask for what hints have waited for; of refreshes, for no more than the queue has room.

    A mark may lapse while its message is in the queue still, where refreshes take long.
    """
    late = overdue(here, OVERDUE)
    refreshes = sum(hint.milestone is not None for hint in late)
    room = max(refreshes, ALWAYS_QUEUED) - Hints(redis).length("refresh")
    for hint in late:
        if hint.milestone is None:
            ask(redis, here.settings, hint)
        elif room > 0:
            room -= ask_refresh(redis, hint)
    if refreshes and room <= 0:
        log.info("as many refreshes are queued as hints wait", refreshes=refreshes)


def _go_on_again(here: Deployment, run: RunRecord) -> None:
    found = next((pair for pair in here.store.all_pairs() if pair.id == run.pair_id), None)
    if found is not None:
        log.info("goes on: its message was lost", run=run.id, pair=str(found.id))
        go_on((found.identity.testrail_project, found.identity.testably_project), run)


def _prune(here: Deployment) -> None:
    """Delete runs that are older than the retention, with their changes."""
    gone = prune_runs(here.store.engine, here.settings.sync.kept_for)
    log.info("pruned", runs=gone.runs, changes=gone.changes, folded=gone.folded)


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

    return slices.Watch(is_stopping, waiting_refreshes, slices.SLICE)


def _pair(settings: Settings, testrail: int, testably: str) -> ProjectPair | None:
    for pair in pairs_of(settings, testrail):
        if pair.testably == testably:
            return pair
    return None
