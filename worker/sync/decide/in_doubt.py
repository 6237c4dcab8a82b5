"""What two looks at the target tell of creates in doubt (R2). Pure.

First comes the marker. Where nothing carries it, a create is matched with what it can have left:
the target may have stored the text otherwise, and the marker with it. What cannot be told for
certain is for a person, and nothing is created meanwhile.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from mappings.footer import marked_id, split_footer
from mappings.link import Link
from mappings.milestone import DATE_FIELDS, MappingRules, TargetMilestone, same_value
from mappings.problem import ProblemKind
from mappings.stored_text import can_be_description, can_be_name, reduced
from worker.sync.decide.snapshot import is_archived, living

_MARKER = re.compile(r"/milestones/view/\d")


class Verdict(Enum):
    """What two looks tell of a create in doubt."""

    FOUND = auto()
    NOTHING = auto()
    """It left nothing: it may be created again."""
    PERSON = auto()
    """It cannot be told."""
    OPEN = auto()
    """A create that is equal may still be under way: to be looked for again."""


@dataclass(frozen=True, slots=True)
class Told:
    """The verdict on one create, and the targets that it is about."""

    verdict: Verdict
    targets: Sequence[TargetMilestone] = ()
    kind: ProblemKind = ProblemKind.IN_DOUBT_FOR_A_PERSON


@dataclass(frozen=True, slots=True)
class Doubt:
    """A create in doubt that was posted below ``parent`` with this ``marker``.

    ``is_ready`` says that its wait is over and that this run may conclude about it; ``before``
    are target ids that were there before it.
    """

    link: Link
    marker: str
    parent: str | None = None
    is_ready: bool = True
    before: Collection[str] = frozenset()

    @property
    def is_past(self) -> bool:
        """Whether nothing of it can be under way any more."""
        return self.is_ready or self.link.awaits_person

    def is_met_by(self, target: TargetMilestone) -> bool:
        """Whether it left this: for certain, or because a person put away what it did not."""
        if self.link.is_decided:
            return self.is_hinted_by(target) and not is_archived(target)
        return self.is_certain(target)

    def is_certain(self, target: TargetMilestone) -> bool:
        """Same name, dates and parent, a description that can be it, and there since then."""
        posted = self.link.in_flight or {}
        names = ("name", *DATE_FIELDS)
        same = all(same_value(name, posted.get(name), target.values[name]) for name in names)
        if not same or target.parent_id != self.parent or target.created_at is None:
            return False
        shown = target.description
        return can_be_description(shown, posted.get("description")) and self.is_hinted_by(target)

    def is_hinted_by(self, target: TargetMilestone) -> bool:
        """Whether it can have left this, of whose name the caller knows that it can be it."""
        is_elsewhere = target.parent_id not in (None, self.parent)
        return self._is_since(target) and not (is_elsewhere or self._is_of_another(target))

    def _is_of_another(self, target: TargetMilestone) -> bool:
        """Whether it carries the marker of another TestRail milestone."""
        _, footer = split_footer(target.description)
        if footer is None or not _MARKER.search(footer.url):
            return False
        return reduced(footer.url).casefold() != reduced(self.marker).casefold()

    def _is_since(self, target: TargetMilestone) -> bool:
        """Told by the target's own times: not older than what was there before the create."""
        if target.id in self.before:
            return False
        newest = self.link.attempt_newest
        if target.created_at is None or newest is None:
            return True
        return datetime.fromisoformat(target.created_at) >= datetime.fromisoformat(newest)

    @property
    def reduced_name(self) -> str:
        return reduced((self.link.in_flight or {}).get("name"))

    @property
    def likeness(self) -> tuple[str | None, ...]:
        """Equal for creates that cannot be told apart by what they left."""
        posted = self.link.in_flight or {}
        return (self.parent, self.reduced_name, *(posted.get(name) for name in DATE_FIELDS))


