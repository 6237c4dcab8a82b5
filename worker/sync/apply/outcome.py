"""What became of an action."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mappings.link import Link, failures_of
from mappings.problem import Effect, Problem, ProblemKind
from worker.sync.decide.action import Action, Kind
from worker.sync.decide.differences import Verdict


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
    HELD = "held"


DONE = (Result.CREATED, Result.ADOPTED, Result.UPDATED, Result.ARCHIVED)
NEEDS_PERSON = frozenset({Result.QUARANTINED, Result.CONFLICTS, Result.WAITING})


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
        told = any(problem.kind.needs_person for problem in self.problems)
        return self.result in NEEDS_PERSON or told


def unattempted(action: Action) -> Outcome:
    """The outcome of an action that writes nothing."""
    if action.is_held:
        accepted = all(one.verdict is Verdict.ACCEPTED for one in action.differences)
        problems = () if accepted or action.problem is None else (action.problem,)
        return Outcome(action, Result.HELD, action.testably_id, problems)
    problems = (*((action.problem,) if action.problem else ()), *lasting(action))
    if action.kind is Kind.QUARANTINE:
        result = Result.QUARANTINED
    elif action.kind is Kind.CONFLICT:
        result = Result.CONFLICTS
    else:
        result = Result.WAITING if _waits(action) else Result.UNCHANGED
    return Outcome(action, result, action.testably_id, problems)


def _waits(action: Action) -> bool:
    """Whether it can only be done after something else."""
    return action.problem is not None and action.problem.kind.effect is Effect.PASSES


def lasting(action: Action) -> tuple[Problem, ...]:
    """What a person should read of the differences that no write mends."""
    return tuple(
        Problem(_KINDS[one.verdict], one.reason)
        for one in action.lasting
        if one.verdict in _KINDS and one.reason
    )


_KINDS = {
    Verdict.REJECTED: ProblemKind.REJECTED,
    Verdict.ALTERED: ProblemKind.ALTERED,
    Verdict.IMMOVABLE: ProblemKind.IMMOVABLE,
    Verdict.KEPT: ProblemKind.TARGET_EDIT_KEPT,
}


def remaining(link: Link) -> tuple[Problem, ...]:
    """What a link that was just written still has for a person."""
    return tuple(
        Problem(one.kind, one.reason, count=one.count)
        for one in failures_of(link)
        if not one.accepted
    )
