"""What came of a run's writes so far: does the target take any, or is one milestone bad (R6)?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mappings.problem import ProblemKind
from worker.errors import ApiError, RateLimited, TakesNoWrites, TurnedAway

SPARING_AFTER = 5
"""After so many failures in a row each milestone gets one attempt."""
OUTAGE_AFTER = 10
"""So many milestones without a count that fail before any success: the target takes no writes."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the write of one milestone failed for now; ``has_count`` is that of its link before.

    ``error`` is what its last attempt met.
    """

    kind: ProblemKind
    why: str
    has_count: bool
    error: ApiError | None = None


@dataclass(slots=True)
class Attempts:
    """The writes of a run, in the order in which they ended.

    ``wrote`` says that a write of this run has succeeded, in this part of it or an earlier one;
    ``taken`` are the numbers of the actions of which the target took a write, ``failed`` the
    failures by that number, ``row`` those since the last success.
    """

    wrote: bool = False
    taken: set[int] = field(default_factory=set)
    failed: dict[int, Failure] = field(default_factory=dict)
    row: dict[int, Failure] = field(default_factory=dict)
    _took_one: bool = False
    _begun: dict[int, int] = field(default_factory=dict)
    _first_failed: dict[int, int] = field(default_factory=dict)
    _last_taken: int = 0

    def begin(self, number: int) -> None:
        """A write begins; several may be under way."""
        self._begun[number] = len(self._begun) + 1

    def failed_once(self, number: int) -> None:
        """An attempt at it failed; another may follow."""
        self._first_failed.setdefault(number, len(self._begun))

    def succeeded(self, number: int) -> None:
        """The target took a write."""
        self.wrote = self._took_one = True
        self.taken.add(number)
        self._last_taken = max(self._last_taken, self._begun.get(number, 0))
        self.row.clear()

    def note(self, number: int, failure: Failure) -> None:
        """A write failed for now. One whose target is gone tells nothing of the others."""
        self.failed_once(number)
        self.failed[number] = failure
        if failure.kind is not ProblemKind.NOT_FOUND:
            self.row[number] = failure

    def may_have_taken(self, number: int) -> None:
        """Nobody knows if the target took it: that proves nothing of the target."""
        self.failed.pop(number, None)
        self.row.pop(number, None)

    @property
    def is_sparing(self) -> bool:
        """Whether each of the remaining milestones gets one attempt."""
        return len(self.row) >= SPARING_AFTER

    @property
    def is_down(self) -> bool:
        """Whether so many failed before any success that the target is to blame."""
        return self._is_long and not self._took_one

    @property
    def is_denied(self) -> bool:
        """Whether every write was turned away, and none before: no milestone is to blame."""
        return self._denied_to_all is not None

    @property
    def _denied_to_all(self) -> TurnedAway | None:
        is_new = not any(one.has_count for one in self.failed.values())
        return _last_denied(self.failed) if is_new and not self.wrote else None

    def require_access(self) -> None:
        """Raises TurnedAway if every write of a run that comes to its end was turned away."""
        if self._denied_to_all is not None:
            raise self._denied_to_all

    def require_writes(self) -> None:
        """Raises TakesNoWrites if the target takes none, TurnedAway where it says why."""
        if not self.is_down:
            return
        if (denied := _last_denied(self.row)) is not None:
            raise denied
        number, last = len(self.row), next(reversed(self.row.values()))
        text = f"Testably takes no writes: {number} milestones failed in a row. {last.why}"
        raise TakesNoWrites("Testably", text)

    def require_permits(self, error: ApiError) -> None:
        """Raises a 429 that stays for a second milestone: no milestone is to blame.

        The first one is only left: its write alone may be limited, and stops no other (R6).
        """
        limited_before = any(isinstance(one.error, RateLimited) for one in self.row.values())
        if isinstance(error, RateLimited) and error.stays and limited_before:
            raise error

    def another_succeeded(self, number: int) -> bool:
        """Whether the target took writes while this one failed.

        A long row of failures at the end tells nothing of the milestones in it: the target may
        have stopped taking writes. Unless it took one that was begun after this one had failed.
        """
        taken_since = self._last_taken > self._first_failed.get(number, 0)
        return self.wrote and (taken_since or not (number in self.row and self._is_long))

    @property
    def _is_long(self) -> bool:
        return sum(not one.has_count for one in self.row.values()) >= OUTAGE_AFTER


def _last_denied(failed: Mapping[int, Failure]) -> TurnedAway | None:
    """The last error, if each of these was turned away."""
    denied = [one.error for one in failed.values() if isinstance(one.error, TurnedAway)]
    return denied[-1] if denied and len(denied) == len(failed) else None
