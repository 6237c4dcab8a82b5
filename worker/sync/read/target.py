"""Reading Testably: its lists, what they may hide, and single milestones where lists do not do.

What the documents leave open is never assumed: whether the unfiltered list holds completed ones,
archived ones and sub-milestones.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from mappings.footer import marked_id
from mappings.link import Link
from mappings.links import Links
from mappings.milestone import (
    ARCHIVED,
    COMPLETED,
    BadRecord,
    MappingRules,
    TargetMilestone,
    written_status,
)
from worker.errors import NotFound
from worker.sync.decide.placement import places
from worker.sync.decide.rules import is_blocked
from worker.sync.decide.snapshot import changed_at_source
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.decide.unreadable import ANYWHERE
from worker.sync.options import OnTargetEdit, Options, Policy
from worker.sync.ports import (
    AS_ASKED,
    OfOne,
    Paging,
    Shown,
    SourceListing,
    Target,
    TargetListing,
    newest_of,
)
from worker.sync.read.below import read_below, why_unread
from worker.sync.read.hidden import HiddenSubs
from worker.sync.read.unreadable import unreadable_among
from worker.sync.streak import Streak

MOST_UNREAD = 10
"""Targets that could not be read: a run that need not list the target reads no more singly."""


@dataclass(slots=True)
class TargetReader:
    """Reads what a plan about ``listing`` needs of one project. Raises ApiError.

    ``tried`` is what an earlier part of the run could not read, and this one need not try.
    """

    target: Target
    project: str
    rules: MappingRules
    policy: Policy
    options: Options
    links: Links
    listing: SourceListing
    now: datetime
    gone: frozenset[int] = frozenset()
    foreign: frozenset[str] = frozenset()
    known: Mapping[str, str] = field(default_factory=dict)
    tried: Container[str] = ()
    _unchanged: dict[str, Shown] = field(default_factory=dict, init=False)
    _newest: list[str | None] = field(default_factory=list, init=False)
    _by_status: set[str] = field(default_factory=set, init=False)
    _singly: set[str] = field(default_factory=set, init=False)
    _paging: Paging = field(default=AS_ASKED, init=False)
    _streak: Streak = field(default_factory=Streak, init=False)

    def read(
        self, *, single: bool, list_target: bool, recalled: Mapping[str, TargetMilestone] | None
    ) -> TargetSnapshot:
        """The target as far as it is needed.

        ``single`` says that single milestones are refreshed, ``recalled`` are unlinked
        milestones that an earlier part of the run has listed.
        """
        if recalled is not None:
            doubtful = self._doubtful(single=single)
            doubtful += [link for link in self._to_find() if link.testably_id not in recalled]
            return self._with_single(recalled, doubtful, listed=True).without_proof()
        must_list = list_target or self._must_list() or len(self._still_unread) > MOST_UNREAD
        if single or not must_list:
            view = self._with_single({}, self._doubtful(single=single), listed=False)
            if single or not view.gone:
                return view.without_proof()  # otherwise the lists tell what has gone
        return self._listed()

    # --- the lists

    def _listed(self) -> TargetSnapshot:
        first = self._list(None)
        found, problems = dict(first.milestones), [*first.problems]
        complete, because = first.complete, first.incomplete_because
        for status, is_needed in (
            (COMPLETED, self._needs_completed),
            (ARCHIVED, self._needs_archived),
        ):
            if complete and is_needed(found):
                shown = found.keys() | self._unchanged.keys()
                more = self._list(status)
                self._by_status |= (more.milestones.keys() | more.unchanged.keys()) - shown
                found.update(more.milestones)
                problems += more.problems
                complete, because = more.complete, more.incomplete_because
        if not complete:
            unseen = self.links.by_target.keys() - found.keys() - self._unchanged.keys()
            why = f"Testably's list came incomplete ({because}); the next run reads it again."
            unproved = dict.fromkeys(unseen, why)
            view = TargetSnapshot(found, self._unchanged, complete=False, unproved=unproved)
            return replace(view, foreign=self.foreign, incomplete_because=because)
        unreadable = {str(one.id): f"In Testably its {one.reason}." for one in problems}
        missing = self._missing({**found, **unreadable})
        self._singly.update(link.testably_id or "" for link in missing)
        view = self._with_single(found, missing, listed=True, unproved=unreadable)
        free = [one for one in problems if not self._is_linked(str(one.id))]
        view = replace(view, unreadable=unreadable_among(free, self.rules))
        known = (self.links, self.listing, self.rules, self.options, self.gone, self.foreign)
        hidden = HiddenSubs(*known, found, self._are_subs_lost(found))
        return self._with_below(view, hidden, first.problems)

    def _list(self, status: str | None) -> TargetListing:
        listing = self.target.list_all(self.project, status, self.known)
        if status is None:
            self._paging = listing.paging
        self._unchanged.update(listing.unchanged)
        self._newest.append(listing.newest_unchanged)
        return listing

    def _missing(self, seen: Container[str]) -> list[Link]:
        """The links whose targets should be there, and are not among those listed."""
        found = [
            self.links[id_]
            for id_, one in self.links.outlines.items()
            if one.testably_id not in self._unchanged and one.testably_id not in seen
        ]
        complete = filter(self._is_expected, self.links.complete.values())
        return found + [link for link in complete if link.testably_id not in seen]

    def _needs_completed(self, found: Mapping[str, TargetMilestone]) -> bool:
        """Whether the plain list may hide completed ones that matter (R4, R7)."""
        if COMPLETED in self._statuses(found):
            return False
        return bool(self._missing(found)) or self._creates(found)

    def _statuses(self, found: Mapping[str, TargetMilestone]) -> set[str]:
        """The written words of every status that the lists showed."""
        words = {target.status for target in found.values()}
        words |= {shown.status for shown in self._unchanged.values()}
        return {written_status(word) for word in words}

    def _creates(self, found: Mapping[str, TargetMilestone]) -> bool:
        """Whether something would be created that no marker in the list already is."""
        return not set(self._free_markers(found)).issuperset(self._unlinked())

    def _unlinked(self) -> Iterable[int]:
        """The source ids that have no target and are not blocked."""
        where = places(self.listing.milestones, frozenset())
        only = self.options.only
        for source in self.listing.milestones.values():
            link = self._link(source.id)
            in_scope = only is None or only.takes(source)
            is_left = is_blocked(link, source, self.now) or link.awaits_person
            stays = link.has_target or is_left or where[source.id].problem
            if in_scope and not stays:
                yield source.id

    def _needs_archived(self, found: Mapping[str, TargetMilestone]) -> bool:
        """Whether the archived list can tell something that the others do not."""
        if ARCHIVED in self._statuses(found):
            return False
        return bool(self._missing(found)) or any(True for _ in self._free_markers(found))

    def _must_list(self) -> bool:
        """Whether anything may have to be created, which needs to know what is there already."""
        return any(True for _ in self._unlinked()) or any(True for _ in self._to_find())

    def _to_find(self) -> Iterator[Link]:
        """The links that may need a new target: back in TestRail, or lost while edits won."""
        edits_win = self.policy.on_target_edit is OnTargetEdit.TARGET
        for id_, link in self.links.complete.items():
            is_open = not edits_win if link.was_lost else link.was_gone
            source = self.listing.milestones.get(id_) if is_open else None
            is_tried = link.testably_id in self.tried
            if source and not (is_tried or is_blocked(link, source, self.now)):
                yield link

    # --- what lists do not hold

    def _with_below(
        self, view: TargetSnapshot, hidden: HiddenSubs, problems: Iterable[BadRecord]
    ) -> TargetSnapshot:
        """With the sub-milestones that the lists leave out, as far as they matter."""
        if not hidden.there_may_be(view, problems):
            return view
        below = read_below(
            self.target,
            self.project,
            hidden.parents(view),
            lambda id_: id_ in view.milestones or self._is_linked(id_),
            self._streak,
        )
        unread = dict(below.unread)
        if unread and hidden.links_were_lost:
            unread[ANYWHERE] = next(iter(unread.values()))
        return replace(
            view,
            milestones={**view.milestones, **below.milestones},
            singly=view.singly | below.milestones.keys(),
            newest=newest_of(below.milestones.values(), view.newest),
            unreadable=replace(view.unreadable, below=unread),
        )

    def _doubtful(self, *, single: bool) -> list[Link]:
        """All that a refresh is about; in a run that trusts the last listing, the doubtful."""
        doubtful = set(self.gone if not self.options.archive_in_use else ())
        if single:
            doubtful.update(self.listing.milestones)
        else:
            doubtful.update(self._still_unread)
            if self.policy.on_target_edit is OnTargetEdit.TARGET:
                # an edit in the target would win over what is pushed (R3)
                doubtful.update(changed_at_source(self.listing, self.links, self.rules))
        outlined = [self.links[id_] for id_ in sorted(doubtful) if id_ in self.links.outlines]
        return [
            link
            for link in (*self.links.complete.values(), *outlined)
            if self._is_expected(link)
            and (link.look_again or link.in_flight is not None or link.testrail_id in doubtful)
        ]

    @property
    def _still_unread(self) -> list[int]:
        """The links whose targets could not be read, and this run has not tried to yet."""
        every = self.links.complete.items()
        return [i for i, one in every if one.was_unread and one.testably_id not in self.tried]

    def _with_single(
        self,
        found: Mapping[str, TargetMilestone],
        to_read: Iterable[Link],
        *,
        listed: bool,
        unproved: Mapping[str, str] | None = None,
    ) -> TargetSnapshot:
        """The snapshot, with those read singly."""
        view = TargetSnapshot(
            found,
            self._unchanged,
            listed,
            unproved=unproved or {},
            foreign=self.foreign,
            by_status=frozenset(self._by_status),
            newest=newest_of(found.values(), *self._newest),
            paging=self._paging,
        )
        view = self.with_details(view, to_read)
        return replace(view, singly=frozenset(self._singly & view.milestones.keys()))

    def with_details(self, view: TargetSnapshot, to_read: Iterable[Link]) -> TargetSnapshot:
        """With the targets of these links read singly; gone is what no list shows either (R4)."""
        # who could be read before comes first (R6)
        in_order = sorted(to_read, key=lambda link: link.was_unread)
        ids = {link.testrail_id: link.testably_id or "" for link in in_order}
        if not ids:
            return view
        came: dict[int, TargetMilestone | OfOne] = {}
        self.target.get_each(self.project, ids, came.__setitem__, self._streak)
        answers = {id_: came[testrail_id] for testrail_id, id_ in ids.items()}
        detailed = {id_: one for id_, one in answers.items() if isinstance(one, TargetMilestone)}
        failed = {id_: one for id_, one in answers.items() if not isinstance(one, TargetMilestone)}
        denied = {id_ for id_, one in failed.items() if isinstance(one, NotFound)}
        if denied:
            self.target.check_project(self.project)  # raises if that is gone as well
        gone = denied - view.milestones.keys() - view.unchanged.keys()
        unproved = {id_: why_unread(one) for id_, one in failed.items() if id_ not in gone}
        return replace(
            view,
            milestones={**view.milestones, **detailed},
            gone=view.gone | gone,
            unproved={**view.unproved, **unproved},
            detailed=view.detailed | detailed.keys(),
            newest=newest_of(detailed.values(), view.newest),
        )

    # --- questions

    def _is_expected(self, link: Link) -> bool:
        """Whether its target should be there."""
        is_over = link.was_gone and link.testrail_id not in self.listing.milestones
        return link.has_target and not is_over

    def _link(self, testrail_id: int) -> Link:
        return self.links.get(testrail_id) or Link(testrail_id)

    def _is_linked(self, testably_id: str) -> bool:
        """Whether this pair or another one holds it."""
        return testably_id in self.links.by_target or testably_id in self.foreign

    def _free_markers(self, found: Mapping[str, TargetMilestone]) -> Iterator[int]:
        """The TestRail ids in the markers of targets that no link holds."""
        free = (target for target in found.values() if not self._is_linked(target.id))
        url = self.rules.testrail_url
        marked = (marked_id(target.description, url) for target in free)
        return (id_ for id_ in marked if id_ is not None)

    def _are_subs_lost(self, found: Mapping[str, TargetMilestone]) -> bool:
        """Whether links were lost, and what would be created may be below any root.

        A marker whose milestone has its target is a copy, and tells of no loss.
        """
        lost = any(not self._link(id_).has_target for id_ in self._free_markers(found))
        return lost and self._creates(found)
