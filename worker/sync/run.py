"""The one path: gather, plan, apply, report. Every way in, by hand or by itself, comes here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from mappings.errors import LostLock, MilesyncError
from mappings.locks import IsHeld, pair_lock
from mappings.milestone import MappingRules
from mappings.rows import Pair, PairIdentity
from mappings.runs import HEARTBEAT_EVERY, Run, RunLog
from mappings.store import Store
from worker.clock import Clock
from worker.errors import BudgetExhausted, GuardTripped, Interrupted
from worker.sync.action import Plan
from worker.sync.apply import Applier
from worker.sync.gather import Gatherer, Scope
from worker.sync.guards import rules_guard
from worker.sync.heartbeat import Heartbeat
from worker.sync.journal import Journal
from worker.sync.outcome import Outcome
from worker.sync.plan import make_plan
from worker.sync.ports import Source, Target
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
)
from worker.sync.scene import Options, Policy, Scene, Trigger

log = structlog.get_logger(__name__)

OnOutcome = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Mirror:
    """One project pair with everything that a run of it needs.

    ``drift_check`` is how old the last target listing may be in a scheduled run: zero for
    always listing, None for never.
    """

    identity: PairIdentity
    rules: MappingRules
    policy: Policy
    source: Source
    target: Target
    store: Store
    runs: RunLog
    clock: Clock
    holder: str
    drift_check: timedelta | None = timedelta(hours=1)
    seconds_per_request: float = 1.02
    heartbeat_every: float = HEARTBEAT_EVERY


@dataclass(frozen=True, slots=True)
class Part:
    """What of a run one background task does; a run by hand is all of it.

    ``of`` is the recorded run that it goes on with (None begins one). ``is_over`` is asked
    about once a second whether to end here; the run is then unfinished. A part that is not
    ``alone`` (a refresh) does not hold the pair: each of its writes claims its link.
    """

    of: str | None = None
    is_over: Callable[[], bool] = lambda: False
    alone: bool = True


WHOLE = Part()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan with the scene it was made from and the requests that reading took."""

    scene: Scene
    plan: Plan
    reads: dict[str, int]
    minutes: float

    @property
    def requests(self) -> dict[str, int]:
        """What a migration takes from its start to its end, its reads included."""
        return {**self.reads, "testably": self.reads["testably"] + self.plan.writes}


def look(mirror: Mirror, options: Options) -> Prepared:
    """Plan without a lock, a run or a write: the dry run. Raises ApiError, StoreError."""
    return _prepare(mirror, mirror.store.pair(mirror.identity), options, Scope())


def _prepare(mirror: Mirror, pair: Pair, options: Options, scope: Scope) -> Prepared:
    before = _requests(mirror)
    gatherer = Gatherer(
        pair,
        mirror.source,
        mirror.target,
        mirror.rules,
        mirror.policy,
        options,
        mirror.store.outlines(pair.id),
        lambda ids: mirror.store.links(pair.id, ids),
    )
    scene = gatherer.scene(scope, mirror.clock.now())
    plan = make_plan(scene)
    after = _requests(mirror)
    reads = {name: after[name] - before[name] for name in after}
    minutes = (reads["testably"] + plan.writes) * mirror.seconds_per_request / 60
    return Prepared(scene, plan, reads, minutes)


def _requests(mirror: Mirror) -> dict[str, int]:
    return {"testrail": mirror.source.requests, "testably": mirror.target.requests}


