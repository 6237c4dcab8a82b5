"""The pairs that a webhook's hint is about, and the note that one of them has read the source."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from mappings.deliveries import DONE, Deliveries
from worker.bootstrap import Deployment
from worker.settings import ProjectPair, Settings
from worker.tasks.paused import is_paused


def pairs_of(settings: Settings, project: int) -> list[ProjectPair]:
    """The enabled pairs of a TestRail project."""
    return [pair for pair in settings.projects if pair.enabled and pair.testrail == project]


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
        deliveries, now = Deliveries(self.deployment.store.engine), self.deployment.clock.now()
        newest = self.newest
        if since is not None:
            newest = deliveries.newest(self.project, self.milestone, before=since)
        if newest is not None:
            deliveries.read(
                self.project, self.milestone, newest, by, self._readers(now), now, state=state
            )

    def _readers(self, now: datetime) -> set[int]:
        here = self.deployment
        every = pairs_of(here.settings, self.project)
        known = [(one, here.store.pair(here.identity(one))) for one in every]
        return {pair.id for one, pair in known if not is_paused(one, pair, now)}
