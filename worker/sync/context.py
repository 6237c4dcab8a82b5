"""One project pair with everything that a run of it needs, and the plan of a dry run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

from mappings.links import Links
from mappings.milestone import MappingRules
from mappings.rows import Pair, PairIdentity
from mappings.run_record import HEARTBEAT_EVERY
from mappings.runs import RunLog
from mappings.store import Store
from worker.clock import Clock
from worker.sync.apply.vocabulary import open_word_of
from worker.sync.apply.writer import TargetWriter
from worker.sync.collector import fewer_collections
from worker.sync.decide.action import Plan
from worker.sync.decide.plan import make_plan
from worker.sync.decide.snapshot import Snapshot
from worker.sync.forecast import looks, proof_reads
from worker.sync.lanes import Lanes
from worker.sync.options import Options, Policy
from worker.sync.ports import Source, Target
from worker.sync.read.answers import Answers
from worker.sync.read.scope import Reader, Scope


@dataclass(frozen=True, slots=True)
class PairContext:
    """One project pair with everything that a run of it needs.

    ``drift_check`` is how old the last target listing may be in a scheduled run: zero for
    always listing, None for never. ``lanes`` makes what does the items of a run; ``answers`` are
    those of the two sides while a run reads. ``submilestones`` is how the source looks for them.
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
    lanes: Callable[[], Lanes] = Lanes
    answers: Answers = field(default_factory=Answers)
    submilestones: str = "auto"

    @property
    def requests(self) -> dict[str, int]:
        """How many requests were sent to each side so far, repeats included."""
        return {"testrail": self.source.requests, "testably": self.target.requests}

    def writer(self, pair: Pair, run_id: str, require_pair: Callable[[], None]) -> TargetWriter:
        """What writes to the target in a run; ``require_pair`` raises once it has lost its pair."""
        return TargetWriter(
            pair,
            run_id,
            self.target,
            self.store,
            self.clock,
            require_pair,
            open_word=open_word_of(self.store, pair),
            lanes=self.lanes(),
        )

    def requests_since(self, before: Mapping[str, int]) -> dict[str, int]:
        """How many requests were sent to each side after ``requests`` was ``before``."""
        return {name: number - before[name] for name, number in self.requests.items()}


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A plan with the snapshot it was made from and the requests that reading took.

    ``proof`` are the requests of the proof at the end of a migration that writes, ``looks`` those
    of looking twice for what creates in doubt left (R2), as far as they are known before.
    """

    snapshot: Snapshot
    plan: Plan
    reads: dict[str, int]
    proof: dict[str, int]
    looks: int
    seconds_per_request: float

    @property
    def requests(self) -> dict[str, int]:
        """What a migration takes from its start to its end, its reads and its proof included."""
        total = {name: number + self.proof[name] for name, number in self.reads.items()}
        applying = self.plan.writes + self.plan.late_reads + self.looks
        return {**total, "testably": total["testably"] + applying}

    @property
    def minutes(self) -> float:
        """How long that takes at the rate that Testably allows."""
        return self.requests["testably"] * self.seconds_per_request / 60


@dataclass(frozen=True, slots=True)
class Start:
    """What was known before anything was asked: the links, and the time (aware).

    Who writes a link after that is to win over what is decided from the answers (R8). ``requests``
    are those that were sent before.
    """

    links: Links
    now: datetime
    requests: Mapping[str, int]

    @classmethod
    def of(cls, context: PairContext, pair: Pair) -> Self:
        """As it is now. Raises StoreError."""
        return cls(context.store.outlines(pair.id), context.clock.now(), context.requests)


@fewer_collections()
def read_snapshot(
    context: PairContext, pair: Pair, options: Options, scope: Scope, start: Start | None = None
) -> Snapshot:
    """Read both sides and the links; those of ``start`` if there is one.

    Raises ApiError, StoreError.
    """
    store, begun = context.store, context.answers.begun
    others = begun.written_by_others(store.journal, pair.id) if begun else ()
    start = start or Start.of(context, pair)
    reader = Reader(
        pair,
        context.source,
        context.target,
        context.rules,
        context.policy,
        options,
        start.links.outdated(others),
        lambda ids: Links(store.links(pair.id, ids)).outdated(others).complete,
        store.targets_of_others(pair),
    )
    snapshot = reader.snapshot(scope, start.now)
    return replace(snapshot, read_at=begun.at) if begun else snapshot


def preview(context: PairContext, options: Options) -> PlannedRun:
    """Plan without a lock, a run or a write: the dry run. Raises ApiError, StoreError."""
    return plan_run(context, context.store.pair(context.identity), options, Scope())


@fewer_collections()
def plan_run(
    context: PairContext, pair: Pair, options: Options, scope: Scope, start: Start | None = None
) -> PlannedRun:
    """Read what is in scope and plan. Raises ApiError, StoreError."""
    start = start or Start.of(context, pair)
    snapshot = read_snapshot(context, pair, options, scope, start)
    plan = make_plan(snapshot)
    reads = context.requests_since(start.requests)
    proof = dict.fromkeys(reads, 0)
    if options.proves and plan.changes:
        proof = proof_reads(snapshot, plan, reads)
    return PlannedRun(snapshot, plan, reads, proof, looks(snapshot), context.seconds_per_request)
