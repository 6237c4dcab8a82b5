"""A quiet run over HTTP sends the requests of any other, whatever the servers answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from mappings.tables import quiet_readings
from tests.proofs.over_http import PLENTY, PROJECT
from tests.proofs.slicing import MIGRATION, SECONDLY, Pair, a_pair
from tests.support.database import fresh_engine
from worker.clients.passes import CHANGED
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import Options, Trigger
from worker.sync.report import RunReport, State
from worker.sync.run import run_pair

SYNC, SCHEDULE = Options(Trigger.MANUAL), Options(Trigger.SCHEDULE)
QUIET = {"testrail": 1, "testably": 4}


@contextmanager
def quiet_pair(folder: Path) -> Iterator[Pair]:
    """Twenty milestones on four pages of Testably, in step; the last run had nothing to do."""
    folder.mkdir()
    engine = fresh_engine(folder)
    with a_pair(engine, ably=TestablySwitches(most_per_page=6)) as made:
        for number in range(20):
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


def test_html_in_place_of_a_page_is_asked_for_again(tmp_path: Path) -> None:
    """A login page is no list: nothing is concluded from it."""
    with quiet_pair(tmp_path / "one") as pair:
        fault("html", 1, "page=2")(pair)
        report = sync(pair)
        assert (report.state, report.counts["unchanged"]) == (State.SUCCEEDED, 20)
        assert report.requests == {"testrail": 1, "testably": 5}


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
