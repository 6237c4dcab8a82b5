"""Reading what is in scope into a snapshot: both sides and the links.

Reads nothing that the plan cannot need: a first migration costs the source's pages and the
target's pages, a scheduled run without changes only the source's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mappings.link import Link
from mappings.milestone import MappingRules, SourceMilestone, TargetMilestone
from mappings.rows import Pair
from worker.sync.decide.placement import parents_of, places
from worker.sync.decide.snapshot import Snapshot, TargetSnapshot
from worker.sync.decide.unchanged import still_agreed
from worker.sync.options import Options, Policy, Trigger
from worker.sync.ports import Source, SourceListing, Target
from worker.sync.read.source import SourceReader
from worker.sync.read.target import TargetReader


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


@dataclass(slots=True)
class Reader:
    """Reads the snapshot of one pair. Raises ApiError where a side cannot be read.

    ``foreign`` are the target ids that other pairs hold; ``complete_links`` reads the whole of
    links of which only the fingerprints are known.
    """

    pair: Pair
    source: Source
    target: Target
    rules: MappingRules
    policy: Policy
    options: Options
    links: Mapping[int, Link] = field(default_factory=dict)
    complete_links: Callable[[list[int]], Mapping[int, Link]] = lambda _: {}
    foreign: frozenset[str] = frozenset()

    def snapshot(self, scope: Scope, now: datetime) -> Snapshot:
        """Read what is in scope. ``now`` is the time of the snapshot, aware."""
        project = self.pair.identity.testrail_project
        source = SourceReader(
            self.source, project, self.policy, self.options, self.links, self.rules.testrail_url
        )
        listing = source.read(scope.milestone_ids)
        gone, unproved, still_there = source.prove_absence(listing)
        listing = replace(listing, milestones={**listing.milestones, **still_there})
        target = self._target_reader(listing, gone, now).read(
            single=not scope.whole, list_target=scope.list_target, recalled=scope.recalled
        )
        gone |= source.gone_for_good(listing, target)
        agreed = self._agreed(listing, target, scope)
        outlined = [i for i, k in self.links.items() if k.is_outline and i not in agreed]
        return Snapshot(
            rules=self.rules,
            source=listing,
            links={**self.links, **self.complete_links(outlined)},
            target=target,
            agreed=agreed,
            now=now,
            options=self.options,
            policy=self.policy,
            gone=gone,
            unproved=unproved,
            whole_project=scope.whole,
        )

    def _target_reader(
        self, listing: SourceListing, gone: frozenset[int], now: datetime
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
        )

    def _agreed(
        self, listing: SourceListing, target: TargetSnapshot, scope: Scope
    ) -> frozenset[int]:
        """What needs no decision, unless the mapping's settings are not those of the last run."""
        if self.pair.rules != self.rules.fingerprint:
            return frozenset()
        known = frozenset(p.id for p in listing.problems if isinstance(p.id, int))
        return still_agreed(
            self.links,
            listing,
            target.milestones,
            self.rules,
            read=target.listed and scope.recalled is None,
            source_parents=parents_of(places(listing.milestones, known), listing.problems),
        )


def with_fresh(
    snapshot: Snapshot,
    sources: Mapping[int, SourceMilestone | None],
    targets: Mapping[str, TargetMilestone | None],
) -> Snapshot:
    """The snapshot with milestones that were read once more; None is one that has gone."""
    milestones = {**snapshot.source.milestones, **{i: m for i, m in sources.items() if m}}
    for gone_id in [id_ for id_, source in sources.items() if source is None]:
        milestones.pop(gone_id, None)
    rows = {**snapshot.target.milestones, **{i: m for i, m in targets.items() if m}}
    gone = frozenset(id_ for id_, target in targets.items() if target is None)
    for id_ in gone:
        rows.pop(id_, None)
    return replace(
        snapshot,
        source=replace(snapshot.source, milestones=milestones),
        target=replace(snapshot.target, milestones=rows, gone=snapshot.target.gone | gone),
        agreed=snapshot.agreed - frozenset(sources),
        _desired={},
    )
