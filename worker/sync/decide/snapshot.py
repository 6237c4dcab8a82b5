"""What was read of both sides at one time, and every question about it answered once. Pure.

Everything that decides, and every proof, asks the snapshot and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from mappings.footer import marked_id
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.links import Links
from mappings.milestone import (
    ARCHIVED,
    DATE_FIELDS,
    DesiredLater,
    MappingRules,
    SourceMilestone,
    SubMilestone,
    TargetMilestone,
    Values,
    desired_values,
    same_value,
    written_status,
)
from mappings.text import plain_name
from worker.sync.decide.placement import Place, parents_of, places
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.options import Options, Policy
from worker.sync.ports import SourceListing

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Snapshot:
    """The situation of one pair at one time; what agrees as before only its outline tells."""

    rules: MappingRules
    source: SourceListing
    links: Links
    target: TargetSnapshot
    now: datetime
    options: Options = field(default_factory=Options)
    policy: Policy = field(default_factory=Policy)
    gone: frozenset[int] = frozenset()
    """Source ids proved to be gone: missing from a complete list, and answered with 400."""
    unproved: Mapping[int, str] = field(default_factory=dict)
    """Source ids missing from a complete list whose absence could not be proved, and why."""
    read_at: datetime | None = None
    """When the reading began, if that was in an earlier slice of the run."""
    whole_project: bool = True
    """False for a refresh of single milestones: then absence means nothing."""
    _desired: dict[int, Values] = field(default_factory=dict, compare=False, repr=False)

    # --- one milestone

    def link(self, testrail_id: int) -> Link:
        """The link of a TestRail milestone; one that was never linked has an empty one."""
        return self.links.get(testrail_id) or Link(testrail_id)

    def live(self, link: Link) -> TargetMilestone | None:
        """The target of a link as it was read now, or None."""
        return self.target.milestones.get(link.testably_id or "")

    @property
    def carried_out(self) -> list[int]:
        """The writes, by their changes, that got no answer and whose values the targets show (R1).

        Only of what is followed: what an undo has sent is the next undo's to tell.
        """
        doubtful = (
            (link, live.values)
            for link in self.links.complete.values()
            if link.state is LinkState.LINKED and link.in_flight and (live := self.live(link))
        )
        return [
            link.change_id
            for link, shown in doubtful
            if link.change_id is not None and _shows(shown, link.in_flight or {})
        ]

    def desired(self, source: SourceMilestone) -> Values:
        """The five values that Testably should have for a TestRail milestone."""
        found = self._desired.get(source.id)
        if found is None:
            make = desired_values if self.link(source.id).has_target else DesiredLater
            found = make(source, self.rules, has_children=self.has_children(source.id))
            self._desired[source.id] = found
        return found

    def has_children(self, testrail_id: int) -> bool:
        """Whether it has sub-milestones in TestRail, whatever `--only` leaves out.

        Where not the whole list was read (a refresh), as the last whole reading had it.
        """
        if testrail_id in self._source_parents:
            return True
        return not self.source.complete and self.link(testrail_id).has_children

    @cached_property
    def _source_parents(self) -> frozenset[int]:
        if not self.whole_project:
            return frozenset()
        return parents_of(self.places, self.source.problems)

    # --- where everything hangs

    @cached_property
    def places(self) -> dict[int, Place]:
        """The place of every source milestone."""
        known = frozenset(p.id for p in self.source.problems if isinstance(p.id, int))
        return places(self.source.milestones, known)

    @cached_property
    def scope(self) -> Set[int]:
        """The source ids that ``only`` leaves, each with its parent."""
        every = self.source.milestones
        only = self.options.only
        if only is None:
            return every.keys()
        chosen = {id_ for id_, source in every.items() if only.takes(source)}
        above = {self.places[id_].parent_id for id_ in chosen}
        return frozenset(chosen | {id_ for id_ in above if id_ is not None and id_ in every})

    @cached_property
    def parents(self) -> frozenset[str]:
        """Target ids that have living sub-milestones, ours or others'."""
        return frozenset(self._living_children(frozenset()))

    def parents_without(self, leaving: frozenset[str]) -> frozenset[str]:
        """Those that still have some once the targets that are ``leaving`` are archived."""
        return frozenset(self._living_children(leaving))

    def _living_children(self, leaving: frozenset[str]) -> set[str]:
        """Listed, detailed or linked sub-milestones count; archived ones do not."""
        seen = self.target.milestones.values()
        alive = [t for t in seen if not is_archived(t) and t.id not in leaving]
        found: set[str | None] = {target.parent_id for target in alive}
        for target in seen:
            if any(not is_archived(sub) and sub.id not in leaving for sub in target.sub_milestones):
                found.add(target.id)
        found |= self._outlined_parents
        for link in self.links.complete.values():
            unread = link.testably_id not in self.target.milestones
            if unread and self._is_living(link) and link.testably_id not in leaving:
                found.add(link.target_parent)
        return {id_ for id_ in found if id_ is not None}

    @cached_property
    def _outlined_parents(self) -> frozenset[str]:
        """Targets below which milestones agree as before."""
        outlines = self.links.outlines.values()
        return frozenset(one.target_parent for one in outlines if one.target_parent)

    def _is_living(self, link: Link) -> bool:
        """Whether the target of a link that was not read now was alive when it last was."""
        is_over = link.testrail_id in self.gone and link.testably_id in self.target.gone
        archived = link.state is LinkState.ARCHIVED or link.observed.get("status") == ARCHIVED
        return link.has_target and not archived and not is_over

    def derived_dates(self, live: TargetMilestone) -> frozenset[str]:
        """Which dates of a target with living sub-milestones are Testably's own to say.

        All where it says ``date_mode: auto``; where it says nothing, those that are the earliest
        start or the latest due date below it, or all where what is below could not be read.
        """
        if live.date_mode is not None:
            return frozenset(DATE_FIELDS if live.date_mode.strip().lower() == "auto" else ())
        below = self._dates_below(live)
        if below is None:
            return frozenset(DATE_FIELDS)
        return frozenset(
            name
            for name in DATE_FIELDS
            if any(same_value(name, live.values[name], one[name]) for one in below)
        )

    def _dates_below(self, live: TargetMilestone) -> Sequence[Values] | None:
        """The dates that sub-milestones can give: the living ones alone, or archived ones too.

        None where not all of them were read: whether archived ones count is not documented.
        """
        if live.id in self._outlined_parents:
            return None
        rows = self._below.get(live.id, ())
        read = {row.id for row in rows}
        if any(not is_archived(sub) and sub.id not in read for sub in live.sub_milestones):
            return None
        below = self._linked_below.get(live.id, ())
        linked = [link for link in below if link.testably_id not in read]
        unread = [link for link in linked if link.testably_id not in self.target.milestones]
        if any(map(self._is_living, unread)):
            return None
        alive = [row.values for row in rows if not is_archived(row)]
        every = [*(row.values for row in rows), *(link.observed for link in linked)]
        return [extremes(alive), extremes(every)]

    @cached_property
    def _below(self) -> Mapping[str, Sequence[TargetMilestone]]:
        rows = self.target.milestones.values()
        return _grouped((row.parent_id, row) for row in rows if row.parent_id)

    @cached_property
    def _linked_below(self) -> Mapping[str, Sequence[Link]]:
        every = self.links.complete.values()
        return _grouped((link.target_parent, link) for link in every if link.target_parent)

    # --- targets that nobody holds

    @cached_property
    def free(self) -> Sequence[TargetMilestone]:
        """The targets that no link holds."""
        held = self.links.by_target.keys() - self.target.gone
        every = self.target.milestones.values()
        return [t for t in every if t.id not in held and t.id not in self.target.foreign]

    @cached_property
    def marked(self) -> Mapping[int, Sequence[TargetMilestone]]:
        """The unlinked targets by the TestRail id that their marker names."""
        return by_marker(self.free, self.rules)

    @cached_property
    def _named(self) -> Mapping[tuple[str | None, str], Sequence[TargetMilestone]]:
        ours = {target.id for targets in self.marked.values() for target in targets}
        others = living(target for target in self.free if target.id not in ours)
        return _grouped(((target.parent_id, plain_name(target.name)), target) for target in others)

    def duplicates(self, testrail_id: int) -> list[TargetMilestone]:
        """Living unlinked targets that carry this milestone's marker."""
        return living(self.marked.get(testrail_id, ()))

    def named(
        self, source: SourceMilestone, parent_target: str | None
    ) -> tuple[Sequence[TargetMilestone], int]:
        """Living unlinked targets of its name under this parent that carry no marker of ours.

        And how many milestones without a target may be meant by them. Names are compared as they
        read; where each such milestone finds exactly its own name, those of exactly this name.
        """
        key, name = plain_name(source.name), source.name.strip()
        alike = self._named.get((parent_target, key), ())
        if not alike:
            return (), 0
        claims = self._claims.get((self.places[source.id].parent_id, key), ())
        exact = [target for target in alike if target.name.strip() == name]
        if exact and {target.name.strip() for target in alike}.issuperset(claims):
            return exact, list(claims).count(name)
        return alike, len(claims)

    @cached_property
    def _claims(self) -> Mapping[tuple[int | None, str], Sequence[str]]:
        taken = {name for _, name in self._named}
        claims = []
        for source in self.source.milestones.values():
            target, key = self.link(source.id).testably_id, plain_name(source.name)
            place = self.places[source.id]
            free = target is None or target in self.target.gone
            if free and key in taken and place.problem is None:
                claims.append(((place.parent_id, key), source.name.strip()))
        return _grouped(claims)


