"""A plan arranged for people: what needs them first, then what is lost, changed and new. Pure.

The terminal, the page and the Markdown file all show this; the JSON is the plan itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

from mappings.footer import marker_url
from worker.cli import words

if TYPE_CHECKING:
    from mappings.rows import PairIdentity
    from worker.sync.context import PlannedRun
    from worker.sync.decide.action import Action

NEEDS_YOU: Final = "Needs you"
WAITS: Final = "Waits for another run"
OVERWRITTEN: Final = "Edited in Testably, and would be overwritten"
GONE: Final = "Gone from TestRail, and would be archived in Testably"
CHANGED: Final = "Changed"
LINKED: Final = "Already in Testably, and would be linked"
NEW: Final = "New"
_ORDER: Final = (NEEDS_YOU, WAITS, OVERWRITTEN, GONE, CHANGED, LINKED, NEW)
_BY_KIND: Final = {
    "conflict": NEEDS_YOU,
    "quarantine": NEEDS_YOU,
    "archive": GONE,
    "update": CHANGED,
    "adopt": LINKED,
    "create": NEW,
}
_LONGEST_VALUE: Final = 60
"""Characters of a value that are shown on a line with the other; longer ones as a difference."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a milestone, before and after; both as they are written."""

    name: str
    before: str | None
    after: str | None
    edited: bool = False

    @property
    def is_short(self) -> bool:
        """Whether both values fit on one line."""
        both = (self.before or "", self.after or "")
        return all(len(text) <= _LONGEST_VALUE and "\n" not in text for text in both)

    def difference(self) -> Iterator[tuple[str, str]]:
        """The lines that differ, each with a minus or a plus in front."""
        old, new = (self.before or "").splitlines(), (self.after or "").splitlines()
        for step, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if step != "equal":
                yield from (("-", line) for line in old[i:j])
                yield from (("+", line) for line in new[k:m])


@dataclass(slots=True)
class Item:
    """One milestone of a plan; one without a name is told by its id and its address."""

    testrail_id: int | None
    testably_id: str | None
    name: str
    url: str | None
    reason: str = ""
    changes: tuple[FieldChange, ...] = ()
    notes: tuple[str, ...] = ()
    children: list[Item] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """How many milestones it is, its sub-milestones included."""
        return 1 + len(self.children)


@dataclass(frozen=True, slots=True)
class Section:
    """What the same is to be done about."""

    title: str
    items: Sequence[Item]

    @property
    def total(self) -> int:
        """How many milestones are in it; a parent that only holds new ones together is none."""
        return sum(item.lines - (item.reason == _IS_THERE) for item in self.items)


@dataclass(frozen=True, slots=True)
class PlanView:
    """The plan of one pair. ``guards`` say why it would stop before its first write.

    ``left_alone`` are differences that a setting or a person leaves, in words.
    """

    testrail_project: int
    testably_project: str
    sentence: str
    cost: str
    sections: Sequence[Section]
    guards: Sequence[str]
    not_exact: str
    left_alone: str


_IS_THERE: Final = "Is in Testably already."


def view_of(identity: PairIdentity, planned: PlannedRun, rate: str) -> PlanView:
    """Arrange a plan; ``rate`` is what Testably allows, in words."""
    plan, cost = planned.plan, planned.requests
    counts = Counter(action.kind.value for action in plan.actions)
    waiting = sum(_section(action) == WAITS for action in plan.actions)
    stuck = sum(_needs_you(action) for action in plan.actions)
    counts["skip"] -= waiting + stuck
    counts["waiting"] += waiting
    counts["conflict"] += stuck
    verdicts = Counter(one.verdict.value for action in plan.actions for one in action.differences)
    return PlanView(
        identity.testrail_project,
        identity.testably_project,
        f"{words.counted(counts, 'Nothing in TestRail')}; {sum(cost.values())} requests, "
        f"{words.about(planned.minutes * 60)}.",
        f"{words.requests(cost)}; Testably allows {rate}.",
        _sections(plan.actions, identity.testrail_url),
        [f"{guard.message} {guard.hint}" for guard in plan.guards],
        words.not_exact(plan.not_exact),
        words.left_alone(verdicts["kept"], verdicts["accepted"]),
    )


def _section(action: Action) -> str | None:
    """The heading under which an action is shown; None for what is the same on both sides."""
    if action.kind.value == "skip":
        if _needs_you(action):
            return _BY_KIND["conflict"]
        return WAITS if action.problem is not None else None
    if action.kind.value == "update" and action.overwritten:
        return OVERWRITTEN
    return _BY_KIND[action.kind.value]


def _needs_you(action: Action) -> bool:
    """Whether nothing is written, and a difference stays that only a person can mend."""
    stays = any(one.verdict.needs_person for one in action.differences)
    return action.kind.value == "skip" and stays


def _sections(actions: Sequence[Action], testrail_url: str) -> list[Section]:
    found: dict[str, list[Action]] = defaultdict(list)
    for action in actions:
        if title := _section(action):
            found[title].append(action)
    sections = []
    for title in _ORDER:
        if title == NEW:
            items = _tree(found[title], actions, testrail_url)
        else:
            items = [_item(action, testrail_url) for action in found[title]]
        if items:
            sections.append(Section(title, items))
    return sections


def _item(action: Action, testrail_url: str) -> Item:
    from worker.sync.report import notes_of

    id_ = action.testrail_id or None
    changes = tuple(
        FieldChange(name, action.before.get(name), after, name in action.overwritten)
        for name, after in action.push.items()
    )
    notes = tuple(note for note in notes_of(action) if note != action.reason)
    url = marker_url(testrail_url, id_) if id_ else None
    name = " ".join(action.name.split())
    return Item(id_, action.testably_id, name, url, action.reason, changes, notes)


def _tree(new: Sequence[Action], every: Sequence[Action], testrail_url: str) -> list[Item]:
    """What is new, each sub-milestone below its parent; one that is there already holds its own."""
    items = {action.testrail_id: _item(action, testrail_url) for action in new}
    parents = {action.parent_id for action in new if action.parent_id is not None}
    roots = dict(items)
    for action in every:
        if action.testrail_id in parents - items.keys():
            there = _item(action, testrail_url)
            roots[action.testrail_id] = items[action.testrail_id] = there
            there.reason, there.changes = _IS_THERE, ()
    for action in new:
        parent = items.get(action.parent_id or 0)
        if parent is not None:
            parent.children.append(items[action.testrail_id])
            del roots[action.testrail_id]
    return list(roots.values())
