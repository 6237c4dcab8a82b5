"""Both vendors on a virtual clock, and a deployment that reaches them without HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Engine

from mappings.milestone import TargetMilestone
from tests.support.in_memory import InMemorySource, InMemoryTarget
from tests.support.stage import StageClock
from worker.apis import Apis
from worker.bootstrap import Deployment
from worker.clients.rate_limit import (
    LocalRateLimiter,
    Priority,
    RateLimit,
    RateLimiter,
    wait_for_permit,
)
from worker.sandbox.faults import Fault, FaultKind
from worker.sandbox.limit import ServerRate, SlidingWindow
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_model import TestRailModel
from worker.settings import ProjectPair


@dataclass
class Seen:
    """What came of it; all times are seconds."""

    periods: dict[str, float] = field(default_factory=dict)
    """The longest pause between two moments of a pair's schedule."""
    waits: dict[str, float] = field(default_factory=dict)
    """The longest time from a pair's moment to the end of its run, as a share of its period."""
    runs: Counter[str] = field(default_factory=Counter)
    carried: list[float] = field(default_factory=list)
    """From a change in TestRail until Testably has it."""
    requests: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    not_carried: list[float] = field(default_factory=list)
    """For how long each change has waited that Testably does not show at the end."""
    longest_queue: int = 0


class Road:
    """The way to one API: a permit, the server's own count, and the time of its answer."""

    def __init__(self, outside: Outside, api: str, owner: str, limiter: RateLimiter, how: Any):
        self._outside, self._api, self._owner = outside, api, f"{api} {owner}"
        self._limiter, self._how = limiter, how

    def permit(self) -> None:
        """Wait until the rate limiter grants one request. Raises BudgetExhausted."""
        wait_for_permit(self._limiter, self._outside.clock, **self._how)

    def __call__(self, method: str, _what: str) -> Fault | None:
        if method == "GET":
            self.permit()
        return self._outside.arrives(self._api, self._owner)


class Target(InMemoryTarget):
    """A target whose every request takes its permit and its time, and tells of each update."""

    def __init__(self, model: TestablyModel, road: Road, outside: Outside) -> None:
        super().__init__(model, faults=road)
        self._road, self._outside = road, outside

    def wait_for_permit(self) -> None:
        self.permits += 1
        self._road.permit()

    def update(self, project_id: str, milestone_id: str, values: Any) -> TargetMilestone:
        made = super().update(project_id, milestone_id, values)
        self._outside.has_changed(project_id, str(values.get("name")))
        return made


class Outside:
    """Both vendors, and the one place in which all processes count their requests.

    Allowed are so many requests a minute; ``answers`` are the seconds in which an API answers.
    """

    def __init__(
        self, clock: StageClock, testrail: int, testably: int, answers: float, seen: Seen
    ) -> None:
        self.clock, self._answers, self._seen = clock, answers, seen
        self.limiters: dict[str, RateLimiter] = {}
        self._servers = {
            "testrail": SlidingWindow(ServerRate(testrail), clock),
            "testably": SlidingWindow(ServerRate(testably), clock),
        }
        self._changed: dict[str, tuple[str, float]] = {}

    def limiter(self, key: str, limit: RateLimit) -> RateLimiter:
        """The rate limiter of an account, whichever process asks."""
        return self.limiters.setdefault(key, LocalRateLimiter(limit, self.clock))

    def arrives(self, api: str, owner: str) -> Fault | None:
        """A request comes in: it is counted as the vendor does, and answered in its time."""
        wait = self._servers[api].wait(owner)
        self._seen.requests[owner] += 1
        if wait is not None:
            self._seen.refused[owner] += 1
            return Fault(FaultKind.RATE_LIMITED)
        self.clock.sleep(self._answers)
        return None

    def changes(self, project: str, name: str) -> None:
        """Somebody renames a milestone in TestRail now; the one before it must be carried."""
        self._changed[project] = (name, self.clock.monotonic())

    def is_behind(self, project: str) -> bool:
        """Whether Testably does not show the last change yet."""
        return project in self._changed

    def has_changed(self, project: str, name: str) -> None:
        """Testably shows this name."""
        wanted, at = self._changed.get(project, ("", 0.0))
        if wanted == name:
            del self._changed[project]
            self._seen.carried.append(self.clock.monotonic() - at)

    @property
    def not_carried(self) -> list[float]:
        """For how long each change that Testably does not show yet has waited."""
        return [self.clock.monotonic() - at for _, at in self._changed.values()]


class SimulatedApis(Apis):
    """The clients of a pair, without HTTP."""

    models: tuple[TestRailModel, TestablyModel]
    outside: Outside

    @contextmanager
    def clients(self, pair: ProjectPair, **how: Any) -> Iterator[Any]:
        how.pop("answers", None)  # a list here is one question, and never longer than a slice
        how.setdefault("priority", Priority.BACKGROUND)
        url = self._settings.testrail.url or ""
        rail = self._rate_limiter("testrail", url, self._settings.testrail.rate_limit)
        ably = self._testably_limiter(pair)
        token = pair.testably_token.get_secret_value() if pair.testably_token else ""
        to_rail = Road(self.outside, "testrail", url, rail, how)
        to_ably = Road(self.outside, "testably", token, ably, how)
        source, target = self.models
        yield InMemorySource(source, to_rail), Target(target, to_ably, self.outside)

    def _new_rate_limiter(self, key: str, limit: RateLimit) -> RateLimiter:
        return self.outside.limiter(key, limit)


class SimulatedDeployment(Deployment):
    """A deployment whose database is given, and whose clients are simulated."""

    given: Engine
    outside: Outside
    models: tuple[TestRailModel, TestablyModel]

    @cached_property
    def engine(self) -> Engine:
        return self.given

    @cached_property
    def apis(self) -> Apis:
        made = SimulatedApis(
            self.settings,
            self.clock,
            None,
            borrowed=False,
            observer=None,
            before_request=lambda: None,
        )
        made.models, made.outside = self.models, self.outside
        return made
