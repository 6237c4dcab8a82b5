"""Lines of the log that somebody outside, or a broken part, could cause without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

TELL_EVERY: Final = 60.0
"""Seconds from one line of a kind to the next."""


class Sparing:
    """Lets a line of each kind through once in a while. Safe to use from several threads.

    Kinds come from a small set of our own, never from outside.
    """

    def __init__(
        self, every: float = TELL_EVERY, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._every, self._monotonic = every, monotonic
        self._lock = threading.Lock()
        self._told_at: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def tell(self, log: Callable[..., object], event: str, **more: object) -> None:
        """Log the event, by a method of a logger, if none of its kind was told of late.

        The line says how many were held back since the last one.
        """
        with self._lock:
            now = self._monotonic()
            if now - self._told_at.get(event, float("-inf")) < self._every:
                self._held_back[event] = self._held_back.get(event, 0) + 1
                return
            self._told_at[event] = now
            held_back = self._held_back.pop(event, 0)
        log(event, **more, **({"held_back": held_back} if held_back else {}))
