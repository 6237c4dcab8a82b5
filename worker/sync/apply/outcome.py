"""What became of an action."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mappings.link import Problem
from worker.sync.decide.action import Action, Kind


class Result(StrEnum):
    """The counters of a run; each milestone is counted under exactly one."""

    CREATED = "created"
    ADOPTED = "adopted"
    UPDATED = "updated"
    ARCHIVED = "archived"
    UNCHANGED = "unchanged"
    QUARANTINED = "quarantined"
    CONFLICTS = "conflicts"
    WAITING = "waiting"


NEEDS_PERSON = frozenset({Result.QUARANTINED, Result.CONFLICTS, Result.WAITING})
TOLD_ONLY = frozenset({"target_edit_kept"})
"""Notices that a person chose by a setting: told, but nothing to be done."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An action with its result and everything a person should read about it."""

    action: Action
    result: Result
    testably_id: str | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def needs_person(self) -> bool:
        """Whether the run is only partly done because of this milestone."""
        told = any(problem.kind not in TOLD_ONLY for problem in self.problems)
        return self.result in NEEDS_PERSON or told


def unattempted(action: Action) -> Outcome:
    """The outcome of an action that writes nothing."""
    problems = (*((action.problem,) if action.problem else ()), *action.notices)
    if action.kind is Kind.QUARANTINE:
        result = Result.QUARANTINED
    elif action.kind is Kind.CONFLICT:
        result = Result.CONFLICTS
    else:
        result = Result.WAITING if action.waits else Result.UNCHANGED
    return Outcome(action, result, action.testably_id, problems)
