"""The clock as a value, so that tests hand in their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """The wall-clock time, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` of this clock's time."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SharedClock:
    """The time of a database that several machines share, whatever this machine's clock says.

    ``read`` asks for it (an aware datetime, in UTC); between two readings it is counted on.
    Raises what ``read`` raises, until it has answered once. ``machine`` sleeps and measures.
    """

    _READ_EVERY = 30.0

    def __init__(self, read: Callable[[], datetime], machine: Clock | None = None) -> None:
        self._read = read
        self._machine = machine or SystemClock()
        self._last: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        last = self._last
        if last is None or _uptime() - last[1] > self._READ_EVERY:
            try:
                last = (self._read(), _uptime())
            except Exception:
                if last is None:
                    raise
            self._last = last
        return last[0] + timedelta(seconds=_uptime() - last[1])

    def monotonic(self) -> float:
        return self._machine.monotonic()

    def sleep(self, seconds: float) -> None:
        self._machine.sleep(seconds)


def _uptime() -> float:
    """Seconds that only go forward, also while the machine is asleep, where it can tell."""
    source = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(source)
