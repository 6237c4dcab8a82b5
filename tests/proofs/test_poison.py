"""One bad milestone never stops the others, nor is tried for ever; an outage blames nobody (R6).

Real HTTP clients talk to the sandbox servers; whoever sleeps only sets the clock forward.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mappings.link import Link
from mappings.milestone import TargetMilestone, Values
from mappings.problem import ProblemKind
from tests.proofs.over_http import PROJECT, http_context
from tests.support.clock import SkippingClock
from tests.support.database import fresh_engine
from worker.sandbox.limit import ServerRate
from worker.sandbox.rules import Problem, Record
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_model import TestRailModel
from worker.sync.context import PairContext
from worker.sync.options import Options, Trigger
from worker.sync.ports import Target
from worker.sync.report import RunReport, State
from worker.sync.run import run_pair

ALL = 40
TURNED_AWAY = {
    302: ProblemKind.REDIRECTED,
    403: ProblemKind.ACCESS_DENIED,
    404: ProblemKind.NOT_FOUND,
}
HOUR = 3600.0
MANUAL, MIGRATE = Options(Trigger.MANUAL), Options(Trigger.MIGRATION)


@dataclass
class Pair:
    """Both servers with forty milestones in TestRail; ``bad`` ones cannot be written."""

    context: PairContext
    clock: SkippingClock
    rail: TestRailModel
    ably: TestablyModel

    def __post_init__(self) -> None:
        self.ids: list[int] = []
        self.bad: set[str] = set()
        self.status = 500
        for number in range(ALL):
            made = self.rail.add(1, {"name": f"Release {number}"})["id"]
            assert isinstance(made, int)
            self.ids.append(made)
        self._break(self.ably)

    def _break(self, model: TestablyModel) -> None:
        create, update = model.create, model.update

        def failing_create(project_id: str, body: object) -> Record:
            self._fail(body)
            return create(project_id, body)

        def failing_update(project_id: str, milestone_id: str, body: object) -> Record:
            self._fail(body)
            return update(project_id, milestone_id, body)

        model.create = failing_create  # type: ignore[method-assign]
        model.update = failing_update  # type: ignore[method-assign]

    def _fail(self, body: object) -> None:
        if isinstance(body, dict) and body.get("name") in self.bad:
            raise Problem(self.status, "The database cannot store this.")

    def run(self, options: Options = MANUAL) -> RunReport:
        """One run, some minutes after the one before."""
        self.clock.sleep(600)
        return run_pair(self.context, options)

    def rename(self, bad: int) -> None:
        """Rename every milestone; the first ones to names that Testably cannot store."""
        for number, id_ in enumerate(self.ids):
            self.rail.update(id_, {"name": f"Renamed {number}"})
        self.bad = {f"Renamed {number}" for number in range(bad)}

    @property
    def links(self) -> dict[int, Link]:
        pair = self.context.store.pair(self.context.identity)
        return self.context.store.links(pair.id)

    def counts(self, bad: int) -> list[tuple[ProblemKind, int]]:
        """Kind and count of what is wrong with each of the bad ones; nothing is with others."""
        links = self.links
        assert all(links[id_].problem is None for id_ in self.ids[bad:])
        problems = [links[id_].problem for id_ in self.ids[:bad]]
        return [(one.kind, one.count) for one in problems if one is not None]

    def sent(self, report: RunReport) -> int:
        """How many writes a run sent."""
        pair = self.context.store.pair(self.context.identity)
        return len(self.context.store.journal.changes(pair.id, run_id=report.run))

    def names(self) -> set[str]:
        return {str(row["name"]) for row in self.ably.everything(PROJECT)}


class _GoodOneFirst:
    """Sends those of these names only when another write has arrived, whatever the threads do."""

    def __init__(self, target: Target, names: set[str]) -> None:
        self._target, self._names = target, names
        self._arrived = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def create(self, project: str, values: Values, parent: str | None) -> TargetMilestone:
        self._wait(values)
        made = self._target.create(project, values, parent)
        self._arrived.set()
        return made

    def update(self, project: str, id_: str, values: Values) -> TargetMilestone:
        self._wait(values)
        updated = self._target.update(project, id_, values)
        self._arrived.set()
        return updated

    def _wait(self, values: Values) -> None:
        if values.get("name") in self._names:
            assert self._arrived.wait(60), "no other write arrived"


@contextmanager
def _pair(folder: Path, most_in_flight: int) -> Iterator[Pair]:
    clock, engine = SkippingClock(), fresh_engine(folder)
    with (
        serve_testrail(clock=clock, rate=ServerRate(100_000, 60.0)) as rail,
        serve_testably(clock=clock, rate=ServerRate(100_000, 60.0)) as ably,
        http_context(rail.url, ably.url, engine, clock, most_in_flight=most_in_flight) as context,
    ):
        rail.model.url = rail.url
        yield Pair(context, clock, rail.model, ably.model)
    engine.dispose()


@pytest.fixture(params=[1, 8], ids=["one", "several in flight"])
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    with _pair(tmp_path, request.param) as found:
        yield found


@pytest.mark.parametrize("bad", [1, 5, 9])
@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_the_good_ones_arrive_in_the_first_run_and_the_bad_ones_are_quarantined_at_the_third(
    pair: Pair, bad: int, method: str
) -> None:
    """However many of forty always answer 500, and wherever in the order they stand."""
    if method == "PATCH":
        assert pair.run().state is State.SUCCEEDED
    pair.rename(bad)
    good = {f"Renamed {number}" for number in range(bad, ALL)}
    first = pair.run()
    assert first.state is State.PARTIAL
    assert good <= pair.names()
    failing = ProblemKind.SERVER_ERROR if method == "PATCH" else ProblemKind.CREATE_FAILS
    assert pair.counts(bad) == [(failing, 1)] * bad
    for count, kind in ((2, failing), (3, ProblemKind.KEEPS_FAILING)):
        report = pair.run()
        assert report.state is State.PARTIAL
        assert pair.counts(bad) == [(kind, count)] * bad
        assert pair.sent(report) == bad
    fourth = pair.run()
    assert fourth.state is State.PARTIAL
    assert fourth.counts["quarantined"] == bad
    assert pair.sent(fourth) == 0


@pytest.mark.parametrize(
    ("method", "status"),
    [("PATCH", 302), ("PATCH", 403), ("PATCH", 404), ("POST", 403), ("POST", 404)],
)
def test_one_to_which_access_is_denied_or_that_is_not_found_stops_no_other(
    pair: Pair, method: str, status: int
) -> None:
    """Although every list shows it, and the project answers."""
    pair.status = status
    if method == "PATCH":
        assert pair.run().state is State.SUCCEEDED
    pair.rename(2)
    failing = TURNED_AWAY[status]
    for count, kind in ((1, failing), (2, failing), (3, ProblemKind.KEEPS_FAILING)):
        report = pair.run()
        assert report.state is State.PARTIAL
        assert pair.counts(2) == [(kind, count)] * 2
        assert {f"Renamed {number}" for number in range(2, ALL)} <= pair.names()
    assert pair.sent(pair.run()) == 0


@pytest.mark.parametrize(("status", "error"), [(302, "redirected"), (403, "access_denied")])
@pytest.mark.parametrize("due", [3, ALL])
def test_an_account_that_may_write_nothing_is_told_so_and_no_milestone_is_blamed(
    pair: Pair, due: int, status: int, error: str
) -> None:
    """Nor where an address sends every write elsewhere."""
    pair.run()
    pair.status = status
    for number, id_ in enumerate(pair.ids[:due]):
        pair.rail.update(id_, {"name": f"Renamed {number}"})
    pair.bad = {f"Renamed {number}" for number in range(due)}
    report = pair.run()
    assert (report.state, report.error and report.error.kind) == (State.FAILED, error)
    assert not any(link.has_count for link in pair.links.values())


def test_a_quarantined_one_is_tried_after_an_hour_and_then_once_a_day(pair: Pair) -> None:
    """Until it arrives; then nothing is held against it."""
    pair.run()
    pair.rename(1)
    for _ in range(3):
        pair.run()
    tries = []
    for wait in (0.0, HOUR, HOUR, 12 * HOUR, 12 * HOUR):
        pair.clock.sleep(wait)
        report = pair.run()
        assert report.state is State.PARTIAL
        tries.append(pair.sent(report))
    assert tries == [0, 1, 0, 0, 1]
    pair.bad.clear()
    pair.clock.sleep(24 * HOUR)
    assert pair.run().state is State.SUCCEEDED
    assert pair.counts(0) == []
    assert "Renamed 0" in pair.names()


def test_a_migration_tries_a_bad_one_once_and_its_proof_leaves_it(pair: Pair) -> None:
    """The proof reads it, and says that it is not in step; it does not write it again."""
    pair.run()
    pair.rename(1)
    pair.run()
    report = pair.run(MIGRATE)
    assert report.state is State.PARTIAL
    assert pair.sent(report) == 1
    assert pair.counts(1) == [(ProblemKind.SERVER_ERROR, 2)]


def test_an_outage_of_writes_ends_the_run_and_blames_nobody(pair: Pair) -> None:
    """However many are in flight when the tenth in a row has failed."""
    pair.run()
    pair.rename(ALL)
    report = pair.run()
    assert (report.state, report.error and report.error.kind) == (State.FAILED, "takes_no_writes")
    assert not any(link.has_count for link in pair.links.values())
    pair.bad.clear()
    assert pair.run().state is State.SUCCEEDED
    assert pair.names() == {f"Renamed {number}" for number in range(ALL)}


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_many_bad_ones_are_told_from_an_outage_by_the_good_ones_beside_them(
    tmp_path: Path, method: str
) -> None:
    """Their last attempts all come after the good ones are through, yet each is counted."""
    with _pair(tmp_path, most_in_flight=8) as pair:
        if method == "PATCH":
            pair.run()
        pair.rename(12)
        gate = _GoodOneFirst(pair.context.target, {f"Renamed {number}" for number in range(8, 12)})
        pair.context = replace(pair.context, target=gate)
        for count in (1, 2, 3):
            assert pair.run().state is State.PARTIAL
            assert [counted for _, counted in pair.counts(12)] == [count] * 12
        assert {f"Renamed {number}" for number in range(12, ALL)} <= pair.names()
