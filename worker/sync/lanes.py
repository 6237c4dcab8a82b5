"""Several items under way at once: one acts, while the others wait for the target.

Everything but the waits (for a permit, for an answer, before another attempt) happens in one
thread at a time, so nothing that a run keeps is changed by two at once. An item is taken up when
the one before it has its permit: so the rate limiter's pace starts them, and as many are under way
as the target takes time to answer. With a target that answers within that pace it is one. The first
item goes alone: whether the target answers at all is seen before more is asked of it.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Ids = Callable[[T], tuple[int, int | None]]


class EndedElsewhereError(Exception):
    """Another item has met what ends the run, so nothing more is begun."""


class Lanes:
    """Does items, at most ``most`` side by side; one at a time in the thread of the caller.

    `require`, `waiting` and `started` are called by what does an item, wherever that waits; they
    do nothing outside of `each`.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._pass: _Pass[Any] | None = None

    def each(
        self,
        items: Iterable[T],
        do: Callable[[T], None],
        ids: Ids[T],
    ) -> None:
        """Do every item, in their order; return when none is under way any more.

        ``ids`` tells the id of an item, and of the one that has to be over before it begins.
        Raises the first error of any item: what is under way then ends with its request, and no
        other begins.
        """
        queue = list(items)[::-1]
        if self._most == 1 or len(queue) <= 1:
            while queue:
                do(queue.pop())
            return
        self._pass = _Pass(queue, do, ids, self._most)
        try:
            self._pass.run()
        finally:
            self._pass = None

    def require(self) -> None:
        """Raises EndedElsewhereError before another request, if the run is to end."""
        if self._pass is not None:
            self._pass.require()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for something inside, while others act; nothing of the run is changed there."""
        if self._pass is None:
            yield
            return
        with self._pass.elsewhere():
            yield

    def started(self) -> None:
        """The item has its permit: the next one may be taken up."""
        if self._pass is not None:
            self._pass.started()


@dataclass(slots=True)
class _Pass(Generic[T]):
    """One pass over items, the next one last in ``queue``. Who holds ``turn`` acts.

    ``may_begin`` wakes one idle lane for the next item: whoever begins it wakes the one after.
    ``is_over`` wakes the caller.
    """

    queue: list[T]
    do: Callable[[T], None]
    ids: Ids[T]
    most: int
    turn: threading.Lock = field(default_factory=threading.Lock)
    may_begin: threading.Condition = field(init=False)
    is_over: threading.Condition = field(init=False)
    unfinished: set[int] = field(init=False)
    under_way: int = 0
    starter: int | None = None
    """The thread whose item has no permit yet; until it has, no other is taken up."""
    lanes: int = 0
    idle: int = 0
    first_is_over: bool = False
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.may_begin = threading.Condition(self.turn)
        self.is_over = threading.Condition(self.turn)
        self.unfinished = {self.ids(item)[0] for item in self.queue}

    def run(self) -> None:
        with self.turn:
            self._open_lane()
            try:
                self._wait_for_all()
            except BaseException as error:  # an interrupt of this thread
                self.error = self.error or error
                self._wait_for_all()
        if self.error is not None:
            raise self.error

    def _wait_for_all(self) -> None:
        while self.lanes:
            self.is_over.wait()

    def _open_lane(self) -> None:
        self.lanes += 1
        work = contextvars.copy_context().run
        threading.Thread(target=work, args=(self._lane,), daemon=True).start()

    def _lane(self) -> None:
        with self.turn:
            try:
                while (item := self._next()) is not None:
                    self._do(item)
            finally:
                self.lanes -= 1
                self.may_begin.notify_all()
                if not self.lanes:
                    self.is_over.notify()

    def _next(self) -> T | None:
        """The next item that may begin, once the one before it has; None when there is none."""
        while self.queue and self.error is None:
            place = self._place_of_next() if self.starter is None else None
            if place is not None:
                return self.queue.pop(place)
            self.idle += 1
            self.may_begin.wait()
            self.idle -= 1
        return None

    def _place_of_next(self) -> int | None:
        for place in reversed(range(len(self.queue))):
            if self.ids(self.queue[place])[1] not in self.unfinished:
                return place
        return None if self.under_way else len(self.queue) - 1

    def _do(self, item: T) -> None:
        self.starter = threading.get_ident()
        self.under_way += 1
        try:
            self.do(item)
        except EndedElsewhereError:
            pass
        except BaseException as error:
            self.error = self.error or error
        self.under_way -= 1
        self.unfinished.discard(self.ids(item)[0])
        self.first_is_over = True
        if self.starter == threading.get_ident():
            self.starter = None  # this lane takes up the next one itself

    def require(self) -> None:
        if self.error is not None:
            raise EndedElsewhereError

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        self.turn.release()
        try:
            yield
        finally:
            self.turn.acquire()

    def started(self) -> None:
        if self.starter != threading.get_ident():
            return
        self.starter = None
        if self.idle:
            self.may_begin.notify()
        elif self._has_work_for_more:
            self._open_lane()

    @property
    def _has_work_for_more(self) -> bool:
        wanted = self.first_is_over and self.queue and self.error is None
        return bool(wanted) and self.lanes < self.most
