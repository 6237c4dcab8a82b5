"""What a 429 does: it stops everybody, and says so once when it begins and once when it ends."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from worker.clients.rate_limit import RateLimiter

LONGEST_BLIND_PAUSE: Final = 60.0
log = structlog.get_logger(__name__)


class Pauses:
    """The pauses that one API imposed on this process; usable from several threads."""

    def __init__(self, api: str, rate_limiter: RateLimiter) -> None:
        self._api = api
        self._rate_limiter = rate_limiter
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._announced = False

    def begin(self, retry_after: float | None) -> float:
        """Stop the rate limiter for ``retry_after`` seconds and give these back.

        Without them: one second after a success, then the double each time, up to a minute.
        """
        with self._lock:
            blind = min(2.0 ** min(self._in_a_row, 10), LONGEST_BLIND_PAUSE)
            self._in_a_row += 1
            announced, self._announced = self._announced, True
        seconds = blind if retry_after is None else retry_after
        self._rate_limiter.pause(seconds)
        if not announced:
            event = f"rate limited by {self._api}, pausing {seconds:.0f} s"
            log.warning(event, api=self._api, seconds=seconds)
        return seconds

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
            self._in_a_row = 0
