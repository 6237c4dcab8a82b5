"""A pair over HTTP whose runs are done in slices on a virtual clock, as the service does them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fakeredis
from sqlalchemy import Engine

from mappings.footer import marked_id
from mappings.milestone import ARCHIVED
from mappings.rows import PairIdentity
from mappings.run_record import RunRecord
from mappings.runs import RunLog
from mappings.store import Store
from tests.proofs.over_http import PLENTY, PROJECT, http_context
from tests.support.clock import FakeClock
from tests.support.database import fresh_engine
from tests.support.mortal import Boundaries, Died
from tests.support.world import URL
from worker.clients.rate_limit import RateLimit
from worker.errors import BudgetExhausted
from worker.sandbox.http_server import SandboxServer
from worker.sandbox.rules import Record
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.switches import TestablySwitches, TestRailSwitches
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_model import TestRailModel
from worker.sync.context import PairContext
from worker.sync.options import Options, Phase, RunMode, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import RunReport, State
from worker.sync.run import Run, run_pair
from worker.tasks import recall

LISTED = Scope()
SECONDLY = RateLimit(60, 60)
"""A request takes 1.02 seconds of the clock, and nothing else takes any."""
MIGRATION = Options(trigger=Trigger.MIGRATION)


@dataclass
class Pair:
    """Both servers, the database and the clock; ``slices`` counts those of the last run."""

    rail: SandboxServer[TestRailModel]
    ably: SandboxServer[TestablyModel]
    engine: Engine
    clock: FakeClock
    slices: int = 0
    redis: Any = field(default_factory=fakeredis.FakeRedis)

    @contextmanager
    def process(self, **how: Any) -> Iterator[PairContext]:
        """One process of milesync."""
        allowed = how.pop("allowed", SECONDLY)
        urls = (self.rail.url, self.ably.url)
        with http_context(*urls, self.engine, self.clock, allowed=allowed, **how) as context:
            yield context

    def in_one_go(self, options: Options = MIGRATION) -> RunReport:
        """A run by a command."""
        with self.process() as context:
            return run_pair(context, options, Scope())

    def in_slices(
        self,
        seconds: float,
        options: Options = MIGRATION,
        between: Callable[[int], None] = lambda _: None,
        point_of: Callable[[int], Boundaries | None] = lambda _: None,
        applies_whole: bool = False,
        scope: Scope | None = LISTED,
        **how: Any,
    ) -> RunReport:
        """A run of the service, each slice of so many seconds, in a process of its own.

        ``between`` is called with the number of the slice that is over, ``point_of`` gives the
        boundaries of a slice, at which it may die. With ``applies_whole``, slices end only while
        both sides are read. Without a ``scope`` the target is listed where that is due.
        """
        run, self.slices = self._handed_over(options), 0
        while self.slices < 500:
            self.slices += 1
            ends = (self.clock.monotonic() + seconds, applies_whole)
            report = self._slice(run, options, ends, point_of(self.slices), scope, how)
            if report is not None:
                return report
            between(self.slices)
        raise AssertionError("it does not come to its end")

    def _handed_over(self, options: Options) -> str:
        runs = RunLog(self.engine)
        kept = options.as_json() | {"background": True}
        pair = Store(self.engine).pair(self.identity)
        args = (pair.id, options.trigger.value, "a command", self.clock.now(), kept)
        return runs.begin(*args, state="unfinished").id

    def _slice(
        self,
        run_id: str,
        options: Options,
        ends: tuple[float, bool],
        point: Boundaries | None,
        how_much: Scope | None,
        how: dict[str, Any],
    ) -> RunReport | None:
        run: Run | None = None

        def is_over() -> bool:
            applies = run is not None and run.phase is Phase.APPLYING
            return self.clock.monotonic() >= ends[0] and not (ends[1] and applies)

        try:
            with self.process(point=point, **how) as context:
                forget = partial(recall.forget, self.redis, run_id)
                mode = RunMode(run_id, is_over, before_writes=forget)
                run = Run(context, options, mode)
                with run:
                    recalled = recall.scope_of(self.redis, run)
                    if run.is_proving:
                        return run.prove()
                    run.plan(recalled or how_much)
                    return run.apply()
        except BudgetExhausted:
            if run is not None:
                recall.save(self.redis, run)
        except Died:
            # as if it had lost its pair, which may happen as often as it likes: a run whose
            # process dies each time ends
            RunLog(self.engine).let_go(self.record(run_id), {"kind": "database", "message": "cut"})
        return None

    # --- what came of it

    @property
    def identity(self) -> PairIdentity:
        return PairIdentity(self.rail.url, 1, self.ably.url, PROJECT)

    def record(self, run_id: str) -> RunRecord:
        found = RunLog(self.engine).get(run_id)
        assert found is not None
        return found

    def targets(self) -> list[Record]:
        """Every milestone in Testably, archived ones too, without what depends on the time."""
        timeless = [dict(row) for row in self.ably.model.everything(PROJECT)]
        for row in timeless:
            del row["created_at"], row["updated_at"]
            row["description"] = str(row["description"]).replace(self.rail.url, URL)
        return timeless

    def writes(self) -> list[tuple[str, str, str]]:
        """What milesync has written, in order: method, address and body."""
        return [
            (one.method, one.path, one.body.decode().replace(self.rail.url, URL))
            for one in self.ably.requests
            if one.method != "GET"
        ]

    def lists(self) -> int:
        """How many pages of Testably's lists were asked for."""
        return self.ably.count("GET", "?page=")

    def forget_requests(self) -> None:
        self.rail.requests.clear()
        self.ably.requests.clear()

    def living(self) -> dict[int, list[str]]:
        """The living targets by the TestRail id in their marker."""
        found: dict[int, list[str]] = {}
        for row in self.ably.model.live(PROJECT):
            id_ = marked_id(str(row["description"]), self.rail.url)
            if id_ is not None:
                found.setdefault(id_, []).append(str(row["id"]))
        return found

    def archived_by_us(self) -> set[object]:
        """The TestRail ids of the targets that milesync has archived; people do so by the model."""
        sent = {path.rpartition("/")[2] for _, path, body in self.writes() if ARCHIVED in body}
        rows = [row for row in self.ably.model.everything(PROJECT) if row["id"] in sent]
        return {marked_id(str(row["description"]), self.rail.url) for row in rows}

    def target_of(self, testrail_id: int) -> str:
        (found,) = self.living()[testrail_id]
        return found

    def archive(self, testably_id: str) -> None:
        """A person archives it."""
        self.ably.model.update(PROJECT, testably_id, {"status": ARCHIVED})


@contextmanager
def a_pair(
    engine: Engine, rail: TestRailSwitches | None = None, ably: TestablySwitches | None = None
) -> Iterator[Pair]:
    """Two empty servers."""
    clock = FakeClock()
    with (
        serve_testrail(clock=clock, switches=rail) as testrail,
        serve_testably(clock=clock, switches=ably, rate=None) as testably,
    ):
        testrail.model.url = testrail.url
        yield Pair(testrail, testably, engine, clock)


Make = Callable[..., Pair]


@contextmanager
def pairs_in(folder: Path) -> Iterator[Make]:
    """Makes pairs, with the switches of both sides; each has a database of its own there."""
    with ExitStack() as stack:

        def made(**switches: Any) -> Pair:
            own = folder / str(len(list(folder.iterdir())))
            own.mkdir()
            engine = fresh_engine(own)
            stack.callback(engine.dispose)
            return stack.enter_context(a_pair(engine, **switches))

        yield made


def migrated(pair: Pair) -> None:
    """Bring both sides in step, by a command that need not wait."""
    with pair.process(allowed=PLENTY) as context:
        assert run_pair(context, MIGRATION, Scope()).state is State.SUCCEEDED
    pair.forget_requests()
