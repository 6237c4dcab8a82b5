"""A milestone that hangs under another parent than TestRail says: Testably's API cannot move it."""

from __future__ import annotations

from dataclasses import replace

from mappings.problem import FieldProblem, ProblemKind
from worker.sync.decide.differences import Comparison
from worker.sync.decide.placement import Place
from worker.sync.decide.verdict import Difference, Verdict


def with_parent(
    compared: Comparison, place: Place, expected: str | None, is_now: str | None, since: str
) -> Comparison:
    """The comparison with the place: ``expected`` and ``is_now`` are the ids of parents' targets.

    Where the place cannot be told, as in a refresh of the milestone alone, what was told of it
    stands. ``since`` is the time now, ISO 8601 in UTC.
    """
    link = compared.link
    known = dict(link.field_problems)
    before = known.pop("parent_id", None)
    if place.problem is not None and before is not None and before.live == is_now:
        problem = before
    elif place.problem is not None or expected == is_now:
        return Comparison(link.with_field_problems(known), compared.differences)
    else:
        problem = _immovable(place, link.testably_id, expected, is_now, since)
        if before is not None and (before.desired, before.live) == (expected, is_now):
            problem = replace(before, reason=problem.reason)
    verdict = Verdict.ACCEPTED if problem.accepted else Verdict.IMMOVABLE
    moved = Difference("parent_id", problem.desired, is_now, verdict, reason=problem.reason)
    with_moved = link.with_field_problems({**known, "parent_id": problem})
    return Comparison(with_moved, (*compared.differences, moved))


def _immovable(
    place: Place, testably_id: str | None, expected: str | None, is_now: str | None, since: str
) -> FieldProblem:
    """That a target hangs under another parent than its place says."""
    where = "at the root" if place.parent_id is None else f"under {place.parent_id}"
    reason = (
        f"In TestRail it is {where} now; Testably's API cannot move {testably_id}, which is "
        "kept up to date where it is."
    )
    return FieldProblem(ProblemKind.IMMOVABLE, expected, is_now, reason, since)
