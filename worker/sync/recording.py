"""What the database knows of a run while it goes on: its progress, its sign of life, its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from mappings.errors import LostLock
from mappings.locks import IsHeld
from mappings.rows import Pair
from mappings.run_record import RunRecord
from worker.errors import BudgetExhausted, GuardTripped
from worker.sync.apply.outcome import DONE, Outcome, Result
from worker.sync.context import PairContext
from worker.sync.decide.action import InStep, Plan
from worker.sync.heartbeat import Heartbeat
from worker.sync.options import Options, RunMode
from worker.sync.report import RunReport, State, count, error_json, unrecorded

REFRESHES_COUNT_ONCE: Final = timedelta(minutes=15)
"""What refreshes of a milestone fail in this time counts once (R6)."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Recording:
    """One run in the database, which every method but `counts` and `requests` changes.

    ``written`` are the milestones that earlier parts of the run have written, and the result that
    each counts under, ``found`` those of all parts by `look_up`; ``in_step`` are those that agree
    as before. The methods raise LostLock once the run is another process's: what that one records
    is left alone.
    """

    context: PairContext
    mode: RunMode
    record: RunRecord
    heartbeat: Heartbeat
    _before: Mapping[str, int] = field(default_factory=dict)
    written: Mapping[int, Result] = field(default_factory=dict)
    found: Mapping[int, Result] = field(default_factory=dict)
    in_step: InStep = field(default_factory=InStep)
    _checked: float = 0.0

    def check(self, outcomes: Iterable[Outcome], *, is_reading: bool = False) -> None:
        """Once a second: note how far the run is, and whether it has to end here.

        Raises GuardTripped if a person stopped it, BudgetExhausted if its slice is over, or gives
        way to others; what reads gives way to nobody, since it has done nothing yet.
        """
        self.heartbeat.require()
        now = self.context.clock.monotonic()
        if now - self._checked < 1.0:
            return
        self._checked = now
        self._note(counts=self.counts(outcomes), requests=self.requests())
        record = self.context.runs.get(self.record.id)
        if record is not None and record.stop_requested:
            again = "Undo it again" if self.mode.undoes else "Run `milesync migrate`"
            raise GuardTripped("The run was stopped.", f"{again} to go on.")
        if self.mode.is_over() or (not is_reading and self.mode.gives_way()):
            raise BudgetExhausted("This slice of the run is over; the next one goes on.", 0.0)

    def reading(
        self, phase: str, outcomes: Collection[Outcome], about: Collection[int] = ()
    ) -> AbstractContextManager[None]:
        """Inside, much is read: in several slices, where the service does the run.

        `Answers.reading` says what a reading is ``about``. A refresh is not asked whether to end.
        """
        if not self.mode.exclusive:
            return nullcontext()
        context, record = self.context, self.record
        return context.answers.reading(
            record if record.in_background else None,
            phase,
            context.clock.now(),
            lambda: self.check(outcomes, is_reading=True),
            lambda: context.target.check_project(context.identity.testably_project),
            about,
        )

    def plan(self, plan: Plan) -> None:
        """Note how many writes are planned, unless an earlier part of the run has."""
        self.in_step = plan.in_step
        if self.record.planned is None:
            self._note(planned=plan.writes)

    def counts(self, outcomes: Iterable[Outcome]) -> dict[str, int]:
        """How many milestones there are of each result, earlier parts of the run included.

        What an earlier part has written counts as that, whatever this part finds or writes of it.
        A part that has counted none yet says what the earlier parts counted beside it.
        """
        others = [one for one in outcomes if one.action.testrail_id not in self.written]
        written = Counter(result.value for result in self.written.values())
        counted_apart = self.written.keys() | {one.action.testrail_id for one in others}
        in_step = len(self.in_step) - len(self.in_step.named.keys() & counted_apart)
        counted = count(others, in_step)
        if any(counted.values()):
            return {name: number + written[name] for name, number in counted.items()}
        done = {result.value: written[result.value] for result in DONE}
        return {**counted, **self.record.counts, **(done if written else {})}

    def counts_of_proof(self, outcomes: Iterable[Outcome], *, is_whole: bool) -> dict[str, int]:
        """The counts in a part that has done nothing but the proof; ``outcomes`` are what it knows.

        What it has written is counted as that, and if it is ``is_whole``, what needs a person as it
        has found it. Everything else that the earlier parts counted, or that is new, is unchanged.
        """
        others = [one for one in outcomes if one.action.testrail_id not in self.written]
        wrote = [one for one in others if one.result in DONE]
        new = sum(one.action.planned_link.version == 0 for one in wrote)
        before, now = self.counts(()), count(others if is_whole else wrote)
        stays = DONE if is_whole else tuple(Result)
        counts = {name: n + (before[name] if name in stays else 0) for name, n in now.items()}
        total = sum(self.record.counts.values()) + new
        counts[Result.UNCHANGED.value] += total - sum(counts.values())
        return counts

    def look_up(self, outcomes: Iterable[Outcome]) -> None:
        """Take from the journal what the run has written, where its ``outcomes`` may not tell it.

        That is where answers were lost, be it in an earlier part, and a reading has told since.
        """
        failed = any(problem.kind.is_failure for one in outcomes for problem in one.problems)
        unsure = failed or self.mode.of is not None
        self.found = _written(self.context, self.record.id) if unsure else {}

    @property
    def counted_since(self) -> datetime:
        """Since when failures count as those of this run; refreshes share a while (R6)."""
        if self.mode.exclusive:
            return self.record.started_at
        return self.context.clock.now() - REFRESHES_COUNT_ONCE

    def has_written(self, outcomes: Iterable[Outcome]) -> bool:
        """Whether a part of the run has written anything."""
        return bool(self.written) or any(outcome.result in DONE for outcome in outcomes)

    def requests(self) -> dict[str, int]:
        """The requests to each side, those of earlier parts of the run included."""
        now, earlier = self.context.requests, self.record.requests
        return {name: earlier.get(name, 0) + now[name] - self._before[name] for name in now}

    def close(self, report: RunReport) -> None:
        """Record how the run ended.

        Of one that goes on, the next part trusts what this one leaves: it held its pair to the end.
        """
        if report.state is State.UNFINISHED:
            self.heartbeat.beat()
        self._note(
            state=report.state.value,
            finished_at=self.context.clock.now(),
            problems=[dict(problem) for problem in report.problems],
            not_exact=dict(report.not_exact),
            error=None if report.error is None else error_json(report.error),
            verified=report.verified,
            counts=dict(report.counts),
            requests=dict(report.requests),
        )
        self.record = replace(self.record, state=report.state.value)
        log.info(
            "run ended",
            run=self.record.id,
            state=report.state.value,
            **report.counts,
            **report.requests,
        )

    def forget(self, refused: BaseException | None) -> RunReport:
        """Take back the record of a run that nobody wanted and that wrote nothing: its report.

        What was ``refused`` is about the plan in a file, so the pair stands where it stood.
        """
        self.context.runs.forget(self.record)
        log.info("run declined", run=self.record.id)
        why = refused or GuardTripped("Nobody said yes; nothing was written.", "")
        return replace(unrecorded(self.context.identity, why), requests=self.requests())

    def give_way(self, error: LostLock) -> None:
        """Leave the record to whoever has the run now, or to the sweep."""
        runs = self.context.runs
        now = runs.get(self.record.id) or self.record
        if now.holder == self.record.holder:
            runs.let_go(now, error_json(error))
        log.warning("the run lost its pair and stops", run=self.record.id)

    def _note(self, **values: object) -> None:
        if not self.context.runs.note(self.record, **values):
            raise LostLock("This run was taken over from this process, which stops.")


