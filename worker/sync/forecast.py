"""What a migration will ask once its plan is carried out, as far as this reading tells it. Pure.

Its proof reads both sides once more. What Testably's plain list hides (completed milestones,
sub-milestones), and how many rows a page has, is taken from this reading; what nobody can know
before the first such milestone is there is left out, and so is which status Testably derives for a
parent, which counts where the plain list hides completed ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.milestone import ARCHIVED, COMPLETED, written_status
from mappings.problem import ProblemKind
from worker.sync.decide.absence import is_followed
from worker.sync.decide.action import Action, Kind, Plan, is_completed
from worker.sync.decide.decided import found_for_creates
from worker.sync.decide.guards import is_unasked
from worker.sync.decide.rules import is_blocked
from worker.sync.decide.snapshot import Snapshot

_LOOKED_INTO: Final = (ProblemKind.IN_USE, ProblemKind.UNREAD)
"""What stays although its source is gone, and is looked into by each reading."""


class _Row(NamedTuple):
    """A milestone in Testably: its written status, whether it hangs below another, or is linked.

    ``singly`` says that no list showed it.
    """

    status: str
    is_sub: bool
    linked: bool
    singly: bool = False

    @property
    def is_expected(self) -> bool:
        """Whether it is looked for where the plain list does not show it."""
        return self.linked and self.status != ARCHIVED


def proof_reads(snapshot: Snapshot, plan: Plan, reads: Mapping[str, int]) -> dict[str, int]:
    """The requests to each side of reading both once more; ``reads`` are those of this reading."""
    more = sum(_asked_more(snapshot, action) for action in plan.actions)
    return {
        "testrail": max(1, reads["testrail"] + more),
        "testably": _After(snapshot, plan).requests,
    }


def _asked_more(snapshot: Snapshot, action: Action) -> int:
    """How often more TestRail is asked then for a milestone that its list lacks: -1, 0 or 1."""
    id_, after = action.testrail_id, action.link
    if is_unasked(action, snapshot):
        return 1
    if after is None or not (id_ in snapshot.gone or id_ in snapshot.unproved):
        return 0
    before = snapshot.link(id_)
    told_before = before.problem is not None and before.problem.kind is ProblemKind.SOURCE_GONE
    is_told = action.problem is not None and action.problem.kind is ProblemKind.SOURCE_GONE
    was_asked = _is_asked(snapshot, before) or (is_told and not told_before)
    return (action.kind is not Kind.ARCHIVE and _is_asked(snapshot, after)) - was_asked


def _is_asked(snapshot: Snapshot, link: Link) -> bool:
    return is_followed(link, snapshot.options) and not link.archive_failed


@dataclass(frozen=True)
class _After:
    """Testably as it will be, and what reading it then takes, in the order of that reading."""

    snapshot: Snapshot
    plan: Plan

    @property
    def requests(self) -> int:
        """The lists, and what they do not show."""
        rows = Counter(self._rows())
        shown = Counter({row: n for row, n in rows.items() if self._is_plain(row)})
        pages = self.snapshot.target.paging.pages
        asked, statuses = pages(shown.total()), {row.status for row in shown}
        shows_subs, roots = any(row.is_sub for row in shown), shown.total()
        hidden = Counter(
            {row: n for row, n in rows.items() if row not in shown and row.is_expected}
        )
        if COMPLETED not in statuses and (hidden or self._creates):
            is_done = (row for row in rows if row.status == COMPLETED and self._is_listed(row))
            done = Counter({row: rows[row] for row in is_done})
            asked += pages(done.total())
            roots += sum(n for row, n in done.items() if not row.is_sub)
            hidden -= done
        if ARCHIVED not in statuses and (hidden or self._others):
            asked += pages(sum(n for row, n in rows.items() if row.status == ARCHIVED))
        if not shows_subs:
            asked += self._below(roots)
        return asked + hidden.total() + self._details

    # --- what the lists show

    def _is_plain(self, row: _Row) -> bool:
        """Whether the plain list shows it."""
        if row.status == ARCHIVED:
            return self._shows_archived
        if row.status == COMPLETED and self._hides_completed:
            return False
        return self._is_listed(row)

    def _is_listed(self, row: _Row) -> bool:
        return not (row.singly or (row.is_sub and self._hides_subs))

    @cached_property
    def _hides_completed(self) -> bool:
        target = self.snapshot.target
        rows = (target.milestones.get(id_) or target.unchanged[id_] for id_ in target.by_status)
        return any(written_status(row.status) == COMPLETED for row in rows)

    @cached_property
    def _hides_subs(self) -> bool:
        target = self.snapshot.target
        return any(target.milestones[id_].parent_id for id_ in target.singly)

    @cached_property
    def _shows_archived(self) -> bool:
        target = self.snapshot.target
        rows = (one for id_, one in target.milestones.items() if id_ not in target.by_status)
        return any(written_status(one.status) == ARCHIVED for one in rows)

    # --- what is there

    def _rows(self) -> Iterator[_Row]:
        """Every milestone, as the plan leaves it."""
        target, ours = self.snapshot.target, self.snapshot.links.by_target
        statuses = dict(self._written())
        for shown in target.unchanged.values():
            yield _Row(written_status(shown.status), shown.parent_id is not None, linked=True)
        for id_, one in target.milestones.items():
            status = statuses.get(id_, written_status(one.status))
            is_sub, linked = one.parent_id is not None, id_ in ours or id_ in statuses
            yield _Row(status, is_sub, linked, id_ in target.singly)
        for action in self.plan.actions:
            if action.kind is Kind.CREATE:
                word = COMPLETED if is_completed(action.desired) else ""
                yield _Row(word, action.parent_id is not None, linked=True)

    def _written(self) -> Iterator[tuple[str, str]]:
        """The targets whose status the plan writes, or that it links, with their status then."""
        for action in self.plan.actions:
            if action.testably_id is None or action.kind is Kind.CREATE:
                continue
            status = action.push.get("status")
            if action.status_later:
                status = action.desired["status"]
            live = self.snapshot.target.milestones.get(action.testably_id)
            if status is not None or action.kind is Kind.ADOPT:
                yield action.testably_id, written_status(status or (live.status if live else ""))

    # --- what is asked besides

    @cached_property
    def _creates(self) -> Sequence[Action]:
        """What is still to be created afterwards: only a person can let it."""
        return [action for action in self.plan.actions if self._stays_without(action)]

    def _stays_without(self, action: Action) -> bool:
        source = self.snapshot.source.milestones.get(action.testrail_id)
        if source is None or action.testably_id is not None or action.kind is Kind.CREATE:
            return False
        link = action.link or self.snapshot.link(source.id)
        is_left = is_blocked(link, source, self.snapshot.now) or link.awaits_person
        return not is_left and self.snapshot.places[source.id].problem is None

    @cached_property
    def _adopted(self) -> frozenset[str | None]:
        return frozenset(a.testably_id for a in self.plan.actions if a.kind is Kind.ADOPT)

    @cached_property
    def _others(self) -> bool:
        """Whether unlinked targets carry our marker afterwards too."""
        marked = (one.id for some in self.snapshot.marked.values() for one in some)
        return any(id_ not in self._adopted for id_ in marked)

    def _below(self, roots: int) -> int:
        """The parents that are looked below, where the lists show no sub-milestone, and the free
        ones found there: every root where links were lost, else those that something waits for."""
        held = self.snapshot.links.by_target.keys() | self._adopted
        places = self.snapshot.places
        above = {places[action.testrail_id].parent_id for action in self._creates}
        asked = sum(id_ is not None and self.snapshot.link(id_).has_target for id_ in above)
        free = sum(id_ not in held for id_ in self.snapshot.target.singly)
        return (roots if self._are_subs_lost else asked) + free

    @property
    def _are_subs_lost(self) -> bool:
        """Whether links are lost afterwards too, and what is to be created can be anywhere."""
        marked = self.snapshot.marked
        placed = {action.testrail_id for action in self.plan.actions if action.testably_id}
        lost = any(id_ not in placed and not self.snapshot.link(id_).has_target for id_ in marked)
        return lost and any(action.testrail_id not in marked for action in self._creates)

    @property
    def _details(self) -> int:
        """How many that stay, although their sources are gone, are looked into once more (R12)."""
        return sum(map(self._is_looked_into, self.plan.actions))

    def _is_looked_into(self, action: Action) -> bool:
        waits = action.problem is not None and action.problem.kind in _LOOKED_INTO
        target, options = self.snapshot.target, self.snapshot.options
        if not waits or options.archive_in_use or action.testrail_id not in self.snapshot.gone:
            return False
        is_there = action.testably_id in target.milestones
        return is_there and action.testably_id not in target.singly


def looks(snapshot: Snapshot) -> int:
    """The requests of two looks at the three lists, and at the parents of creates in doubt (R2)."""
    links, target = snapshot.links, snapshot.target
    creating = [link for link in links.complete.values() if link.state is LinkState.CREATING]
    found = found_for_creates(snapshot)
    in_doubt = [i for i in creating if i.testrail_id in found or not i.awaits_person]
    if not in_doubt:
        return 0
    above = [links.get(link.parent_id) for link in in_doubt if link.parent_id is not None]
    parents = {parent.testably_id for parent in above if parent is not None and parent.has_target}
    parents |= {link.attempt_parent for link in in_doubt if link.attempt_parent}
    words = Counter(written_status(row.status) for row in target.milestones.values())
    words.update(written_status(shown.status) for shown in target.unchanged.values())
    lists = (words.total(), words[COMPLETED], words[ARCHIVED])
    return 2 * (sum(map(target.paging.pages, lists)) + len(parents))
