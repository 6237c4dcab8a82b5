"""What an undo would do: for each milestone that a run changed, the one step that takes it back.

A value is put back if what stands there now is what the run wrote, or what the target made of it.
What changed since is left alone unless a person forces it, and what people work in as well (R12).
What the target derived from sub-milestones that go comes back with their parent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mappings.field_names import FIELD_NAMES
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.links import Links
from mappings.milestone import (
    ARCHIVED,
    DATE_FIELDS,
    FIELDS,
    TargetMilestone,
    Values,
    same_value,
)
from mappings.rows import Change, ChangeState
from worker.errors import UsageError
from worker.sync.context import PairContext
from worker.sync.decide.absence import used_by
from worker.sync.decide.snapshot import extremes, is_archived
from worker.sync.undo_read import LiveTargets
from worker.sync.undo_step import (
    IN_DOUBT,
    UndoPlan,
    UndoStep,
    not_known,
    restoring,
    unarchived,
    unread,
)

_EFFECTIVE = frozenset({ChangeState.DONE, ChangeState.INTENDED, ChangeState.AMBIGUOUS})


def plan_undo(context: PairContext, run_id: str, *, force: bool = False) -> UndoPlan:
    """What an undo of the run would do; reads the target. Raises UsageError, ApiError."""
    pair = context.store.pair(context.identity)
    record = context.runs.get(run_id)
    if record is None or record.pair_id != pair.id:
        raise UsageError(f"There is no run {run_id} of this pair.", "See `milesync runs`.")
    changes = context.store.journal.changes(pair.id, run_id=run_id)
    groups = _by_milestone(change for change in changes if change.state in _EFFECTIVE)
    changed = context.store.links(pair.id, {change.testrail_id for change in changes})
    links = context.store.outlines(pair.id).with_complete(changed)
    now = context.clock.now()
    planner = _Planner(context, pair.id, links, force, LiveTargets(context))
    return UndoPlan(run_id, tuple(planner.steps(groups)), now, force)


def _by_milestone(changes: Iterable[Change]) -> list[list[Change]]:
    """The changes of each milestone, oldest first; the milestone changed last comes first."""
    groups: dict[int, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.testrail_id, []).append(change)
    return sorted(groups.values(), key=lambda group: -_id(group[-1]))


def _id(change: Change) -> int:
    assert change.id is not None  # noqa: S101  (it was read from the database)
    return change.id


@dataclass(slots=True)
class _Planner:
    context: PairContext
    pair_id: int
    links: Links
    force: bool
    live: LiveTargets

    def steps(self, groups: Sequence[Sequence[Change]]) -> Iterable[UndoStep]:
        """For each group, which are a run's changes to one milestone, what takes it back."""
        steps = {group[-1].testrail_id: self._blank(group) for group in groups}
        changes = {group[-1].testrail_id: group for group in groups}
        ids = {id_: step.testably_id for id_, step in steps.items() if step.testably_id}
        for id_, live in self.live.read(ids).items():
            if isinstance(live, TargetMilestone):
                steps[id_] = self._step(steps[id_], changes[id_], live)
            else:
                steps[id_] = unread(steps[id_], live)
        return (steps | self._parents(steps, changes)).values()

    def _blank(self, group: Sequence[Change]) -> UndoStep:
        """The step that does nothing, as for a milestone that is not there."""
        last = group[-1]
        link = self._link(last.testrail_id)
        testably_id = last.testably_id or link.testably_id
        blank = UndoStep(last.testrail_id, testably_id, link.name, "nothing", _id(last))
        unknown = testably_id is None and last.kind == "create"
        if unknown or link.state is LinkState.CREATING:
            return replace(blank, blocked=IN_DOUBT)
        return blank

    def _step(self, blank: UndoStep, group: Sequence[Change], actual: TargetMilestone) -> UndoStep:
        blank = replace(blank, is_below=actual.parent_id is not None, live=actual)
        step = self._taking_back(blank, group, actual)
        if self._link(step.testrail_id).testably_id == actual.id:
            return step
        if not step.fields and step.blocked in (None, blank.blocked):
            return blank
        why = f"It is not linked to {actual.id} any more."  # a write goes where its link says
        return replace(blank, blocked=why, cannot=True)

    def _taking_back(
        self, blank: UndoStep, group: Sequence[Change], actual: TargetMilestone
    ) -> UndoStep:
        if any(change.kind == "create" for change in group):
            return self._archive(replace(blank, goes=True), self._link(blank.testrail_id), actual)
        if any(change.kind == "adopt" for change in group):
            blank = replace(blank, does="unlink", adopted=True)
        return self._restore(blank, group, actual)

    def _link(self, testrail_id: int) -> Link:
        return self.links.get(testrail_id, Link(testrail_id))

    def _archive(self, blank: UndoStep, link: Link, actual: TargetMilestone) -> UndoStep:
        if actual.values["status"] == ARCHIVED:
            return blank
        step = replace(
            blank,
            does="archive",
            fields={"status": ARCHIVED},
            before={"status": actual.values["status"]},
        )
        if self.force:
            return step
        edited = _edited_since(link, actual)
        why = used_by(actual, self.links.by_target.keys())
        if why is None and edited:
            why = f"It was edited in Testably since: {edited}."
        return step if why is None else unarchived(step, why)

    def _restore(
        self, blank: UndoStep, group: Sequence[Change], actual: TargetMilestone
    ) -> UndoStep:
        before: dict[str, str | None] = {}
        after: dict[str, str | None] = {}
        for change in group:
            before = {**change.before, **before}
            after.update({**change.after, **_echo(change)})
        now, own = actual.values, _own(actual)
        differs = {n: v for n, v in before.items() if n in after and not same_value(n, v, now[n])}
        if differs.get("status") == ARCHIVED:  # the run brought it back, whatever it shows since
            own -= {"status"}
            after |= {"status": now["status"]} if _has_living(actual) else {}
        ours = {n: v for n, v in differs.items() if same_value(n, now[n], after[n])}
        blank, chosen = self._unless_used(blank, actual, differs if self.force else ours)
        left = differs.keys() - chosen.keys() - own
        back = {name: before[name] for name in before.keys() - left - own}
        edited = self._edits(blank.testrail_id, back, _id(group[0]))
        unwritten = frozenset(FIELDS) - before.keys() - after.keys()
        later = self._later(blank.testrail_id, left, actual, _id(group[-1])) if left else {}
        step = replace(blank, edited=edited, unwritten=unwritten, later=later)
        return restoring(step, actual, chosen, left)

    def _later(
        self, testrail_id: int, left: Collection[str], actual: TargetMilestone, last: int
    ) -> Mapping[str, str]:
        """The runs after the change ``last`` that wrote what these fields show, by the field.

        No undo: what it put back may be a person's.
        """
        found: dict[str, str] = {}
        for change in self.context.store.journal.changes(self.pair_id, testrail_id=testrail_id):
            if _id(change) > last and change.state in _EFFECTIVE and change.undoes is None:
                for told in (change.after, _echo(change)):
                    shown = (n for n in left if n in told)
                    now = actual.values
                    found |= {n: change.run_id for n in shown if same_value(n, told[n], now[n])}
        return found

    def _unless_used(
        self, step: UndoStep, actual: TargetMilestone, values: Values
    ) -> tuple[UndoStep, Values]:
        """The values without a status that archives what people work in; the step says why (R12).

        A person can force it.
        """
        used = None
        if values.get("status") == ARCHIVED and not self.force:
            used = used_by(actual, self.links.by_target.keys())
        step = step if used is None else replace(step, used=used)
        return step, {n: v for n, v in values.items() if not (step.used and n == "status")}

    def _edits(self, testrail_id: int, values: Values, first: int) -> Values:
        """What was applied before the change ``first`` to those fields whose value it was not.

        Then a person had edited it, and has again once an undo has put the value back.
        """
        ours: dict[str, list[str | None]] = {}
        for change in self.context.store.journal.changes(self.pair_id, testrail_id=testrail_id):
            if _id(change) < first and change.state in _EFFECTIVE and change.undoes is None:
                created = change.kind == "create"
                for told in (change.after, (change.echo or {}) if created else _echo(change)):
                    for name, value in told.items():
                        ours.setdefault(name, []).append(value)
        return {
            name: ours[name][-1]
            for name, value in values.items()
            if name in ours and not any(same_value(name, value, one) for one in ours[name])
        }

    # --- parents whose sub-milestones go

    def _parents(
        self, steps: Mapping[int, UndoStep], changes: Mapping[int, Sequence[Change]]
    ) -> dict[int, UndoStep]:
        """The steps of parents whose last sub-milestones go.

        Their dates and their status were Testably's to say meanwhile, which keeps them as they
        were then. They get what they showed before that, as far as the run knew it.
        """
        going: dict[int, list[UndoStep]] = {}
        for child in (one for one in steps.values() if one.archives or (one.goes and one.ends)):
            parent = self.links.by_target.get((child.live and child.live.parent_id) or "")
            if parent is not None:
                going.setdefault(parent, []).append(child)
        links = self.context.store.links(self.pair_id, going.keys() - steps.keys())
        ids = {id_: link.testably_id for id_, link in links.items() if link.testably_id}
        first = min((_id(group[0]) for group in changes.values()), default=0)
        every, found = dict(steps), dict[int, UndoStep | None]()
        for id_, live in self.live.read(ids).items():
            blank = UndoStep(id_, ids[id_], links[id_].name, "nothing", first, beside=True)
            if isinstance(live, TargetMilestone):
                every[id_] = replace(blank, live=live)
            else:
                found[id_] = unread(blank, live)
        for id_ in (id_ for id_ in going if id_ in every):
            of_subs = (change for child in going[id_] for change in changes[child.testrail_id])
            known = _shown_before(changes.get(id_, ()), of_subs)
            found[id_] = self._parent(every[id_], going[id_], known, first)
        return {id_: step for id_, step in found.items() if step is not None}

    def _parent(
        self, step: UndoStep, going: Sequence[UndoStep], known: Values, first: int
    ) -> UndoStep | None:
        """The step of a parent that gets back what was its own; None if that is nothing.

        What is not ``known`` is left, unless a person forces it: then it gets what it was last
        written before the change ``first``. Nothing is archived so, as the run archived no parent.
        """
        live, below = step.live, [child.live for child in going if child.live is not None]
        if live is None or step.goes or is_archived(live):
            return None
        gone = {child.id for child in below}
        if any(not is_archived(sub) and sub.id not in gone for sub in live.sub_milestones):
            return None
        own = [n for n in _derived(live, below) if n not in {*step.fields, *step.left}]
        came = any(child.goes for child in going)  # what was brought back may leave all as it was
        written = self._written_last(step.testrail_id, first) if came else {}
        before, now = {**written, **known}, live.values
        differs = {n: before[n] for n in own if n in before and before[n] != ARCHIVED}
        differs = {n: v for n, v in differs.items() if not same_value(n, v, now[n])}
        unknown = frozenset() if self.force else differs.keys() - known.keys()
        back = {name: value for name, value in differs.items() if name not in unknown}
        edited = {**step.edited, **self._edits(step.testrail_id, back, first)}
        step = restoring(replace(step, edited=edited), live, {**step.fields, **back}, step.left)
        step = not_known(step, unknown) if unknown else step
        return step if differs else None

    def _written_last(self, testrail_id: int, first: int) -> Values:
        """What the journal says that a milestone showed after it was written, before a change."""
        values: dict[str, str | None] = {}
        for change in self.context.store.journal.changes(self.pair_id, testrail_id=testrail_id):
            if _id(change) < first and change.state is ChangeState.DONE:
                values |= change.after
                values |= (change.echo or {}) if change.kind == "create" else _echo(change)
        return values


