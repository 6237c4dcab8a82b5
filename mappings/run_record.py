"""A recorded run as a value: its state, its sign of life, and when it is due to go on (R13)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

RUNNING = "running"
UNFINISHED = "unfinished"
"""Between two parts of a run, or before the first."""
BY_HAND: Final = ("migration", "rebuild")
"""Triggers of runs that a person begins, sees and waits for."""
HEARTBEAT_EVERY: Final = 10.0
"""Seconds between two heartbeats of a run."""
DEAD_AFTER: Final = timedelta(seconds=30)
"""A run without a heartbeat for longer has died, if its lock is free as well."""
LOST_AFTER: Final = timedelta(seconds=15)
"""An unfinished run that is due for longer waits for a message that is lost."""
_LONGEST_WAIT: Final = timedelta(minutes=10)
"""Nothing is due later than this: then the clock was set back."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One pass over one pair. Times are UTC; ``state`` is running or how it ended.

    ``heartbeat_at`` is the last sign of life and ``due_at`` when an unfinished run is to go on,
    both in the database's time. A refresh is not ``exclusive``: it holds no lock. ``not_exact``
    counts what it could not carry exactly, ``verified`` is the proof that it ended with.
    """

    id: str
    pair_id: int
    trigger: str
    state: str
    holder: str
    started_at: datetime
    finished_at: datetime | None = None
    planned: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[Mapping[str, Any]] = ()
    error: Mapping[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    stop_requested: bool = False
    heartbeat_at: datetime | None = None
    due_at: datetime | None = None
    exclusive: bool = True
    not_exact: Mapping[str, int] = field(default_factory=dict)
    verified: Mapping[str, Any] | None = None

    @property
    def in_background(self) -> bool:
        """Whether the service began the run, or was handed it, and so goes on with it."""
        return self.trigger in ("schedule", "webhook") or bool(self.options.get("background"))

    def is_silent(self, at: datetime) -> bool:
        """Whether the heartbeat of a running run has stopped.

        One out of the future has too: the clock was set back. A run without any is of a version
        that gave none.
        """
        return self.heartbeat_at is None or abs(at - self.heartbeat_at) > DEAD_AFTER

    def is_overdue(self, at: datetime) -> bool:
        """Whether an unfinished run waits for a message that must be lost."""
        due = self.due_at or self.finished_at or self.started_at
        return due < at - LOST_AFTER or due > at + _LONGEST_WAIT


def new_run_id(now: datetime) -> str:
    """An id that sorts by time and can be typed: ``20261121-204512-3fa9``."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
