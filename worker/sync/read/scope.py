"""Reading what is in scope into a snapshot: both sides and the links.

Reads nothing that the plan cannot need: a first migration costs the source's pages and the
target's pages, a scheduled run without changes only the source's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mappings.fingerprints import fingerprint_of_source
from mappings.link import Link
from mappings.links import Links
from mappings.milestone import MappingRules, SourceMilestone, TargetMilestone
from mappings.rows import Pair
from worker.errors import UnknownId
from worker.sync.decide.absence import absent
from worker.sync.decide.action import Kind
from worker.sync.decide.snapshot import Snapshot
from worker.sync.decide.target_snapshot import NOT_PROVED_GONE, TargetSnapshot
from worker.sync.decide.unchanged import Families, as_observed
from worker.sync.decide.unreadable import ALL_READ, Unreadable
from worker.sync.options import Options, Policy, Trigger
from worker.sync.ports import OF_ONE, Source, SourceListing, Target, Unchanged, newest_of
from worker.sync.read.reading import Begun
from worker.sync.read.source import SourceReader
from worker.sync.read.target import TargetReader

GONE_MEANWHILE = "a milestone was deleted while the list was read"


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a pair is read: the whole, or single milestones (a refresh).

    ``recalled`` are target milestones as the first part of this run listed them, those that are
    unlinked or still to be changed, ``gone`` the ids that it found gone, ``unread`` those that
    could not be read; ``unreadable`` and ``newest`` are those of the `TargetSnapshot`;
    ``recalled_from`` says when that reading began. A run that goes on does not list the target
    again. ``every_absence`` asks TestRail for each milestone that is missing, also for more than a
    run may archive.
    """

    milestone_ids: tuple[int, ...] = ()
    list_target: bool = True
    recalled: Mapping[str, TargetMilestone] | None = None
    gone: frozenset[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)
    unreadable: Unreadable = ALL_READ
    newest: str | None = None
    recalled_from: Begun | None = None
    every_absence: bool = False

    @property
    def whole(self) -> bool:
        """Whether the whole project is in scope."""
        return not self.milestone_ids


def listing_is_due(pair: Pair, options: Options, now: datetime, longest: timedelta | None) -> bool:
    """Whether a run lists the target: a scheduled one only if the last list is too old.

    ``longest`` is how old that may be; None is for ever.
    """
    if options.trigger is not Trigger.SCHEDULE or pair.listed_at is None:
        return True
    if pair.paused_because:  # only the target can tell whether it takes us again
        return True
    # before it was listed: the clock was set back since
    return longest is not None and not timedelta(0) <= now - pair.listed_at < longest


CompleteLinks = Callable[[Collection[int]], Mapping[int, Link]]
"""Reads the whole of links of which only the outlines are known."""


