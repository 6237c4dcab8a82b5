"""A refresh: one milestone and its sub-milestones, read afresh because a webhook hinted at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from redis import Redis

from mappings.deaths import MOST_DEATHS
from mappings.deliveries import DONE, FAILED, Hint
from mappings.rows import Pair
from worker.bootstrap import Deployment
from worker.clients.rate_limit import Priority
from worker.errors import (
    BudgetExhausted,
    CredentialsRefused,
    MilesyncError,
    StoreError,
    TakesNoWrites,
    Transient,
    Unreachable,
)
from worker.settings import ProjectPair
from worker.sync.options import Options, RunMode, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import RunReport, error_json
from worker.sync.run import run_pair
from worker.tasks.hinted import NOBODY_READS, Waiting, pairs_of
from worker.tasks.hints import Hints
from worker.tasks.paused import is_paused, pause
from worker.tasks.slices import waiting_counter

QUIET: Final = 10
"""Seconds from one refresh of a milestone to the next: a burst of hints costs two."""
_LONGEST: Final = 60
_MAX_WAIT: Final = 60.0
_PASSING = (TakesNoWrites, Transient, Unreachable, BudgetExhausted, StoreError)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What is left to do: begin again in so many seconds, sync these pairs whole.

    After an ``error`` that passes by itself there is nothing to do: the sweep asks again.
    """

    wait: float = 0.0
    to_sync: tuple[ProjectPair, ...] = ()
    error: MilesyncError | None = None


def refresh_name(project: int, milestone: int) -> str:
    """The name of the work under which hints at a milestone are put together."""
    return f"refresh {project}/{milestone}"


def refresh(deployment: Deployment, redis: Redis, hint: Hint) -> Refreshed:
    """Read the milestone if a delivery waits for that."""
    assert hint.milestone is not None  # noqa: S101  (a hint at a project is a sync)
    hints, name = Hints(redis), refresh_name(hint.project, hint.milestone)
    wait = hints.begin(name, _LONGEST)
    if wait:
        log.info(
            "put off: it is being read, or was just now", milestone=hint.milestone, seconds=wait
        )
        return Refreshed(wait)
    if hints.times_begun(name) > MOST_DEATHS:
        return _leave(deployment, hint)
    try:
        done = _read_again(deployment, hint)
    finally:
        hints.end(name, QUIET)
    if done.error is not None:
        hints.put_off(name)
        log.info("put off until the sweep asks again", because=str(done.error))
    return done


def _leave(deployment: Deployment, hint: Hint) -> Refreshed:
    """Leave to a sync of its pairs what processes die of: a run says so that ends because of it."""
    if Waiting.now(deployment, hint.project, hint.milestone).newest is None:
        return Refreshed()
    why = "the process of its refresh died each time"
    log.error("left to a sync of the whole pair", milestone=hint.milestone, because=why)
    return Refreshed(to_sync=tuple(pairs_of(deployment.settings, hint.project)))


def _read_again(deployment: Deployment, hint: Hint) -> Refreshed:
    waiting = Waiting.now(deployment, hint.project, hint.milestone)
    if waiting.newest is None:
        log.info("skipped: no delivery waits for it", milestone=hint.milestone)
        return Refreshed()
    done = _Outcomes()
    every = pairs_of(deployment.settings, hint.project)
    if not every:
        log.info(NOBODY_READS, project=hint.project)
    for at, configured in enumerate(every):
        pair = deployment.store.pair(deployment.identity(configured))
        if is_paused(configured, pair, deployment.clock.now()):
            log.info("skipped: its credentials were refused", pair=str(configured))
            continue
        try:
            report = _refresh_pair(deployment, configured, pair, hint.milestone or 0)
        except MilesyncError:
            raise
        except SoftTimeLimitExceeded:  # and no time is left for the other pairs
            left, why = every[at:], "its refresh takes longer than a task may"
            log.warning("left to a sync of the whole pair", pair=str(configured), because=why)
            done.to_sync.extend(left)
            break
        except Exception:
            log.exception("a fault of milesync ended the refresh", pair=str(configured))
            done.state = FAILED
            done.read.append(pair.id)
            continue
        done.note(deployment, configured, pair, report)
    waiting.were_read(done.read, state=done.state)
    return Refreshed(error=done.passing, to_sync=tuple(done.to_sync))


@dataclass(slots=True)
class _Outcomes:
    """What came of a hint in each pair of its project: one never keeps another from its refresh."""

    read: list[int] = field(default_factory=list)
    """The ids of the pairs for which it need not be read again."""
    to_sync: list[ProjectPair] = field(default_factory=list)
    state: str = DONE
    passing: MilesyncError | None = None

    def note(
        self,
        deployment: Deployment,
        configured: ProjectPair,
        pair: Pair,
        report: RunReport | None,
    ) -> None:
        if report is None or report.counts.get("waiting"):
            why = "it is not linked yet" if report is None else "something of it waits"
            log.info("left to a sync of the whole pair", pair=str(configured), because=why)
            self.to_sync.append(configured)
        error = report.error if report else None
        if isinstance(error, _PASSING):
            _close(deployment, report)
            self.passing = error
            return
        if error is not None:
            self.state = FAILED
            _give_up(deployment, configured, pair, error)
        if configured not in self.to_sync:
            self.read.append(pair.id)


def _refresh_pair(
    deployment: Deployment, configured: ProjectPair, pair: Pair, milestone: int
) -> RunReport | None:
    """The refresh of one pair; None if the milestone is not linked there yet."""
    link = deployment.store.links(pair.id, [milestone]).get(milestone)
    if link is None or not link.has_target:
        return None
    with deployment.context(
        configured,
        priority=Priority.REFRESH,
        max_wait=_MAX_WAIT,
        on_wait=waiting_counter(deployment, Priority.REFRESH),
        tells=False,
    ) as context:
        options = Options(trigger=Trigger.WEBHOOK)
        return run_pair(context, options, Scope((milestone,)), mode=RunMode(exclusive=False))


def _close(deployment: Deployment, report: RunReport | None) -> None:
    """A refresh is not gone on with: the next one is a run of its own."""
    if report is not None and report.run is not None and report.error is not None:
        deployment.runs.abort_waiting(report.run, error_json(report.error))


def _give_up(
    deployment: Deployment, configured: ProjectPair, pair: Pair, error: MilesyncError
) -> None:
    if isinstance(error, CredentialsRefused):
        pause(deployment, configured, pair, error)
    log.error("the refresh failed", pair=str(configured), kind=error.kind, error=error.message)
