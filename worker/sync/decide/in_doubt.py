"""Judges creates in doubt by what two looks at the target showed (R2). Pure.

A target that carries the marker of a create was made by it. Where no target carries it, the create
is matched with the targets that it can have made, since a target may store the text, and the marker
in it, otherwise than it was sent. What cannot be known for certain is left to a person, and nothing
is created meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from mappings.milestone import MappingRules, TargetMilestone
from mappings.problem import ProblemKind
from mappings.stored_text import can_be_name, reduced
from worker.sync.decide.doubt import Doubt, Key
from worker.sync.decide.snapshot import by_marker, is_archived, living
from worker.sync.decide.there_before import is_nameless


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

    ``kind`` is the problem that a person is asked about; ``by_person`` says that one has decided.
    """

    fate: Fate
    targets: Sequence[TargetMilestone] = ()
    kind: ProblemKind = ProblemKind.IN_DOUBT_FOR_A_PERSON
    by_person: bool = False


def judge(
    doubts: Sequence[Doubt],
    free: Sequence[TargetMilestone],
    rules: MappingRules,
    unreadable: Collection[str] = (),
) -> dict[int, Judgement]:
    """The judgement on each create of the run's own pair, by TestRail id.

    ``doubts`` may include creates of other pairs, which compete for the same targets. ``free`` are
    the targets that no link holds; of those that are ``unreadable`` it is known what can be read.
    """
    alive = {target.id for target in living(free)}
    doubts = [doubt.after_retry(alive) for doubt in doubts]
    decided = {doubt.key for doubt in doubts if doubt.link.is_decided}
    marked = by_marker(free, rules)
    found = dict(_by_their_markers(doubts, free, marked, unreadable))
    rest = [doubt for doubt in _in_order(doubts) if doubt.key not in found]
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
    return {
        key[1]: replace(judgement, by_person=key in decided)
        for key, judgement in found.items()
        if not key[0]
    }


def _in_order(doubts: Iterable[Doubt]) -> Sequence[Doubt]:
    return sorted(doubts, key=lambda doubt: (not doubt.is_ready, doubt.key))


def _by_their_markers(
    doubts: Iterable[Doubt],
    free: Sequence[TargetMilestone],
    marked: Mapping[int, Sequence[TargetMilestone]],
    unreadable: Collection[str],
) -> Iterator[tuple[Key, Judgement]]:
    """The judgement on each create whose marker a target carries."""
    for doubt in doubts:
        own = marked.get(doubt.link.testrail_id, [])
        if doubt.pair:
            own = [target for target in free if doubt.is_named_by(target)]
        own = living(own) if doubt.link.is_decided else living(own) or own
        if len(own) > 1:
            yield doubt.key, Judgement(Fate.PERSON, own, ProblemKind.SEVERAL_MARKED)
        elif own:
            fate = Fate.PERSON if own[0].id in unreadable else Fate.FOUND
            yield doubt.key, Judgement(fate, own)


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
        """What was found for them; nothing, if there may be more than one way to match."""
        matched = frozenset(target.id for target in self.matched.values())
        may_be_unread = any(one.is_hinted_by(it) for it in self.unread for one in self.doubts)
        return matched if matched == self.pool and not may_be_unread else frozenset()

    def judge(self, taken: Collection[str]) -> Iterator[tuple[Key, Judgement]]:
        """The judgement on each create; ``taken`` are the targets that any create was given."""
        is_over = all(doubt.is_past for doubt in self.doubts)
        is_theirs = any(doubt.pair and not doubt.is_past for doubt in self.doubts)
        for doubt in self.doubts:
            key = doubt.key
            near = [t for t in self.near if t.id not in taken and doubt.is_hinted_by(t)]
            hints = [t for t in near if t in self.unread or not doubt.is_told_of(t)]
            if self.fits[key] and self.taken != self.pool:
                able = [
                    t for t in self.near if t.id in self.pool or (t in self.unread and t in hints)
                ]
                yield key, Judgement(Fate.PERSON, able)
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
