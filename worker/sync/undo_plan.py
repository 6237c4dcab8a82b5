"""What an undo would do: for each milestone that a run changed, the one step that takes it back.

A value is put back if what stands there now is what the run wrote, or what the target made of it.
What changed since is left alone unless a person forces it, and what people work in as well (R12).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mappings.link import Link
from mappings.links import Links
from mappings.milestone import ARCHIVED, DATE_FIELDS, TargetMilestone, Values, same_value
from mappings.rows import Change, ChangeState
from worker.errors import NotFound, UsageError
from worker.sync.context import PairContext
from worker.sync.decide.absence import used_by
from worker.sync.ports import OfOne

TURNS = range(3)
"""An undo goes over its steps so often, and each time does those whose turn it is."""
_EFFECTIVE = frozenset({ChangeState.DONE, ChangeState.INTENDED, ChangeState.AMBIGUOUS})


@dataclass(frozen=True, slots=True)
class UndoStep:
    """What taking a run back means for one milestone.

    ``does`` is archive, restore, unlink or nothing; ``fields`` are the values to write and
    ``before`` those that stand there now. ``is_below`` says that it is a sub-milestone there;
    ``adopted`` ones are unlinked as well. ``blocked`` says why it, or a part of it, is left.
    """

    testrail_id: int
    testably_id: str | None
    name: str
    does: str
    change_id: int
    fields: Values = field(default_factory=dict)
    before: Values = field(default_factory=dict)
    is_below: bool = False
    adopted: bool = False
    blocked: str | None = None

    @property
    def turn(self) -> int:
        """Which of the `TURNS` it is done in: sub-milestones go before a parent, and come after."""
        if not self.is_below:
            return 1
        return 0 if self.does == "archive" else 2


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """The steps of an undo, those of the milestones that were changed last first."""

    run_id: str
    steps: tuple[UndoStep, ...]


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
    return UndoPlan(run_id, tuple(_Planner(context, links, force).steps(groups)))


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
    links: Links
    force: bool

    def steps(self, groups: Sequence[Sequence[Change]]) -> Iterable[UndoStep]:
        """For each group, which are a run's changes to one milestone, the step that takes it back.

        Several targets may be read at once.
        """
        steps = {group[-1].testrail_id: self._blank(group) for group in groups}
        changes = {group[-1].testrail_id: group for group in groups}
        ids = {id_: step.testably_id for id_, step in steps.items() if step.testably_id}

        def take(testrail_id: int, actual: TargetMilestone | OfOne) -> None:
            if isinstance(actual, TargetMilestone):
                steps[testrail_id] = self._step(steps[testrail_id], changes[testrail_id], actual)
            elif not isinstance(actual, NotFound):
                raise actual

        self.context.target.get_each(self.context.identity.testably_project, ids, take)
        return steps.values()

    def _blank(self, group: Sequence[Change]) -> UndoStep:
        """The step that does nothing, as for a milestone that is not there."""
        last = group[-1]
        link = self._link(last.testrail_id)
        testably_id = last.testably_id or link.testably_id
        blank = UndoStep(last.testrail_id, testably_id, link.name, "nothing", _id(last))
        if testably_id is None and last.kind == "create":
            why = "Whether it was created is not known; run `milesync migrate` first."
            return replace(blank, blocked=why)
        return blank

    def _step(self, blank: UndoStep, group: Sequence[Change], actual: TargetMilestone) -> UndoStep:
        blank = replace(blank, is_below=actual.parent_id is not None)
        if any(change.kind == "create" for change in group):
            return self._archive(blank, self._link(blank.testrail_id), actual)
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
        used = used_by(actual, self.links.by_target.keys())
        if used is not None:
            return replace(blank, blocked=f"{used} --force archives it all the same.")
        edited = _edited_since(link, actual)
        if edited:
            why = f"It was edited in Testably since ({edited}); --force archives it all the same."
            return replace(blank, blocked=why)
        return step

    def _restore(
        self, blank: UndoStep, group: Sequence[Change], actual: TargetMilestone
    ) -> UndoStep:
        before: dict[str, str | None] = {}
        after: dict[str, str | None] = {}
        for change in group:
            before = {**change.before, **before}
            after.update({**change.after, **_echo(change)})
        now = actual.values
        differs = {n: v for n, v in before.items() if n in after and not same_value(n, v, now[n])}
        ours = {n: v for n, v in differs.items() if same_value(n, now[n], after[n])}
        chosen = differs if self.force else ours
        left = ", ".join(name for name in differs if name not in chosen)
        return replace(
            blank,
            does="restore" if chosen else blank.does,
            fields=chosen,
            before={name: now[name] for name in chosen},
            blocked=f"Changed since, and left as it is: {left}." if left else None,
        )


def _echo(change: Change) -> dict[str, str | None]:
    """What the target made of the values that were sent."""
    return {name: value for name, value in (change.echo or {}).items() if name in change.after}


def _edited_since(link: Link, actual: TargetMilestone) -> str:
    """The fields that somebody edited since the last push; derived ones tell nothing."""
    own = ("status", *DATE_FIELDS) if actual.sub_milestones else ()
    now = actual.values
    known = ((name, value) for name, value in link.observed.items() if name not in own)
    return ", ".join(name for name, value in known if not same_value(name, value, now[name]))
