"""Single milestones that cannot be read one after the other: then no milestone is to blame (R6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mappings.milestone import TargetMilestone
from worker.errors import NotFound, RateLimited, Transient, UnreadableAnswer
from worker.sync.ports import OF_ONE, OfOne

SPARING_AFTER: Final = 2
"""After so many in a row each gets one attempt: these have been repeated for long enough."""
LEFT_AFTER: Final = 10
"""After so many in a row the others are left unread, for the next run."""


@dataclass(slots=True)
class Streak:
    """How many single reads of one reading have failed for now since the last that was answered.

    What is denied, refused or too large neither counts nor ends it: it is answered at once.
    """

    failed: int = 0
    last: Transient | None = None

    def note(self, answer: object) -> None:
        """What came of one: ``answer`` is the milestone, or the error that concerns it alone."""
        if isinstance(answer, Transient):
            self.failed, self.last = self.failed + 1, answer
        elif isinstance(answer, TargetMilestone | NotFound):
            self.failed = 0

    def read(self, ask: Callable[[], TargetMilestone]) -> TargetMilestone | OfOne:
        """What comes of one: by ``ask``, as long as the others are asked for.

        Raises RateLimited.
        """
        came: TargetMilestone | OfOne | None = self.left
        if came is None:
            try:
                came = ask()
            except RateLimited:  # by the rate limit nothing else is answered either
                raise
            except OF_ONE as error:
                came = error
            self.note(came)
        return came

    @property
    def is_sparing(self) -> bool:
        """Whether each of the others gets one attempt."""
        return self.failed >= SPARING_AFTER

    @property
    def left(self) -> Transient | None:
        """What is told of each that is not asked for any more; None as long as they are.

        They are where the last one was answered with what cannot be read: it may be that record.
        """
        if self.failed < LEFT_AFTER or self.last is None or isinstance(self.last, UnreadableAnswer):
            return None
        said = f"It was not asked for, as {self.failed} others failed in a row: {self.last.message}"
        return Transient(self.last.api, said, status=self.last.status)