def _shown_before(own: Sequence[Change], of_subs: Iterable[Change]) -> Values:
    """What a parent showed before the run's changes ``of_subs``, as far as the run had read it.

    Or as far as the target answered it to the run's ``own`` changes of the parent before them.
    """
    below = sorted(of_subs, key=_id)
    answered: dict[str, str | None] = {}
    for change in own:
        if _id(change) < _id(below[0]):
            answered = {**(change.echo or {}), **change.before, **answered}
    return {**next((one.parent_before for one in below if one.parent_before), {}), **answered}


def _own(actual: TargetMilestone) -> frozenset[str]:
    """The fields that may be the target's own to say, because of its sub-milestones."""
    return frozenset(("status", *DATE_FIELDS) if actual.sub_milestones else ())


def _has_living(actual: TargetMilestone) -> bool:
    """Whether a sub-milestone of it lives, so that nobody but the target writes its status."""
    return any(not is_archived(sub) for sub in actual.sub_milestones)


def _derived(live: TargetMilestone, going: Sequence[TargetMilestone]) -> Iterator[str]:
    """The fields of a parent that show what these sub-milestones gave it."""
    dates = extremes(child.values for child in going)
    yield from (n for n in DATE_FIELDS if same_value(n, live.values[n], dates[n]))
    yield "status"


def _echo(change: Change) -> dict[str, str | None]:
    """What the target made of the values that were sent."""
    return {name: value for name, value in (change.echo or {}).items() if name in change.after}


def _edited_since(link: Link, actual: TargetMilestone) -> str:
    """The fields that somebody edited since the last push; derived ones tell nothing."""
    known, now, own = link.baseline, actual.values, _own(actual)
    names = [name for name in FIELDS if name in known and name not in own]
    edited = [name for name in names if not same_value(name, known[name], now[name])]
    return ", ".join(FIELD_NAMES[name][-1] for name in edited)
