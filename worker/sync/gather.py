"""Reading both sides and the links: everything that a plan is made from.

Reads nothing that the plan cannot need: a first migration costs the source's pages and the
target's pages, a scheduled run without changes only the source's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from mappings.link import Link, LinkState
from mappings.milestone import (
    ARCHIVED,
    BadRecord,
    MappingRules,
    SourceMilestone,
    TargetMilestone,
    marked_id,
    written_status,
)
from mappings.store import Pair
from worker.errors import AccessDenied, NotFound, Transient, UnknownId
from worker.sync.guards import mass_limit
from worker.sync.ports import Source, SourceListing, Target
from worker.sync.scene import Options, Policy, Scene, TargetView
from worker.sync.standing import is_blocked


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a pair is read: the whole, or single milestones (a refresh)."""

    milestone_ids: tuple[int, ...] = ()
    list_target: bool = True

    @property
    def whole(self) -> bool:
        """Whether the whole project is in scope."""
        return not self.milestone_ids


@dataclass(slots=True)
class Gatherer:
    """Gathers the scene of one pair. Raises ApiError where a side cannot be read."""

    pair: Pair
    source: Source
    target: Target
    rules: MappingRules
    policy: Policy
    options: Options
    links: Mapping[int, Link] = field(default_factory=dict)

    def scene(self, scope: Scope, now: datetime) -> Scene:
        """Read what is in scope. ``now`` is the time of the plan, aware."""
        listing = self._read_source(scope)
        gone, unproved, still_there = self._prove_absence(listing, scope)
        if still_there:
            both = {**listing.milestones, **still_there}
            listing = replace(listing, milestones=both)
        view = self._look_at_target(listing, scope)
        return Scene(
            rules=self.rules,
            source=listing,
            links=self.links,
            target=view,
            now=now,
            options=self.options,
            policy=self.policy,
            gone=gone,
            unproved=unproved,
            whole_project=scope.whole,
        )

    # --- the source

    def _read_source(self, scope: Scope) -> SourceListing:
        if scope.whole:
            return self.source.read_project(self.pair.identity.testrail_project)
        found: dict[int, SourceMilestone] = {}
        problems: list[BadRecord] = []
        for id_ in scope.milestone_ids:
            try:
                listing = self.source.get_milestone(id_)
            except UnknownId:
                continue  # a refresh never archives; the next full run proves the absence
            found.update(listing.milestones)
            problems.extend(listing.problems)
        return SourceListing(found, tuple(problems), complete=False)

    def _prove_absence(
        self, listing: SourceListing, scope: Scope
    ) -> tuple[frozenset[int], dict[int, str], dict[int, SourceMilestone]]:
        """Ask for each linked milestone that a complete list lacks.

        Stops asking once so many are gone that the mass guard stops the run anyway.
        """
        gone: set[int] = set()
        unproved: dict[int, str] = {}
        there: dict[int, SourceMilestone] = {}
        if not (scope.whole and listing.complete and self.options.only is None):
            return frozenset(), unproved, there
        for id_ in self._missing(listing):
            if len(gone) > self._archive_limit():
                break
            try:
                there.update(self.source.get_milestone(id_).milestones)
            except UnknownId:
                gone.add(id_)
            except (AccessDenied, NotFound, Transient) as error:
                unproved[id_] = error.message
        return frozenset(gone), unproved, there

    def _missing(self, listing: SourceListing) -> list[int]:
        known = {problem.id for problem in listing.problems} | set(listing.milestones)
        linked = (id_ for id_, k in self.links.items() if k.state is LinkState.LINKED)
        return [id_ for id_ in linked if id_ not in known]

    def _archive_limit(self) -> int:
        if self.options.allow_mass_archive:
            return len(self.links)
        return mass_limit(sum(link.has_target for link in self.links.values()))

    # --- the target

    @property
    def _project(self) -> str:
        return self.pair.identity.testably_project

    def _look_at_target(self, listing: SourceListing, scope: Scope) -> TargetView:
        if not scope.whole or not (scope.list_target or self._must_list(listing)):
            return self._view({}, self._to_read_singly(listing, scope), listed=False)
        first = self.target.list_all(self._project)
        found = dict(first.milestones)
        if not first.complete:
            return TargetView(found, complete=False, unproved=self._not_listed(found))
        if self._needs_archived(found):
            archived = self.target.list_all(self._project, ARCHIVED)
            found.update(archived.milestones)
        unreadable = {str(problem.id): problem.reason for problem in first.problems}
        missing = [
            link
            for link in self.links.values()
            if self._is_expected(link) and link.testably_id not in {*found, *unreadable}
        ]
        found.update(self._below_known_parents(listing, found))
        return self._view(found, missing, listed=True, unreadable=unreadable)

    def _must_list(self, listing: SourceListing) -> bool:
        """Whether anything may have to be created, which needs to know what is there already."""
        for source in listing.milestones.values():
            link = self.links.get(source.id)
            if link is None or not (link.has_target or is_blocked(link, source)):
                return True
        return False

    def _to_read_singly(self, listing: SourceListing, scope: Scope) -> list[Link]:
        """All that a refresh is about; in a run that trusts the last listing, the doubtful."""
        refreshed = set() if scope.whole else set(listing.milestones)
        expected = (link for link in self.links.values() if self._is_expected(link))
        return [k for k in expected if k.look_again or k.testrail_id in refreshed]

    def _is_expected(self, link: Link) -> bool:
        return link.has_target and link.state in (LinkState.LINKED, LinkState.HELD)

    def _not_listed(self, found: Mapping[str, TargetMilestone]) -> dict[str, str]:
        text = "Testably's list came incomplete, three times; it is read again by the next run."
        ids = (link.testably_id for link in self.links.values())
        return {id_: text for id_ in ids if id_ is not None and id_ not in found}

    def _needs_archived(self, found: Mapping[str, TargetMilestone]) -> bool:
        """Whether the archived list can tell something that the plain one does not."""
        if any(written_status(target.status) == ARCHIVED for target in found.values()):
            return False
        held = {link.testably_id for link in self.links.values()}
        if any(self._is_expected(k) and k.testably_id not in found for k in self.links.values()):
            return True
        if any(link.state is LinkState.CREATING for link in self.links.values()):
            return True
        return any(self._is_ours(target) for target in found.values() if target.id not in held)

    def _is_ours(self, target: TargetMilestone) -> bool:
        return marked_id(target.description, self.rules.testrail_url) is not None

    def _below_known_parents(
        self, listing: SourceListing, found: Mapping[str, TargetMilestone]
    ) -> dict[str, TargetMilestone]:
        """Sub-milestones that the list leaves out, below parents that get a new child.

        Only where the list shows no sub-milestone at all; otherwise it holds them.
        """
        if any(target.parent_id for target in found.values()):
            return {}
        seen: dict[str, TargetMilestone] = {}
        linked = {link.testably_id for link in self.links.values()}
        for parent in sorted(self._parents_of_new(listing, found)):
            try:
                for sub in self.target.get(self._project, parent).sub_milestones:
                    if sub.id not in found and sub.id not in linked:
                        seen[sub.id] = self.target.get(self._project, sub.id)
            except NotFound:
                continue
        return seen

    def _parents_of_new(
        self, listing: SourceListing, found: Mapping[str, TargetMilestone]
    ) -> set[str]:
        marked = {marked_id(t.description, self.rules.testrail_url): t.id for t in found.values()}
        parents: set[str] = set()
        for source in listing.milestones.values():
            link = self.links.get(source.id)
            if source.parent_id is None or (link is not None and link.has_target):
                continue
            above = self.links.get(source.parent_id)
            target = above.testably_id if above is not None else marked.get(source.parent_id)
            parents.update({target} if target is not None and target in found else ())
        return parents

    def _view(
        self,
        found: Mapping[str, TargetMilestone],
        to_read: Iterable[Link],
        *,
        listed: bool,
        unreadable: Mapping[str, str] | None = None,
    ) -> TargetView:
        """The view, with those read singly; gone is only what the project itself denies."""
        read = dict(found)
        unproved = dict(unreadable or {})
        denied = []
        for link in to_read:
            id_ = link.testably_id or ""
            try:
                read[id_] = self.target.get(self._project, id_)
            except NotFound:
                denied.append(id_)
            except (AccessDenied, Transient) as error:
                unproved[id_] = error.message
        if denied:
            self.target.list_all(self._project, ARCHIVED)  # raises if the project is gone as well
        return TargetView(read, listed=listed, gone=frozenset(denied), unproved=unproved)
