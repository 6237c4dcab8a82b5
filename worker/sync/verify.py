"""The proof that both sides agree: read both afresh, compare field by field.

Ids may come from the links, values never do. Only what differs is read a second time, and only
what then still differs is called a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mappings.footer import marked_id
from mappings.link import Link
from mappings.milestone import (
    ARCHIVED,
    DATE_FIELDS,
    FIELDS,
    SourceMilestone,
    TargetMilestone,
    desired_values,
    same_value,
    written_status,
)
from mappings.rows import PairIdentity
from worker.errors import ApiError, NotFound, UnknownId, UnreadableAnswer
from worker.sync.decide.placement import places
from worker.sync.decide.rules import is_archived
from worker.sync.decide.snapshot import Snapshot
from worker.sync.options import Options
from worker.sync.read.gather import Gatherer, Scope
from worker.sync.run import PairContext


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that the target has otherwise than it should."""

    testrail_id: int
    testably_id: str
    field: str
    expected: str | None
    actual: str | None


@dataclass(frozen=True, slots=True)
class Missing:
    """A source milestone without a target."""

    testrail_id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Extra:
    """A target with our marker whose source is gone, or is mirrored by another target."""

    testably_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found."""

    identity: PairIdentity
    compared: int
    differences: tuple[Difference, ...]
    missing: tuple[Missing, ...]
    extra: tuple[Extra, ...]

    @property
    def in_step(self) -> bool:
        """Whether both sides agree."""
        return not (self.differences or self.missing or self.extra)

    def as_json(self) -> dict[str, Any]:
        """The project's object in ``verify --json``."""
        return {
            "testrail_project": self.identity.testrail_project,
            "testably_project": self.identity.testably_project,
            "in_step": self.in_step,
            "compared": self.compared,
            "differences": [
                {name: getattr(one, name) for name in Difference.__slots__}
                for one in self.differences
            ],
            "missing": [{"testrail_id": m.testrail_id, "name": m.name} for m in self.missing],
            "extra": [{"testably_id": e.testably_id, "name": e.name} for e in self.extra],
        }


def verify(context: PairContext) -> Verdict:
    """Read both sides and compare them; notes the time in the store if they agree.

    Raises ApiError where a side cannot be read whole: then nothing can be proved.
    """
    pair = context.store.pair(context.identity)
    links = context.store.outlines(pair.id)
    gatherer = Gatherer(
        pair, context.source, context.target, context.rules, context.policy, Options(), links
    )
    snapshot = gatherer.snapshot(Scope(), context.clock.now())
    _must_be_whole(snapshot)
    verdict = _Verifier(context, snapshot).verdict()
    if verdict.in_step:
        context.store.update_pair(pair.id, proved_at=snapshot.now)
    return verdict


def _must_be_whole(snapshot: Snapshot) -> None:
    hint = "Nothing can be proved from a part; run `milesync verify` again."
    unreadable_id = any(problem.id is None for problem in snapshot.source.problems)
    if not (snapshot.source.complete or unreadable_id):
        because = snapshot.source.incomplete_because
        raise UnreadableAnswer("TestRail", f"The list is not complete: {because}", hint=hint)
    if not snapshot.target.complete:
        text = "Testably's list came with fewer milestones than it counts, three times."
        raise UnreadableAnswer("Testably", text, hint=hint)


