"""A mirror over real HTTP clients and the sandbox servers; as a program, one run that may die.

python -m tests.proofs.over_http TESTRAIL_URL TESTABLY_URL DATABASE_URL BOUNDARY
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import httpx
from pydantic import SecretStr
from sqlalchemy import Engine

from mappings.database import open_engine
from mappings.milestone import MappingRules
from mappings.rows import PairIdentity
from tests.proofs.world import MIGRATION
from tests.support.clock import SkippingClock
from tests.support.mortal import Boundaries, MortalAnswers, MortalRunLog, MortalStore
from tests.support.world import NEVER
from worker.clients.credentials import basic_auth, bearer
from worker.clients.rate_limit import LocalRateLimiter, RateLimit
from worker.clients.testably import Testably
from worker.clients.testrail import HEADERS, TestRail
from worker.clients.transport import Transport
from worker.clock import Clock
from worker.sandbox.testably_app import TOKEN
from worker.sandbox.testrail_app import API_KEY, USER
from worker.sync.context import PairContext
from worker.sync.lanes import Lanes
from worker.sync.options import Policy
from worker.sync.read.answers import Answers
from worker.sync.read.scope import Scope
from worker.sync.run import run_pair

PROJECT = "proj_abc123"
PLENTY = RateLimit(1_000_000, 60)


class _MortalHTTP(httpx.BaseTransport):
    """Passes requests on; the process can die before and after each."""

    def __init__(self, point: Callable[[str], None]) -> None:
        self._inner = httpx.HTTPTransport()
        self._point = point

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._point(f"before {request.method} {request.url}")
        response = self._inner.handle_request(request)
        self._point(f"after {request.method} {request.url}")
        return response

    def close(self) -> None:
        self._inner.close()


@contextmanager
def http_context(
    testrail_url: str,
    testably_url: str,
    engine: Engine,
    clock: Clock,
    *,
    request_timeout: float = 30.0,
    point: Boundaries | None = None,
    most_in_flight: int = 1,
    allowed: RateLimit = PLENTY,
    policy: Policy | None = None,
) -> Iterator[PairContext]:
    """A mirror as `worker.bootstrap` makes it; by default hardly anybody waits for a permit."""
    mortal = None if point is None else _MortalHTTP(point)
    point = point or Boundaries()
    answers = Answers(MortalAnswers(engine, point))
    with (
        Transport(
            "TestRail",
            testrail_url,
            basic_auth(USER, SecretStr(API_KEY)),
            rate_limiter=LocalRateLimiter(allowed, clock),
            clock=clock,
            request_timeout=request_timeout,
            headers=HEADERS,
            http=mortal,
            answers=answers,
        ) as source,
        Transport(
            "Testably",
            testably_url,
            bearer(SecretStr(TOKEN)),
            rate_limiter=LocalRateLimiter(allowed, clock),
            clock=clock,
            request_timeout=request_timeout,
            http=mortal,
            answers=answers,
        ) as target,
    ):
        yield PairContext(
            PairIdentity(testrail_url, 1, testably_url, PROJECT),
            MappingRules(testrail_url),
            policy or Policy(),
            TestRail(source),
            Testably(target, partial(Lanes, most_in_flight)),
            MortalStore(engine, point),
            MortalRunLog(engine, point),
            clock,
            f"process {os.getpid()}",
            heartbeat_every=NEVER,
            lanes=partial(Lanes, most_in_flight),
            answers=answers,
        )


class _Deadly(Boundaries):
    """Ends the whole process at its boundary, at once and without tidying up."""

    def __call__(self, _what: str) -> None:
        self.passed += 1
        if self.passed == self.dies_at:
            os._exit(86)


def main(testrail_url: str, testably_url: str, database_url: str, boundary: str) -> None:
    """One migration that dies at its boundary."""
    engine = open_engine(database_url)
    deadly = _Deadly(int(boundary))
    with http_context(testrail_url, testably_url, engine, SkippingClock(), point=deadly) as context:
        report = run_pair(context, MIGRATION, Scope())
    raise SystemExit(f"It came to its end: {report.state}, after {deadly.passed} boundaries.")


if __name__ == "__main__":
    main(*sys.argv[1:])
