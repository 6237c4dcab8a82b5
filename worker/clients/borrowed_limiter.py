"""The rate limiter of a `milesync up` beside this command, for as long as that one runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from worker.clients.rate_limit import LocalRateLimiter, Priority, RateLimiter
from worker.errors import BudgetExhausted

T = TypeVar("T")
log = structlog.get_logger(__name__)


class BorrowedRateLimiter:
    """Another process's rate limiter while it answers, then ``own``, which knows all own grants."""

    def __init__(self, shared: RateLimiter, own: LocalRateLimiter) -> None:
        self._shared = shared
        self._own = own
        self._lost = False

    def try_acquire(self, priority: Priority) -> float:
        lost = self._lost
        wait = self._ask(lambda rate_limiter: rate_limiter.try_acquire(priority))
        if wait == 0 and not lost and not self._lost:
            self._own.note(priority)
        return wait

    def pause(self, seconds: float) -> None:
        self._own.pause(seconds)
        self._ask(lambda rate_limiter: rate_limiter.pause(seconds))

    def paused_for(self) -> float:
        return self._ask(lambda rate_limiter: rate_limiter.paused_for())

    def _ask(self, question: Callable[[RateLimiter], T]) -> T:
        if not self._lost:
            try:
                return question(self._shared)
            except BudgetExhausted:
                self._lost = True
                log.warning("`milesync up` answers no more; the rate is kept to without it")
        return question(self._own)
