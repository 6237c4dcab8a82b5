"""The rate ledger of a `milesync up` beside this command, for as long as that one runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from worker.clients.budget import Ledger, LocalLedger, Priority
from worker.errors import BudgetExhausted

T = TypeVar("T")
log = structlog.get_logger(__name__)


class BorrowedLedger:
    """Another process's ledger while it answers, then ``own``, which knows of all own grants."""

    def __init__(self, shared: Ledger, own: LocalLedger) -> None:
        self._shared = shared
        self._own = own
        self._lost = False

    def take(self, priority: Priority) -> float:
        lost = self._lost
        wait = self._ask(lambda ledger: ledger.take(priority))
        if wait == 0 and not lost and not self._lost:
            self._own.note(priority)
        return wait

    def pause(self, seconds: float) -> None:
        self._own.pause(seconds)
        self._ask(lambda ledger: ledger.pause(seconds))

    def paused_for(self) -> float:
        return self._ask(lambda ledger: ledger.paused_for())

    def _ask(self, question: Callable[[Ledger], T]) -> T:
        if not self._lost:
            try:
                return question(self._shared)
            except BudgetExhausted:
                self._lost = True
                log.warning("`milesync up` answers no more; the rate is kept to without it")
        return question(self._own)
