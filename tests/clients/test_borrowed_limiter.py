"""A rate limiter that is borrowed from `milesync up` until it answers no more."""

from __future__ import annotations

import pytest

from tests.support.clock import FakeClock
from worker.clients.borrowed_limiter import BorrowedRateLimiter
from worker.clients.rate_limit import LocalRateLimiter, Priority, RateLimit
from worker.errors import BudgetExhausted

LIMIT = RateLimit(3, 60.0)
REFRESH = Priority.REFRESH


class Shared(LocalRateLimiter):
    """Another process's; ``gone`` once that one has ended."""

    gone = False

    def try_acquire(self, priority: Priority) -> float:
        if self.gone:
            raise BudgetExhausted("gone", 5.0)
        return super().try_acquire(priority)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shared(clock: FakeClock) -> Shared:
    return Shared(LIMIT, clock)


@pytest.fixture
def limiter(shared: Shared, clock: FakeClock) -> BorrowedRateLimiter:
    return BorrowedRateLimiter(shared, LocalRateLimiter(LIMIT, clock))


def test_what_the_other_one_took_counts(limiter: BorrowedRateLimiter, shared: Shared) -> None:
    assert [
        shared.try_acquire(REFRESH),
        shared.try_acquire(REFRESH),
        limiter.try_acquire(REFRESH),
    ] == [0, 0, 0]
    assert limiter.try_acquire(REFRESH) > 0


def test_it_goes_on_at_once_and_its_own_requests_still_count(
    limiter: BorrowedRateLimiter, shared: Shared
) -> None:
    """Not those of the other one, of which nobody can be asked any more."""
    assert [shared.try_acquire(REFRESH), limiter.try_acquire(REFRESH)] == [0, 0]
    shared.gone = True
    assert [limiter.try_acquire(REFRESH), limiter.try_acquire(REFRESH)] == [0, 0]
    assert limiter.try_acquire(REFRESH) > 0


def test_it_is_not_borrowed_again(limiter: BorrowedRateLimiter, shared: Shared) -> None:
    """Asking again and again who has gone would cost a moment for each request."""
    shared.gone = True
    assert limiter.try_acquire(REFRESH) == 0
    shared.gone = False
    assert [shared.try_acquire(REFRESH) for _ in range(3)] == [0, 0, 0]
    assert limiter.try_acquire(REFRESH) == 0


def test_a_pause_holds_in_both(limiter: BorrowedRateLimiter, shared: Shared) -> None:
    limiter.pause(30)
    assert shared.paused_for() == limiter.paused_for() == 30
    shared.gone = True
    assert limiter.try_acquire(REFRESH) == 30