@contextmanager
def recording(
    context: PairContext, pair: Pair, options: Options, mode: RunMode, is_held: IsHeld
) -> Iterator[Recording]:
    """Begin a run in the database, or go on with one; it beats while inside (R13).

    Every log line names the run and its pair, and what it came from: a run by hand, itself.
    Raises LostLock if the run to go on with has ended, is alive elsewhere or is another pair's,
    StoreError.
    """
    record = _begin(context, pair, options, mode)
    heartbeat = Heartbeat(lambda: is_held() and context.runs.beat(record))
    origin = structlog.contextvars.get_contextvars().get("correlation", record.id)
    names = {"run": record.id, "pair": str(pair.id), "correlation": origin}
    with structlog.contextvars.bound_contextvars(**names), heartbeat.every(context.heartbeat_every):
        written = {} if mode.of is None else _written(context, mode.of)
        yield Recording(context, mode, record, heartbeat, context.requests, written)


_RESULTS: Final = {
    "create": Result.CREATED,
    "adopt": Result.ADOPTED,
    "update": Result.UPDATED,
    "archive": Result.ARCHIVED,
}
"""The result that a milestone counts under, by the kind of a run's first change to it."""


def _written(context: PairContext, run_id: str) -> dict[int, Result]:
    """What the run has written so far, by TestRail id."""
    kinds = context.store.journal.first_done(run_id)
    return {id_: _RESULTS[kind] for id_, kind in kinds.items() if kind in _RESULTS}


def _begin(context: PairContext, pair: Pair, options: Options, mode: RunMode) -> RunRecord:
    if mode.of is not None:
        return context.runs.resume(mode.of, pair.id, context.holder)
    kept = {"undoes": mode.undoes} if mode.undoes else options.as_json()
    return context.runs.begin(
        pair.id,
        options.trigger.value,
        context.holder,
        context.clock.now(),
        kept,
        exclusive=mode.exclusive,
    )
