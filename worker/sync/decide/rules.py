"""The decision table: which rule says what becomes of a source milestone. Pure.

The first rule that answers decides. ``docs/decisions.md`` shows the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property

from mappings.fingerprints import fingerprint_of_source
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.milestone import SourceMilestone, TargetMilestone
from mappings.problem import Effect, ProblemKind
from worker.sync.decide.action import Kind
from worker.sync.decide.case import Case, Question, Step, blocked
from worker.sync.decide.decided import found_for_creates
from worker.sync.decide.holds import is_taken_back, stays_held, why_held
from worker.sync.decide.snapshot import Snapshot
from worker.sync.options import OnTargetEdit

_MARKED = "carries its TestRail address"


# --- it has a link


def held(ask: Question) -> Case | None:
    """An undo took it back, and no person has migrated since, or one lives with it (R9)."""
    if not stays_held(ask.snapshot, ask.link):
        return None
    why = why_held(ask.link)
    return blocked(Kind.SKIP, why.kind, why.reason, ask.target)


def quarantined(ask: Question) -> Case | None:
    """It failed, its source record is as it was then, and no new try is due (R6)."""
    problem = ask.link.problem
    if problem is None or not is_blocked(ask.link, ask.source, ask.snapshot.now):
        return None
    reason = problem.reason
    return Case(Step.BLOCK, reason, ask.target, Kind.QUARANTINE, problem)


def told_by_marker(ask: Question) -> Case | None:
    """A person was asked about one target that its create can have left; it has its marker (R2)."""
    found = ask.found(ask.source.id) if ask.link.awaits_person else None
    return None if found is None else Case(Step.ADOPT, _MARKED, found)


def left_to_person(ask: Question) -> Case | None:
    """What its create left behind could not be told; a person decides, then `retry` (R2)."""
    if not ask.link.awaits_person or ask.link.problem is None:
        return None
    problem = ask.link.problem
    return Case(Step.BLOCK, problem.reason, None, Kind.CONFLICT, problem)


def target_deleted_and_kept(ask: Question) -> Case | None:
    """A person deleted its target, and the target's edits win."""
    if ask.snapshot.policy.on_target_edit is not OnTargetEdit.TARGET:
        return None
    if not (ask.lost or ask.stays_lost):
        return None
    reason = f"{ask.link.testably_id} was deleted in Testably, and Testably's edits win."
    return blocked(Kind.CONFLICT, ProblemKind.TARGET_GONE, reason)


def target_unread(ask: Question) -> Case | None:
    """Its target could not be read."""
    unproved = ask.snapshot.target.unproved
    id_ = ask.link.testably_id
    if id_ is None or ask.lost or id_ not in unproved:
        return None
    return blocked(Kind.SKIP, ProblemKind.UNREAD, unproved[id_], id_)


def linked(ask: Question) -> Case | None:
    """It has a target."""
    if not ask.link.has_target or ask.lost:
        return None
    return Case(Step.COMPARE, testably_id=ask.link.testably_id)


# --- it has none: look for it


def misplaced(ask: Question) -> Case | None:
    """Its parents in TestRail leave it no place."""
    problem = ask.place.problem
    if problem is None:
        return None
    kind = Kind.SKIP if problem.kind is ProblemKind.WAITING else Kind.QUARANTINE
    return blocked(kind, problem.kind, problem.reason)


def target_list_incomplete(ask: Question) -> Case | None:
    """What Testably has is not wholly known, so it may be there already (R4)."""
    if ask.snapshot.target.listed_whole:
        return None
    reason = "Testably's list did not come whole; nothing is created before it does."
    return blocked(Kind.SKIP, ProblemKind.UNREAD, reason)


def create_in_doubt(ask: Question) -> Case | None:
    """An earlier create may have been carried out: looks tell, and not this reading (R2)."""
    if ask.link.state is not LinkState.CREATING:
        return None
    left = ask.found(ask.source.id)
    if left is not None:
        return Case(Step.ADOPT, "is what a person left of what its create can have made", left)
    return ask.new(_why_new(ask))


def several_markers(ask: Question) -> Case | None:
    """More than one target carries its marker."""
    marked = ask.by_marker
    if len(marked) < 2:
        return None
    ids = ", ".join(sorted(target.id for target in marked))
    reason = f"{len(marked)} milestones in Testably carry its TestRail address: {ids}."
    return blocked(Kind.CONFLICT, ProblemKind.SEVERAL_MARKED, reason)


def one_marker(ask: Question) -> Case | None:
    """One target carries its marker."""
    if not ask.by_marker:
        return None
    return Case(Step.ADOPT, _MARKED, ask.by_marker[0].id)


# --- make it


