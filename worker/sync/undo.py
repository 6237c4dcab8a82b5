"""Takes back what a run did, newest first, from the before-values that the journal kept.

One step a milestone. What changed in the target since is left alone unless a person forces it.
Every link that is taken back is held until a person migrates again (R9). An undo is a run of its
own: it can be interrupted and run again, and goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.links import Links
from mappings.milestone import ARCHIVED, DATE_FIELDS, TargetMilestone, Values, same_value
from mappings.problem import Problem, ProblemKind
from mappings.rows import Change, ChangeState
from worker.errors import NotFound, Refused, UsageError
from worker.sync.apply.outcome import Outcome, Result
from worker.sync.apply.updates import apart, why_rejected
from worker.sync.apply.writer import LostLeaseError, TargetWriter
from worker.sync.context import PairContext
from worker.sync.decide.absence import used_by
from worker.sync.decide.action import Action, Kind
from worker.sync.options import Options, Phase, RunMode, Trigger
from worker.sync.report import RunReport, state_after
from worker.sync.run import OnOutcome, Run

_EFFECTIVE = frozenset({ChangeState.DONE, ChangeState.INTENDED, ChangeState.AMBIGUOUS})


@dataclass(frozen=True, slots=True)
class UndoStep:
    """What taking a run back means for one milestone.

    ``does`` is archive, restore, unlink or nothing; ``fields`` are the values to write and
    ``before`` those that stand there now. ``adopted`` ones are unlinked as well. ``blocked``
    says why it, or a part of it, is left.
    """

    testrail_id: int
    testably_id: str | None
    name: str
    does: str
    change_id: int
    fields: Values = field(default_factory=dict)
    before: Values = field(default_factory=dict)
    adopted: bool = False
    blocked: str | None = None


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """The steps of an undo, in the order in which they run."""

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
    planner = _Planner(context, links, force)
    return UndoPlan(run_id, tuple(planner.step(group) for group in groups))


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

    def step(self, group: Sequence[Change]) -> UndoStep:
        """The one step that takes back all of a run's changes to one milestone."""
        last = group[-1]
        link = self.links.get(last.testrail_id, Link(last.testrail_id))
        testably_id = last.testably_id or link.testably_id
        blank = UndoStep(last.testrail_id, testably_id, link.name, "nothing", _id(last))
        if testably_id is None:
            why = "Whether it was created is not known; run `milesync migrate` first."
            return replace(blank, blocked=why if last.kind == "create" else None)
        try:
            actual = self.context.target.get(self.context.identity.testably_project, testably_id)
        except NotFound:
            return blank
        if any(change.kind == "create" for change in group):
            return self._archive(blank, link, actual)
        if any(change.kind == "adopt" for change in group):
            blank = replace(blank, does="unlink", adopted=True)
        return self._restore(blank, group, actual)

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


def undo(
    context: PairContext,
    run_id: str,
    *,
    force: bool = False,
    on_outcome: OnOutcome = lambda _: None,
) -> RunReport:
    """Take the run back. Raises Busy, UsageError, ApiError; run again, it goes on."""
    with Run(context, Options(trigger=Trigger.MANUAL), RunMode(undoes=run_id)) as run:
        writer = run.writer()
        _wait_for_writes_under_way(writer)
        plan = plan_undo(context, run_id, force=force)
        run.enter(Phase.APPLYING)
        for number, step in enumerate(plan.steps):
            run.check()
            outcome = run.outcomes[number] = _take_back(writer, step, run_id)
            on_outcome(outcome)
        links = context.store.outlines(run.pair.id).complete.values()
        held = sum(link.state is LinkState.HELD for link in links)
        run.close(state_after(run.outcomes.values()), held=held)
    return run.report


def _wait_for_writes_under_way(writer: TargetWriter) -> None:
    """A process that died may have left claims, and requests that the server still carries out."""
    links = writer.store.outlines(writer.pair.id).complete.values()
    claims = [link.lease_until for link in links if link.lease_until is not None]
    writer.wait_until(max(claims, default=None))


def _take_back(writer: TargetWriter, step: UndoStep, run_id: str) -> Outcome:
    kind, why = _KINDS[step.does], step.does
    action = Action(
        kind, step.testrail_id, step.name, why, step.testably_id, step.fields, step.before
    )
    blocked = (Problem(ProblemKind.CHANGED_SINCE, step.blocked),) if step.blocked else ()
    try:
        failed = _write_and_hold(writer, step, f"The undo of run {run_id} did not take it back: ")
    except LostLeaseError:
        why = "Another process is writing to it; run the undo again."
        problem = Problem(ProblemKind.HELD_UP, why)
        return Outcome(action, Result.WAITING, step.testably_id, (problem, *blocked))
    if failed is not None:
        return Outcome(action, Result.QUARANTINED, step.testably_id, (failed, *blocked))
    result = Result.CONFLICTS if blocked and not step.fields else _RESULTS[step.does]
    return Outcome(action, result, step.testably_id, blocked)


def _write_and_hold(writer: TargetWriter, step: UndoStep, not_done: str) -> Problem | None:
    """Write what takes it back, and hold it; why Testably did not take that, if it did not."""
    link, now = writer.reload(step.testrail_id), writer.clock.now()

    def hold(done: Link, failed: str = "") -> Link:
        why = [failed, *(one.reason for one in done.field_problems.values())]
        if step.fields and any(why):
            return done.held(now, not_done + " ".join(filter(None, why)))
        return done.held_without_target(now) if step.adopted else done.held(now)

    if not step.fields:
        if (step.adopted or not step.blocked) and link.state is not LinkState.ARCHIVED:
            writer.keep(hold(link))
        return None

    def unanswered(link: Link) -> Link:
        return link.held(now, f"{not_done}its write was not answered.")

    # Held before it is sent: whatever becomes of the request, no schedule takes it up.
    held, id_ = unanswered(link), step.change_id
    try:
        link = writer.patch(held, step.fields, step.before, "undo", undoes=id_, conclude=hold)
    except Refused as error:
        failed = _in_parts(writer, step, error, unanswered)
        link = writer.keep(hold(writer.reload(step.testrail_id), failed))
    told = link.problem
    return told if told is not None and told.kind is ProblemKind.UNDO_FAILED else None


def _in_parts(
    writer: TargetWriter, step: UndoStep, error: Refused, held: Callable[[Link], Link]
) -> str:
    """Send apart what was refused together; why some of it was not taken, if it was not (R3)."""
    safe, doubtful = apart(step.fields)
    parts = [part for part in (safe, *({n: v} for n, v in doubtful.items())) if part]
    failed: list[str] = []

    def conclude(done: Link) -> Link:
        failed.extend(one.reason for one in done.field_problems.values())
        return held(done)

    for part in parts:
        link, before = writer.reload(step.testrail_id), {n: step.before.get(n) for n in part}
        try:
            if len(parts) == 1:
                raise error
            writer.patch(link, part, before, "undo", undoes=step.change_id, conclude=conclude)
        except Refused as refusal:
            failed += [why_rejected(name, value, refusal) for name, value in part.items()]
    return " ".join(failed)


_KINDS = {
    "archive": Kind.ARCHIVE,
    "restore": Kind.UPDATE,
    "unlink": Kind.SKIP,
    "nothing": Kind.SKIP,
}
_RESULTS = {
    "archive": Result.ARCHIVED,
    "restore": Result.UPDATED,
    "unlink": Result.UNCHANGED,
    "nothing": Result.UNCHANGED,
}
