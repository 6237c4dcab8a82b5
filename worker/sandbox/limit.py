"""The rate limits of the sandbox servers: a strict sliding window."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import Literal

from worker.clock import Clock


@dataclass(frozen=True, slots=True)
class ServerRate:
    """``limit`` requests in any ``window`` seconds, for each caller.

    ``retry_after``: how the 429 says when to come back. ``counts_refused``: whether a request
    that was refused for being too many counts too.
    """

    limit: int
    window: float = 60.0
    retry_after: Literal["seconds", "date", "none"] = "none"
    counts_refused: bool = False


class SlidingWindow:
    """Grants requests so that no window of the given length ever holds more than the limit."""

    def __init__(self, rate: ServerRate, clock: Clock) -> None:
        self.rate = rate
        self._clock = clock
        self._granted: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def wait(self, caller: str) -> float | None:
        """None if this request is granted, else the seconds until one would be."""
        with self._lock:
            now = self._clock.monotonic()
            times = self._granted.setdefault(caller, deque())
            while times and now - times[0] >= self.rate.window:
                times.popleft()
            free = len(times) < self.rate.limit
            if free or self.rate.counts_refused:
                times.append(now)
            return None if free else times[-self.rate.limit] + self.rate.window - now

    def headers(self, wait: float) -> dict[str, str]:
        """The headers of a 429 for a caller that has to wait this many seconds."""
        whole = math.ceil(wait)
        if self.rate.retry_after == "seconds":
            return {"Retry-After": str(whole)}
        if self.rate.retry_after == "date":
            at = self._clock.now() + timedelta(
                seconds=whole + 1
            )  # a date drops the fraction of a second
            return {"Retry-After": format_datetime(at.replace(microsecond=0), usegmt=True)}
        return {}