def parent_missing(ask: Question) -> Case | None:
    """Its parent has no target and gets none in this run, or an undo archived that and holds it."""
    parent = ask.place.parent_id
    if parent is None:
        return None
    if not ask.case_of(parent).arrives:
        reason = f"It waits for its parent {parent}, which has no target yet."
    elif is_taken_back(ask.snapshot, ask.snapshot.link(parent)):
        reason = f"It waits for its parent {parent}, which an undo archived and holds."
    else:
        return None
    return blocked(Kind.SKIP, ProblemKind.WAITING, reason)


def parent_is_new(ask: Question) -> Case | None:
    """Its parent is created first, so nothing can be there under it."""
    if ask.place.parent_id is None or ask.parent_target is not None:
        return None
    return ask.new(_why_new(ask))


def unread(ask: Question) -> Case | None:
    """What could not be read in Testably may be its target (R6, R7)."""
    records, parent = ask.snapshot.target.unreadable, ask.parent_target
    is_child = ask.place.parent_id is not None
    why = records.marked.get(ask.source.id)
    if is_child and not why:
        why = records.why_below(parent)
    advice = "Let this account read that, or correct or delete it in Testably."
    is_free = ask.snapshot.options.create_anyway or (is_child and parent is None)
    if not why and not is_free:
        why = records.why_named(ask.source.name, parent)
        advice += " --create-anyway creates it beside that."
    if not why:
        return None
    return blocked(Kind.SKIP, ProblemKind.UNREAD, f"It may be there already. {why} {advice}")


def name_taken(ask: Question) -> Case | None:
    """Something of its name, and not ours, is there under the same parent (R7)."""
    alike, claims = ask.snapshot.named(ask.source, ask.parent_target)
    options = ask.snapshot.options
    if not alike or options.create_anyway:
        return None
    if unclear := _which_is_unclear(alike, claims):
        return blocked(Kind.CONFLICT, ProblemKind.SEVERAL_NAMED, unclear)
    if options.adopt_by_name:
        return Case(Step.ADOPT, "has its name, and a person said so", alike[0].id)
    reason = (
        f"Testably has a milestone of this name already ({alike[0].id}). "
        "Link it with --adopt-by-name or make a second one with --create-anyway."
    )
    return blocked(Kind.CONFLICT, ProblemKind.NAME_CONFLICT, reason)


def _which_is_unclear(alike: Sequence[TargetMilestone], claims: int) -> str:
    """Why a milestone cannot be adopted by its name; empty if it can."""
    ids = ", ".join(target.id for target in alike)
    if len(alike) > 1:
        return f"Which milestone of this name is meant cannot be told ({ids})."
    if claims > 1:
        return f"Which of {claims} milestones in TestRail with this name {ids} is, cannot be told."
    return ""


def new(ask: Question) -> Case | None:
    """Nothing of it is in Testably."""
    return ask.new(_why_new(ask))


RULES: tuple[Callable[[Question], Case | None], ...] = (
    held,
    quarantined,
    told_by_marker,
    left_to_person,
    target_deleted_and_kept,
    target_unread,
    linked,
    misplaced,
    target_list_incomplete,
    create_in_doubt,
    several_markers,
    one_marker,
    parent_missing,
    unread,
    parent_is_new,
    name_taken,
    new,
)


def _why_new(ask: Question) -> str:
    if ask.lost:
        return f"its target {ask.link.testably_id} was deleted"
    if ask.link.state is LinkState.CREATING:
        return "an earlier create was cut off; it is looked for first"
    return "is not in Testably yet"


class Cases:
    """The case of every milestone of a snapshot; a parent's is known before its children's."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._by_id: dict[int, Case] = {}

    def of(self, testrail_id: int) -> Case:
        """The case of one milestone; of an unreadable one, whether its link has a target."""
        if testrail_id not in self._by_id:
            self._by_id[testrail_id] = self._decide(testrail_id)
        return self._by_id[testrail_id]

    @cached_property
    def _found(self) -> Mapping[int, str]:
        return found_for_creates(self._snapshot)

    def _decide(self, testrail_id: int) -> Case:
        source = self._snapshot.source.milestones.get(testrail_id)
        link = self._snapshot.link(testrail_id)
        if source is None:
            return Case(Step.BLOCK, testably_id=link.testably_id)
        ask = Question(self._snapshot, source, link, self.of, self._found.get)
        return next(case for rule in RULES if (case := rule(ask)) is not None)


def is_blocked(link: Link, source: SourceMilestone, now: datetime) -> bool:
    """Whether the link is in quarantine: while the source record stays, or until a try is due."""
    problem = link.problem
    if problem is None or not (problem.kind.effect is Effect.BLOCKS or problem.rests(now)):
        return False
    return link.source_fingerprint == fingerprint_of_source(source)