class _Verifier:
    def __init__(self, context: PairContext, snapshot: Snapshot) -> None:
        self._mirror = context
        self._scene = snapshot
        known = frozenset(p.id for p in snapshot.source.problems if isinstance(p.id, int))
        self._places = places(snapshot.source.milestones, known)
        self._marked = self._by_marker()
        self._chosen = {id_: self._choose(id_) for id_ in snapshot.source.milestones}
        self._parents = self._with_children()
        self._compared = 0

    def verdict(self) -> Verdict:
        differences: list[Difference] = []
        missing: list[Missing] = []
        for source in self._scene.source.milestones.values():
            actual = self._actual(self._chosen[source.id])
            found = None if actual is None else self._compare(source, actual)
            if found is None or found:
                found = self._second_look(source)
            if found is None:
                missing.append(Missing(source.id, source.name))
            else:
                self._compared += 1
                differences.extend(found)
        for problem in self._scene.source.problems:
            id_ = problem.id if isinstance(problem.id, int) else None
            missing.append(Missing(id_, problem.name))
        extra = tuple(self._extra())
        identity = self._mirror.identity
        return Verdict(identity, self._compared, tuple(differences), tuple(missing), extra)

    # --- which target belongs to which source

    def _by_marker(self) -> dict[int, list[TargetMilestone]]:
        found: dict[int, list[TargetMilestone]] = {}
        for target in self._scene.target.milestones.values():
            marked = marked_id(target.description, self._scene.rules.testrail_url)
            if marked is not None:
                found.setdefault(marked, []).append(target)
        return found

    def _choose(self, testrail_id: int) -> str | None:
        """The linked target, or else the one that carries the marker."""
        link = self._scene.links.get(testrail_id, Link(testrail_id))
        if link.testably_id is not None and link.testably_id not in self._scene.target.gone:
            return link.testably_id
        marked = sorted(self._marked.get(testrail_id, []), key=is_archived)
        return marked[0].id if marked else None

    def _with_children(self) -> frozenset[str]:
        """Target ids with sub-milestones: their status and dates are Testably's own."""
        seen = self._scene.target.milestones.values()
        listed = {target.parent_id for target in seen if target.parent_id}
        detailed = {target.id for target in seen if target.sub_milestones}
        ours = {
            self._chosen.get(place.parent_id)
            for id_, place in self._places.items()
            if place.parent_id is not None and self._chosen[id_]
        }
        return frozenset(id_ for id_ in (*listed, *detailed, *ours) if id_)

    def _actual(self, testably_id: str | None) -> TargetMilestone | None:
        return self._scene.target.milestones.get(testably_id or "")

    # --- comparing

    def _compare(self, source: SourceMilestone, actual: TargetMilestone) -> list[Difference]:
        wanted = desired_values(source, self._scene.rules)
        now = actual.values
        parent = actual.id in self._parents or bool(actual.sub_milestones)
        derived = parent and written_status(actual.status) != ARCHIVED
        own = ("status", *DATE_FIELDS) if derived else ()
        found = [
            Difference(source.id, actual.id, name, wanted[name], now[name])
            for name in FIELDS
            if name not in own and not same_value(name, wanted[name], now[name])
        ]
        return [*found, *self._compare_parent(source, actual)]

    def _compare_parent(
        self, source: SourceMilestone, actual: TargetMilestone
    ) -> Iterator[Difference]:
        place = self._places[source.id]
        expected = self._chosen.get(place.parent_id) if place.parent_id is not None else None
        if place.problem is None and expected != actual.parent_id:
            shown = expected or (f"TestRail {place.parent_id}" if place.parent_id else None)
            yield Difference(source.id, actual.id, "parent_id", shown, actual.parent_id)

    def _second_look(self, source: SourceMilestone) -> list[Difference] | None:
        """Read one milestone again on both sides; None if it has no target."""
        fresh = self._read_source_again(source)
        if fresh is None:
            return []
        testably_id = self._chosen[source.id]
        if testably_id is None:
            return None
        project = self._mirror.identity.testably_project
        try:
            return self._compare(fresh, self._mirror.target.get(project, testably_id))
        except NotFound:
            return None

    def _read_source_again(self, source: SourceMilestone) -> SourceMilestone | None:
        """None if it has been deleted in the meantime. Its place was told by the list."""
        try:
            again = self._mirror.source.get_milestone(source.id).milestones.get(source.id)
        except UnknownId:
            return None
        return source if again is None else replace(again, parent_id=source.parent_id)

    # --- what should not be there

    def _extra(self) -> Iterator[Extra]:
        elsewhere = self._linked_by_others()
        for testrail_id, targets in self._marked.items():
            living = [target for target in targets if not is_archived(target)]
            if not living or testrail_id in elsewhere:
                continue
            if testrail_id not in self._scene.source.milestones:
                living = living if self._is_gone(testrail_id) else []
            for target in living:
                if target.id != self._chosen.get(testrail_id):
                    yield Extra(target.id, target.name)

    def _is_gone(self, testrail_id: int) -> bool:
        if testrail_id in {problem.id for problem in self._scene.source.problems}:
            return False
        if testrail_id in self._scene.gone:
            return True
        try:
            self._mirror.source.get_milestone(testrail_id)
        except UnknownId:
            return True
        except ApiError:
            return False
        return False

    def _linked_by_others(self) -> frozenset[int]:
        """TestRail ids that other pairs mirror into the same Testably project."""
        identity = self._mirror.identity
        store = self._mirror.store
        found: set[int] = set()
        for pair in store.all_pairs():
            other = pair.identity
            if other != identity and other.testably_project == identity.testably_project:
                found.update(store.outlines(pair.id))
        return frozenset(found)
