"""Lanes in which a test says who goes on: the same choices give the same order of everything."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from worker.sync.lanes import EndedElsewhereError, Ids, Lanes

T = TypeVar("T")


class _Lane(threading.Thread):
    """One item in a thread of its own, which runs only between `go` and its next `park`."""

    def __init__(self, item: Any, do: Callable[[Any], None], parked: threading.Semaphore) -> None:
        work = contextvars.copy_context().run
        super().__init__(target=work, args=(self._work,), daemon=True)
        self.item, self.is_over = item, False
        self.error: BaseException | None = None
        self._do, self._parked = do, parked
        self._may_go = threading.Semaphore(0)

    def _work(self) -> None:
        self._may_go.acquire()
        try:
            self._do(self.item)
        except EndedElsewhereError:
            pass
        except BaseException as error:
            self.error = error
        self.is_over = True
        self._parked.release()

    def go(self) -> None:
        """Go on until it parks or is over."""
        if not self.is_alive():
            self.start()
        self._may_go.release()
        self._parked.acquire()

    def park(self) -> None:
        self._parked.release()
        self._may_go.acquire()


class SteppedLanes(Lanes):
    """Up to ``most`` items under way; ``choose`` gets a number and picks one below it."""

    def __init__(self, most: int, choose: Callable[[int], int]) -> None:
        super().__init__(most)
        self._choose = choose
        self._open: list[_Lane] = []
        self._starter: _Lane | None = None
        self._error: BaseException | None = None

    def each(
        self,
        items: Iterable[T],
        do: Callable[[T], None],
        ids: Ids[T],
    ) -> None:
        queue, parked, first_is_over = list(items), threading.Semaphore(0), False
        unfinished = {ids(item)[0] for item in queue}
        self._error = None
        while self._open or (queue and self._error is None):
            free = next((item for item in queue if ids(item)[1] not in unfinished), None)
            if free is None and queue and not self._open:
                free = queue[0]
            has_room = len(self._open) < (self._most if first_is_over else 1)
            may_begin = has_room and self._starter is None and self._error is None
            chosen = self._choose(len(self._open) + (free is not None and may_begin))
            if chosen < len(self._open):
                lane = self._open[chosen]
            else:
                assert free is not None
                queue.remove(free)
                lane = self._starter = _Lane(free, do, parked)
                self._open.append(lane)
            lane.go()
            if lane.is_over:
                self._open.remove(lane)
                unfinished.discard(ids(lane.item)[0])
                self._starter = None if self._starter is lane else self._starter
                self._error = self._error or lane.error
                first_is_over = True
        if self._error is not None:
            raise self._error

    def require(self) -> None:
        if self._open and self._error is not None:
            raise EndedElsewhereError

    @contextmanager
    def waiting(self) -> Iterator[None]:
        lane = next((one for one in self._open if one is threading.current_thread()), None)
        if lane is None:
            yield
            return
        lane.park()
        try:
            yield
        finally:
            lane.park()

    def started(self) -> None:
        if self._starter is threading.current_thread():
            self._starter = None
