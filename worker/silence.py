"""A Redis that does not answer is left alone for a while: each time it is asked takes seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_LASTS: Final = 10.0
"""Seconds."""


class Silence:
    """Whether Redis is to be left alone now. Its askers of one process share one."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = float("-inf")

    @property
    def lasts(self) -> bool:
        """Whether Redis did not answer of late."""
        return self._monotonic() < self._until

    def begin(self) -> None:
        """Redis did not answer."""
        self._until = self._monotonic() + _LASTS
