"""What the pages know of a pair: as configured, as recorded, and how it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from redis.exceptions import RedisError
from starlette.requests import Request

from mappings.errors import MilesyncError
from mappings.locks import settle_dead
from mappings.overview import Condition, Standing, condition, overview
from mappings.rows import Pair
from mappings.run_record import RunRecord
from worker.bootstrap import Deployment
from worker.facts.progress import Progress, progress_of
from worker.settings import ProjectPair
from worker.settings.schedule import next_moment
from worker.stale import why_stale
from worker.tasks.alive import beat_ticks
from worker.web.pages.frame import NotThere, number
from worker.web.service import Service, service_of

_NEVER_RAN: Final = Standing()
_DISABLED: Final = len(Condition)
"""Comes after every condition of a pair that is enabled."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """A configured pair, with its record and its standing if it ever ran."""

    configured: ProjectPair
    pair: Pair | None
    standing: Standing = _NEVER_RAN

    @property
    def condition(self) -> Condition:
        """What to know of it first."""
        return Condition.UNKNOWN if self.pair is None else condition(self.pair, self.standing)

    @property
    def is_still(self) -> bool:
        """Whether a person has to see to the pair itself, before anything of it goes on."""
        is_followed = self.configured.enabled and self.pair is not None
        return is_followed and self.condition in (Condition.PAUSED, Condition.FAILED)

    @property
    def needs_you(self) -> int:
        """How many things wait for a person; the pair itself is one of them while it stands still.

        Of a pair that is not enabled nothing does.
        """
        return self.standing.concerned + self.is_still if self.configured.enabled else 0

    @property
    def rank(self) -> tuple[int, int, int, str]:
        """The place among all pairs, the worst first."""
        worst = self.condition if self.configured.enabled else _DISABLED
        ids = (self.configured.testrail, self.configured.testably)
        return (worst, -self.standing.needs_person, *ids)

    @property
    def names(self) -> str:
        """The names of both projects, as far as they are known; the ids where they are not."""
        found = (self.pair.testrail_name, self.pair.testably_name) if self.pair else ()
        names = " → ".join(dict.fromkeys(name for name in found if name))
        return names or f"Project {self.configured.testrail}"

    @property
    def path(self) -> str:
        """The address of its page."""
        return f"/pairs/{self.configured.testrail}/{self.configured.testably}"

    def holds(self, text: str) -> bool:
        """Whether its ids or names hold the text, whatever its case."""
        whole = f"{self.configured.testrail} {self.configured.testably} {self.names}"
        return text.casefold() in whole.casefold()


def every_pair(here: Deployment) -> list[Known]:
    """All configured pairs, the worst first, with no more of their standing than that takes."""
    recorded = {pair.identity: pair for pair in here.store.all_pairs()}
    pairs = [(one, recorded.get(here.identity(one))) for one in here.settings.projects]
    found = overview(here.store.engine, [pair for _, pair in pairs if pair], brief=True)
    known = [Known(one, pair, found[pair.id]) if pair else Known(one, None) for one, pair in pairs]
    return sorted(known, key=lambda one: one.rank)


def with_counts(here: Deployment, some: Sequence[Known]) -> list[Known]:
    """These pairs with everything about their standing."""
    found = overview(here.store.engine, [one.pair for one in some if one.pair])
    return [
        Known(one.configured, one.pair, found[one.pair.id]) if one.pair else one for one in some
    ]


def pair_of(request: Request) -> Known:
    """The configured pair that the address names, with its standing. Raises NotThere."""
    here = service_of(request).deployment
    ids = (number(request, "testrail"), request.path_params["testably"])
    for configured in here.settings.projects:
        if (configured.testrail, configured.testably) == ids:
            return with_counts(here, [Known(configured, _recorded(here, configured))])[0]
    raise NotThere(f"The pair of project {ids[0]} and {ids[1]} is not configured.")


def _recorded(here: Deployment, configured: ProjectPair) -> Pair | None:
    return here.store.find_pair(here.identity(configured))


def in_words(conditions: Counter[Condition], disabled: int) -> str:
    """How many pairs are in each condition, the worst first."""
    parts = [f"{count} {_HOW_MANY[one]}" for one, count in sorted(conditions.items())]
    return ", ".join(parts + ([f"{disabled} not enabled"] if disabled else []))


_HOW_MANY: Final = {
    Condition.PAUSED: "paused",
    Condition.FAILED: "whose last run failed",
    Condition.NEEDS_PERSON: "with something for you",
    Condition.DIFFERS: "not in step",
    Condition.UNKNOWN: "not known to be in step",
    Condition.IN_STEP: "in step",
}


# --- what goes on now -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Card:
    """A pair with what goes on there now.

    ``next_at`` is its next run by the schedule, where a beat keeps to that; ``left`` how many
    requests its token allows at once, where that is counted for all processes. ``stale`` is as in
    `why_stale`.
    """

    known: Known
    running: RunRecord | None = None
    progress: Progress | None = None
    next_at: datetime | None = None
    left: int | None = None
    stale: bool = False


def cards(service: Service, some: Sequence[Known]) -> list[Card]:
    """The pairs with what goes on there now."""
    here = service.deployment
    settle_dead(here.runs)  # or it would show as running what has died
    open_runs = here.runs.open_of([one.pair.id for one in some if one.pair])
    running = {run.pair_id: run for run in reversed(open_runs)}
    far = progress_of(here, list(running.values()))
    ticks, now = _beat_ticks(service), here.clock.now()
    left = _allowances(here, [one.configured for one in some])
    found = []
    for one in some:
        run = running.get(one.pair.id) if one.pair else None
        keeps = ticks and one.configured.enabled
        at = next_moment(one.configured.schedule, now) if keeps else None
        done = far[run.id] if run else None
        stale = _is_stale(here, one, now, kept=bool(keeps))
        found.append(Card(one, run, done, at, left.get(str(one.configured)), stale))
    return found


def _is_stale(here: Deployment, one: Known, now: datetime, *, kept: bool) -> bool:
    if one.pair is None or not one.configured.enabled:
        return False
    first = partial(here.runs.first_began, one.pair.id)
    schedule = one.configured.schedule
    return why_stale(one.pair, one.standing, schedule, now, first, kept=kept) is not None


def _beat_ticks(service: Service) -> bool:
    """Whether somebody keeps to the schedule."""
    try:
        return beat_ticks(service.redis)
    except RedisError as error:
        log.warning("whether the beat ticks is not shown", error=str(error))
        return False


def _allowances(here: Deployment, some: Sequence[ProjectPair]) -> Mapping[str, int | None]:
    if here.settings.redis_url is None:
        return {}
    by_token: dict[str, int | None] = {}
    found = {}
    for one in some:
        token = one.testably_token.get_secret_value() if one.testably_token else ""
        if token not in by_token:
            by_token[token] = _left(here, one)
        found[str(one)] = by_token[token]
    return found


def _left(here: Deployment, pair: ProjectPair) -> int | None:
    try:
        return here.apis.requests_left(pair)
    except MilesyncError as error:
        log.warning("the allowance is not shown", error=error.message)
        return None
