"""A quiet run over HTTP sends the requests of any other, whatever the servers answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from mappings.store import Store
from mappings.tables import quiet_readings
from tests.proofs.over_http import PLENTY, PROJECT
from tests.proofs.slicing import MIGRATION, SECONDLY, Pair, a_pair
from tests.support.database import fresh_engine
from tests.support.mortal import Boundaries
from worker.clients.passes import CHANGED
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import OnTargetEdit, Options, Policy, RunMode, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import RunReport, State
from worker.sync.run import run_pair

SYNC, SCHEDULE = Options(Trigger.MANUAL), Options(Trigger.SCHEDULE)
QUIET = {"testrail": 1, "testably": 4}


@contextmanager
def quiet_pair(folder: Path, count: int = 20) -> Iterator[Pair]:
    """Milestones in step, six on a page of Testably; the last run had nothing to do."""
    folder.mkdir()
    engine = fresh_engine(folder)
    with a_pair(engine, ably=TestablySwitches(most_per_page=6)) as made:
        for number in range(count):
            made.rail.model.add(1, {"name": f"M{number + 1}", "start_on": 1_772_323_200})
        for options in (MIGRATION, SYNC, SYNC):
            assert sync(made, options).state is State.SUCCEEDED
        made.forget_requests()
        yield made
    engine.dispose()


def sync(pair: Pair, options: Options = SYNC, **how: Any) -> RunReport:
    with pair.process(**{"allowed": PLENTY, **how}) as context:
        return run_pair(context, options)


def forget(pair: Pair) -> None:
    """Have the next run read and decide, whatever was before."""
    with pair.engine.begin() as connection:
        connection.execute(delete(quiet_readings))


def kept(pair: Pair) -> int:
    with pair.engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(quiet_readings)).scalar_one()


# --- what happens between two runs, or while the second asks


def nothing(_: Pair) -> None:
    pass


def renamed_at_the_source(pair: Pair) -> None:
    pair.rail.model.update(7, {"name": "Renamed"})


def edited_on_page(number: int) -> Callable[[Pair], None]:
    def happens(pair: Pair) -> None:
        page = pair.ably.model.listing(PROJECT, None, number, 6)
        pair.ably.model.update(PROJECT, str(page.rows[0]["id"]), {"name": "Theirs"})

    return happens


def one_more(pair: Pair) -> None:
    pair.rail.model.add(1, {"name": "M21", "start_on": 1_772_323_200})


def one_by_hand(pair: Pair) -> None:
    pair.ably.model.create(PROJECT, {"name": "Theirs"})


def removed(pair: Pair) -> None:
    pair.ably.model.remove(pair.target_of(20))


def deleted(pair: Pair) -> None:
    pair.rail.model.delete(20)


def fault(kind: str, times: int, contains: str) -> Callable[[Pair], None]:
    def happens(pair: Pair) -> None:
        side = pair.rail if "get_milestones" in contains else pair.ably
        side.faults.script(kind, method="GET", contains=contains, times=times)

    return happens


HAPPENS = {
    "nothing": nothing,
    "renamed at the source": renamed_at_the_source,
    "edited on the first page": edited_on_page(1),
    "edited on the third page": edited_on_page(3),
    "edited on the last page": edited_on_page(4),
    "one more": one_more,
    "one by hand": one_by_hand,
    "removed in Testably": removed,
    "deleted in TestRail": deleted,
    "one 500 of the source": fault("server_error", 1, "get_milestones"),
    "an outage of the source": fault("server_error", 50, "get_milestones"),
    "maintenance": fault("maintenance", 50, "get_milestones"),
    "one 500 of a page": fault("server_error", 1, "page=3"),
    "an outage from a page on": fault("server_error", 50, "page=2"),
    "a reset of the last page": fault("reset", 2, "page=4"),
    "429 once": fault("rate_limited", 1, "page=2"),
    "turned away from a page": fault("redirect", 50, "page=3"),
}


@pytest.mark.parametrize("happens", HAPPENS.values(), ids=HAPPENS)
def test_it_sends_what_a_run_without_a_quiet_reading_sends(
    tmp_path: Path, happens: Callable[[Pair], None]
) -> None:
    """The same requests in the same order, and the same report."""

    def second(name: str, before: Callable[[Pair], None]) -> object:
        with quiet_pair(tmp_path / name) as pair:
            before(pair)
            happens(pair)
            report = sync(pair).as_json()
            sent = [(one.method, one.path) for one in (*pair.rail.requests, *pair.ably.requests)]
            return {**report, "run": "", "error": report.get("error", {}).get("kind")}, sent

    assert second("quiet", nothing) == second("forgetful", forget)


@pytest.mark.parametrize("most_in_flight", [1, 8])
def test_several_pages_in_flight_are_each_asked_for_once(
    tmp_path: Path, most_in_flight: int
) -> None:
    with quiet_pair(tmp_path / "one") as pair:
        assert sync(pair, most_in_flight=most_in_flight).requests == QUIET
        edited_on_page(2)(pair)
        report = sync(pair, most_in_flight=most_in_flight)
        assert (report.counts["updated"], report.requests["testably"]) == (1, 5)


def test_a_quiet_run_may_be_cut_into_slices(tmp_path: Path) -> None:
    """What was asked again counts for the slice after, in which the run reads as it always did."""
    with quiet_pair(tmp_path / "one") as pair:
        report = pair.in_slices(1.5, SYNC, allowed=SECONDLY)
        assert (report.state, report.counts["unchanged"]) == (State.SUCCEEDED, 20)
        assert pair.slices == 2
        assert CHANGED not in str(report.as_json())


def test_the_schedule_asks_the_source_alone(tmp_path: Path) -> None:
    with quiet_pair(tmp_path / "one") as pair:
        for _ in range(2):
            assert sync(pair, SCHEDULE).requests == {"testrail": 1, "testably": 0}
        assert kept(pair) == 2  # one with the target's list, one without


# --- others write while it asks


class Meanwhile(Boundaries):
    """Something happens before the first request that has this text in its address."""

    def __init__(self, contains: str, happens: Callable[[], object]) -> None:
        super().__init__()
        self._contains = contains
        self._happens: Callable[[], object] | None = happens

    def __call__(self, what: str) -> None:
        if self._happens is not None and what.startswith("before GET") and self._contains in what:
            happens, self._happens = self._happens, None
            happens()


def refreshed(pair: Pair, testrail_id: int, **fields: object) -> None:
    """A webhook: somebody edits in TestRail, and a refresh carries it over at once."""
    pair.rail.model.update(testrail_id, fields)
    scope, mode = Scope((testrail_id,)), RunMode(exclusive=False)
    with pair.process(allowed=PLENTY) as context:
        assert run_pair(context, Options(Trigger.WEBHOOK), scope, mode=mode).counts["updated"] == 1


@pytest.mark.parametrize("before", [nothing, forget])
@pytest.mark.parametrize("contains", ["page=1&", "page=4&"])
@pytest.mark.parametrize("policy", [Policy(), Policy(OnTargetEdit.TARGET)])
def test_what_a_refresh_wrote_while_it_asked_stands(
    tmp_path: Path, before: Callable[[Pair], None], contains: str, policy: Policy
) -> None:
    """TestRail was read before, and says what was: it must not be written over (R8)."""
    with quiet_pair(tmp_path / "one") as pair:
        before(pair)
        edit = lambda: refreshed(pair, 2, name="Done", is_completed=True)  # noqa: E731
        with pair.process(allowed=PLENTY, point=Meanwhile(contains, edit)) as context:
            assert run_pair(replace(context, policy=policy), SYNC).state is State.SUCCEEDED
        shown = pair.ably.model.get(PROJECT, pair.target_of(2))
        assert (shown["name"], shown["status"]) == ("Done", "completed")


def test_what_a_refresh_wrote_while_the_source_was_read_stands(tmp_path: Path) -> None:
    """An edit that the list shows, and a later one that a refresh carried over meanwhile."""
    with quiet_pair(tmp_path / "one", count=260) as pair:
        pair.rail.model.update(2, {"name": "Earlier"})
        edit = lambda: refreshed(pair, 2, name="Later")  # noqa: E731
        with pair.process(allowed=PLENTY, point=Meanwhile("offset=250", edit)) as context:
            run_pair(context, SYNC)
        assert pair.ably.model.get(PROJECT, pair.target_of(2))["name"] == "Later"


def test_it_is_of_the_time_before_it_asked(tmp_path: Path) -> None:
    """What somebody edits while pages are read is not proved by a run that read them before."""
    with quiet_pair(tmp_path / "one") as pair:
        edited_on_page(4)(pair)
        sync(pair)
        sync(pair)
        stranger = pair.ably.model.create(PROJECT, {"name": "Theirs"})["id"]
        sync(pair)
        pair.ably.model.update(PROJECT, str(stranger), {"name": "Renamed"})
        began = pair.clock.now()
        report = sync(pair, allowed=SECONDLY)
        assert report.verified is not None
        assert report.verified["in_step"]
        assert pair.clock.now() > began
        found = Store(pair.engine).pair(pair.identity)
        assert found.proved_at == found.listed_at == began


# --- answers that are none


@pytest.mark.parametrize("times", [1, 3, 6, 50])
@pytest.mark.parametrize("where", ["get_milestones", "page=1&", "page=3"])
def test_html_is_asked_for_again_as_often_as_ever(tmp_path: Path, times: int, where: str) -> None:
    def second(name: str, before: Callable[[Pair], None]) -> object:
        with quiet_pair(tmp_path / name) as pair:
            before(pair)
            fault("html", times, where)(pair)
            report = sync(pair)
            return report.state, report.requests, report.counts

    assert second("quiet", nothing) == second("forgetful", forget)


@pytest.mark.parametrize("kind", ["html", "server_error"])
@pytest.mark.parametrize("seconds", [0.5, 1.5, 60.0])
def test_faults_and_the_ends_of_slices_go_together(
    tmp_path: Path, kind: str, seconds: float
) -> None:
    with quiet_pair(tmp_path / "one") as pair:
        fault(kind, 2, "page=2")(pair)
        edited_on_page(3)(pair)
        report = pair.in_slices(seconds, SYNC, allowed=SECONDLY)
        assert (report.state, report.counts["updated"]) == (State.SUCCEEDED, 1)
