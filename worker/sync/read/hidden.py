"""Below which parents sub-milestones matter that Testably's lists leave out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass

from mappings.footer import marked_id
from mappings.link import Link
from mappings.links import Links
from mappings.milestone import BadRecord, MappingRules, TargetMilestone
from mappings.text import plain_name
from worker.sync.decide.placement import places
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.options import Options
from worker.sync.ports import SourceListing


@dataclass(frozen=True, slots=True)
class HiddenSubs:
    """What a reading knows: ``gone`` are source ids, ``foreign`` targets that other pairs hold.

    ``found`` are the targets that were listed, but for those that agree as before. With
    ``links_were_lost`` some of them are ours, no link holds them, and others may be hidden.
    """

    links: Links
    listing: SourceListing
    rules: MappingRules
    options: Options
    gone: frozenset[int]
    foreign: frozenset[str]
    found: Mapping[str, TargetMilestone]
    links_were_lost: bool

    def there_may_be(self, view: TargetSnapshot, problems: Iterable[BadRecord]) -> bool:
        """Whether the plain list shows no sub-milestone, readable or not; else it holds them.

        What only the list of a status shows tells nothing of the plain one. ``problems`` are the
        plain list's.
        """
        shown = self._subs(view) - view.by_status
        return not (shown or any(one.parent_id for one in problems))

    def parents(self, view: TargetSnapshot) -> Collection[str]:
        """Parents that get a new child, or one again in place of one that is gone.

        Where links were lost, every root: what was moved at the source hangs below another parent.
        """
        every = self.found.keys() | view.unchanged.keys() | view.unproved.keys()
        if self.links_were_lost:
            return every - self._subs(view)
        lost = {self.links.by_target.get(id_) for id_ in view.gone} - self.gone
        left = {self.links[id_].target_parent for id_ in lost if id_ is not None}
        return self._parents_of_new(view) | {id_ for id_ in every if id_ in left}

    def _subs(self, view: TargetSnapshot) -> Set[str]:
        """The sub-milestones that the lists show."""
        unchanged = {id_ for id_, one in view.unchanged.items() if one.parent_id}
        return unchanged | {id_ for id_, one in self.found.items() if one.parent_id}

    def _parents_of_new(self, view: TargetSnapshot) -> set[str]:
        """Targets below which something is to come: linked, marked or, if asked for, so named."""
        every = self.listing.milestones
        above = {
            place.parent_id
            for id_, place in places(every, frozenset()).items()
            if place.parent_id is not None and self._is_without_target(id_, view.gone)
        }
        ids = {self._link(id_).testably_id for id_ in above}
        by_name = above if self.options.adopt_by_name else ()
        names = {plain_name(every[id_].name) for id_ in by_name if id_ in every}
        url = self.rules.testrail_url
        unread = {id_ for id_ in view.unproved if id_ in ids}
        return unread | {
            target.id
            for target in self.found.values()
            if target.id not in self.foreign
            and (
                target.id in ids
                or marked_id(target.description, url) in above
                or plain_name(target.name) in names
            )
        }

    def _link(self, testrail_id: int) -> Link:
        return self.links.get(testrail_id) or Link(testrail_id)

    def _is_without_target(self, testrail_id: int, gone: frozenset[str]) -> bool:
        link = self._link(testrail_id)
        return not link.has_target or link.testably_id in gone
