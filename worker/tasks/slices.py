"""One slice of a run of a pair: what a background task does, and what comes after it.

A run that is longer than a slice stays one run, with one id: its slice ends cleanly as
"unfinished" and the next one goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from mappings.deliveries import DONE, FAILED
from mappings.errors import LostLock
from mappings.rows import Pair
from mappings.run_record import RUNNING, UNFINISHED, RunRecord
from mappings.runs import STOPPED
from worker.bootstrap import Deployment
from worker.clients.rate_limit import Priority
from worker.counters import Counters
from worker.errors import (
    BudgetExhausted,
    Busy,
    CredentialsRefused,
    MilesyncError,
    StoreError,
    TakesNoWrites,
    Transient,
    Unreachable,
)
from worker.settings import ProjectPair
from worker.sync.options import Only, Options, RunMode, Trigger
from worker.sync.report import RunReport, State, unrecorded
from worker.sync.run import Run
from worker.tasks import recall
from worker.tasks.agreed import is_as_agreed
from worker.tasks.celery_app import LONGEST_COUNTDOWN
from worker.tasks.given_up import OTHER_ADDRESSES, give_up
from worker.tasks.hinted import Waiting
from worker.tasks.paused import is_paused, pause, was_tried

SLICE: Final = 480.0
"""Seconds after which a run ends its slice; a task's soft time limit leaves it a minute more."""
MAX_WAIT: Final = 45.0
"""Seconds that a request may wait for its turn before the slice ends instead."""
SOON: Final = 20.0
"""Seconds, at most, to the next attempt at what has no run yet; so long its mark stands."""
ATTEMPTS: Final = 6
BUSY_ATTEMPTS: Final = 60
_PASSING = (TakesNoWrites, Transient, Unreachable, StoreError, SoftTimeLimitExceeded)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What a task was asked to do: to begin a run of the pair, or to go on with ``run``."""

    pair: ProjectPair
    trigger: Trigger
    run: str | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Next:
    """What has to be enqueued after a slice, and in how many seconds."""

    run: str | None
    attempt: int
    countdown: float


def work(
    deployment: Deployment,
    job: Job,
    is_over: Callable[[], bool],
    gives_way: Callable[[], bool] = lambda: False,
) -> Next | None:
    """Do one slice. None when nothing is left to do. Raises StoreError, RedisError."""
    pair = deployment.store.pair(deployment.identity(job.pair))
    record = _to_go_on_with(deployment, job, pair)
    if job.run is not None and record is None:
        return None
    if record is None and not _may_begin(deployment, job, pair):
        return None
    options = options_of(record) if record else Options(trigger=job.trigger)
    waiting = Waiting.now(deployment, job.pair.testrail)
    forget = partial(recall.forget, deployment.redis, job.run or "")
    mode = RunMode(job.run, is_over, gives_way, before_writes=forget)
    done = _slice(deployment, job, options, mode)
    _count(deployment, job, done)
    if record is None and pair.paused_because is not None and not isinstance(done.error, Busy):
        was_tried(deployment, job.pair, pair)
    after = _after(deployment, job, pair, done)
    if after is None and options.only is None:
        _note(waiting, pair, done)
    return after


def _note(waiting: Waiting, pair: Pair, done: _Done) -> None:
    """What a run that has ended means for the deliveries that waited for it."""
    if isinstance(done.error, Busy | LostLock | BudgetExhausted):
        return  # somebody else has the run
    if isinstance(done.error, _PASSING) or (done.error is None and done.report.tries_again):
        waiting.were_tried(since=done.read_at)
        return
    state = DONE if done.error is None else FAILED
    waiting.were_read([pair.id], since=done.read_at, state=state)


def _count(deployment: Deployment, job: Job, done: _Done) -> None:
    """The run, and once it has come to its end its milestones."""
    counters = Counters(deployment.redis)
    counters.add("runs", str(job.pair), done.report.state.value)
    if done.error is None:
        counters.add_all("items", (str(job.pair),), done.report.counts)


# --- before the slice


def _to_go_on_with(deployment: Deployment, job: Job, pair: Pair) -> RunRecord | None:
    """The run, unless it has come to its end (a message can arrive twice) or has to end here."""
    if job.run is None:
        return None
    record = deployment.runs.get(job.run)
    if record is None:
        log.info("skipped: there is no such run", run=job.run)
        return None
    if record.state not in (UNFINISHED, RUNNING):
        log.info("skipped: the run has ended already", run=record.id, state=record.state)
        return None
    if deployment.runs.is_alive(record):
        log.info("skipped: the run is being done", run=record.id, holder=record.holder)
        return None
    if record.stop_requested and record.state == UNFINISHED:
        give_up(deployment, record.id, STOPPED)
        return None
    if record.pair_id != pair.id:
        give_up(deployment, record.id, OTHER_ADDRESSES)
        return None
    return record if is_as_agreed(deployment, job.pair, pair, record) else None


def _may_begin(deployment: Deployment, job: Job, pair: Pair) -> bool:
    if is_paused(job.pair, pair, deployment.clock.now()):
        log.info("skipped: its credentials were refused", pair=str(job.pair))
        return False
    # An unfinished run that this service goes on with does the same work; the sweep sees to it.
    # Of those that run, only one that a person handed over is worth keeping if it has died.
    for run in deployment.runs.open(pair.id):
        handed_over = run.state == RUNNING and bool(run.options.get("background"))
        if handed_over or (run.state == UNFINISHED and run.in_background):
            log.info(
                "skipped: another run of this pair goes on first",
                pair=str(job.pair),
                other=run.id,
                state=run.state,
                due=run.due_at and run.due_at.isoformat(),
            )
            return False
    return True


def options_of(run: RunRecord) -> Options:
    """The options with which a run was begun."""
    known = {field.name for field in fields(Options)} - {"trigger"}
    kept: dict[str, Any] = {name: run.options[name] for name in known if name in run.options}
    if kept.get("only") is not None:
        kept["only"] = Only(kept["only"])
    return Options(trigger=Trigger(run.trigger), **kept)


# --- the slice


@dataclass(frozen=True, slots=True)
class _Done:
    report: RunReport
    error: BaseException | None = None
    read_at: datetime | None = None
    """When the reading of what the run has done began, if that was in an earlier slice."""


def _slice(deployment: Deployment, job: Job, options: Options, mode: RunMode) -> _Done:
    run: Run | None = None
    redis = deployment.redis
    try:
        with deployment.context(
            job.pair,
            priority=Priority.BACKGROUND,
            max_wait=MAX_WAIT,
            on_wait=waiting_counter(deployment, Priority.BACKGROUND),
            tells=False,
        ) as context:
            run = Run(context, options, mode)
            try:
                with run:
                    recalled = recall.scope_of(redis, run) if job.run else None
                    if run.is_proving:
                        return _Done(run.prove(), read_at=run.recording.record.started_at)
                    planned = run.plan(recalled)
                    return _Done(run.apply(), read_at=planned.snapshot.read_at)
            finally:
                if run.report.state is State.UNFINISHED:
                    recall.save(redis, run)
    except Exception as error:
        if not isinstance(error, MilesyncError | SoftTimeLimitExceeded):
            log.exception("a fault of milesync ended the run")
        identity = deployment.identity(job.pair)
        return _Done(run.report if run else unrecorded(identity, error, job.run), error)


def waiting_counter(deployment: Deployment, priority: Priority) -> Callable[[float], None]:
    """Counts the seconds spent waiting for a turn; sleeps are of at most five."""
    counters = Counters(deployment.redis)
    return lambda wait: counters.add("waited", priority.value, amount=min(wait, 5.0))


class Watch:
    """Says when a slice is over: its time is up, or its worker stops; and when it gives way.

    It gives way to a refresh that finds no worker, after it has written for ``least`` seconds, and
    for as long as it had to read first: or a large pair would read again and again.
    """

    def __init__(
        self,
        stops: Callable[[], bool],
        refreshes: Callable[[], int],
        seconds: float,
        least: float = 20.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stops, self._refreshes, self._monotonic = stops, refreshes, monotonic
        self._began = monotonic()
        self._seconds, self._least = seconds, least
        self._wrote_at: float | None = None
        self._in_a_row = 0

    def is_over(self) -> bool:
        """Whether its time is up, or its worker stops."""
        return self._monotonic() - self._began >= self._seconds or self._stops()

    def gives_way(self) -> bool:
        """Whether a refresh needs its worker; to be asked once there is something to write."""
        now = self._monotonic()
        if self._wrote_at is None:
            self._wrote_at = now
        self._in_a_row = self._in_a_row + 1 if self._refreshes() else 0
        least = max(self._least, self._wrote_at - self._began)
        return self._in_a_row >= 3 and now - self._wrote_at >= least


# --- after the slice


def _after(deployment: Deployment, job: Job, pair: Pair, done: _Done) -> Next | None:
    """What comes next; whatever is not over is logged with the reason."""
    error, run = done.error, done.report.run
    if error is None:
        return None
    if isinstance(error, LostLock):
        log.info("left to whoever has the run now, or to the sweep", run=run)
        return None
    after = _next(job, run, error)
    if after is not None and not _is_postponed(deployment, after):
        log.info("skipped: somebody else has the run, or it has ended", run=after.run)
        return None
    if after is not None:
        log.info("goes on later", run=run, seconds=round(after.countdown, 1), because=str(error))
    elif isinstance(error, Busy):
        log.info("skipped: the pair is being run", pair=str(job.pair), reason=error.message)
    else:
        if isinstance(error, CredentialsRefused):
            pause(deployment, job.pair, pair, error)
        _tell(deployment, pair, run, error)
    return after


def _is_postponed(deployment: Deployment, after: Next) -> bool:
    if after.run is None:
        return True
    return deployment.runs.postpone(after.run, deployment.holder, after.countdown)


def _next(job: Job, run: str | None, error: BaseException) -> Next | None:
    if isinstance(error, BudgetExhausted):
        return Next(run, 0, min(max(error.wait, 0.0), LONGEST_COUNTDOWN))
    if isinstance(error, Busy):
        to_wait = job.trigger is not Trigger.SCHEDULE or job.run is not None
        return _again(job, job.run, BUSY_ATTEMPTS, SOON) if to_wait else None
    if isinstance(error, _PASSING):
        return _again(job, run, ATTEMPTS, LONGEST_COUNTDOWN if run else SOON)
    return None


def _again(job: Job, run: str | None, attempts: int, longest: float) -> Next | None:
    if job.attempt + 1 >= attempts:
        return None
    return Next(run, job.attempt + 1, min(5.0 * 2.0**job.attempt, longest))


def _tell(deployment: Deployment, pair: Pair, run: str | None, error: BaseException) -> None:
    """Log what needs a person; at the same thing the next time, only in passing."""
    before = [past for past in deployment.runs.latest(pair.id, 2) if past.id != run]
    known = bool(before) and (before[0].error or {}).get("message") == str(error)
    tell = log.info if known else log.error
    tell("the run failed", kind=getattr(error, "kind", "error"), error=str(error))