@dataclass(slots=True)
class Reader:
    """Reads the snapshot of one pair. Raises ApiError where a side cannot be read.

    What agrees as before is left out while it is read; what has to be decided all the same is
    taken up again from its link. ``foreign`` are the target ids that other pairs hold.
    """

    pair: Pair
    source: Source
    target: Target
    rules: MappingRules
    policy: Policy
    options: Options
    links: Links = field(default_factory=Links)
    complete_links: CompleteLinks = lambda _: {}
    foreign: frozenset[str] = frozenset()

    def snapshot(self, scope: Scope, now: datetime) -> Snapshot:
        """Read what is in scope. ``now`` is the time of the snapshot, aware."""
        if scope.whole and not self._can_skip:
            self._complete(self.links.outlines)
        source = self._source_reader()
        outlines = self.links.outlines.values() if scope.whole else ()
        known = {one.testrail_id: one.source_fingerprint for one in outlines}
        listing = source.read(scope.milestone_ids, known)
        gone, unproved, still_there = source.prove_absence(listing, every=scope.every_absence)
        if still_there:
            listing = replace(listing, milestones={**listing.milestones, **still_there})
        families = Families(listing)
        listing = self._opened_by_source(listing, families, scope, now)
        reader = self._target_reader(listing, gone, now, {*scope.unread, *scope.gone})
        target = reader.read(
            single=not scope.whole, list_target=scope.list_target, recalled=scope.recalled
        )
        if scope.recalled is not None:
            target = _with_recalled(target, scope)
        gone |= self._source_reader(whole=scope.whole).gone_for_good(listing, target)
        if scope.whole:
            read = target.listed and scope.recalled is None
            args = (listing, self.links, target, self.rules)
            listing, target = self._opened(
                listing, target, families.open_at_target(*args, read=read)
            )
        snapshot = Snapshot(
            rules=self.rules,
            source=listing,
            links=self.links,
            target=target,
            now=now,
            options=self.options,
            policy=self.policy,
            gone=gone,
            unproved=unproved,
            whole_project=scope.whole,
        )
        return self._with_details(snapshot, reader)

    def _with_details(self, snapshot: Snapshot, reader: TargetReader) -> Snapshot:
        """With the detail of whatever would be archived: it tells what hangs there (R12)."""
        if self.options.archive_in_use or not snapshot.gone:
            return snapshot
        archived = (one for one in absent(snapshot) if one.kind is Kind.ARCHIVE)
        ids = {one.testrail_id: one.testably_id for one in archived if one.testably_id}
        unseen = [i for i, target in ids.items() if target not in snapshot.target.detailed]
        if not unseen:
            return snapshot
        target = reader.with_details(snapshot.target, [snapshot.links[i] for i in unseen])
        return replace(snapshot, target=target)

    @property
    def _can_skip(self) -> bool:
        """Whether what agreed before needs no decision: not under other rules or for a part."""
        return self.pair.rules == self.rules.fingerprint and self.options.only is None

    def _source_reader(self, *, whole: bool = True) -> SourceReader:
        project, url = self.pair.identity.testrail_project, self.rules.testrail_url
        return SourceReader(
            self.source, project, self.policy, self.options, self.links, url, whole=whole
        )

    def _target_reader(
        self,
        listing: SourceListing,
        gone: frozenset[int],
        now: datetime,
        tried: Container[str],
    ) -> TargetReader:
        return TargetReader(
            self.target,
            self.pair.identity.testably_project,
            self.rules,
            self.policy,
            self.options,
            self.links,
            listing,
            now,
            gone,
            self.foreign,
            {one.testably_id: one.target_fingerprint for one in self.links.outlines.values()},
            tried,
        )

    # --- what agrees as before, and has to be decided all the same

    def _complete(self, testrail_ids: Collection[int]) -> None:
        """Take up the whole of these links. Who has changed one since this began wins (R8)."""
        if not testrail_ids:
            return
        found, known = self.complete_links(testrail_ids), self.links.outlines
        late = [i for i, link in found.items() if i in known and known[i].version != link.version]
        self.links = self.links.with_complete(found).outdated(late)

    def _opened_by_source(
        self, listing: SourceListing, families: Families, scope: Scope, now: datetime
    ) -> SourceListing:
        """The listing with what TestRail's own changes open, and the links of all that is open."""
        outlines = self.links.outlines
        if not scope.whole:
            bad = (problem.id for problem in listing.problems if isinstance(problem.id, int))
            self._complete([i for i in (*listing.milestones, *bad) if i in outlines])
            return listing
        open_ = families.open_at_source(listing, self.links, now)
        self._complete([i for i in outlines if i in open_ or i not in listing.unchanged])
        return self._with_milestones(listing, open_)

    def _opened(
        self, listing: SourceListing, target: TargetSnapshot, open_: Collection[int]
    ) -> tuple[SourceListing, TargetSnapshot]:
        """Both sides with what Testably's changes open."""
        if not open_:
            return listing, target
        self._complete(open_)
        unchanged, again = dict(target.unchanged), {}
        for link in (self.links[id_] for id_ in open_):
            shown = unchanged.pop(link.testably_id or "", None)
            if shown is not None:
                again[link.testably_id or ""] = as_observed(link, shown)
        milestones = {**target.milestones, **again}
        target = replace(target, milestones=milestones, unchanged=unchanged)
        return self._with_milestones(listing, open_), target

    def _with_milestones(self, listing: SourceListing, open_: Collection[int]) -> SourceListing:
        """The listing with these as milestones, from their records, which have not changed."""
        if not open_:
            return listing
        again = {id_: self._recalled(id_, listing.unchanged[id_]) for id_ in open_}
        found = {id_: one for id_, one in again.items() if isinstance(one, SourceMilestone)}
        because = next((one for one in again.values() if isinstance(one, str)), "")
        return replace(
            listing,
            milestones={**listing.milestones, **found},
            unchanged={id_: u for id_, u in listing.unchanged.items() if id_ not in again},
            complete=listing.complete and not because,
            incomplete_because=listing.incomplete_because or because,
        )

    def _recalled(self, testrail_id: int, same: Unchanged) -> SourceMilestone | str:
        """A milestone from the record beside its link, or why there is none.

        It is read once more where that record is another's.
        """
        link = self.links[testrail_id]
        found = self.source.recall(link.raw, same.parent_id)
        if found is not None and fingerprint_of_source(found) == link.source_fingerprint:
            return found
        try:
            read = self.source.get_milestone(testrail_id).milestones
        except UnknownId:
            return GONE_MEANWHILE
        except OF_ONE as error:
            return f"milestone {testrail_id} could not be read: {error.message}"
        again = read.get(testrail_id)
        return GONE_MEANWHILE if again is None else replace(again, parent_id=same.parent_id)


def with_fresh(
    snapshot: Snapshot,
    sources: Mapping[int, SourceMilestone | None],
    targets: Mapping[str, TargetMilestone | None],
) -> Snapshot:
    """The snapshot with milestones that were read once more; None is one that was not found."""
    milestones = {**snapshot.source.milestones, **{i: m for i, m in sources.items() if m}}
    for gone_id in [id_ for id_, source in sources.items() if source is None]:
        milestones.pop(gone_id, None)
    rows = {**snapshot.target.milestones, **{i: m for i, m in targets.items() if m}}
    denied = frozenset(id_ for id_, target in targets.items() if target is None)
    gone = denied & (snapshot.target.gone | snapshot.target.singly)  # what no list showed (R4)
    for id_ in gone:
        rows.pop(id_, None)
    unproved = {**snapshot.target.unproved, **dict.fromkeys(denied - gone, NOT_PROVED_GONE)}
    return replace(
        snapshot,
        source=replace(snapshot.source, milestones=milestones),
        target=replace(
            snapshot.target,
            milestones=rows,
            gone=snapshot.target.gone | gone,
            unproved=unproved,
        ),
        _desired={},
    )


def _with_recalled(target: TargetSnapshot, scope: Scope) -> TargetSnapshot:
    left = {id_: why for id_, why in scope.unread.items() if id_ not in target.milestones}
    unproved = {**left, **target.unproved}
    return replace(
        target,
        gone=scope.gone,
        unproved={id_: why for id_, why in unproved.items() if id_ not in scope.gone},
        unreadable=scope.unreadable,
        newest=newest_of((), target.newest, scope.newest),
    )
