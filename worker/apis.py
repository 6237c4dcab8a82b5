"""The clients of both APIs, under the rate limiters that this process shares with others.

What speaks to Redis is imported where there is one: most commands start a tenth faster without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from worker.clients.borrowed_limiter import BorrowedRateLimiter
from worker.clients.credentials import basic_auth, bearer
from worker.clients.rate_limit import (
    LocalRateLimiter,
    RateLimit,
    RateLimiter,
    rate_limiter_key,
)
from worker.clients.testably import Testably
from worker.clients.testrail import HEADERS, TestRail
from worker.clients.transport import Observer, Transport
from worker.clock import Clock
from worker.settings import ProjectPair, Rate, Settings
from worker.sync.lanes import Lanes

if TYPE_CHECKING:
    from redis import Redis


class Apis:
    """Makes the clients of a pair, with connections of their own.

    ``redis`` has the rate limiters that all processes share; one that is ``borrowed`` may go away
    meanwhile. ``observer`` is told of each HTTP request; ``before_request`` is called before each,
    and may raise to end the work there.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        redis: Redis | None,
        *,
        borrowed: bool,
        observer: Observer | None,
        before_request: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._redis = redis
        self._borrowed = borrowed
        self._observer = observer
        self._before_request = before_request
        self._rate_limiters: dict[str, RateLimiter] = {}

    @contextmanager
    def clients(self, pair: ProjectPair, **how: Any) -> Iterator[tuple[TestRail, Testably]]:
        """TestRail and Testably with the accounts of a pair; ``how`` goes to `Transport`."""
        with self._testrail(pair, **how) as source, self._testably(pair, **how) as target:
            lanes = partial(Lanes, self._settings.sync.most_in_flight)
            yield TestRail(source, self._settings.testrail.submilestones), Testably(target, lanes)

    def requests_left(self, pair: ProjectPair) -> int | None:
        """How many requests the pair's Testably token allows at once now, all processes together.

        None where no Redis counts for all of them, or the token is not known here, as in the web
        container. Raises NoLimiter if Redis does not answer.
        """
        if self._redis is None or pair.testably_token is None:
            return None
        from worker.clients.redis_limiter import RedisRateLimiter

        limiter = self._testably_limiter(pair)
        return limiter.left() if isinstance(limiter, RedisRateLimiter) else None

    def _testrail(self, pair: ProjectPair, **how: Any) -> Transport:
        settings = self._settings.testrail
        url = settings.url or ""
        key = pair.testrail_api_key or SecretStr("")
        return self._transport(
            "TestRail",
            url,
            basic_auth(pair.testrail_user or "", key),
            rate_limiter=self._rate_limiter("testrail", url, settings.rate_limit),
            headers=HEADERS,
            **how,
        )

    def _testably(self, pair: ProjectPair, **how: Any) -> Transport:
        token = bearer(pair.testably_token or SecretStr(""))
        limiter = self._testably_limiter(pair)
        url = self._settings.testably.url
        return self._transport("Testably", url, token, rate_limiter=limiter, **how)

    def _transport(self, *where: Any, **how: Any) -> Transport:
        return Transport(
            *where,
            clock=self._clock,
            request_timeout=self._settings.sync.http_timeout,
            observer=self._observer,
            before_request=self._before_request,
            **how,
        )

    def _testably_limiter(self, pair: ProjectPair) -> RateLimiter:
        token = pair.testably_token or SecretStr("")
        rate = self._settings.testably.rate_limit
        return self._rate_limiter("testably", token.get_secret_value(), rate)

    def _rate_limiter(self, api: str, owner: str, rate: Rate) -> RateLimiter:
        """The one rate limiter of this process for an account; on Redis, where there is one."""
        key = rate_limiter_key(api, owner)
        if key not in self._rate_limiters:
            limit = RateLimit(rate.requests, rate.seconds)
            self._rate_limiters[key] = self._new_rate_limiter(key, limit)
        return self._rate_limiters[key]

    def _new_rate_limiter(self, key: str, limit: RateLimit) -> RateLimiter:
        own = LocalRateLimiter(limit, self._clock)
        if self._redis is None:
            return own
        from worker.clients.redis_limiter import RedisRateLimiter

        shared = RedisRateLimiter(self._redis, key, limit)
        return BorrowedRateLimiter(shared, own) if self._borrowed else shared
