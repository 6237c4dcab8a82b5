"""How far a run is: counted rightly, logged seldom, shown as a bar on a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from mappings.problem import Problem, ProblemKind
from tests.cli.conftest import SEEDED, Milesync
from tests.support.clock import FakeClock
from worker.cli.progress import Tally, duration, logged
from worker.sync.apply.outcome import Outcome, Result
from worker.sync.decide.action import Action, Kind


def created(testrail_id: int, **more: Any) -> Outcome:
    action = Action(Kind.CREATE, testrail_id, "Beta", "New.", **more)
    return Outcome(action, Result.CREATED, f"ms_{testrail_id}")


def test_a_create_that_is_completed_later_counts_twice() -> None:
    tally = Tally(3, 1.0, FakeClock())
    for outcome in (created(1, status_later=True), created(2), created(1, status_later=True)):
        tally.add(outcome)
    tally.add(Outcome(Action(Kind.SKIP, 3, "Idle", "In step."), Result.UNCHANGED))
    assert (tally.done, tally.seconds_left) == (3, 0.0)


def test_what_needs_a_person_is_counted_once() -> None:
    tally = Tally(2, 1.0, FakeClock())
    problem = Problem(ProblemKind.REFUSED, "No.")
    action = Action(Kind.CREATE, 1, "Beta", "New.")
    tally.add(Outcome(action, Result.QUARANTINED, None, (problem,)))
    assert "1 needs you" in str(tally)


def test_the_remaining_time_is_that_of_the_allowed_rate() -> None:
    clock = FakeClock()
    tally = Tally(601, 1.0, clock)
    clock.passed = 2.0
    tally.add(created(1))
    assert str(tally) == "1 of 601 writes, 30 a minute, about 10 min left"
    assert str(Tally(1, 1.0, clock)).startswith("0 of 1 write, ")


def test_a_line_is_logged_every_ten_seconds() -> None:
    clock = FakeClock()
    structlog.reset_defaults()
    with capture_logs() as lines:
        on_outcome = logged("Project 1", Tally(40, 1.0, clock), clock)
        for number in range(40):
            clock.passed += 1.0
            on_outcome(created(number + 1))
    assert [line["done"] for line in lines] == [10, 20, 30, 40]
    assert lines[0]["event"].startswith("Project 1: 10 of 40 writes")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "about 1 s"), (61, "about 61 s"), (900, "about 15 min"), (9000, "about 2.5 h")],
)
def test_times_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("sandbox")
def test_a_terminal_gets_a_bar_and_stdout_stays_pure(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("MILESYNC_LOG_LEVEL", "info")
    ended = milesync("migrate", "--yes", "--json")
    assert ended.json["projects"][0]["created"] == SEEDED
    assert "writes" in screen.getvalue()
    assert "run ended" in screen.getvalue()
