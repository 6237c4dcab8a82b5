"""Asking again: how often a GET is sent for what may pass, and after which waits."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from worker.clock import Clock
from worker.errors import ApiError, RateLimited
from worker.sync.lanes import Lanes

ATTEMPTS: Final = 6
FIRST_DELAY, LONGEST_DELAY = 0.5, 15.0
T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retries:
    """Sends a GET at most ``attempts`` times, each on a permit of its own.

    ``on_wait`` is told the seconds before every wait, and may raise to end it.
    """

    api: str
    clock: Clock
    attempts: int
    wait_for_permit: Callable[[], None]
    on_wait: Callable[[float], None] | None = None

    def until_answered(self, ask: Callable[[], T], lanes: Lanes, *, once: bool = False) -> T:
        """What ``ask`` brings, which sends the request. Raises the last ApiError that it met.

        Where it is to be sent ``once``, only a 429 is followed by another attempt: that tells
        nothing of what was asked. Other items of ``lanes`` go on while this one waits.
        """
        failed = 0
        while True:
            lanes.require()
            with lanes.waiting():
                self.wait_for_permit()
            lanes.started()
            try:
                with lanes.waiting():
                    return ask()
            except RateLimited as error:
                if error.stays or self.attempts == 1:
                    raise
            except ApiError as error:
                failed += 1
                if once or failed >= self.attempts or not error.may_pass:
                    raise
                with lanes.waiting():
                    self._back_off(failed, error)

    def _back_off(self, failed: int, error: ApiError) -> None:
        longest = min(FIRST_DELAY * 2.0 ** (failed - 1), LONGEST_DELAY)
        delay = max(longest * random.uniform(0.75, 1.25), min(error.retry_after or 0.0, 60.0))
        log.info(
            f"asking {self.api} again in {delay:.1f} s",
            api=self.api,
            kind=error.kind,
            failed=failed,
        )
        if self.on_wait is not None:
            self.on_wait(delay)
        self.clock.sleep(delay)
