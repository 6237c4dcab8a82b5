"""Which milestones need a decision although they read as they did when both sides last agreed.

A family, a root with everything that hangs below it on either side, is decided as a whole or not
at all: a parent's footer, status and dates depend on what is below it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property

from mappings.footer import marked_id
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.links import Links
from mappings.milestone import MappingRules, TargetMilestone
from worker.sync.decide.snapshot import is_archived
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.ports import Shown, SourceListing

_FOLLOWED = frozenset({LinkState.LINKED, LinkState.CREATING, LinkState.HELD})


class Families:
    """The families of a whole listing of TestRail, each named by its topmost id."""

    def __init__(self, listing: SourceListing) -> None:
        self._parents = {id_: one.parent_id for id_, one in listing.unchanged.items()}
        self._parents |= {id_: one.parent_id for id_, one in listing.milestones.items()}
        for bad in listing.problems:
            if isinstance(bad.id, int):
                above = bad.parent_id if isinstance(bad.parent_id, int) else None
                self._parents.setdefault(bad.id, above)

    def top(self, testrail_id: int) -> int:
        """The topmost id above a milestone; of a circle of parents its smallest."""
        seen = [testrail_id]
        while (parent := self._parents.get(seen[-1])) is not None:
            if parent in seen:
                return min(seen[seen.index(parent) :])
            seen.append(parent)
        return seen[-1]

    @cached_property
    def _tops(self) -> dict[int, int]:
        """The family of every milestone that has a parent."""
        return {id_: self.top(id_) for id_, above in self._parents.items() if above is not None}

    def open_at_source(self, listing: SourceListing, links: Links, now: datetime) -> set[int]:
        """The unchanged milestones in families of which TestRail shows something else."""
        changed = [*listing.milestones, *self._out_of_place(listing, links, now.timestamp())]
        for bad in listing.problems:
            changed += [id_ for id_ in (bad.id, bad.parent_id) if isinstance(id_, int)]
        for id_, outline in links.outlines.items():
            if id_ not in listing.unchanged:
                changed += _holders(links, outline.target_parent)
        for id_, link in links.complete.items():
            if id_ not in self._parents and link.state in _FOLLOWED:
                changed += _holders(links, link.target_parent)
        return self._unchanged_in(listing, changed)

    def open_at_target(
        self,
        listing: SourceListing,
        links: Links,
        target: TargetSnapshot,
        rules: MappingRules,
        *,
        read: bool,
    ) -> set[int]:
        """The unchanged milestones in families of which Testably shows something else.

        ``read`` says that Testably was listed now; otherwise it stands as it was.
        """
        changed = list(target.unreadable.living)
        for id_ in listing.unchanged:
            testably_id = links.outlines[id_].testably_id
            otherwise = testably_id in target.gone or testably_id in target.unproved
            if otherwise or (read and testably_id not in target.unchanged):
                changed.append(id_)
        for row in target.milestones.values():
            own = links.by_target.get(row.id)
            if own is not None or not is_archived(row):
                changed += _holders(links, row.id, row.parent_id)
            if own is None and (marked := marked_id(row.description, rules.testrail_url)):
                changed.append(marked)
        return self._unchanged_in(listing, changed)

    def _out_of_place(self, listing: SourceListing, links: Links, now: float) -> list[int]:
        """What time alone has changed, or what has other milestones below or above it."""
        tops = self._tops
        parents = set(tops.values())
        found = []
        for id_ in listing.unchanged:
            outline = links.outlines[id_]
            over = outline.agreed_until is not None and outline.agreed_until <= now
            parted = outline.has_children != (id_ in parents)
            if over or parted or outline.target_parent != _target_of(links, tops.get(id_)):
                found.append(id_)
        return found

    def _unchanged_in(self, listing: SourceListing, changed: Iterable[int]) -> set[int]:
        """The unchanged milestones of the families of these."""
        open_ = {self.top(id_) for id_ in changed}
        if not open_:
            return set()
        tops = self._tops
        return {id_ for id_ in listing.unchanged if tops.get(id_, id_) in open_}


def _holders(links: Links, *testably_ids: str | None) -> list[int]:
    """The milestones that hold these targets."""
    return [links.by_target[id_] for id_ in testably_ids if id_ and id_ in links.by_target]


def _target_of(links: Links, testrail_id: int | None) -> str | None:
    if testrail_id is None:
        return None
    outline = links.outlines.get(testrail_id)
    if outline is not None:
        return outline.testably_id
    link = links.complete.get(testrail_id)
    return None if link is None else link.testably_id


def as_observed(link: Link, shown: Shown) -> TargetMilestone:
    """A target that reads as it did when it was last observed, from its link."""
    return TargetMilestone(
        link.testably_id or "",
        link.observed.get("name") or "",
        link.observed.get("description"),
        link.observed.get("start_date"),
        link.observed.get("due_date"),
        shown.status,
        shown.parent_id,
        shown.date_mode,
        updated_at=link.observed_at,
    )
