"""The one path: read, decide, apply, report. Every way in, by hand or by itself, comes here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from mappings.errors import LostLock, MilesyncError
from mappings.locks import IsHeld, pair_lock
from mappings.rows import Pair
from mappings.runs import RunRecord
from worker.errors import BudgetExhausted, GuardTripped, Interrupted
from worker.sync.apply.attempts import Attempts
from worker.sync.apply.executor import Applier
from worker.sync.apply.outcome import DONE, Outcome, unattempted
from worker.sync.apply.vocabulary import TABLE, OpenWord
from worker.sync.apply.writer import TargetWriter
from worker.sync.context import PairContext, PlannedRun, plan_run
from worker.sync.decide.action import Plan
from worker.sync.decide.guards import rules_guard
from worker.sync.decide.snapshot import Snapshot
from worker.sync.heartbeat import Heartbeat
from worker.sync.options import Options, Trigger
from worker.sync.proof import Proof, its_own, prove
from worker.sync.read.scope import Scope
from worker.sync.report import (
    RunReport,
    State,
    added,
    count,
    error_json,
    gaps_of,
    problems_of,
    state_after,
    state_of,
    unproved,
)

log = structlog.get_logger(__name__)

REFRESHES_COUNT_ONCE = timedelta(minutes=15)
"""What refreshes of a milestone fail in this time counts once (R6)."""

OnOutcome = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class RunMode:
    """What of a run one background task does; a run by hand is all of it.

    ``of`` is the recorded run that it goes on with (None begins one). ``is_over`` is asked
    about once a second whether to end here; the run is then unfinished. A part that is not
    ``exclusive`` (a refresh) does not hold the pair: each of its writes leases its link.
    """

    of: str | None = None
    is_over: Callable[[], bool] = lambda: False
    exclusive: bool = True


WHOLE = RunMode()


@dataclass(slots=True)
class Run:
    """A run that holds its pair. ``report`` says how it ended, once it has."""

    context: PairContext
    pair: Pair
    record: RunRecord
    options: Options
    report: RunReport
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    prepared: PlannedRun | None = None
    proof: Proof | None = None
    final: tuple[Outcome, ...] | None = None
    mode: RunMode = WHOLE
    scope: Scope = field(default_factory=Scope)
    heartbeat: Heartbeat = field(default_factory=lambda: Heartbeat(lambda: True))
    _started: dict[str, int] = field(default_factory=dict)
    _checked: float = 0.0

    def prepare(self, scope: Scope | None = None) -> PlannedRun:
        """Read and plan. Raises ApiError; GuardTripped if the mapping's settings changed."""
        guard = rules_guard(
            self.pair.rules, self.context.rules.fingerprint, by_person=self.options.by_person
        )
        if guard is not None:
            raise GuardTripped(guard.message, guard.hint)
        self.scope = scope or Scope(list_target=self._listing_is_due())
        self.prepared = plan_run(self.context, self.pair, self.options, self.scope)
        if self._listed_whole(self.prepared.snapshot):
            now = self.prepared.snapshot.now
            self.context.store.update_pair(self.pair.id, listed_at=now, paused_because=None)
        return self.prepared

    def _listed_whole(self, snapshot: Snapshot) -> bool:
        """Whether this part itself has just read all of the target."""
        return snapshot.target.listed and snapshot.target.complete and self.scope.recalled is None

    def _listing_is_due(self) -> bool:
        if self.options.trigger is not Trigger.SCHEDULE or self.pair.listed_at is None:
            return True
        if self.pair.paused_because:  # only the target can tell whether it takes us again
            return True
        age = self.context.clock.now() - self.pair.listed_at
        longest = self.context.drift_check
        # before it was listed: the clock was set back since
        return longest is not None and not timedelta(0) <= age < longest

    def apply(self, on_outcome: OnOutcome = lambda _: None) -> RunReport:
        """Do what was prepared. Raises GuardTripped before the first write, or ApiError."""
        assert self.prepared is not None  # noqa: S101  (prepare comes first)
        plan = self.prepared.plan
        for guard in plan.guards:
            raise GuardTripped(guard.message, guard.hint)
        context = self.context
        context.store.update_pair(self.pair.id, rules=context.rules.fingerprint)
        if self.record.planned is None:
            self._note(planned=plan.writes)
        self._applier(self.prepared.snapshot, self.outcomes, on_outcome).apply(plan)
        self.proof = self._prove(self.prepared)
        self.close(self._state(self.prepared.snapshot))
        self._note_proof()
        self._close_what_was_left()
        return self.report

    def _applier(
        self,
        snapshot: Snapshot,
        outcomes: dict[int, Outcome],
        on_outcome: OnOutcome = lambda _: None,
    ) -> Applier:
        context = self.context
        writer = TargetWriter(
            self.pair,
            self.record.id,
            context.target,
            context.store,
            context.clock,
            self.heartbeat.require,
            open_word=self._open_word(),
        )
        return Applier(
            writer,
            context.rules,
            dict(snapshot.links),
            snapshot.now,
            self._counted_since,
            seen=snapshot.target,
            archive_in_use=self.options.archive_in_use,
            check=self._check,
            on_outcome=on_outcome,
            outcomes=outcomes,
            attempts=Attempts(wrote=self._has_written()),
        )

    @property
    def _counted_since(self) -> datetime:
        """Since when failures count as those of this run; refreshes share a while (R6)."""
        if self.mode.exclusive:
            return self.record.started_at
        return self.context.clock.now() - REFRESHES_COUNT_ONCE

    def _open_word(self) -> OpenWord:
        """The vocabulary that this pair's target took last; what is learned is kept with it."""
        store, pair = self.context.store, self.pair
        known = (store.find_pair(pair.identity) or pair).open_word
        return OpenWord(known == TABLE, lambda word: store.update_pair(pair.id, open_word=word))

    # --- the proof

    def _prove(self, prepared: PlannedRun) -> Proof | None:
        """The proof that the run gives of its scope: by what it read, or by reading once more."""
        snapshot = prepared.snapshot
        whole = self._listed_whole(snapshot) and snapshot.source.complete
        if not prepared.plan.changes and not self._has_written():
            if not (whole and self.options.verify):
                return None
            return its_own(self.context, self.options, snapshot, prepared.plan)
        if not (self.options.proves and self._has_written()):
            return None
        pushed: dict[int, Outcome] = {}
        proof = prove(
            self.context,
            self.pair,
            self.options,
            lambda now, plan: self._applier(now, pushed).apply(plan),
        )
        if proof.plan is not None:
            self.final = _final(proof.plan, pushed.values())
        return proof

    def _has_written(self) -> bool:
        return any(self._counts().get(result.value, 0) for result in DONE)

    def _state(self, snapshot: Snapshot) -> State:
        if self.proof is not None and self.proof.found is None:
            return State.PARTIAL
        return state_after(self._told(), snapshot)

    def _told(self) -> Iterable[Outcome]:
        """The outcomes that say what a person should read: those of the proof, if there is one."""
        return self.outcomes.values() if self.final is None else self.final

    def _close_what_was_left(self) -> None:
        """What was left unfinished before a whole run by hand that ended in step is done."""
        whole = self.mode.exclusive and self.options.only is None and not self.record.in_background
        if whole and self.report.state is State.SUCCEEDED:
            context = self.context
            context.runs.supersede(self.pair.id, self.record.id, context.clock.now())

    def _note_proof(self) -> None:
        """A proof of the whole scope that found nothing is remembered with the pair."""
        proof = self.proof
        if proof is None or proof.snapshot is None or self.report.state is not State.SUCCEEDED:
            return
        if proof.is_whole and proof.in_step:
            self.context.store.update_pair(self.pair.id, proved_at=proof.snapshot.now)

    def _check(self) -> None:
        """Once a second: note how far the run is, and whether it has to end here."""
        self.heartbeat.require()
        now = self.context.clock.monotonic()
        if now - self._checked < 1.0:
            return
        self._checked = now
        self._note(**self._progress())
        record = self.context.runs.get(self.record.id)
        if record is not None and record.stop_requested:
            raise GuardTripped("The run was stopped.", "Run `milesync migrate` to go on.")
        if self.mode.is_over():
            raise BudgetExhausted("This slice of the run is over; the next one goes on.", 0.0)

    def _note(self, **values: object) -> None:
        """Record of this run what changes. Raises LostLock if another process has it now."""
        if not self.context.runs.note(self.record, **values):
            raise LostLock("This run was taken over from this process, which stops.")

    def _progress(self) -> dict[str, object]:
        return {"counts": self._counts(), "requests": self._requests()}

    def _counts(self) -> dict[str, int]:
        return added(self.record.counts, count(self.outcomes.values()))

    def _requests(self) -> dict[str, int]:
        now = self.context.requests
        before = self.record.requests
        return {name: before.get(name, 0) + now[name] - self._started[name] for name in now}

    def close(
        self, state: State, error: MilesyncError | None = None, *, held: int | None = None
    ) -> None:
        """End the run: what came of it goes into the report and the database.

        ``held`` is how many milestones are held after an undo.
        """
        gaps = gaps_of(self.prepared.snapshot) if self.prepared else ()
        if self.proof is not None and self.proof.found is None:
            gaps = (*gaps, unproved(self.proof.reason))
        self.report = RunReport(
            self.pair.identity,
            self.record.id,
            state,
            self._counts() if held is None else {**self._counts(), "held": held},
            self._requests(),
            (*gaps, *problems_of(self._told())),
            self._not_exact(),
            error,
            self.proof.as_json() if self.proof else None,
        )
        self._note(
            state=state.value,
            finished_at=self.context.clock.now(),
            problems=[dict(problem) for problem in self.report.problems],
            not_exact=dict(self.report.not_exact),
            error=None if error is None else error_json(error),
            verified=self.report.verified,
            counts=dict(self.report.counts),
            requests=dict(self.report.requests),
        )
        self.record = replace(self.record, state=state.value)
        log.info(
            "run ended",
            run=self.record.id,
            state=state.value,
            **self._counts(),
            **self._requests(),
        )

    def _not_exact(self) -> Mapping[str, int]:
        if self.proof is not None and self.proof.plan is not None:
            return self.proof.plan.not_exact
        return self.prepared.plan.not_exact if self.prepared else {}

    def fail(self, error: BaseException) -> None:
        """Close the run with what ended it."""
        if isinstance(error, LostLock):
            self._give_way(error)
            return
        told = error if isinstance(error, MilesyncError) else _unexpected(error)
        state = state_of(error)
        if isinstance(error, BudgetExhausted) and not self.record.in_background:
            # nobody goes on with what a person began
            state = State.FAILED
            own = "" if error.hint == error.default_hint else f"{error.hint} "
            hint = f"{own}{Interrupted.default_hint}"
            told = type(error)(error.message, error.wait, hint)
        try:
            self.close(state, told)
        except LostLock as lost:
            self._give_way(lost)

    def _give_way(self, error: LostLock) -> None:
        """Leave the record to whoever has the run now, or to the sweep."""
        runs = self.context.runs
        now = runs.get(self.record.id) or self.record
        if now.holder == self.record.holder:
            runs.let_go(now, error_json(error))
        log.warning("the run lost its pair and stops", run=self.record.id)
        self.report = RunReport(
            self.pair.identity, self.record.id, State.FAILED, self._counts(), error=error
        )


