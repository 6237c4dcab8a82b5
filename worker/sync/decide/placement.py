"""Where each source milestone hangs in the target: at most one level deep. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mappings.milestone import BadRecord, SourceMilestone
from mappings.problem import Problem, ProblemKind


@dataclass(frozen=True, slots=True)
class Place:
    """The TestRail id of the parent in the target (None at the root), or why there is none."""

    parent_id: int | None = None
    flattened: bool = False
    problem: Problem | None = None


ROOT = Place()


def places(milestones: Mapping[int, SourceMilestone], known: frozenset[int]) -> dict[int, Place]:
    """The place of every milestone. ``known`` are ids that exist although they cannot be read.

    A milestone below the second level hangs under its topmost ancestor. One that is its own
    parent, in a circle of parents, or whose parent is nowhere, has no place.
    """
    return {id_: _place(milestone, milestones, known) for id_, milestone in milestones.items()}


def parents_of(places: Mapping[int, Place], problems: Iterable[BadRecord]) -> frozenset[int]:
    """The TestRail ids of the milestones that have sub-milestones.

    One that hangs below its topmost ancestor counts there; one that cannot be read counts too.
    """
    named = {record.parent_id for record in problems}
    unread = {id_: places.get(id_, ROOT).parent_id for id_ in named if isinstance(id_, int)}
    above = {place.parent_id for place in places.values()}
    above |= {top or id_ for id_, top in unread.items()}
    return frozenset(id_ for id_ in above if id_ is not None)


def _place(
    milestone: SourceMilestone,
    milestones: Mapping[int, SourceMilestone],
    known: frozenset[int],
) -> Place:
    if milestone.parent_id is None:
        return ROOT
    if milestone.parent_id == milestone.id:
        return Place(problem=Problem(ProblemKind.OWN_PARENT, "It names itself as its parent."))
    seen = [milestone.id]
    current = milestone
    while current.parent_id is not None:
        parent_id = current.parent_id
        if parent_id in seen:
            return _in_circle(milestone, parent_id, seen)
        seen.append(parent_id)
        if parent_id not in milestones:
            return _unread_parent(seen, known)
        current = milestones[parent_id]
    return Place(parent_id=current.id, flattened=len(seen) > 2)


def _in_circle(milestone: SourceMilestone, again: int, seen: list[int]) -> Place:
    if again == milestone.id:
        path = " → ".join(str(id_) for id_ in [*seen, again])
        return Place(
            problem=Problem(ProblemKind.PARENT_CIRCLE, f"Its parents form a circle: {path}.")
        )
    reason = f"Above its parent {milestone.parent_id}, the parents form a circle."
    return Place(parent_id=milestone.parent_id, problem=Problem(ProblemKind.WAITING, reason))


def _unread_parent(seen: list[int], known: frozenset[int]) -> Place:
    missing = seen[-1]
    if missing in known:
        return Place(parent_id=missing, flattened=len(seen) > 2)
    if len(seen) > 2:
        reason = f"Its parent {seen[1]} cannot be placed."
        return Place(parent_id=seen[1], problem=Problem(ProblemKind.WAITING, reason))
    reason = f"Its parent {missing} is not in TestRail's list."
    return Place(parent_id=missing, problem=Problem(ProblemKind.UNKNOWN_PARENT, reason))
