"""The pairs that a webhook's hint is about, and the note that one of them has read the source."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from mappings.deliveries import DONE, Deliveries, Hint
from worker.bootstrap import Deployment
from worker.settings import ProjectPair, Settings
from worker.tasks.paused import is_paused

NOBODY_READS: Final = "skipped: no pair is left to read what a webhook hinted at"
log = structlog.get_logger(__name__)


def pairs_of(settings: Settings, project: int) -> list[ProjectPair]:
    """The enabled pairs of a TestRail project."""
    return [pair for pair in settings.projects if pair.enabled and pair.testrail == project]


def is_waited_for(deployment: Deployment, configured: ProjectPair) -> bool:
    """Whether a delivery waits that this pair has not read yet. Raises StoreError."""
    pair = deployment.store.pair(deployment.identity(configured))
    return Deliveries(deployment.store.engine).wait_for(configured.testrail, pair.id)


def overdue(deployment: Deployment, after: timedelta) -> list[Hint]:
    """The hints whose deliveries have waited for longer than that. Raises StoreError.

    Those at a project that no pair is left to read, or only paused ones, are closed instead: no
    work that is asked for would do it. (A refresh closes those at a milestone itself.)
    """
    late = Deliveries(deployment.store.engine).forgotten(deployment.clock.now(), after)
    closed = {
        project
        for project in {hint.project for hint in late if hint.milestone is None}
        if Waiting.now(deployment, project).close_if_nobody_reads()
    }
    for project in closed:
        log.info(NOBODY_READS, project=project)
    return [hint for hint in late if hint.project not in closed]


@dataclass(frozen=True, slots=True)
class Waiting:
    """The deliveries of a project, or of one milestone of it, that wait when the work begins."""

    deployment: Deployment
    project: int
    milestone: int | None
    newest: int | None

    @classmethod
    def now(cls, deployment: Deployment, project: int, milestone: int | None = None) -> Waiting:
        """Those that wait now; to be asked for before the source is read. Raises StoreError."""
        newest = Deliveries(deployment.store.engine).newest(project, milestone)
        return cls(deployment, project, milestone, newest)

    def were_read(
        self, by: Collection[int], *, since: datetime | None = None, state: str = DONE
    ) -> None:
        """Note that these pairs (ids) have read the source; what all have read waits no more.

        ``since`` is when they began to, if that was before these deliveries were looked for. A
        pair whose credentials were refused is not waited for. Raises StoreError.
        """
        newest, now = self._newest(since), self.deployment.clock.now()
        if newest is not None:
            what, of = (self.project, self.milestone, newest), self._readers(now)
            self._deliveries.read(*what, by, of, now, state=state)

    def were_tried(self, *, since: datetime | None = None) -> None:
        """Note that what they hint at was tried in vain, as in `were_read`: they wait and rest.

        Whatever of them waits for too long already is given up. Raises StoreError.
        """
        newest, now = self._newest(since), self.deployment.clock.now()
        if newest is None:
            return
        gone = self._deliveries.were_tried(self.project, self.milestone, newest, now)
        if gone:
            why = "given up: what webhooks hinted at is left to the schedule"
            log.warning(why, project=self.project, deliveries=gone)

    def close_if_nobody_reads(self) -> bool:
        """Close these deliveries if no pair is left that will read them. Raises StoreError."""
        if self._readers(self.deployment.clock.now()):
            return False
        self.were_read(())
        return True

    @property
    def _deliveries(self) -> Deliveries:
        return Deliveries(self.deployment.store.engine)

    def _newest(self, since: datetime | None) -> int | None:
        if since is None:
            return self.newest
        return self._deliveries.newest(self.project, self.milestone, before=since)

    def _readers(self, now: datetime) -> set[int]:
        here = self.deployment
        every = pairs_of(here.settings, self.project)
        known = [(one, here.store.pair(here.identity(one))) for one in every]
        return {pair.id for one, pair in known if not is_paused(one, pair, now)}