def _final(plan: Plan, pushed: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """What a person should read after the proof: what it pushed, and what it left as it is."""
    tried = {outcome.action.testrail_id: outcome for outcome in pushed}
    return tuple(
        tried.get(action.testrail_id) or unattempted(action)
        if action in plan.changes
        else unattempted(action)
        for action in plan.actions
    )


def _unexpected(error: BaseException) -> MilesyncError:
    if isinstance(error, KeyboardInterrupt):
        return getattr(error, "error", None) or Interrupted("The run was interrupted.")
    return MilesyncError(f"{type(error).__name__}: {error}", "This is a fault of milesync.")


@contextmanager
def open_run(context: PairContext, options: Options, mode: RunMode = WHOLE) -> Iterator[Run]:
    """Hold the pair for one run. Raises Busy at once if somebody else holds it.

    A run that is left without having been applied is closed as aborted, one that an error ends
    as failed; the error goes on to the caller.
    """
    pair = context.store.pair(context.identity)
    with ExitStack() as stack:
        is_held: IsHeld = lambda: True  # noqa: E731  (a refresh holds no lock)
        if mode.exclusive:
            is_held = stack.enter_context(pair_lock(context.store.engine, pair.id))
        record = _record(context, pair, options, mode)
        report = RunReport(context.identity, record.id, State.ABORTED)
        run = Run(context, pair, record, options, report, mode=mode, _started=context.requests)
        run.heartbeat = Heartbeat(lambda: is_held() and context.runs.beat(record))
        stack.enter_context(_in_the_log(record.id, pair))
        stack.enter_context(run.heartbeat.every(context.heartbeat_every))
        try:
            yield run
        except BaseException as error:
            run.fail(error)
            raise
        if run.report.state is State.ABORTED:
            run.fail(GuardTripped("Nobody said yes; nothing was written.", ""))


def _in_the_log(run_id: str, pair: Pair) -> AbstractContextManager[None]:
    """Every line names the run and its pair, and what it came from: a run by hand, itself."""
    origin = structlog.contextvars.get_contextvars().get("correlation", run_id)
    return structlog.contextvars.bound_contextvars(
        run=run_id, pair=str(pair.id), correlation=origin
    )


def _record(context: PairContext, pair: Pair, options: Options, mode: RunMode) -> RunRecord:
    now = context.clock.now()
    if mode.of is not None:
        return context.runs.resume(mode.of, context.holder)
    kept = options.as_json()
    trigger = options.trigger.value
    return context.runs.begin(pair.id, trigger, context.holder, now, kept, exclusive=mode.exclusive)


def run_pair(
    context: PairContext,
    options: Options,
    scope: Scope | None = None,
    on_outcome: OnOutcome = lambda _: None,
    mode: RunMode = WHOLE,
) -> RunReport:
    """One run of one pair from start to end; an error becomes the report's."""
    run: Run | None = None
    try:
        with open_run(context, options, mode) as run:
            run.prepare(scope)
            return run.apply(on_outcome)
    except MilesyncError as error:
        if run is not None:
            return run.report
        return RunReport(context.identity, None, state_of(error), error=error)