def tell(
    doubts: Sequence[Doubt], free: Sequence[TargetMilestone], rules: MappingRules
) -> dict[int, Told]:
    """What became of each create, by TestRail id. ``free`` are the targets that nobody holds."""
    found: dict[int, Told] = {}
    equal: dict[tuple[str | None, ...], list[Doubt]] = defaultdict(list)
    marked = _by_marker(free, rules)
    for doubt in sorted(doubts, key=lambda d: (not d.is_ready, d.link.testrail_id)):
        own = marked.get(doubt.link.testrail_id, [])
        own = living(own) if doubt.link.is_decided else living(own) or own
        if own:
            verdict = Verdict.FOUND if len(own) == 1 else Verdict.PERSON
            found[doubt.link.testrail_id] = Told(verdict, own, ProblemKind.SEVERAL_MARKED)
        else:
            equal[doubt.likeness].append(doubt)
    named = {one.id: id_ for id_, some in marked.items() for one in some}
    unmarked = [(one, reduced(one.name)) for one in free if one.id not in named]
    groups = [_Group.of(some, unmarked) for some in equal.values()]
    taken = frozenset[str]().union(*(group.taken for group in groups))
    for group in groups:
        found.update(group.tell(taken))
    return found


def _by_marker(
    free: Iterable[TargetMilestone], rules: MappingRules
) -> dict[int, list[TargetMilestone]]:
    found: dict[int, list[TargetMilestone]] = defaultdict(list)
    for target in free:
        marked = marked_id(target.description, rules.testrail_url)
        if marked is not None:
            found[marked].append(target)
    return found


@dataclass(frozen=True, slots=True)
class _Group:
    """Creates that are equal, with the targets of such a name, and the pairs that were made."""

    doubts: Sequence[Doubt]
    near: Sequence[TargetMilestone]
    pool: frozenset[str]
    matched: Mapping[int, TargetMilestone]

    @classmethod
    def of(cls, doubts: Sequence[Doubt], unmarked: Iterable[tuple[TargetMilestone, str]]) -> _Group:
        """``unmarked`` come with their names, `reduced`; archived ones count where they fit."""
        name = doubts[0].reduced_name
        near = [target for target, shown in unmarked if can_be_name(shown, name)]
        fits = {d.link.testrail_id: [t for t in near if d.is_met_by(t)] for d in doubts}
        if len(_ids(fits)) > len(doubts):
            fits = {id_: living(some) for id_, some in fits.items()}
        return cls(doubts, near, _ids(fits), _one_to_one(fits))

    @property
    def taken(self) -> frozenset[str]:
        return frozenset(target.id for target in self.matched.values())

    def tell(self, taken: Collection[str]) -> Iterator[tuple[int, Told]]:
        """The verdict on each create; ``taken`` are the targets that any create was given."""
        is_over = all(doubt.is_past for doubt in self.doubts)
        for doubt in self.doubts:
            id_ = doubt.link.testrail_id
            hints = [t for t in self.near if t.id not in taken and doubt.is_hinted_by(t)]
            if self.taken != self.pool:
                yield id_, Told(Verdict.PERSON, [t for t in self.near if t.id in self.pool])
            elif id_ in self.matched:
                yield id_, Told(Verdict.FOUND, [self.matched[id_]])
            elif hints and not doubt.link.is_decided:
                yield id_, Told(Verdict.PERSON, hints)
            else:
                yield id_, Told(Verdict.NOTHING if is_over else Verdict.OPEN)


def _ids(fits: Mapping[int, Iterable[TargetMilestone]]) -> frozenset[str]:
    return frozenset(target.id for some in fits.values() for target in some)


def _one_to_one(fits: Mapping[int, Sequence[TargetMilestone]]) -> dict[int, TargetMilestone]:
    """As many creates as can be with a target of their own each, in the order of ids."""
    owner: dict[str, int] = {}

    def assign(id_: int, tried: set[str]) -> bool:
        options = sorted(fits[id_], key=lambda target: (target.id in owner, target.id))
        for target in options:
            if target.id in tried:
                continue
            tried.add(target.id)
            if target.id not in owner or assign(owner[target.id], tried):
                owner[target.id] = id_
                return True
        return False

    for id_ in fits:
        assign(id_, set())
    by_id = {target.id: target for some in fits.values() for target in some}
    return {id_: by_id[target] for target, id_ in owner.items()}
