"""A ledger that is borrowed from `milesync up` until it answers no more."""

from __future__ import annotations

import pytest

from tests.clients.support import FakeClock
from worker.clients.borrowed import BorrowedLedger
from worker.clients.budget import LocalLedger, Priority, RateLimit
from worker.errors import BudgetExhausted

LIMIT = RateLimit(3, 60.0)
REFRESH = Priority.REFRESH


class Shared(LocalLedger):
    """Another process's; ``gone`` once that one has ended."""

    gone = False

    def take(self, priority: Priority) -> float:
        if self.gone:
            raise BudgetExhausted("gone", 5.0)
        return super().take(priority)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shared(clock: FakeClock) -> Shared:
    return Shared(LIMIT, clock)


@pytest.fixture
def ledger(shared: Shared, clock: FakeClock) -> BorrowedLedger:
    return BorrowedLedger(shared, LocalLedger(LIMIT, clock))


def test_what_the_other_one_took_counts(ledger: BorrowedLedger, shared: Shared) -> None:
    assert [shared.take(REFRESH), shared.take(REFRESH), ledger.take(REFRESH)] == [0, 0, 0]
    assert ledger.take(REFRESH) > 0


def test_it_goes_on_at_once_and_its_own_requests_still_count(
    ledger: BorrowedLedger, shared: Shared
) -> None:
    """Not those of the other one, of which nobody can be asked any more."""
    assert [shared.take(REFRESH), ledger.take(REFRESH)] == [0, 0]
    shared.gone = True
    assert [ledger.take(REFRESH), ledger.take(REFRESH)] == [0, 0]
    assert ledger.take(REFRESH) > 0


def test_it_is_not_borrowed_again(ledger: BorrowedLedger, shared: Shared) -> None:
    """Asking again and again who has gone would cost a moment for each request."""
    shared.gone = True
    assert ledger.take(REFRESH) == 0
    shared.gone = False
    assert [shared.take(REFRESH) for _ in range(3)] == [0, 0, 0]
    assert ledger.take(REFRESH) == 0


def test_a_pause_holds_in_both(ledger: BorrowedLedger, shared: Shared) -> None:
    ledger.pause(30)
    assert shared.paused_for() == ledger.paused_for() == 30
    shared.gone = True
    assert ledger.take(REFRESH) == 30