def _shows(shown: Values, sent: Values) -> bool:
    return all(same_value(name, value, shown[name]) for name, value in sent.items())


def is_archived(target: TargetMilestone | SubMilestone) -> bool:
    """Whether Testably shows the milestone as archived."""
    return written_status(target.status) == ARCHIVED


def by_marker(
    targets: Iterable[TargetMilestone], rules: MappingRules
) -> Mapping[int, Sequence[TargetMilestone]]:
    """Those of the targets that carry a marker, by the TestRail id that it names."""
    named = ((marked_id(target.description, rules.testrail_url), target) for target in targets)
    return _grouped((id_, target) for id_, target in named if id_ is not None)


def living(targets: Iterable[TargetMilestone]) -> list[TargetMilestone]:
    """Those that are not archived."""
    return [target for target in targets if not is_archived(target)]


def _grouped(pairs: Iterable[tuple[_Key, _Value]]) -> Mapping[_Key, Sequence[_Value]]:
    """The values by their keys, in the order in which they come."""
    found: dict[_Key, list[_Value]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def extremes(below: Iterable[Values]) -> Values:
    """The earliest start and the latest due date of sub-milestones."""
    rows = list(below)
    starts = [start for row in rows if (start := row.get("start_date"))]
    ends = [due for row in rows if (due := row.get("due_date"))]
    return {"start_date": min(starts, default=None), "due_date": max(ends, default=None)}


def changed_at_source(listing: SourceListing, links: Links, rules: MappingRules) -> Iterator[int]:
    """The TestRail ids of linked milestones that want something else than was last applied."""
    parents = parents_of(places(listing.milestones, frozenset()), listing.problems)
    for id_, source in listing.milestones.items():
        link = links.get(id_)
        if link is not None and link.has_target:
            desired = desired_values(source, rules, has_children=id_ in parents)
            applied = {**desired, **link.last_applied}
            if any(not same_value(name, desired[name], applied[name]) for name in desired):
                yield id_
