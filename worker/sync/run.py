"""One run of one pair: command, schedule, webhook, undo, rebuild and every test use this one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from structlog.contextvars import bind_contextvars, bound_contextvars

from mappings.errors import LostLock, MilesyncError
from mappings.locks import IsHeld, pair_lock
from mappings.rows import Pair
from worker.errors import GuardTripped, NotReviewed
from worker.sync.apply.attempts import Attempts
from worker.sync.apply.executor import Executor
from worker.sync.apply.outcome import Outcome
from worker.sync.apply.writer import TargetWriter
from worker.sync.collector import fewer_collections
from worker.sync.context import PairContext, PlannedRun
from worker.sync.decide.action import Plan
from worker.sync.decide.guards import rules_guard
from worker.sync.decide.snapshot import Snapshot
from worker.sync.options import LOOKS, WHOLE, Options, Phase, RunMode
from worker.sync.proof import Proof, its_own, prove
from worker.sync.quiet import plan_routine
from worker.sync.read.scope import Scope, listing_is_due
from worker.sync.recording import Recording, recording
from worker.sync.report import (
    RunReport,
    State,
    after_proof,
    ended_by,
    gaps_of,
    not_exact_after,
    problems_of,
    state_after,
    unproved,
    unrecorded,
)

OnOutcome = Callable[[Outcome], None]


@dataclass(slots=True)
class Run:
    """Holds its pair (R8) while inside, from the first reading to the report.

        with Run(context, options, mode) as run:
            run.plan(scope)
            run.apply()

    Entering raises Busy at once if somebody else holds the pair. An error ends the run and goes on
    to the caller; ``report`` then says so too. What is left without having been closed is aborted:
    nobody wanted it, and it is not kept; nor is one that was not reviewed.
    """

    context: PairContext
    options: Options
    mode: RunMode = WHOLE
    scope: Scope = field(default_factory=Scope)
    planned: PlannedRun | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    pushed: dict[int, Outcome] = field(default_factory=dict)
    proof: Proof | None = None
    phase: Phase = Phase.READING
    report: RunReport = field(init=False)
    pair: Pair = field(init=False)
    recording: Recording = field(init=False)
    _held: ExitStack = field(init=False)

    def __post_init__(self) -> None:
        self.report = unrecorded(self.context.identity, None, self.mode.of)

    @property
    def id(self) -> str:
        """The run's id in the database."""
        return self.recording.record.id

    # --- from its beginning to its end

    def __enter__(self) -> Self:
        try:
            with ExitStack() as stack:
                self._begin(stack)
                self._held = stack.pop_all()
        except MilesyncError as error:
            self.report = unrecorded(self.context.identity, error, self.mode.of)
            raise
        return self

    def _begin(self, stack: ExitStack) -> None:
        context = self.context
        self.pair = context.store.pair(context.identity)
        is_held: IsHeld = lambda: True  # noqa: E731  (a refresh holds no lock)
        if self.mode.exclusive:
            is_held = stack.enter_context(pair_lock(context.store.engine, self.pair.id))
        stack.enter_context(fewer_collections())
        begun = recording(context, self.pair, self.options, self.mode, is_held)
        self.recording = stack.enter_context(begun)
        stack.enter_context(bound_contextvars(phase=self.phase.value))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with self._held:
            if isinstance(error, NotReviewed | None) and self.report.state is State.ABORTED:
                self.report = self.recording.forget(error)
            elif error is not None:
                self._fail(error)

    def enter(self, phase: Phase) -> None:
        """Begin another phase."""
        self.phase = phase
        bind_contextvars(phase=phase.value)

    def check(self) -> None:
        """Note how far the run is. Raises GuardTripped, BudgetExhausted or LostLock to end it."""
        self.recording.check(self.outcomes.values())

    # --- reading

    def _reading(self, name: str = "", about: Collection[int] = ()) -> AbstractContextManager[None]:
        return self.recording.reading(name or self.phase, self.outcomes.values(), about)

    def plan(self, scope: Scope | None = None) -> PlannedRun:
        """Read and plan. Raises ApiError; GuardTripped if the mapping's settings changed."""
        mine, by_person = self.context.rules.fingerprint, self.options.by_person
        guard = rules_guard(self.pair.rules, mine, by_person=by_person)
        if guard is not None:
            raise GuardTripped(guard.message, guard.hint)
        now, longest = self.context.clock.now(), self.context.drift_check
        is_due = listing_is_due(self.pair, self.options, now, longest)
        self.scope = scope or Scope(list_target=is_due)
        with self._reading():
            planned = plan_routine(self.context, self.pair, self.options, self.scope)
        self.planned = planned
        if planned.snapshot.target.listed and self.scope.recalled is None:
            # both APIs have answered, whatever else is wrong: no credentials are refused
            self.context.store.update_pair(self.pair.id, paused_because=None)
        return planned

    # --- applying

    def apply(self, on_outcome: OnOutcome = lambda _: None) -> RunReport:
        """Do what was planned. Raises GuardTripped before the first write, or ApiError."""
        assert self.planned is not None  # noqa: S101  (the plan comes first)
        snapshot, plan = self.planned.snapshot, self.planned.plan
        for guard in plan.guards:
            raise GuardTripped(guard.message, guard.hint)
        self.enter(Phase.APPLYING)
        self.context.store.update_pair(self.pair.id, rules=self.context.rules.fingerprint)
        self.recording.plan(plan)
        self._apply(snapshot, plan, self.outcomes, on_outcome)
        self.enter(Phase.PROVING)
        self.proof = self._prove(snapshot, plan)
        return self._end(snapshot)

    def _apply(
        self,
        snapshot: Snapshot,
        plan: Plan,
        outcomes: dict[int, Outcome],
        on_outcome: OnOutcome = lambda _: None,
    ) -> Collection[Outcome]:
        self.mode.before_writes()
        # A refresh leaves creates in doubt to a run of the whole pair: looking for them may take
        # longer than its task.
        Executor(
            self.writer(),
            self.context.rules,
            snapshot,
            outcomes,
            Attempts(wrote=self.has_written),
            self.recording.counted_since,
            archive_in_use=self.options.archive_in_use,
            check=self.check,
            on_outcome=on_outcome,
            looking=partial(self._reading, LOOKS) if self.mode.exclusive else None,
        ).apply(plan)
        return outcomes.values()

    def writer(self) -> TargetWriter:
        """What writes to the target in this run, as long as it holds its pair."""
        return self.context.writer(self.pair, self.id, self.recording.heartbeat.require)

    @property
    def has_written(self) -> bool:
        """Whether this part of the run, or an earlier one, has written anything."""
        return self.recording.has_written(self.outcomes.values())

    # --- proving

    def _prove(self, snapshot: Snapshot, plan: Plan) -> Proof | None:
        """The proof that the run gives of its scope: by what it read, or by reading once more."""
        if self.has_written:
            return self._read_again() if self.options.proves else None
        is_read = snapshot.target.listed_whole and self.scope.recalled is None
        is_proof = self.options.verify and is_read and snapshot.source.complete
        return its_own(self.context, self.options, snapshot, plan) if is_proof else None

    def _read_again(self) -> Proof:
        push = partial(self._apply, outcomes=self.pushed)
        return prove(self.context, self.pair, self.options, push, self._reading)

    @property
    def is_proving(self) -> bool:
        """Whether an earlier slice of the run has begun to read for the proof."""
        return self.context.answers.is_begun(self.recording.record, Phase.PROVING)

    def prove(self) -> RunReport:
        """Go on with the proof that an earlier slice has begun: all else was done before it."""
        self.enter(Phase.PROVING)
        self.proof = self._read_again()
        return self._end(self.proof.snapshot)

    def _end(self, snapshot: Snapshot | None) -> RunReport:
        """Close a run that came to its end; ``snapshot`` is what its plan was made from."""
        unread = self.proof is not None and self.proof.found is None
        self.close(State.PARTIAL if unread else state_after(self._told(), snapshot))
        self._note_what_follows(snapshot)
        return self.report

    def _note_what_follows(self, snapshot: Snapshot | None) -> None:
        """Remember with the pair what a run has listed, proved and made needless.

        What was listed in a run that did not come to its end is listed again by the next one.
        """
        context, record = self.context, self.recording.record
        ended_well = self.report.state is State.SUCCEEDED
        is_whole = self.mode.exclusive and self.options.only is None
        if is_whole and snapshot is not None and snapshot.target.listed_whole:
            recalled = self.scope.recalled_from
            listed_at = recalled.at if recalled else snapshot.read_at or snapshot.now
            context.store.update_pair(self.pair.id, listed_at=listed_at)
        if self.proof is not None and self.proof.changed_since:
            context.store.update_pair(self.pair.id, drifted_at=context.clock.now())
        elif self.proof is not None and ended_well and self.proof.proved_at is not None:
            context.store.update_pair(self.pair.id, proved_at=self.proof.proved_at)
        if is_whole and ended_well and not record.in_background:
            context.runs.supersede(self.pair.id, record.id, context.clock.now())

    # --- reporting

    def close(
        self, state: State, error: MilesyncError | None = None, *, held: int | None = None
    ) -> None:
        """End the run: what came of it goes into the report and the database.

        ``held`` is how many milestones are held after an undo. Raises LostLock, StoreError.
        """
        if state is State.UNFINISHED:
            self.context.answers.keep_for_next_slice()
        plan = (self.proof and self.proof.plan) or (self.planned and self.planned.plan)
        is_read_again = self.proof is not None and self.proof.outcomes is not None
        self.recording.look_up([*self.outcomes.values(), *self.pushed.values()])
        ended, outcomes = self.ended, self.outcomes.values()
        counts = self.recording.counts(ended)
        if self.planned is None and self.phase is Phase.PROVING:
            counts = self.recording.counts_of_proof(ended, is_whole=plan is not None)
        report = RunReport(
            self.context.identity,
            self.id,
            state,
            counts if held is None else {**counts, "held": held},
            self.recording.requests(),
            (*self._gaps(), *problems_of(self._told(), ended)),
            not_exact_after(plan.not_exact if plan else {}, () if is_read_again else outcomes),
            error,
            self.proof.as_json() if self.proof else None,
            sum(outcome.action.is_left for outcome in self._told()),
        )
        self.recording.close(report)
        self.report = report

    def _gaps(self) -> Collection[dict[str, object]]:
        gaps = gaps_of(self.planned.snapshot) if self.planned else ()
        if self.proof is not None and self.proof.found is None:
            return (*gaps, unproved(self.proof.reason))
        return gaps

    @property
    def ended(self) -> list[Outcome]:
        """What has come of each milestone, as far as the run got, its proof included."""
        found = self.recording.found
        return after_proof(self.outcomes.values(), self._told(), self.pushed.values(), found)

    def _told(self) -> Collection[Outcome]:
        """The outcomes that say what a person should read: those of the proof, if it gave any."""
        proved = self.proof.outcomes if self.proof else None
        return self.outcomes.values() if proved is None else proved

    def _fail(self, error: BaseException) -> None:
        """Close the run with what ended it. Raises what keeps that from being recorded."""
        try:
            if isinstance(error, LostLock):
                raise error
            self.close(*ended_by(error, in_background=self.recording.record.in_background))
        except LostLock as lost:
            did = (self.recording.counts(self.outcomes.values()), self.recording.requests())
            self.report = RunReport(self.report.identity, self.id, State.FAILED, *did, error=lost)
            self.recording.give_way(lost)
        except MilesyncError as worse:
            self.report = unrecorded(self.context.identity, worse, self.id)
            raise


def run_pair(
    context: PairContext,
    options: Options,
    scope: Scope | None = None,
    on_outcome: OnOutcome = lambda _: None,
    mode: RunMode = WHOLE,
) -> RunReport:
    """One run of one pair from start to end; an error becomes the report's."""
    run = Run(context, options, mode)
    with suppress(MilesyncError), run:
        run.plan(scope)
        run.apply(on_outcome)
    return run.report
