"""From a snapshot to a list of actions. Pure; every way in uses this one plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from mappings.dates import moment
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.milestone import COMPLETED, DATE_FIELDS, FIELDS, SourceMilestone, TargetMilestone
from mappings.problem import Problem
from mappings.sharing import EMPTY, Chosen, kept_once
from worker.sync.decide.absence import absent, orphans, unreadable
from worker.sync.decide.action import IN_STEP, Action, InStep, Kind, Plan, is_completed
from worker.sync.decide.agreement import agree, counted, noted
from worker.sync.decide.case import Case, Step
from worker.sync.decide.differences import Comparison, Sides, compare
from worker.sync.decide.guards import guards
from worker.sync.decide.holds import as_kept, as_read, verdict_of
from worker.sync.decide.losses import not_exact
from worker.sync.decide.moved import with_parent
from worker.sync.decide.rules import Cases
from worker.sync.decide.second import second_target
from worker.sync.decide.snapshot import Snapshot, is_archived
from worker.sync.decide.verdict import Difference, Verdict, why_left, why_pushed


def make_plan(snapshot: Snapshot) -> Plan:
    """Decide about every milestone in scope.

    The same snapshot always gives the same plan. Roots come first, then sub-milestones, then
    what could not be read, then what is gone at the source, sub-milestones before parents.
    """
    gone = tuple(absent(snapshot))
    planner = _Planner(snapshot, gone)
    actions = [*planner.present(), *unreadable(snapshot), *gone, *orphans(snapshot)]
    lost, exempt = counted(snapshot)
    counts = not_exact(snapshot, actions, planner.children, lost)
    in_step = InStep(snapshot.source.unchanged, snapshot.links, exempt)
    return Plan(tuple(actions), counts, guards(snapshot, actions), in_step)


def plan_again(snapshot: Snapshot, testrail_ids: Iterable[int]) -> Iterator[Action]:
    """Decide again about some milestones in scope, of which more is known by now."""
    planner = _Planner(snapshot, tuple(absent(snapshot)))
    return map(planner.act, testrail_ids)


RELEASED = "Released after an undo. "
STATUS, NO_FIELD = frozenset({"status"}), frozenset[str]()


class _Planner:
    """Decides milestone by milestone; what only sub-milestones tell is looked up here.

    ``gone`` are the actions about what TestRail no longer has: what they archive leaves its parent.
    """

    def __init__(self, snapshot: Snapshot, gone: Iterable[Action]) -> None:
        self.snapshot = snapshot
        archived = (action for action in gone if action.kind is Kind.ARCHIVE)
        leaving = frozenset(action.testably_id for action in archived if action.testably_id)
        self.parents_after = snapshot.parents_without(leaving)
        self.cases = Cases(snapshot)
        self.children = self._children()

    def _children(self) -> dict[int, list[SourceMilestone]]:
        """The sub-milestones that each parent has, or in this run will have, in the target."""
        found: dict[int, list[SourceMilestone]] = defaultdict(list)
        for testrail_id in self.snapshot.scope:
            parent_id = self.snapshot.places[testrail_id].parent_id
            if parent_id is not None and self._arrives_below(testrail_id, parent_id):
                found[parent_id].append(self.snapshot.source.milestones[testrail_id])
        return dict(found)

    def _arrives_below(self, testrail_id: int, parent_id: int) -> bool:
        """Whether it is to be created there, or hangs there: what was moved hangs elsewhere."""
        case = self.cases.of(testrail_id)
        if case.testably_id is None:
            return case.arrives
        link = self.snapshot.link(testrail_id)
        live = self.snapshot.target.milestones.get(case.testably_id)
        hangs_below = link.target_parent if live is None else live.parent_id
        return hangs_below == self.cases.of(parent_id).testably_id is not None

    def present(self) -> Iterator[Action]:
        """An action for each readable milestone in scope, parents before children."""
        places = self.snapshot.places
        ordered = sorted(self.snapshot.scope, key=lambda i: (places[i].parent_id is not None, i))
        for testrail_id in ordered:
            yield noted(self.act(testrail_id), self.snapshot, self.children)

    def act(self, testrail_id: int) -> Action:
        """The action for one readable milestone in scope."""
        source = self.snapshot.source.milestones[testrail_id]
        case = self.cases.of(source.id)
        has_children = self.snapshot.has_children(source.id)
        known, listed = self.snapshot.link(source.id), self.snapshot.whole_project
        link = known.read_from(source, has_children=has_children, listed=listed)
        if case.step is Step.CREATE:
            return self._create(source, case, link)
        if case.step is Step.ADOPT:
            return self._adopt(source, case, link)
        if case.step is Step.COMPARE:
            return self._keep_up(source, link)
        return self._blocked(source, case, link)

    # --- nothing is done about it

    def _blocked(self, source: SourceMilestone, case: Case, link: Link) -> Action:
        problem = case.problem
        assert problem is not None  # noqa: S101  (a readable milestone is blocked for a reason)
        found: tuple[Difference, ...] = ()
        live = self.snapshot.live(link)
        if problem.kind.is_hold:
            return self._held(source, link, live, problem)
        if live is not None and case.testably_id is not None:
            compared = self._compare(source, link, live)
            if not compared.push and problem.passes:
                return self._keep_up(source, link)
            found = compared.differences
        return self._action(
            case.kind,
            source,
            link.with_problem(problem, self.snapshot.now),
            problem.reason,
            testably_id=case.testably_id,
            problem=problem,
            differences=found,
        )

    def _held(
        self, source: SourceMilestone, link: Link, live: TargetMilestone | None, problem: Problem
    ) -> Action:
        """What an undo holds, with all that differs; accepted for as long as nothing changes."""
        seen = as_read(self.snapshot, link)
        verdict = verdict_of(seen)
        differ = () if live is None else self._compare(source, link, live).differences
        found = tuple(
            replace(one, verdict=verdict, cause=None, reason=problem.reason)
            for one in differ
            if one.verdict is not Verdict.DERIVED
        )
        held = Difference.of_whole(verdict, problem.reason)
        return self._action(
            Kind.SKIP,
            source,
            as_kept(self.snapshot, seen),
            problem.reason,
            testably_id=seen.testably_id,
            problem=problem,
            differences=found or (held,),
        )

    # --- create, adopt, keep up

    def _create(self, source: SourceMilestone, case: Case, link: Link) -> Action:
        desired = self.snapshot.desired(source)
        fresh = link.without_target() if case.lost else link
        status_later = is_completed(desired) and source.id not in self.children
        names = FIELDS if status_later else FIELDS[:-1]
        return self._action(
            Kind.CREATE,
            source,
            fresh.to_try() if source.id in self.snapshot.links else None,
            kept_once(case.reason[:1].upper() + case.reason[1:] + "."),
            push=Chosen(desired, tuple(name for name in names if desired[name] is not None)),
            status_later=status_later,
        )

    def _adopt(self, source: SourceMilestone, case: Case, link: Link) -> Action:
        live = self.snapshot.target.milestones[case.testably_id or ""]
        compared = self._compare(source, link.adopted(live), live)
        return self._linked_action(Kind.ADOPT, source, live, compared, f"{live.id} {case.reason}.")

    def _keep_up(self, source: SourceMilestone, link: Link) -> Action:
        live = self.snapshot.live(link)
        compared = self._compare(source, link.linked(), live)
        if compared.push:
            released = RELEASED if link.state is LinkState.HELD else ""
            reason = released + why_pushed(compared.differences)
            return self._linked_action(Kind.UPDATE, source, live, compared, reason)
        if self._status_waits(source, compared) and source.id not in self.children:
            reason = "Its status is its own again once its sub-milestones are gone."
            return self._linked_action(Kind.UPDATE, source, live, compared, reason)
        left = why_left(compared.differences) or IN_STEP
        return self._linked_action(Kind.SKIP, source, live, compared, left)

    def _compare(
        self, source: SourceMilestone, link: Link, live: TargetMilestone | None
    ) -> Comparison:
        compared = compare(
            Sides(
                link,
                self.snapshot.desired(source),
                live,
                self.snapshot.policy.on_target_edit,
                moment(self.snapshot.now.isoformat()),
                self._own(source, link, live),
                self.snapshot.link(source.id).agreement is not None,
            )
        )
        return self._with_parent(source, compared, live)

    def _own(
        self, source: SourceMilestone, link: Link, live: TargetMilestone | None
    ) -> frozenset[str]:
        """The fields that the target says itself, now or once this run has made its children."""
        if link.testably_id in self.snapshot.parents or self._brings_back_below(source):
            dates = frozenset(DATE_FIELDS) if live is None else self.snapshot.derived_dates(live)
            return dates | STATUS
        return STATUS if source.id in self.children else NO_FIELD

    def _brings_back_below(self, source: SourceMilestone) -> bool:
        """Whether this run brings a sub-milestone back from the archive: it counts as living."""
        for child in self.children.get(source.id, ()):
            live = self.snapshot.live(self.snapshot.link(child.id))
            if live is not None and is_archived(live) and "status" in self.act(child.id).push:
                return True
        return False

    def _with_parent(
        self, source: SourceMilestone, compared: Comparison, live: TargetMilestone | None
    ) -> Comparison:
        """The comparison with the place, as it is expected and as it is read or was last."""
        place, before = self.snapshot.places[source.id], compared.link.field_problems
        is_now = compared.link.target_parent if live is None else live.parent_id
        expected = self._parent_target(place.parent_id)
        if self._may_be_parent(is_now, place.parent_id):
            expected = before["parent_id"].desired if "parent_id" in before else is_now
        since = moment(self.snapshot.now.isoformat())
        return with_parent(compared, place, expected, is_now, since)

    def _parent_target(self, parent_id: int | None) -> str | None:
        """The target of a parent; one that has none yet is named by its TestRail id."""
        if parent_id is None:
            return None
        return self.cases.of(parent_id).testably_id or f"TestRail {parent_id}"

    def _may_be_parent(self, target: str | None, parent_id: int | None) -> bool:
        """Whether nobody knows yet if this is the target of a parent that is linked to none."""
        if target is None or parent_id is None or self.cases.of(parent_id).arrives:
            return False
        return target not in self.snapshot.links.by_target

    def _linked_action(
        self,
        kind: Kind,
        source: SourceMilestone,
        live: TargetMilestone | None,
        compared: Comparison,
        reason: str,
    ) -> Action:
        link = compared.link
        problem = second_target(self.snapshot, link)
        if problem is not None or kind is Kind.SKIP:
            link = link.with_problem(problem, self.snapshot.now)
        own = self._own(source, link, live)
        agrees = problem is None and kind is Kind.SKIP and agree(self.snapshot, compared, live, own)
        now = link.observed if live is None else live.values
        derived = link.testably_id in self.snapshot.parents
        left_alone = derived and link.testably_id not in self.parents_after
        push = compared.push or EMPTY
        waits = self._status_waits(source, compared)
        has_some = source.id in self.children
        return self._action(
            kind,
            source,
            link,
            reason,
            testably_id=link.testably_id,
            push=push,
            before={name: now.get(name) for name in push} or EMPTY,
            differences=compared.differences,
            own=own - compared.brought_back if compared.brought_back else own,
            status_later=waits and not has_some,
            status_if_alone=waits and has_some,
            dates_later=tuple(n for n in DATE_FIELDS if left_alone and n in own),
            problem=problem,
            agrees=agrees,
        )

    def _status_waits(self, source: SourceMilestone, compared: Comparison) -> bool:
        """Whether the status was only left for sub-milestones that come or go in this run.

        While it is derived the milestone's own is not seen; it is active unless it was written.
        """
        link = compared.link
        desired = self.snapshot.desired(source)["status"]
        derived = link.testably_id in self.snapshot.parents
        left = derived or source.id in self.children
        if not left or link.testably_id in self.parents_after:
            return False
        if any(
            one.field == "status" and one.verdict is not Verdict.DERIVED
            for one in compared.differences
        ):
            return False
        return link.observed.get("status") != desired or (derived and desired == COMPLETED)

    def _action(
        self, kind: Kind, source: SourceMilestone, link: Link | None, reason: str, **rest: Any
    ) -> Action:
        same = link is not None and link.says_the_same(self.snapshot.link(source.id))
        return Action(
            kind,
            source.id,
            source.name,
            reason,
            link=link,
            learned=not same,
            desired=self.snapshot.desired(source),
            parent_id=self.snapshot.places[source.id].parent_id,
            **rest,
        )
