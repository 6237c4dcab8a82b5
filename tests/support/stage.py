"""A clock on which many threads take turns, so that hours of many workers pass in seconds."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.support.clock import NOW


@dataclass(order=True)
class _Due:
    """What happens at a time: a thread wakes, or a piece of work is done in passing."""

    at: float
    number: int
    act: Callable[[], object] = field(compare=False)
    wakes: bool = field(compare=False)


class StageClock:
    """One thread acts at a time; whoever sleeps or waits lets the next one in time go on.

    Equal times go in the order in which they were asked for, so everything happens in the same
    order each time.
    """

    def __init__(self, start: datetime = NOW) -> None:
        self._start, self._passed = start, 0.0
        self._numbers = itertools.count()
        self._due: list[_Due] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        turn = threading.Semaphore(0)
        self._add(seconds, turn.release, wakes=True)
        self.wait(turn)

    def alarm(self, seconds: float, work: Callable[[], object]) -> None:
        """Do ``work``, which must not sleep, when so many seconds have passed."""
        self._add(seconds, work, wakes=False)

    def wake(self, turn: threading.Semaphore) -> None:
        """Let the thread that waits for its turn go on, at this time."""
        self._add(0.0, turn.release, wakes=True)

    def wait(self, turn: threading.Semaphore) -> None:
        """Let the others go on until somebody wakes this thread."""
        self.leave()
        turn.acquire()

    def leave(self) -> None:
        """Let the others go on for good: the last act of a thread."""
        while True:
            due = heapq.heappop(self._due)
            self._passed = max(self._passed, due.at)
            due.act()
            if due.wakes:
                return

    def _add(self, seconds: float, act: Callable[[], object], *, wakes: bool) -> None:
        at = self._passed + max(seconds, 0.0)
        heapq.heappush(self._due, _Due(at, next(self._numbers), act, wakes))


class Crew:
    """Threads that take jobs out of one queue, first in, first out, on a stage.

    ``do`` does one job. The first error of any of them is raised by `close`.
    """

    def __init__(self, clock: StageClock, size: int, do: Callable[[Any], None]) -> None:
        self._clock, self._do = clock, do
        self._jobs: deque[Any] = deque()
        self._idle: deque[threading.Semaphore] = deque()
        self._closing: threading.Semaphore | None = None
        self._left = size
        self.error: BaseException | None = None
        self.longest_queue = 0
        for _ in range(size):
            turn = threading.Semaphore(0)
            threading.Thread(target=self._work, args=(turn,), daemon=True).start()
            clock.wake(turn)

    def put(self, job: Any) -> None:
        """Queue a job; whoever is idle takes it up."""
        self._jobs.append(job)
        self.longest_queue = max(self.longest_queue, len(self._jobs))
        if self._idle:
            self._clock.wake(self._idle.popleft())

    @property
    def waiting(self) -> tuple[Any, ...]:
        """The jobs that nobody has taken up."""
        return tuple(self._jobs)

    def close(self) -> None:
        """Return when every thread has ended its job. Jobs that still wait are not begun."""
        self._closing = threading.Semaphore(0)
        self._jobs.clear()
        while self._idle:
            self._clock.wake(self._idle.popleft())
        if self._left:
            self._clock.wait(self._closing)
        if self.error is not None:
            raise self.error

    def _work(self, turn: threading.Semaphore) -> None:
        turn.acquire()
        try:
            while self._closing is None and self.error is None:
                if self._jobs:
                    self._do(self._jobs.popleft())
                else:
                    self._idle.append(turn)
                    self._clock.wait(turn)
        except BaseException as error:
            self.error = self.error or error
        self._left -= 1
        if self._closing is not None and not self._left:
            self._clock.wake(self._closing)
        self._clock.leave()
