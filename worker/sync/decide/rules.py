"""Where each source milestone stands before anything is written. Pure.

A milestone is linked, has a target to adopt, is to be created, or is stuck for a reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from mappings.footer import marked_id
from mappings.link import Link, LinkState, Problem, fingerprint_of_source
from mappings.milestone import (
    ARCHIVED,
    SourceMilestone,
    SubMilestone,
    TargetMilestone,
    written_status,
)
from worker.sync.decide.action import Kind
from worker.sync.decide.placement import Place, places
from worker.sync.decide.snapshot import Snapshot
from worker.sync.options import OnTargetEdit


class Is(Enum):
    """The four ways to stand."""

    LINKED = auto()
    ADOPTABLE = auto()
    NEW = auto()
    STUCK = auto()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a milestone stands, its target if there is one, and why."""

    is_: Is
    reason: str = ""
    testably_id: str | None = None
    stuck_as: Kind = Kind.QUARANTINE
    problem: Problem | None = None
    lost: bool = False
    """Its target was proved gone."""

    @property
    def arrives(self) -> bool:
        """Whether it has a target, or will get one in this run."""
        return self.is_ is not Is.STUCK or self.testably_id is not None


def stuck(kind: Kind, problem: Problem, testably_id: str | None = None) -> Standing:
    """A standing that nothing is done about."""
    return Standing(Is.STUCK, problem.reason, testably_id, kind, problem)


BLOCKING = frozenset({"refused", "create_fails"})
"""Troubles that stay until the source record changes or a person says `milesync retry`."""


class Standings:
    """The standing of every milestone in a scene; parents are judged before their children."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._scene = snapshot
        known = frozenset(p.id for p in snapshot.source.problems if isinstance(p.id, int))
        self.places = places(snapshot.source.milestones, known)
        self._free = FreeTargets(snapshot)
        self._by_id: dict[int, Standing] = {}
        self._rivals = self._rivals_for_names() if snapshot.options.adopt_by_name else {}

    def of(self, testrail_id: int) -> Standing:
        """The standing of one milestone; of an unreadable one, whether its link has a target."""
        if testrail_id not in self._by_id:
            self._by_id[testrail_id] = self._judge(testrail_id)
        return self._by_id[testrail_id]

    def twins(self, testrail_id: int) -> list[TargetMilestone]:
        """Living unlinked targets that carry this milestone's marker."""
        return [t for t in self._free.marked[testrail_id] if not is_archived(t)]

    def _judge(self, testrail_id: int) -> Standing:
        source = self._scene.source.milestones.get(testrail_id)
        link = self._scene.links.get(testrail_id, Link(testrail_id))
        if source is None:
            return Standing(Is.STUCK, testably_id=link.testably_id)
        if link.state is LinkState.HELD and not self._scene.options.by_person:
            reason = "An undo took it back; `milesync migrate` releases it."
            return stuck(Kind.SKIP, Problem("held", reason), link.testably_id)
        if is_blocked(link, source) and link.problem is not None:
            return stuck(Kind.QUARANTINE, link.problem, link.testably_id)
        if link.has_target:
            return self._judge_linked(source, link)
        return self._judge_unlinked(source, link, lost=False)

    def _judge_linked(self, source: SourceMilestone, link: Link) -> Standing:
        target = self._scene.target
        assert link.testably_id is not None  # noqa: S101  (the caller asked)
        if link.testably_id in target.gone:
            if self._scene.policy.on_target_edit is OnTargetEdit.TARGET:
                reason = f"{link.testably_id} was deleted in Testably, and Testably's edits win."
                return stuck(Kind.CONFLICT, Problem("target_gone", reason))
            return self._judge_unlinked(source, link, lost=True)
        if link.testably_id in target.unproved:
            problem = Problem("unread", target.unproved[link.testably_id])
            return stuck(Kind.SKIP, problem, link.testably_id)
        return Standing(Is.LINKED, testably_id=link.testably_id)

    def _judge_unlinked(self, source: SourceMilestone, link: Link, *, lost: bool) -> Standing:
        place = self.places[source.id]
        if place.problem is not None:
            kind = Kind.SKIP if place.problem.kind == "waiting" else Kind.QUARANTINE
            return stuck(kind, place.problem)
        if not (self._scene.target.listed and self._scene.target.complete):
            reason = "Testably's list did not come whole; nothing is created before it does."
            return stuck(Kind.SKIP, Problem("unread", reason))
        return self._adoptable(source, link) or self._judge_new(source, link, place, lost=lost)

    def _adoptable(self, source: SourceMilestone, link: Link) -> Standing | None:
        marked = self.twins(source.id) or self._free.marked[source.id]
        if len(marked) > 1:
            ids = ", ".join(sorted(target.id for target in marked))
            reason = f"{len(marked)} milestones in Testably carry its marker: {ids}."
            return stuck(Kind.CONFLICT, Problem("several_marked", reason))
        if not marked:
            return None
        after = ", left by a create that was cut off" if link.state is LinkState.CREATING else ""
        return Standing(Is.ADOPTABLE, f"carries its marker{after}", marked[0].id)

    def _judge_new(
        self, source: SourceMilestone, link: Link, place: Place, *, lost: bool
    ) -> Standing:
        parent_target = None
        if place.parent_id is not None:
            parent = self.of(place.parent_id)
            if not parent.arrives:
                reason = f"It waits for its parent {place.parent_id}, which has no target yet."
                return stuck(Kind.SKIP, Problem("waiting", reason))
            parent_target = parent.testably_id
            if parent_target is None:
                return _new(link, lost=lost)
        if link.state is LinkState.CREATING:
            return _new(link, lost=lost)
        return self._named_alike(source, place, parent_target) or _new(link, lost=lost)

    def _named_alike(
        self, source: SourceMilestone, place: Place, parent_target: str | None
    ) -> Standing | None:
        alike = self._free.named(source.name, parent_target)
        if not alike or self._scene.options.create_anyway:
            return None
        rivals = self._rivals.get((place.parent_id, source.name.strip()), 0)
        if self._scene.options.adopt_by_name and len(alike) == 1 and rivals <= 1:
            return Standing(Is.ADOPTABLE, "has its name, and a person said so", alike[0].id)
        ids = ", ".join(target.id for target in alike)
        reason = (
            f"Testably has a milestone of this name already ({ids}). "
            "Link it with --adopt-by-name or make a second one with --create-anyway."
        )
        if self._scene.options.adopt_by_name:
            reason = f"Which milestone of this name is meant cannot be told ({ids})."
        return stuck(Kind.CONFLICT, Problem("name_conflict", reason))

    def _rivals_for_names(self) -> Mapping[tuple[int | None, str], int]:
        """How many milestones without a target would claim each name under each parent."""
        counts: dict[tuple[int | None, str], int] = defaultdict(int)
        for source in self._scene.source.milestones.values():
            target = self._scene.links.get(source.id, Link(source.id)).testably_id
            place = self.places[source.id]
            if place.problem is None and (target is None or target in self._scene.target.gone):
                counts[(place.parent_id, source.name.strip())] += 1
        return counts


