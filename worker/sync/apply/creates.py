"""What became of the creates whose outcome is not known (rule 2 of the reconciliation).

A POST that timed out, was cut or answered 5xx, or whose process died, may still be under way on
the server. So: not before the attempt's deadline plus a settle time, two complete looks some
seconds apart, shared by all pending creates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from mappings.dates import moment
from mappings.footer import marked_id
from mappings.link import Link
from mappings.milestone import ARCHIVED, MappingRules, TargetMilestone, same_value
from mappings.problem import Problem, ProblemKind
from mappings.rows import ChangeState
from worker.errors import NotFound, Transient
from worker.sync.apply.writer import LostLeaseError, TargetWriter

LOOK_GAP = timedelta(seconds=3)
"""Between the two looks, so that a list that lags has time to catch up."""
CLOCK_SKEW = timedelta(minutes=2)
"""How far the target's clock may be off when ``created_at`` tells whether a milestone is ours."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of an ambiguous create: its link as it stands now, or what a person decides."""

    link: Link
    problem: Problem | None = None
    is_conflict: bool = False


def settle(
    writer: TargetWriter,
    pending: Sequence[Link],
    parents: Mapping[int, str | None],
    linked: frozenset[str],
    rules: MappingRules,
) -> Iterator[Resolution]:
    """Find out what became of the pending creates.

    ``parents`` are the target ids of their parents, ``linked`` all target ids that have a link.
    Yields nothing for a create that must be looked for again. Raises ApiError where Testably's
    list cannot be read.
    """
    writer.wait_until_settled(pending)
    looks = _Looks(writer, pending, parents, linked)
    complete = looks.look()
    writer.clock.sleep(LOOK_GAP.total_seconds())
    complete = looks.look() and complete
    candidates = looks.by_marker(rules) if rules.footer else looks.by_values()
    for link in pending:
        with suppress(LostLeaseError):  # whoever has it knows what became of it
            settled = _conclude(writer, link, candidates.get(link.testrail_id, []), complete)
            if settled is not None:
                yield settled


def _conclude(
    writer: TargetWriter, link: Link, candidates: list[TargetMilestone], complete: bool
) -> Resolution | None:
    if len(candidates) > 1:
        ids = ", ".join(sorted(target.id for target in candidates))
        reason = f"Several milestones in Testably can be what its create left behind: {ids}."
        return Resolution(link, Problem(ProblemKind.SEVERAL_MARKED, reason), is_conflict=True)
    if candidates:
        linked = link.found(candidates[0], None, writer.since())
        return Resolution(writer.conclude(linked, ChangeState.DONE, linked.observed))
    if not complete:
        return None
    return Resolution(writer.conclude(link.not_created(), ChangeState.NOT_DONE))


@dataclass(slots=True)
class _Looks:
    """The looks for all pending creates together, and what they have seen."""

    writer: TargetWriter
    pending: Sequence[Link]
    parents: Mapping[int, str | None]
    linked: frozenset[str]
    seen: dict[str, TargetMilestone] = field(default_factory=dict)

    def look(self) -> bool:
        """Both lists, and below each parent of a pending create. False if not complete."""
        target, project = self.writer.target, self.writer.project
        listings = (target.list_all(project), target.list_all(project, ARCHIVED))
        for listing in listings:
            self.seen.update(listing.milestones)
        below = {parent for parent in self.parents.values() if parent is not None}
        complete = [self._look_below(parent) for parent in sorted(below)]
        return all(complete) and all(listing.complete for listing in listings)

    def _look_below(self, parent: str) -> bool:
        target, project = self.writer.target, self.writer.project
        try:
            with suppress(NotFound):  # nothing can hang below a parent that is gone
                for sub in target.get(project, parent).sub_milestones:
                    if sub.id not in self.linked and sub.id not in self.seen:
                        with suppress(NotFound):
                            self.seen[sub.id] = target.get(project, sub.id)
        except Transient:
            return False
        return True

    def _free(self) -> Iterator[TargetMilestone]:
        return (target for id_, target in self.seen.items() if id_ not in self.linked)

    def by_marker(self, rules: MappingRules) -> dict[int, list[TargetMilestone]]:
        """The unlinked targets by the TestRail id in their marker."""
        found: dict[int, list[TargetMilestone]] = defaultdict(list)
        for target in self._free():
            marked = marked_id(target.description, rules.testrail_url)
            if marked is not None:
                found[marked].append(target)
        return found

    def by_values(self) -> dict[int, list[TargetMilestone]]:
        """With the footer off: the unlinked targets that each create can have left behind."""
        free = list(self._free())
        return {
            link.testrail_id: [t for t in free if _is_left_by(t, link, self.parents)]
            for link in self.pending
        }


def _is_left_by(target: TargetMilestone, link: Link, parents: Mapping[int, str | None]) -> bool:
    """Same name, dates and parent, and created since the attempt."""
    posted = link.in_flight or {}
    if target.parent_id != parents.get(link.testrail_id):
        return False
    names = ("name", "start_date", "due_date")
    if not all(same_value(name, posted.get(name), target.values[name]) for name in names):
        return False
    if target.created_at is None or link.attempt_at is None:
        return True
    return target.created_at >= moment((link.attempt_at - CLOCK_SKEW).isoformat())
