"""Judges creates in doubt by what two looks at the target showed (R2). Pure.

A target that carries the marker of a create was made by it. Where no target carries it, the create
is matched with the targets that it can have made, since a target may store the text, and the marker
in it, otherwise than it was sent. What cannot be known for certain is left to a person, and nothing
is created meanwhile.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from mappings.footer import split_footer
from mappings.link import Link
from mappings.milestone import DATE_FIELDS, MappingRules, TargetMilestone, same_value
from mappings.problem import ProblemKind
from mappings.stored_text import can_be_description, can_be_name, reduced
from mappings.text import plain_text
from worker.sync.decide.snapshot import by_marker, is_archived, living
from worker.sync.decide.there_before import MENTION, is_nameless

Key = tuple[int, int]
"""The pair (0 is the run's own) and the TestRail id of a create."""


class Fate(Enum):
    """What became of a create in doubt."""

    FOUND = auto()
    """It was carried out, and this is the target that it made."""
    NOTHING = auto()
    """It was not carried out: the milestone may be created again."""
    PERSON = auto()
    """Nobody but a person can know."""
    OPEN = auto()
    """A create of equal values may still be under way, and what is there may be of that one: the
    next run looks again."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The fate of one create, and the targets that it may have made.

    ``kind`` is the problem that a person is asked about.
    """

    fate: Fate
    targets: Sequence[TargetMilestone] = ()
    kind: ProblemKind = ProblemKind.IN_DOUBT_FOR_A_PERSON


@dataclass(frozen=True, slots=True)
class Doubt:
    """A create in doubt that was posted below ``parent`` with this ``marker``.

    ``is_ready`` says that its wait is over and that this run may conclude about it. One of another
    ``pair`` that writes into the same project only takes part: ``is_over`` says that its wait is
    over.
    """

    link: Link
    marker: str
    parent: str | None = None
    is_ready: bool = True
    pair: int = 0
    is_over: bool = False

    @property
    def key(self) -> Key:
        """What tells it from the others."""
        return self.pair, self.link.testrail_id

    @property
    def is_past(self) -> bool:
        """Whether nothing of it can be under way any more."""
        return self.is_ready or self.is_over or self.link.awaits_person

    def is_named_by(self, target: TargetMilestone) -> bool:
        """Whether a target carries its marker."""
        _, footer = split_footer(target.description)
        return footer is not None and footer.url == plain_text(self.marker)

    def is_mentioned_in(self, target: TargetMilestone) -> bool:
        """Whether its marker stands anywhere in a target's description, also where no footer is.

        So it does where the target has stored the text otherwise, whatever its name is by now.
        """
        shown = target.description or ""
        if not MENTION.search(shown):
            return False
        return bool(re.search(re.escape(plain_text(self.marker)) + r"(?!\d)", plain_text(shown)))

    def is_met_by(self, target: TargetMilestone) -> bool:
        """Whether it left this: for certain, or because a person put away what it did not."""
        if self.link.is_decided:
            return self.is_hinted_by(target) and not is_archived(target)
        return self.is_certain(target)

    def what_fits(self, targets: Iterable[TargetMilestone]) -> list[TargetMilestone]:
        """What it can have left of these, the most like it first."""
        return sorted(filter(self.is_met_by, targets), key=lambda t: (self._unlike(t), t.id))

    def is_certain(self, target: TargetMilestone) -> bool:
        """Same name, dates and parent, a description that can be it, and no older by its time.

        An archived one never is: it may have been there, and left out of the list.
        """
        posted = self.link.in_flight or {}
        if self._unlike(target) or target.parent_id != self.parent or target.created_at is None:
            return False
        if is_archived(target) or not (self._is_as_young(target) and self.is_hinted_by(target)):
            return False
        return can_be_description(target.description, posted.get("description"))

    def _unlike(self, target: TargetMilestone) -> int:
        """How many of name and dates are other than they were sent."""
        posted = self.link.in_flight or {}
        names = ("name", *DATE_FIELDS)
        return sum(not same_value(one, posted.get(one), target.values[one]) for one in names)

    def is_hinted_by(self, target: TargetMilestone) -> bool:
        """Whether it can have left this, of which the caller knows that it is near it."""
        is_elsewhere = target.parent_id not in (None, self.parent)
        return self._is_since(target) and not (is_elsewhere or self._is_of_another(target))

    def _is_of_another(self, target: TargetMilestone) -> bool:
        """Whether it carries the marker of another TestRail milestone."""
        _, footer = split_footer(target.description)
        if footer is None or not MENTION.search(footer.url) or self.can_have_cut(target):
            return False
        return reduced(footer.url).casefold() != reduced(self.marker).casefold()

    def can_have_cut(self, target: TargetMilestone) -> bool:
        """Whether its own marker, cut inside the id, is the end of a target's description.

        What is left of it then reads as the marker of another milestone.
        """
        _, footer = split_footer(target.description)
        if footer is None or len(footer.lines) > 1 or not MENTION.search(footer.url):
            return False
        return self.marker != footer.url and self.marker.startswith(footer.url)

    def _is_since(self, target: TargetMilestone) -> bool:
        """Whether it can have appeared since. A plain list need not show archived ones."""
        before = self.link.attempt_before
        if before is not None and target.id in before:
            return False
        is_new = before is not None and not is_archived(target)
        return is_new or self._is_as_young(target)

    def _is_as_young(self, target: TargetMilestone) -> bool:
        """Whether it is not older, by the target's own times, than all that was there before.

        True where it has no time. What is older can still be new, if the target's clock was set
        back.
        """
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


def judge(
    doubts: Sequence[Doubt],
    free: Sequence[TargetMilestone],
    rules: MappingRules,
    unreadable: Collection[str] = (),
) -> dict[int, Judgement]:
    """The judgement on each create of the run's own pair, by TestRail id.

    ``doubts`` may include creates of other pairs, which compete for the same targets. ``free`` are
    the targets that no link holds.
    """
    found: dict[Key, Judgement] = {}
    rest: list[Doubt] = []
    marked = by_marker(free, rules)
    for doubt in sorted(doubts, key=lambda d: (not d.is_ready, d.key)):
        own = marked.get(doubt.link.testrail_id, [])
        if doubt.pair:
            own = [target for target in free if doubt.is_named_by(target)]
        own = living(own) if doubt.link.is_decided else living(own) or own
        if own:
            fate = Fate.FOUND if len(own) == 1 else Fate.PERSON
            found[doubt.key] = Judgement(fate, own, ProblemKind.SEVERAL_MARKED)
        else:
            rest.append(doubt)
    claimed = {target.id for one in found.values() for target in one.targets}
    named = {
        one.id
        for some in marked.values()
        for one in some
        if one.id in claimed or not any(doubt.can_have_cut(one) for doubt in rest)
    }
    unmarked = [(one, reduced(one.name)) for one in free if one.id not in named]
    groups = [_Group.of(some, unmarked, unreadable) for some in _alike(rest)]
    taken = frozenset[str]().union(*(group.taken for group in groups))
    for group in groups:
        found.update(group.judge(taken))
    return {id_: judgement for (pair, id_), judgement in found.items() if not pair}


@dataclass(frozen=True, slots=True)
class _Group:
    """Creates that are equal, with the targets that are near them, and the pairs that were made.

    Near is what has such a name, or mentions a marker of theirs; ``unread`` is what of it cannot
    be read, and is not archived: it is never linked.
    """

    doubts: Sequence[Doubt]
    near: Sequence[TargetMilestone]
    unread: Sequence[TargetMilestone]
    fits: Mapping[Key, Sequence[TargetMilestone]]
    matched: Mapping[Key, TargetMilestone]

    @classmethod
    def of(
        cls,
        doubts: Sequence[Doubt],
        unmarked: Iterable[tuple[TargetMilestone, str]],
        unreadable: Collection[str],
    ) -> _Group:
        """``unmarked`` come with their names, `reduced`; what has none can be any."""
        name = doubts[0].reduced_name
        near = [
            target
            for target, shown in unmarked
            if is_nameless(target)
            or can_be_name(shown, name)
            or any(d.is_mentioned_in(target) for d in doubts)
        ]
        read = [target for target in near if target.id not in unreadable]
        fits = {doubt.key: doubt.what_fits(read) for doubt in doubts}
        unread = [target for target in near if target.id in unreadable and not is_archived(target)]
        return cls(doubts, near, unread, fits, _one_to_one(fits))

    @property
    def pool(self) -> frozenset[str]:
        """All that fits any of them."""
        return frozenset(target.id for some in self.fits.values() for target in some)

    @property
    def taken(self) -> frozenset[str]:
        """What was found for them; nothing, if there is more than one way to match."""
        matched = frozenset(target.id for target in self.matched.values())
        return matched if matched == self.pool else frozenset()

    def judge(self, taken: Collection[str]) -> Iterator[tuple[Key, Judgement]]:
        """The judgement on each create; ``taken`` are the targets that any create was given."""
        is_over = all(doubt.is_past for doubt in self.doubts)
        is_theirs = any(doubt.pair and not doubt.is_past for doubt in self.doubts)
        for doubt in self.doubts:
            key = doubt.key
            hints = [t for t in self.near if t.id not in taken and doubt.is_hinted_by(t)]
            if doubt.link.is_decided:
                hints = [t for t in hints if t in self.unread]
            if self.fits[key] and self.taken != self.pool:
                yield key, Judgement(Fate.PERSON, [t for t in self.near if t.id in self.pool])
            elif key in self.matched:
                yield key, Judgement(Fate.OPEN if is_theirs else Fate.FOUND, [self.matched[key]])
            elif hints:
                yield key, Judgement(Fate.PERSON, hints)
            else:
                yield key, Judgement(Fate.NOTHING if is_over else Fate.OPEN)


def _alike(doubts: Sequence[Doubt]) -> Collection[Sequence[Doubt]]:
    """Those that cannot be told apart by what they left; all of its name beside a decided one.

    What a person has decided may be any of its name, whatever became of its dates.
    """
    decided = {doubt.likeness[:2] for doubt in doubts if doubt.link.is_decided}
    groups: dict[tuple[str | None, ...], list[Doubt]] = defaultdict(list)
    for doubt in doubts:
        same_name = doubt.likeness[:2]
        groups[same_name if same_name in decided else doubt.likeness].append(doubt)
    return groups.values()


def _one_to_one(fits: Mapping[Key, Sequence[TargetMilestone]]) -> dict[Key, TargetMilestone]:
    """As many creates as can be with a target of their own each, in the order of what fits."""
    owner: dict[str, Key] = {}

    def assign(key: Key, tried: set[str]) -> bool:
        options = sorted(fits[key], key=lambda target: target.id in owner)
        for target in options:
            if target.id in tried:
                continue
            tried.add(target.id)
            if target.id not in owner or assign(owner[target.id], tried):
                owner[target.id] = key
                return True
        return False

    for key in fits:
        assign(key, set())
    by_id = {target.id: target for some in fits.values() for target in some}
    return {key: by_id[target] for target, key in owner.items()}
