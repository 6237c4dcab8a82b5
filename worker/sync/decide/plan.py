"""The decision table: from a scene to a list of actions. Pure; every way in uses this one plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mappings.link import Link, LinkState, fingerprint_of_source, fingerprint_of_target
from mappings.milestone import (
    ACTIVE,
    COMPLETED,
    FIELDS,
    SourceMilestone,
    TargetMilestone,
    desired_values,
)
from worker.sync.decide.absence import absent, unreadable, with_trouble
from worker.sync.decide.action import Action, Kind, Plan, is_completed
from worker.sync.decide.guards import guards
from worker.sync.decide.losses import not_exact
from worker.sync.decide.merge import Decision, changed_fields, decide
from worker.sync.decide.notices import tell
from worker.sync.decide.rules import Is, Standing, Standings, is_archived
from worker.sync.decide.snapshot import Snapshot
from worker.sync.options import OnSourceDelete


def make_plan(snapshot: Snapshot) -> Plan:
    """Decide about every milestone in scope.

    The same scene always gives the same plan. Roots come first, then sub-milestones, then
    what could not be read, then what is gone at the source, sub-milestones before parents.
    """
    planner = _Planner(snapshot)
    actions = [*planner.present(), *unreadable(snapshot), *absent(snapshot)]
    return Plan(
        tuple(actions),
        not_exact(snapshot, actions, planner.standings, planner.children),
        guards(snapshot, actions),
    )


IN_STEP = "In step."


class _Planner:
    """Holds the indexes that the decisions look things up in."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.source = snapshot.source.milestones
        self.standings = Standings(snapshot)
        self.places = self.standings.places
        self.scope = _scope(snapshot, {i: p.parent_id for i, p in self.places.items()})
        self.children = self._children()
        self.derived = self._derived(frozenset())
        self.derived_after = self._derived(self._to_archive())

    def _children(self) -> dict[int, list[SourceMilestone]]:
        """The sub-milestones that each parent has, or in this run will have, in the target."""
        found: dict[int, list[SourceMilestone]] = defaultdict(list)
        for testrail_id in self.scope:
            parent_id = self.places[testrail_id].parent_id
            if parent_id is not None and self._arrives_below(testrail_id, parent_id):
                found[parent_id].append(self.source[testrail_id])
        return dict(found)

    def _arrives_below(self, testrail_id: int, parent_id: int) -> bool:
        """Whether it is to be created there, or hangs there: what was moved hangs elsewhere."""
        standing = self.standings.of(testrail_id)
        if standing.testably_id is None:
            return standing.arrives
        actual = self.snapshot.target.milestones.get(standing.testably_id)
        link = self.snapshot.links.get(testrail_id, Link(testrail_id))
        hangs_below = link.target_parent if actual is None else actual.parent_id
        return hangs_below == self.standings.of(parent_id).testably_id is not None

    def _derived(self, leaving: frozenset[str]) -> frozenset[str]:
        """Target ids that have living sub-milestones, ours or others', beside those ``leaving``."""
        seen = self.snapshot.target.milestones.values()
        alive = [t for t in seen if not is_archived(t) and t.id not in leaving]
        listed = {t.parent_id for t in alive if t.parent_id}
        detailed = {
            t.id
            for t in seen
            if any(not is_archived(sub) and sub.id not in leaving for sub in t.sub_milestones)
        }
        links = (k for k in self.snapshot.links.values() if k.state is not LinkState.ARCHIVED)
        staying = (k for k in links if k.has_target and k.testably_id not in leaving)
        linked = {k.target_parent for k in staying if k.target_parent}
        return frozenset(listed | detailed | linked)

    def _to_archive(self) -> frozenset[str]:
        """Target ids that this run takes away."""
        if self.snapshot.policy.on_source_delete is not OnSourceDelete.ARCHIVE:
            return frozenset()
        links = (self.snapshot.links.get(id_) for id_ in self.snapshot.gone)
        return frozenset(k.testably_id for k in links if k is not None and k.testably_id)

    # --- milestones that are there

    def present(self) -> Iterator[Action]:
        """An action for each readable milestone in scope, parents before children."""
        ordered = sorted(self.scope, key=lambda i: (self.places[i].parent_id is not None, i))
        for testrail_id in ordered:
            yield self._act(self.source[testrail_id])

    def _act(self, source: SourceMilestone) -> Action:
        if source.id in self.snapshot.agreed:
            testably_id = self.snapshot.links[source.id].testably_id
            return Action(Kind.SKIP, source.id, source.name, IN_STEP, testably_id)
        standing = self.standings.of(source.id)
        link = self._link_for(source)
        if standing.is_ is Is.STUCK:
            return self._stuck(source, standing, link)
        if standing.is_ is Is.NEW:
            return self._create(source, standing, link)
        if standing.is_ is Is.ADOPTABLE:
            return self._adopt(source, standing, link)
        return self._keep_up(source, link)

    def _link_for(self, source: SourceMilestone) -> Link:
        """The link, with what the source now says recorded beside it."""
        link = self.snapshot.links.get(source.id, Link(source.id))
        return replace(
            link,
            name=source.name,
            raw=source.raw,
            source_fingerprint=fingerprint_of_source(source),
            target_fingerprint=None,
        )

    def _stuck(self, source: SourceMilestone, standing: Standing, link: Link) -> Action:
        problem = standing.problem
        assert problem is not None  # noqa: S101  (a readable milestone is stuck for a reason)
        unhindered = problem.kind in ("held", "waiting", "unread")
        noted = link if unhindered else with_trouble(link, problem, self.snapshot)
        return self._action(
            standing.stuck_as,
            source,
            noted,
            problem.reason,
            testably_id=standing.testably_id,
            problem=None if problem.kind == "held" else problem,
        )

    def _create(self, source: SourceMilestone, standing: Standing, link: Link) -> Action:
        wanted = desired_values(source, self.snapshot.rules)
        if standing.lost:
            link = _forget_target(link)
        status_later = is_completed(wanted) and source.id not in self.children
        names = FIELDS if status_later else FIELDS[:-1]
        return self._action(
            Kind.CREATE,
            source,
            replace(link, problem=None),
            standing.reason[:1].upper() + standing.reason[1:] + ".",
            push={name: wanted[name] for name in names if wanted[name] is not None},
            status_later=status_later,
        )

    def _adopt(self, source: SourceMilestone, standing: Standing, link: Link) -> Action:
        actual = self.snapshot.target.milestones[standing.testably_id or ""]
        cut_off = link.in_flight if link.state is LinkState.CREATING else None
        linked = replace(
            _forget_target(link),
            testably_id=actual.id,
            state=LinkState.LINKED,
            in_flight=cut_off and {**cut_off, "status": ACTIVE},  # as a POST leaves it
            problem=None,
            attempt_at=None,
            attempt_deadline=None,
        )
        decision = self._decide(source, linked, actual)
        reason = f"{actual.id} {standing.reason}."
        return self._linked_action(Kind.ADOPT, source, actual, decision, reason)

    def _keep_up(self, source: SourceMilestone, link: Link) -> Action:
        actual = self.snapshot.target.milestones.get(link.testably_id or "")
        linked = replace(link, state=LinkState.LINKED, problem=None)
        decision = self._decide(source, linked, actual)
        if not decision.push:
            if self._status_waits(source, decision):
                reason = "Its status is its own again once its sub-milestones are gone."
                return self._linked_action(Kind.UPDATE, source, actual, decision, reason)
            return self._linked_action(Kind.SKIP, source, actual, decision, IN_STEP)
        reason = _why_update(decision, link, self.snapshot)
        return self._linked_action(Kind.UPDATE, source, actual, decision, reason)

    def _decide(
        self, source: SourceMilestone, link: Link, actual: TargetMilestone | None
    ) -> Decision:
        return decide(
            link,
            desired_values(source, self.snapshot.rules),
            actual,
            derived=link.testably_id in self.derived,
            policy=self.snapshot.policy.on_target_edit,
            expects_children=source.id in self.children,
        )

    def _linked_action(
        self,
        kind: Kind,
        source: SourceMilestone,
        actual: TargetMilestone | None,
        decision: Decision,
        reason: str,
    ) -> Action:
        link, notices = tell(source, decision, actual, self.standings)
        if kind is Kind.SKIP and actual is not None and not (notices or decision.kept):
            link = self._agreement(source, link, actual)
        now = link.observed if actual is None else actual.values
        return self._action(
            kind,
            source,
            link,
            reason,
            testably_id=link.testably_id,
            push=decision.push,
            before=changed_fields(now, decision.push),
            edited=decision.edited,
            status_later=self._status_waits(source, decision),
            notices=notices,
        )

    def _agreement(self, source: SourceMilestone, link: Link, actual: TargetMilestone) -> Link:
        """The link, with both sides' prints if nothing at all is left to decide about it."""
        open_ends = (link.refused, link.told, link.overwrote, link.in_flight, link.look_again)
        parent = source.id in self.children or link.testably_id in self.derived
        misplaced = self.places[source.id].problem is not None
        if parent or misplaced or any(open_ends):
            return link
        if link.last_applied != desired_values(source, self.snapshot.rules):
            return link
        return replace(link, target_fingerprint=fingerprint_of_target(actual))

    def _status_waits(self, source: SourceMilestone, decision: Decision) -> bool:
        """Whether the status was only left for sub-milestones that come or go in this run.

        While it is derived the milestone's own is not seen; it is active unless it was written.
        """
        link = decision.link
        wanted = desired_values(source, self.snapshot.rules)["status"]
        derived = link.testably_id in self.derived
        left = derived or source.id in self.children
        if not left or link.testably_id in self.derived_after:
            return False
        if "status" in {*decision.push, *decision.kept} or link.refused.get("status") == wanted:
            return False
        return link.observed.get("status") != wanted or (derived and wanted == COMPLETED)

    # --- shared

    def _action(
        self, kind: Kind, source: SourceMilestone, link: Link, reason: str, **rest: Any
    ) -> Action:
        before = self.snapshot.links.get(source.id, Link(source.id))
        same = replace(before, target_fingerprint=link.target_fingerprint) == link
        return Action(
            kind,
            source.id,
            source.name,
            reason,
            link=link,
            learned=not same,
            agrees=same and link.target_fingerprint not in (None, before.target_fingerprint),
            wanted=desired_values(source, self.snapshot.rules),
            parent_id=self.places[source.id].parent_id,
            **rest,
        )


def _scope(snapshot: Snapshot, parents: Mapping[int, int | None]) -> frozenset[int]:
    """The ids that ``only`` leaves, each with its parent."""
    every = snapshot.source.milestones
    only = snapshot.options.only
    if only is None:
        return frozenset(every)
    chosen = {id_ for id_, source in every.items() if only.takes(source)}
    above = {parents[id_] for id_ in chosen}
    return frozenset(chosen | {id_ for id_ in above if id_ is not None and id_ in every})


def _forget_target(link: Link) -> Link:
    """The link without a target and without anything that was pushed to it."""
    return replace(
        link,
        testably_id=None,
        state=LinkState.CREATING if link.state is LinkState.CREATING else LinkState.UNLINKED,
        last_applied={},
        observed={},
        observed_at=None,
        in_flight=None,
        refused={},
        overwrote={},
        target_parent=None,
    )


def _why_update(decision: Decision, link: Link, snapshot: Snapshot) -> str:
    names = ", ".join(decision.push)
    if set(decision.edited) == set(decision.push):
        return f"Edited in Testably, and the source wins: {names}."
    if snapshot.links.get(link.testrail_id, link).state is LinkState.HELD:
        return f"Released after an undo: {names}."
    return f"Changed in TestRail: {names}."
