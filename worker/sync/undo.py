"""Takes back what a run did, from the before-values that the journal kept.

One step a milestone, several of which may be under way: a parent is archived after its
sub-milestones, and put back before them. What changed in the target since is left alone unless a
person forces it. Every link that is taken back is held until a person migrates again (R9), and so
is one that is left: a person decides about it, and no sync. An undo is a run of its own: it can be
interrupted and run again, and goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.problem import Problem, ProblemKind
from worker.errors import AnswerTooLarge, ApiError, MilestoneNotFound, Refused, TurnedAway
from worker.sync.apply.attempts import Attempts, Failure
from worker.sync.apply.outcome import Outcome, Result
from worker.sync.apply.updates import FRESH, LeftError, parts, read_unused, why_rejected
from worker.sync.apply.writer import LostLeaseError, TargetWriter
from worker.sync.context import PairContext
from worker.sync.decide.action import Action, Kind
from worker.sync.options import Options, Phase, RunMode, Trigger
from worker.sync.report import OnEnd, RunReport, state_after
from worker.sync.run import OnOutcome, Run
from worker.sync.undo_plan import plan_undo
from worker.sync.undo_step import TURNS, UndoPlan, UndoStep, unarchived


def undo(
    context: PairContext,
    run_id: str,
    *,
    force: bool = False,
    begin: Callable[[UndoPlan], OnOutcome] = lambda _: lambda _: None,
    on_end: OnEnd = lambda _: None,
) -> RunReport:
    """Take the run back. Raises Busy, UsageError, ApiError; run again, it goes on.

    What concerns one milestone alone is told of it, and ends nothing (R6).

    ``begin`` is called with the plan before the first write, and returns what is called with each
    outcome. ``on_end`` is called with the report also where an error or a signal goes on.
    """
    run = Run(context, Options(trigger=Trigger.MANUAL), RunMode(undoes=run_id))
    try:
        with run:
            held = _take_back_all(run, partial(plan_undo, context, run_id, force=force), begin)
    finally:
        on_end(run.report)
    return replace(run.report, held_accepted=sum(link.is_accepted for link in held))


def _take_back_all(
    run: Run, make_plan: Callable[[], UndoPlan], begin: Callable[[UndoPlan], OnOutcome]
) -> list[Link]:
    """Take back what is planned, and close the run: the links that are held after it."""
    writer = run.writer()
    _wait_for_writes_under_way(writer)
    with run.recording.reading(Phase.READING, ()):
        plan = make_plan()
    on_outcome = begin(plan)
    run.enter(Phase.APPLYING)
    _Steps(run, writer, plan, on_outcome).do_all()
    links = run.context.store.outlines(run.pair.id).complete.values()
    held = [link for link in links if link.is_held]
    run.close(state_after(run.outcomes.values()), held=len(held))
    return held


def _wait_for_writes_under_way(writer: TargetWriter) -> None:
    """A process that died may have left leases, and requests that the server still carries out."""
    links = writer.store.outlines(writer.pair.id).complete.values()
    leases = [link.lease_until for link in links if link.lease_until is not None]
    writer.wait_until(max(leases, default=None))


@dataclass(frozen=True, slots=True)
class _Steps:
    """Does the steps of an undo, several of which may be under way; one stops no other (R6)."""

    run: Run
    writer: TargetWriter
    plan: UndoPlan
    on_outcome: OnOutcome
    attempts: Attempts = field(default_factory=Attempts)

    def do_all(self) -> None:
        """Do every step. Raises the ApiError where no milestone is to blame."""
        for turn in TURNS:
            numbers = [number for number, step in enumerate(self.plan.steps) if step.turn == turn]
            self.writer.lanes.each(numbers, self._do, lambda number: (number, None))
        self.attempts.require_access()

    def _do(self, number: int) -> None:
        self.run.check()
        step = self.plan.steps[number]
        outcome = self.run.outcomes[number] = self._take_back(number, step)
        self.on_outcome(outcome)
        self.attempts.require_writes()

    def _take_back(self, number: int, step: UndoStep) -> Outcome:
        run_id = self.plan.run_id
        kind, why = _KINDS[step.does], step.does
        action = Action(
            kind, step.testrail_id, step.name, why, step.testably_id, step.fields, step.before
        )
        left = _why_left(step, run_id)
        blocked = () if left is None else (left,)
        try:
            one = _TakingBack(self._writer_of(number), step, run_id, left, self._is_old)
            result, failed = self._write(number, one)
        except LeftError as error:
            cannot = error.problem.kind is ProblemKind.UNREAD
            return self._take_back(number, unarchived(step, str(error), cannot=cannot))
        except LostLeaseError:
            why = "Another process is writing to it; run the undo again."
            problem = Problem(ProblemKind.HELD_UP, why)
            return Outcome(action, Result.WAITING, step.testably_id, (problem, *blocked))
        if failed is not None:
            return Outcome(action, result, step.testably_id, (failed, *blocked))
        if left is None or step.fields:
            return Outcome(action, result, step.testably_id, blocked)
        result = Result.WAITING if left.kind is ProblemKind.IN_DOUBT else Result.CONFLICTS
        return Outcome(action, result, step.testably_id, blocked)

    @property
    def _is_old(self) -> bool:
        """Whether what hangs on the targets was read too long ago to archive one (R12)."""
        is_old = self.writer.clock.now() - self.plan.read_at > FRESH
        return is_old and not self.plan.force

    def _writer_of(self, number: int) -> TargetWriter:
        """What writes this step: once, where the target seems away (R6)."""
        self.attempts.begin(number)
        repeats = not self.attempts.is_sparing
        on_failure = partial(self.attempts.failed_once, number)
        return replace(self.writer, repeats=repeats, on_failure=on_failure)

    def _write(self, number: int, one: _TakingBack) -> tuple[Result, Problem | None]:
        """What came of it, and why it was not taken back, if it was not.

        Raises what concerns the whole undo.
        """
        try:
            failed = one.do()
        except ApiError as error:  # that it has gone only the lists of the next undo prove (R4)
            is_its_own = isinstance(error, TurnedAway | MilestoneNotFound | AnswerTooLarge)
            if not (is_its_own or error.may_pass):
                raise
            self.attempts.require_permits(error)
            failure = Failure(ProblemKind.UNDO_FAILED, error.message, has_count=False, error=error)
            self.attempts.note(number, failure)
            return Result.WAITING, one.failed(error)
        if failed is not None:
            return Result.QUARANTINED, failed
        if one.step.fields:
            self.attempts.succeeded(number)
        return _RESULTS[one.step.does], None


def _why_left(step: UndoStep, run_id: str) -> Problem | None:
    """Why it, or a part of it, is not taken back, and what takes it back all the same."""
    if step.blocked is None:
        return None
    if step.cannot:
        why = f"The undo of run {run_id} did not take it back: {step.blocked}"
        return Problem(ProblemKind.UNDO_FAILED, why)
    if step.is_in_doubt:
        return Problem(ProblemKind.IN_DOUBT, step.blocked)
    force = f"`milesync undo {run_id} --force` takes it back all the same."
    return Problem(ProblemKind.CHANGED_SINCE, f"{step.blocked} So it was left; {force}")


@dataclass(frozen=True, slots=True)
class _TakingBack:
    """Writes what takes one milestone back, and holds it; ``left`` is why a part of it is left.

    What it archives is looked into again if that was read too long ago, so that it ``is_old``.
    """

    writer: TargetWriter
    step: UndoStep
    run_id: str
    left: Problem | None
    is_old: bool

    def do(self) -> Problem | None:
        """Do it; why Testably did not take that, if it did not.

        Raises LeftError where it is not to be archived.
        """
        writer, step = self.writer, self.step
        link = writer.reload(step.testrail_id)
        if step.live is not None:
            link = link.seen_as(step.live)
        if not step.fields:
            if _is_to_hold(link, step):
                writer.keep(self._held(link))
            return None
        if link.testably_id != step.testably_id:  # linked to another one since the target was read
            raise LostLeaseError
        if self.is_old and step.archives:
            read_unused(writer, link, "It would be archived.")
        problem = self._write(link).problem
        return problem if problem is not None and problem.kind is ProblemKind.UNDO_FAILED else None

    def failed(self, error: ApiError) -> Problem:
        """Record that it was not taken back, as far as is known; what was sent may still arrive."""
        link, problem = self.writer.reload(self.step.testrail_id), self._failure(error.message)
        held = link.held(self.writer.clock.now(), problem, self.step.stays, self.step.edited)
        self.writer.keep(held.begin_update(link.in_flight) if link.in_flight else held)
        return problem

    def _write(self, link: Link) -> Link:
        # Held before it is sent: whatever becomes of the request, no schedule takes it up.
        writer, step = self.writer, self.step
        held, id_ = link if step.beside else self._unanswered(link), step.change_id
        try:
            return writer.patch(
                held, step.fields, step.before, "undo", undoes=id_, conclude=self._held
            )
        except Refused as error:
            failed = self._in_parts(error)
            return writer.keep(self._held(writer.reload(step.testrail_id), failed))

    def _in_parts(self, error: Refused) -> str:
        """Send apart what was refused together; why some was not taken, if it was not (R3).

        The dates go together: alone, a start may come after the due date that still stands there.
        """
        writer, step = self.writer, self.step
        sending = parts(step.fields)
        failed: list[str] = []

        def conclude(done: Link) -> Link:
            failed.extend(one.reason for one in done.field_problems.values())
            return done if step.beside else self._unanswered(done)

        for part in sending:  # which grows: what is refused together goes alone at last
            link, before = writer.reload(step.testrail_id), {n: step.before.get(n) for n in part}
            try:
                if len(part) == len(step.fields):
                    raise error
                writer.patch(link, part, before, "undo", undoes=step.change_id, conclude=conclude)
            except Refused as refusal:
                if len(part) > 1:
                    sending += [{name: value} for name, value in part.items()]
                else:
                    failed += [why_rejected(name, value, refusal) for name, value in part.items()]
        return " ".join(failed)

    # --- how its link is held

    def _held(self, done: Link, failed: str = "") -> Link:
        step, now = self.step, self.writer.clock.now()
        why = [failed, *(one.reason for one in done.field_problems.values())]
        if step.fields and any(why):
            return done.held(now, self._failure(*why), step.stays, step.edited)
        if step.adopted and self.left is None:  # what is left needs its link to be taken back
            return done.held_without_target(now)
        if step.beside:
            return done.edited_over(step.edited)
        return done.held(now, self.left, step.stays, step.edited)

    def _unanswered(self, link: Link) -> Link:
        why = self._failure("its write was not answered.")
        return link.held(self.writer.clock.now(), why, self.step.stays, self.step.edited)

    def _failure(self, *why: str) -> Problem:
        parts = [f"The undo of run {self.run_id} did not take it back:", *why]
        parts += [self.left.reason] if self.left is not None else []
        return Problem(ProblemKind.UNDO_FAILED, " ".join(filter(None, parts)))


def _is_to_hold(link: Link, step: UndoStep) -> bool:
    """Whether an undo that writes nothing to a milestone holds it.

    Not where a create of it is in doubt (R2), nor where the run wrote to another target than it
    has now, nor where it is done with.
    """
    if step.is_in_doubt or link.state in (LinkState.CREATING, LinkState.ARCHIVED):
        return False
    return link.testably_id == step.testably_id or not (link.has_target or step.cannot)


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