def _new(link: Link, *, lost: bool) -> Standing:
    if lost:
        return Standing(Is.NEW, f"its target {link.testably_id} was deleted", lost=True)
    if link.state is LinkState.CREATING:
        return Standing(Is.NEW, "an earlier create was cut off; it is looked for first")
    return Standing(Is.NEW, "is not in Testably yet")


def is_blocked(link: Link, source: SourceMilestone) -> bool:
    """Whether the link is in quarantine: its trouble stays while the source record does."""
    if link.problem is None or link.problem.kind not in BLOCKING:
        return False
    return link.source_fingerprint == fingerprint_of_source(source)


def is_archived(target: TargetMilestone | SubMilestone) -> bool:
    """Whether Testably shows the milestone as archived."""
    return written_status(target.status) == ARCHIVED


class FreeTargets:
    """The target's milestones that no link holds, by marker and by name."""

    def __init__(self, snapshot: Snapshot) -> None:
        held = {
            link.testably_id
            for link in snapshot.links.values()
            if link.testably_id not in snapshot.target.gone
        }
        self.marked: dict[int, list[TargetMilestone]] = defaultdict(list)
        self._named: dict[tuple[str | None, str], list[TargetMilestone]] = defaultdict(list)
        for target in _unheld(snapshot.target.milestones.values(), held):
            marked = marked_id(target.description, snapshot.rules.testrail_url)
            if marked is not None:
                self.marked[marked].append(target)
            elif not is_archived(target):
                self._named[(target.parent_id, target.name.strip())].append(target)

    def named(self, name: str, parent_target: str | None) -> list[TargetMilestone]:
        """Living unlinked targets of this name under this parent that carry no marker of ours."""
        return self._named.get((parent_target, name.strip()), [])


def _unheld(targets: Iterable[TargetMilestone], held: set[str | None]) -> Iterable[TargetMilestone]:
    return (target for target in targets if target.id not in held)