@dataclass(slots=True)
class OpenRun:
    """A run that holds its pair. ``report`` says how it ended, once it has."""

    mirror: Mirror
    pair: Pair
    record: Run
    options: Options
    report: RunReport
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    prepared: Prepared | None = None
    part: Part = WHOLE
    scope: Scope = field(default_factory=Scope)
    heartbeat: Heartbeat = field(default_factory=lambda: Heartbeat(lambda: True))
    _started: dict[str, int] = field(default_factory=dict)
    _checked: float = 0.0

    def prepare(self, scope: Scope | None = None) -> Prepared:
        """Gather and plan. Raises ApiError; GuardTripped if the mapping's settings changed."""
        guard = rules_guard(
            self.pair.rules, self.mirror.rules.fingerprint, by_person=self.options.by_person
        )
        if guard is not None:
            raise GuardTripped(guard.message, guard.hint)
        self.scope = scope or Scope(list_target=self._listing_is_due())
        self.prepared = _prepare(self.mirror, self.pair, self.options, self.scope)
        if self._listed_whole(self.prepared.scene):
            now = self.prepared.scene.now
            self.mirror.store.update_pair(self.pair.id, listed_at=now, paused_because=None)
        return self.prepared

    def _listed_whole(self, scene: Scene) -> bool:
        """Whether this part itself has just read all of the target."""
        return scene.target.listed and scene.target.complete and self.scope.recalled is None

    def _listing_is_due(self) -> bool:
        if self.options.trigger is not Trigger.SCHEDULE or self.pair.listed_at is None:
            return True
        if self.pair.paused_because:  # only the target can tell whether it takes us again
            return True
        age = self.mirror.clock.now() - self.pair.listed_at
        return self.mirror.drift_check is not None and age >= self.mirror.drift_check

    def apply(self, on_outcome: OnOutcome = lambda _: None) -> RunReport:
        """Do what was prepared. Raises GuardTripped before the first write, or ApiError."""
        assert self.prepared is not None  # noqa: S101  (prepare comes first)
        plan = self.prepared.plan
        for guard in plan.guards:
            raise GuardTripped(guard.message, guard.hint)
        mirror = self.mirror
        mirror.store.update_pair(self.pair.id, rules=mirror.rules.fingerprint)
        if self.record.planned is None:
            self._note(planned=plan.writes)
        journal = Journal(
            self.pair,
            self.record.id,
            mirror.target,
            mirror.store,
            mirror.clock,
            self.heartbeat.require,
        )
        applier = Applier(
            journal,
            mirror.rules,
            dict(self.prepared.scene.links),
            check=self._check,
            on_outcome=on_outcome,
            outcomes=self.outcomes,
        )
        applier.apply(plan)
        self.close(state_after(self.outcomes.values(), self.prepared.scene))
        self._note_proof()
        self._close_what_was_left()
        return self.report

    def _close_what_was_left(self) -> None:
        """What was left unfinished before a whole run by hand that ended in step is done."""
        whole = self.part.alone and self.options.only is None and not self.record.in_background
        if whole and self.report.state is State.SUCCEEDED:
            mirror = self.mirror
            mirror.runs.supersede(self.pair.id, self.record.id, mirror.clock.now())

    def _note_proof(self) -> None:
        """A run that read both sides whole, wrote nothing and found nothing proves agreement."""
        assert self.prepared is not None  # noqa: S101
        scene, plan = self.prepared.scene, self.prepared.plan
        read_whole = self._listed_whole(scene) and scene.source.complete
        if read_whole and not plan.changes and self.report.state is State.SUCCEEDED:
            self.mirror.store.update_pair(self.pair.id, proved_at=scene.now)

    def _check(self) -> None:
        """Once a second: note how far the run is, and whether it has to end here."""
        self.heartbeat.require()
        now = self.mirror.clock.monotonic()
        if now - self._checked < 1.0:
            return
        self._checked = now
        self._note(**self._progress())
        record = self.mirror.runs.get(self.record.id)
        if record is not None and record.stop_requested:
            raise GuardTripped("The run was stopped.", "Run `milesync migrate` to go on.")
        if self.part.is_over():
            raise BudgetExhausted("This slice of the run is over; the next one goes on.", 0.0)

    def _note(self, **values: object) -> None:
        """Record of this run what changes. Raises LostLock if another process has it now."""
        if not self.mirror.runs.note(self.record, **values):
            raise LostLock("This run was taken over from this process, which stops.")

    def _progress(self) -> dict[str, object]:
        return {"counts": self._counts(), "requests": self._requests()}

    def _counts(self) -> dict[str, int]:
        return added(self.record.counts, count(self.outcomes.values()))

    def _requests(self) -> dict[str, int]:
        now = _requests(self.mirror)
        before = self.record.requests
        return {name: before.get(name, 0) + now[name] - self._started[name] for name in now}

    def close(self, state: State, error: MilesyncError | None = None) -> None:
        """End the run: what came of it goes into the report and the database."""
        gaps = gaps_of(self.prepared.scene) if self.prepared else ()
        self.report = RunReport(
            self.pair.identity,
            self.record.id,
            state,
            self._counts(),
            self._requests(),
            (*gaps, *problems_of(self.outcomes.values())),
            self.prepared.plan.not_exact if self.prepared else {},
            error,
        )
        self._note(
            state=state.value,
            finished_at=self.mirror.clock.now(),
            problems=[dict(problem) for problem in self.report.problems],
            error=None if error is None else error_json(error),
            **self._progress(),
        )
        self.record = replace(self.record, state=state.value)
        log.info(
            "run ended",
            run=self.record.id,
            state=state.value,
            **self._counts(),
            **self._requests(),
        )

    def fail(self, error: BaseException) -> None:
        """Close the run with what ended it."""
        if isinstance(error, LostLock):
            self._give_way(error)
            return
        told = error if isinstance(error, MilesyncError) else _unexpected(error)
        try:
            self.close(state_of(error), told)
        except LostLock as lost:
            self._give_way(lost)

    def _give_way(self, error: LostLock) -> None:
        """Leave the record to whoever has the run now, or to the sweep."""
        runs = self.mirror.runs
        now = runs.get(self.record.id) or self.record
        if now.holder == self.record.holder:
            runs.let_go(now, error_json(error))
        log.warning("the run lost its pair and stops", run=self.record.id)
        self.report = RunReport(
            self.pair.identity, self.record.id, State.FAILED, self._counts(), error=error
        )


