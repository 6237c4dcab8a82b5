"""The tests' clocks: one that stands still, and one that passes but skips every sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""When the tests take place."""


@dataclass
class FakeClock:
    """A clock that stands still until somebody sleeps; alarms go off at their time.

    ``passed`` are the seconds since it began, ``slept`` those of each sleep.
    """

    start: datetime = NOW
    passed: float = 0.0
    slept: list[float] = field(default_factory=list)
    _alarms: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        end = self.passed + max(seconds, 0.0)
        while due := [alarm for alarm in self._alarms if alarm[0] <= end]:
            first = min(due, key=lambda alarm: alarm[0])
            self._alarms.remove(first)
            self.passed = max(self.passed, first[0])
            first[1]()
        self.passed = end

    def alarm(self, delay: float, work: Callable[[], None]) -> None:
        """Do ``work`` when this many seconds have passed."""
        self._alarms.append((self.passed + delay, work))

    @property
    def quiet(self) -> bool:
        """Whether no alarm is left."""
        return not self._alarms


class SkippingClock:
    """Real time, but whoever sleeps only sets the clock forward. Usable from several threads."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._skipped)

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._skipped += max(seconds, 0.0)
