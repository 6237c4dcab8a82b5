"""In which order the changes of a plan are made: what has failed before comes last (R6). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.sync.decide.action import Action, Kind

Failures = tuple[bool, bool]
"""Whether failures of a milestone were counted, and whether it failed since a write succeeded."""
NEVER: Failures = (False, False)


@dataclass(frozen=True, slots=True)
class Order:
    """The order within a plan. ``parents`` are the failures of milestones that get a target in it.

    What is below one of them comes no earlier, as it has no place before.
    """

    parents: Mapping[int | None, Failures] = field(default_factory=dict)

    @classmethod
    def of(cls, actions: Iterable[Action]) -> Order:
        """The order of a plan's actions."""
        made = (one for one in actions if one.kind in (Kind.CREATE, Kind.ADOPT))
        return cls({one.testrail_id: _own(one) for one in made if any(_own(one))})

    def has_failed(self, action: Action) -> bool:
        """Whether it comes after all that has not failed before."""
        return any(self._failures(action))

    def rank(self, action: Action) -> tuple[bool, bool, bool]:
        """What to sort by: what was counted last of all, a parent before its children."""
        return *self._failures(action), action.parent_id is not None

    def _failures(self, action: Action) -> Failures:
        return max(_own(action), self.parents.get(action.parent_id, NEVER))


def _own(action: Action) -> Failures:
    return (action.link.has_count, action.link.has_failed) if action.link else NEVER
