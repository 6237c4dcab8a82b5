"""What became of an action."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.problem import Effect, Problem, ProblemKind
from worker.sync.decide.action import Action, Kind
from worker.sync.decide.verdict import Verdict


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

    def has(self, kind: ProblemKind) -> bool:
        """Whether a problem of this kind is told."""
        return any(problem.kind is kind for problem in self.problems)

    def with_failure(self, failure: Problem | None) -> Outcome:
        """With the failure as it was recorded, in place of the one that was met."""
        others = (problem for problem in self.problems if not problem.kind.is_failure)
        if failure is None:
            return replace(self, problems=tuple(others))
        keeps_failing = failure.kind is ProblemKind.KEEPS_FAILING
        result = Result.QUARANTINED if keeps_failing else self.result
        return replace(self, result=result, problems=(failure, *others))


HELD_UP = Problem(
    ProblemKind.HELD_UP, "Another process is writing to it; the next run looks again."
)
NOT_CREATED = "Testably failed while creating it, and left nothing behind."


def unattempted(action: Action) -> Outcome:
    """The outcome of an action that writes nothing."""
    if action.is_held:
        problems = () if action.is_left or action.problem is None else (action.problem,)
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
        Problem(one.kind, one.reason, count=one.count) for one in link.failures if not one.accepted
    )


def done(action: Action, result: Result, link: Link) -> Outcome:
    """The outcome of an action whose writes succeeded; ``link`` is as it stands after them."""
    if result is Result.ARCHIVED and link.state is not LinkState.ARCHIVED:
        result = Result.UNCHANGED
    kept = tuple(p for p in lasting(action) if p.kind is ProblemKind.TARGET_EDIT_KEPT)
    return Outcome(action, result, link.testably_id, (*remaining(link), *kept))


def waiting(action: Action, kind: ProblemKind, reason: str) -> Outcome:
    """The outcome of an action that a later run tries again."""
    problems = (Problem(kind, reason), *lasting(action))
    return Outcome(action, Result.WAITING, action.testably_id, problems)


def in_doubt(action: Action, unread: str = "") -> Outcome:
    """The outcome of a create of which nobody knows yet what became (R2).

    ``unread`` says what could not be read where it would be.
    """
    text = "Whether Testably has created it is not known yet; the next run looks first."
    return waiting(action, ProblemKind.IN_DOUBT, f"{text} {unread}".strip())
