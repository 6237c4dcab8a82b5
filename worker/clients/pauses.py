"""What a 429 does: it stops everybody, and says so once when it begins and once when it ends."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from worker.clients.rate_limit import LONGEST_PAUSE, RateLimiter
from worker.errors import RateLimited

LONGEST_BLIND_PAUSE: Final = 60.0
MOST_IN_A_ROW: Final = 20
"""A 429 was not carried out and says when to ask again, so it may come more often than others."""
_STAYS: Final = "What this account is allowed is used up, by something else perhaps; try it later."

log = structlog.get_logger(__name__)


class Pauses:
    """The pauses that one API imposed on this process; usable from several threads.

    ``in_a_row`` is how many 429s came since the last success, over all calls, and ``waited`` the
    seconds of their pauses that are over.
    """

    def __init__(self, api: str, rate_limiter: RateLimiter) -> None:
        self._api = api
        self._rate_limiter = rate_limiter
        self._lock = threading.Lock()
        self.in_a_row = 0
        self.waited = 0.0
        self._latest = 0.0
        self._announced = False

    def begin(self, error: RateLimited, before: int) -> None:
        """Stop the rate limiter for as long as a 429 asks for, and note that in ``error``.

        Where it does not say: one second after a success, then the double each time, up to a
        minute. ``before`` is what `in_a_row` was when the request was sent: of requests that were
        under way together one counts. After twenty in a row, or an hour of pauses, it stays so.
        """
        with self._lock:
            is_next = before == self.in_a_row
            self.in_a_row = max(self.in_a_row + is_next, 1)
            blind = min(2.0 ** min(self.in_a_row - 1, 10), LONGEST_BLIND_PAUSE)
            seconds = blind if error.retry_after is None else error.retry_after
            if is_next:
                self.waited += self._latest
                self._latest = seconds
            error.stays = self.in_a_row >= MOST_IN_A_ROW or self.waited >= LONGEST_PAUSE
            announced, self._announced = self._announced, True
        error.retry_after = seconds
        if error.stays:
            error.hint = _STAYS
        self._rate_limiter.pause(seconds)
        if not announced:
            event = f"rate limited by {self._api}, pausing {seconds:.0f} s"
            log.warning(event, api=self._api, seconds=seconds)

    def end(self) -> None:
        """A permit was granted: if a pause was announced and is over, say so."""
        if not self._announced or self._rate_limiter.paused_for() > 0:
            return
        with self._lock:
            announced, self._announced = self._announced, False
        if announced:
            log.info(f"{self._api} is asked again", api=self._api)

    def forget(self) -> None:
        """A request succeeded: the next 429 is a first one again."""
        with self._lock:
            self.in_a_row = 0
            self.waited = self._latest = 0.0
