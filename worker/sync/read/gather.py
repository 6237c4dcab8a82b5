"""Reading both sides and the links: everything that a plan is made from.

Reads nothing that the plan cannot need: a first migration costs the source's pages and the
target's pages, a scheduled run without changes only the source's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from mappings.footer import marked_id
from mappings.link import Link, LinkState
from mappings.milestone import (
    ARCHIVED,
    BadRecord,
    MappingRules,
    SourceMilestone,
    TargetMilestone,
    written_status,
)
from mappings.rows import Pair
from worker.errors import AccessDenied, NotFound, Transient, UnknownId
from worker.sync.decide.absence import is_followed
from worker.sync.decide.guards import living, mass_limit
from worker.sync.decide.placement import places
from worker.sync.decide.rules import is_blocked
from worker.sync.decide.snapshot import Snapshot, TargetSnapshot
from worker.sync.decide.unchanged import is_outline, still_agreed
from worker.sync.options import OnSourceDelete, Options, Policy
from worker.sync.ports import Source, SourceListing, Target

FAILED_PROOFS = 2
"""After so many questions that failed, the other absences are left for the next run."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a pair is read: the whole, or single milestones (a refresh).

    ``recalled`` are the unlinked target milestones as the first part of this run listed them:
    a run that goes on does not list the target again.
    """

    milestone_ids: tuple[int, ...] = ()
    list_target: bool = True
    recalled: Mapping[str, TargetMilestone] | None = None

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
    complete_links: Callable[[list[int]], Mapping[int, Link]] = lambda _: {}

    def snapshot(self, scope: Scope, now: datetime) -> Snapshot:
        """Read what is in scope. ``now`` is the time of the plan, aware."""
        listing = self._read_source(scope)
        gone, unproved, still_there = self._prove_absence(listing, scope)
        if still_there:
            both = {**listing.milestones, **still_there}
            listing = replace(listing, milestones=both)
        view = self._look_at_target(listing, scope)
        agreed = self._agreed(listing, view, scope)
        outlined = [id_ for id_, k in self.links.items() if is_outline(k) and id_ not in agreed]
        return Snapshot(
            rules=self.rules,
            source=listing,
            links={**self.links, **self.complete_links(outlined)},
            target=view,
            agreed=agreed,
            now=now,
            options=self.options,
            policy=self.policy,
            gone=gone,
            unproved=unproved,
            whole_project=scope.whole,
        )

    def _agreed(self, listing: SourceListing, view: TargetSnapshot, scope: Scope) -> frozenset[int]:
        """What needs no decision, unless the mapping's settings are not those of the last run."""
        if self.pair.rules != self.rules.fingerprint:
            return frozenset()
        read = view.listed and scope.recalled is None
        return still_agreed(self.links, listing, view.milestones, self.rules, read=read)

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

        Stops asking once so many are gone that the mass guard stops the run anyway, or once
        TestRail has failed: each question has been repeated for a quarter of a minute by then.
        """
        gone: set[int] = set()
        unproved: dict[int, str] = {}
        there: dict[int, SourceMilestone] = {}
        failed = 0
        if not (scope.whole and listing.complete and self.options.only is None):
            return frozenset(), unproved, there
        for id_ in self._missing(listing):
            if len(gone) > self._archive_limit() or failed >= FAILED_PROOFS:
                break
            try:
                there.update(self.source.get_milestone(id_).milestones)
                if id_ not in there:
                    unproved[id_] = "TestRail has a record of it that cannot be read."
            except UnknownId:
                gone.add(id_)
            except (AccessDenied, NotFound, Transient) as error:
                unproved[id_] = error.message
                failed += isinstance(error, Transient)
        return frozenset(gone), unproved, there

    def _missing(self, listing: SourceListing) -> list[int]:
        known = {problem.id for problem in listing.problems} | set(listing.milestones)
        linked = (id_ for id_, k in self.links.items() if is_followed(k, self.options))
        return [id_ for id_ in linked if id_ not in known]

    def _archive_limit(self) -> int:
        if self.options.allow_mass_archive or self.policy.on_source_delete is OnSourceDelete.KEEP:
            return len(self.links)
        return mass_limit(living(self.links.values()))

    # --- the target

    @property
    def _project(self) -> str:
        return self.pair.identity.testably_project

    def _look_at_target(self, listing: SourceListing, scope: Scope) -> TargetSnapshot:
        if scope.recalled is not None:
            return self._view(scope.recalled, self._to_read_singly(listing, scope), listed=True)
        if not scope.whole or not (scope.list_target or self._must_list(listing)):
            view = self._view({}, self._to_read_singly(listing, scope), listed=False)
            if not (scope.whole and view.gone):
                return view  # otherwise something is to be created again
        first = self.target.list_all(self._project)
        found = dict(first.milestones)
        if not first.complete:
            return TargetSnapshot(found, complete=False, unproved=self._not_listed(found))
        if self._needs_archived(found):
            archived = self.target.list_all(self._project, ARCHIVED)
            found.update(archived.milestones)
            if not archived.complete:
                return TargetSnapshot(found, complete=False, unproved=self._not_listed(found))
        unreadable = {str(problem.id): problem.reason for problem in first.problems}
        seen = {*found, *unreadable}
        expected = (link for link in self.links.values() if self._is_expected(link))
        missing = [link for link in expected if link.testably_id not in seen]
        found.update(self._below_known_parents(listing, found))
        return self._view(found, missing, listed=True, unreadable=unreadable)

    def _must_list(self, listing: SourceListing) -> bool:
        """Whether anything may have to be created, which needs to know what is there already."""
        where = places(listing.milestones, frozenset())
        for source in listing.milestones.values():
            link = self._link(source.id)
            settled = link.has_target or is_blocked(link, source)
            if not (settled or where[source.id].problem):
                return True
        return False

    def _link(self, testrail_id: int) -> Link:
        return self.links.get(testrail_id, Link(testrail_id))

    def _to_read_singly(self, listing: SourceListing, scope: Scope) -> list[Link]:
        """All that a refresh is about; in a run that trusts the last listing, the doubtful."""
        refreshed = set() if scope.whole else set(listing.milestones)
        expected = (link for link in self.links.values() if self._is_expected(link))
        return [
            k
            for k in expected
            if k.look_again or k.in_flight is not None or k.testrail_id in refreshed
        ]

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

        Only where the list shows no sub-milestone at all; otherwise it holds them. Where links
        were lost, below every root: what was moved at the source hangs below another parent.
        """
        if any(target.parent_id for target in found.values()):
            return {}
        seen: dict[str, TargetMilestone] = {}
        linked = {link.testably_id for link in self.links.values()}
        lost = any(self._is_ours(t) and t.id not in linked for t in found.values())
        for parent in sorted(found if lost else self._parents_of_new(listing, found)):
            above = self._get(parent)
            for sub in above.sub_milestones if above else ():
                if sub.id not in found and sub.id not in linked:
                    below = self._get(sub.id)
                    seen.update({sub.id: below} if below else {})
        return seen

    def _get(self, testably_id: str) -> TargetMilestone | None:
        """One milestone, or None if it has gone in the meantime."""
        try:
            return self.target.get(self._project, testably_id)
        except NotFound:
            return None

    def _parents_of_new(
        self, listing: SourceListing, found: Mapping[str, TargetMilestone]
    ) -> set[str]:
        """Targets below which something is to come: linked, marked or, if asked for, so named."""
        every = listing.milestones
        above = {
            place.parent_id
            for id_, place in places(every, frozenset()).items()
            if place.parent_id is not None and not self._link(id_).has_target
        }
        ids = {self._link(id_).testably_id for id_ in above}
        by_name = above if self.options.adopt_by_name else ()
        names = {every[id_].name.strip() for id_ in by_name if id_ in every}
        url = self.rules.testrail_url
        return {
            target.id
            for target in found.values()
            if target.id in ids
            or marked_id(target.description, url) in above
            or target.name.strip() in names
        }

    def _view(
        self,
        found: Mapping[str, TargetMilestone],
        to_read: Iterable[Link],
        *,
        listed: bool,
        unreadable: Mapping[str, str] | None = None,
    ) -> TargetSnapshot:
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
        return TargetSnapshot(read, listed=listed, gone=frozenset(denied), unproved=unproved)
