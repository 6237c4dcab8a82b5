"""A plan arranged for people: what needs them first, then what is lost, changed and new. Pure.

The terminal, the page and the Markdown file all show this; the JSON is the plan itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from mappings.commands import for_project
from mappings.footer import marker_url
from worker.facts import stays, words
from worker.facts.changes import FieldChange
from worker.facts.lifecycles import of_action
from worker.facts.matters import among_them

if TYPE_CHECKING:
    from mappings.rows import PairIdentity
    from worker.sync.context import PlannedRun
    from worker.sync.decide.action import Action, Plan
    from worker.sync.decide.snapshot import Snapshot
    from worker.sync.decide.verdict import Difference

NEEDS_YOU: Final = "Needs you"
OVERWRITTEN: Final = "Edited in Testably, and would be overwritten"
GONE: Final = "Gone from TestRail, and would be archived in Testably"
CHANGED: Final = "Changed"
LINKED: Final = "Already in Testably, and would be linked"
KEPT: Final = words.KEPT
NEW: Final = "New"
_ORDER: Final = (NEEDS_YOU, OVERWRITTEN, GONE, CHANGED, LINKED, KEPT, NEW)
_BY_KIND: Final = {
    "archive": GONE,
    "update": CHANGED,
    "adopt": LINKED,
    "create": NEW,
}


@dataclass(frozen=True, slots=True)
class Item:
    """One milestone of a plan; one without a name is told by its id and its address.

    ``stands`` says how far both sides call it, once the plan is carried out.
    """

    testrail_id: int | None
    testably_id: str | None
    name: str
    url: str | None
    reason: str = ""
    stands: str = ""
    changes: tuple[FieldChange, ...] = ()
    notes: tuple[str, ...] = ()
    children: tuple[Item, ...] = ()


Family = tuple["Action", Sequence["Action"]]
"""A milestone, and the new sub-milestones that are shown below it."""


@dataclass(frozen=True, slots=True)
class Section:
    """What the same is to be done about; each item is made when it is shown, for there may be many.

    ``total`` counts the milestones; a parent that is there already and only holds new ones is none.
    """

    title: str
    total: int
    families: Sequence[Family]
    testrail_url: str
    snapshot: Snapshot

    def __len__(self) -> int:
        return len(self.families)

    def milestones_after(self, number: int) -> int:
        """How many milestones come after the first so many families."""
        return sum(1 + len(children) for _, children in self.families[number:])

    def items(self, most: int | None = None) -> Iterator[Item]:
        """The milestones, those without a parent in the section, with their sub-milestones."""
        for action, children in self.families[:most]:
            below = tuple(self._item(child) for child in children)
            yield replace(self._item(action), children=below)

    def _item(self, action: Action) -> Item:
        stands = words.lifecycles(of_action(self.snapshot, action))
        item = replace(_item(action, self.testrail_url), stands=stands)
        if self.title == KEPT:
            return replace(item, reason="", changes=(), notes=tuple(_kept_edits(action)))
        if self.title == NEEDS_YOU and action.is_change:
            return replace(item, reason=" ".join(item.notes), changes=(), notes=())
        return item


@dataclass(frozen=True, slots=True)
class PlanView:
    """The plan of one pair. ``guards`` say why it would stop before its first write, ``gaps`` what
    could not be read whole.

    ``left_alone`` are differences that a setting or a person leaves, in words.
    """

    title: str
    sentence: str
    cost: str
    sections: Sequence[Section]
    guards: Sequence[str]
    gaps: Sequence[str]
    not_exact: str
    left_alone: str


def view_of(
    identity: PairIdentity, planned: PlannedRun, rate: str, title: str, project: int | None
) -> PlanView:
    """Arrange a plan; ``rate`` is what Testably allows, in words, ``title`` the pair's heading.

    ``project`` is what the commands of its guards name, as in `for_project`.
    """
    from worker.sync.report import gaps_of

    plan, cost = planned.plan, planned.requests
    gaps = [str(gap["reason"]) for gap in gaps_of(planned.snapshot)]
    counts, among = _counts(plan, len(gaps))
    accepted = sum(any(map(_is_accepted, action.differences)) for action in plan.actions)
    kept = sum(map(_is_kept, plan.actions))
    only = planned.snapshot.options.only
    nothing = f"Nothing {only.value} in TestRail" if only else "Nothing in TestRail"
    return PlanView(
        title,
        f"{words.counted(counts, nothing, among)}; {sum(cost.values())} requests, "
        f"{words.about(planned.minutes * 60)}.",
        f"{words.requests(cost)}; Testably allows {rate}.",
        _sections(planned, identity.testrail_url),
        [for_project(f"{guard.message} {guard.hint}", project) for guard in plan.guards],
        gaps,
        words.not_exact(plan.not_exact),
        stays.left_alone(kept, accepted),
    )


def _counts(plan: Plan, gaps: int) -> tuple[Counter[str], dict[str, int]]:
    """How many milestones there are of each kind, and what is told of those that need a person.

    Who needs a person is counted there alone, unless something is written; ``gaps`` count as well.
    """
    counts = Counter(title for action in plan.actions if (title := _counted_as(action)))
    counts["skip"] += len(plan.in_step)
    waiting = [action for action in plan.actions if _needs_you(action)]
    counts["needs_you"] = len(waiting) + gaps
    written = sum(action.is_change for action in waiting)
    return counts, among_them(written, sum(action.is_held for action in waiting))


def _counted_as(action: Action) -> str | None:
    """The kind under which a milestone is counted; None if only as one that needs a person."""
    from worker.sync.apply.outcome import Result

    if action.is_change:
        return action.kind.value
    if _needs_you(action):
        return None
    return Result.HELD.value if action.is_left else "kept" if _is_kept(action) else "skip"


def _titles(action: Action) -> Iterator[str]:
    """The headings under which an action is shown; none for what is the same on both sides."""
    if _needs_you(action):
        yield NEEDS_YOU
    if action.is_change:
        overwrites = action.kind.value == "update" and action.overwritten
        yield OVERWRITTEN if overwrites else _BY_KIND[action.kind.value]
    if _is_kept(action):
        yield KEPT


def _needs_you(action: Action) -> bool:
    """Whether something stays that needs a person, as the run will judge it (R10).

    What only waits passes where the milestone is written.
    """
    from mappings.problem import Effect
    from worker.sync.apply.outcome import unattempted

    outcome = unattempted(action)
    if not action.is_change:
        return outcome.needs_person
    stays = (one.kind for one in outcome.problems if one.kind.effect is not Effect.PASSES)
    return any(kind.needs_person for kind in stays)


def _is_kept(action: Action) -> bool:
    """Whether edits in Testably are left, because the setting lets them win."""
    from mappings.problem import ProblemKind
    from worker.sync.apply.outcome import unattempted

    return unattempted(action).has(ProblemKind.TARGET_EDIT_KEPT)


def _kept_edits(action: Action) -> Iterator[str]:
    """Each field that stays as edited; with both values where they are short."""
    for one in action.differences:
        if one.verdict.value == "kept":
            change = FieldChange(one.field, one.desired, one.live)
            name, both = words.field_called(one.field), (one.live, one.desired)
            live, desired = map(words.value_shown, both)
            yield f"{name}: {live} (TestRail says {desired})" if change.is_short else f"{name}"


def _is_accepted(one: Difference) -> bool:
    return one.verdict.value == "accepted"


def _sections(planned: PlannedRun, testrail_url: str) -> list[Section]:
    actions = planned.plan.actions
    found: dict[str, list[Action]] = defaultdict(list)
    for action in actions:
        for title in _titles(action):
            found[title].append(action)
    sections = []
    for title in _ORDER:
        chosen = found[title]
        families = _tree(chosen, actions) if title == NEW else [(one, ()) for one in chosen]
        if chosen:
            sections.append(Section(title, len(chosen), families, testrail_url, planned.snapshot))
    return sections


def _item(action: Action, testrail_url: str) -> Item:
    from worker.sync.decide.plan import RELEASED
    from worker.sync.report import notes_of

    id_ = action.testrail_id or None
    changes = tuple(
        FieldChange(name, action.before.get(name), after, name in action.overwritten)
        for name, after in action.push.items()
    )
    notes = tuple(note for note in notes_of(action) if note != action.reason)
    if action.reason.startswith(RELEASED):
        notes = (RELEASED.strip(), *notes)
    url = marker_url(testrail_url, id_) if id_ else None
    name = " ".join(action.name.split())
    return Item(id_, action.testably_id, name, url, action.reason, changes=changes, notes=notes)


def _tree(new: Sequence[Action], every: Sequence[Action]) -> list[Family]:
    """What is new, each sub-milestone below its parent; one that is there already holds its own."""
    by_id = {action.testrail_id: action for action in new}
    parents = {action.parent_id for action in new if action.parent_id is not None}
    there = [one for one in every if one.testrail_id in parents and one.testrail_id not in by_id]
    below: dict[int, list[Action]] = {one.testrail_id: [] for one in (*new, *there)}
    roots = [*there]
    for action in new:
        if action.parent_id in below:
            below[action.parent_id].append(action)
        else:
            roots.append(action)
    return [(root, below[root.testrail_id]) for root in roots]