def _unexpected(error: BaseException) -> MilesyncError:
    if isinstance(error, KeyboardInterrupt):
        return getattr(error, "error", None) or Interrupted("The run was interrupted.")
    return MilesyncError(f"{type(error).__name__}: {error}", "This is a fault of milesync.")


@contextmanager
def open_run(mirror: Mirror, options: Options, part: Part = WHOLE) -> Iterator[OpenRun]:
    """Hold the pair for one run. Raises Busy at once if somebody else holds it.

    A run that is left without having been applied is closed as aborted, one that an error ends
    as failed; the error goes on to the caller.
    """
    pair = mirror.store.pair(mirror.identity)
    with ExitStack() as stack:
        is_held: IsHeld = lambda: True  # noqa: E731  (a refresh holds no lock)
        if part.alone:
            is_held = stack.enter_context(pair_lock(mirror.store.engine, pair.id))
        record = _record(mirror, pair, options, part)
        report = RunReport(mirror.identity, record.id, State.ABORTED)
        run = OpenRun(mirror, pair, record, options, report, part=part, _started=_requests(mirror))
        run.heartbeat = Heartbeat(lambda: is_held() and mirror.runs.beat(record))
        stack.enter_context(_in_the_log(record.id, pair))
        stack.enter_context(run.heartbeat.every(mirror.heartbeat_every))
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


def _record(mirror: Mirror, pair: Pair, options: Options, part: Part) -> Run:
    now = mirror.clock.now()
    if part.of is not None:
        return mirror.runs.resume(part.of, mirror.holder)
    kept = options.as_json()
    trigger = options.trigger.value
    return mirror.runs.begin(pair.id, trigger, mirror.holder, now, kept, alone=part.alone)


def run_pair(
    mirror: Mirror,
    options: Options,
    scope: Scope | None = None,
    on_outcome: OnOutcome = lambda _: None,
    part: Part = WHOLE,
) -> RunReport:
    """One run of one pair from start to end; an error becomes the report's."""
    run: OpenRun | None = None
    try:
        with open_run(mirror, options, part) as run:
            run.prepare(scope)
            return run.apply(on_outcome)
    except MilesyncError as error:
        if run is not None:
            return run.report
        return RunReport(mirror.identity, None, state_of(error), error=error)
