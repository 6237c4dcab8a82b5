"""A run's sign of life, from a thread of its own (R13).

A thread, because the run itself may wait for a long time: for the rate limit, for a long list, or
until a create in doubt can be looked for.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from mappings.errors import LostLock

log = structlog.get_logger(__name__)


class Heartbeat:
    """Beats until it ends; ``beat`` answers whether the run still is its holder's."""

    def __init__(self, beat: Callable[[], bool]) -> None:
        self._beat = beat
        self._over = threading.Event()
        self._lost = threading.Event()

    def require(self) -> None:
        """Raises LostLock once a beat has found that the run is not this process's any more."""
        if self._lost.is_set():
            raise LostLock("This run no longer holds its project pair, and stops.")

    def beat(self) -> None:
        """Beat now. Raises LostLock if the run is not this process's any more, StoreError."""
        self.require()
        if not self._beat():
            self._lost.set()
            self.require()

    @contextmanager
    def every(self, seconds: float) -> Iterator[Heartbeat]:
        """Beat every so many seconds inside; its log lines carry what is bound to the context."""
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(self._run, seconds), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _run(self, seconds: float) -> None:
        while not self._over.wait(seconds):
            try:
                if self._beat():
                    continue
            except Exception as error:
                # the lock may still be held: another beat tells
                log.warning("no heartbeat could be noted", error=str(error))
                continue
            self._lost.set()
            return
