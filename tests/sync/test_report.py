"""What a run says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import structlog

from mappings.errors import StoreError
from mappings.problem import Problem, ProblemKind
from mappings.rows import PairIdentity
from mappings.runs import RunLog
from tests.support.build import bad, link, plan, snapshot, source, target
from tests.support.world import World
from worker.errors import BudgetExhausted, Busy, GuardTripped, ServerTrouble
from worker.sync.apply.outcome import Outcome, Result, unattempted
from worker.sync.decide.action import Action, Kind
from worker.sync.decide.plan import make_plan
from worker.sync.options import Options, Trigger
from worker.sync.report import (
    RunReport,
    State,
    action_json,
    count,
    error_json,
    plan_json,
    problems_of,
    state_after,
    state_of,
    worst,
)
from worker.sync.run import Run, run_pair

IDENTITY = PairIdentity("https://rail.example", 1, "https://ably.example", "proj_1")
SKIP = Action(Kind.SKIP, 1, "One", "In step.", "ms_1")
TOLD = Problem(ProblemKind.IMMOVABLE, "Move it by hand.")


def outcome(result: Result, *problems: Problem) -> Outcome:
    return Outcome(SKIP, result, "ms_1", problems)


def test_every_result_has_a_counter() -> None:
    """Also those that did not occur."""
    counts = count([outcome(Result.CREATED), outcome(Result.CREATED), outcome(Result.WAITING)])
    assert set(counts) == {result.value for result in Result}
    assert (counts["created"], counts["waiting"], counts["updated"]) == (2, 1, 0)


@pytest.mark.parametrize(
    ("action", "result"),
    [
        (SKIP, Result.UNCHANGED),
        (replace(SKIP, kind=Kind.QUARANTINE), Result.QUARANTINED),
        (replace(SKIP, kind=Kind.CONFLICT), Result.CONFLICTS),
        (replace(SKIP, problem=Problem(ProblemKind.WAITING, "…")), Result.WAITING),
        (replace(SKIP, problem=Problem(ProblemKind.UNREAD, "…")), Result.WAITING),
        (replace(SKIP, problem=Problem(ProblemKind.ABSENCE_UNPROVED, "…")), Result.WAITING),
        (replace(SKIP, problem=Problem(ProblemKind.SECOND_TARGET, "…")), Result.UNCHANGED),
    ],
)
def test_what_becomes_of_actions_that_write_nothing(action: Action, result: Result) -> None:
    """Each kind has its counter."""
    assert unattempted(action).result is result


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ([], State.SUCCEEDED),
        ([outcome(Result.CREATED), outcome(Result.UNCHANGED)], State.SUCCEEDED),
        ([outcome(Result.UNCHANGED, Problem(ProblemKind.TARGET_EDIT_KEPT, "…"))], State.SUCCEEDED),
        ([outcome(Result.UPDATED, TOLD)], State.PARTIAL),
        ([outcome(Result.WAITING)], State.PARTIAL),
        ([outcome(Result.CONFLICTS)], State.PARTIAL),
        ([outcome(Result.QUARANTINED)], State.PARTIAL),
    ],
)
def test_a_run_is_partial_if_something_needs_a_person(given: list[Outcome], state: State) -> None:
    """An edit that is kept because a person said so needs nobody."""
    assert state_after(given) is state


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (GuardTripped("x"), State.ABORTED),
        (Busy("x"), State.ABORTED),
        (KeyboardInterrupt(), State.ABORTED),
        (BudgetExhausted("x", 1.0), State.UNFINISHED),
        (ServerTrouble("Testably", "x"), State.FAILED),
        (ValueError("x"), State.FAILED),
    ],
)
def test_how_a_run_ends_by_an_error(error: BaseException, state: State) -> None:
    """What stopped itself is aborted, what could not go on has failed."""
    assert state_of(error) is state


def test_the_worst_state_is_that_of_several_runs() -> None:
    """And of none it is the best."""
    assert worst([]) is State.SUCCEEDED
    assert worst([State.PARTIAL, State.SUCCEEDED]) is State.PARTIAL
    assert worst(State) is State.FAILED


def test_problems_name_both_ids_and_every_trouble() -> None:
    """One entry for each trouble; a record without an id has none."""
    nameless = Outcome(Action(Kind.QUARANTINE, 0, "", "bad"), Result.QUARANTINED, None, (TOLD,))
    first, second, third = problems_of([outcome(Result.UPDATED, TOLD, TOLD), nameless])
    assert (
        first
        == second
        == {
            "testrail_id": 1,
            "testably_id": "ms_1",
            "name": "One",
            "kind": "immovable",
            "reason": "Move it by hand.",
            "result": "updated",
        }
    )
    assert third["testrail_id"] is None


def test_the_report_as_json_has_all_fields_of_the_contract() -> None:
    """Whatever is empty is there as zero, as an empty list or as null."""
    document = RunReport(IDENTITY, "run-1", State.SUCCEEDED).as_json()
    assert list(document) == [
        "run",
        "state",
        "testrail_project",
        "testably_project",
        "created",
        "adopted",
        "updated",
        "archived",
        "unchanged",
        "quarantined",
        "conflicts",
        "waiting",
        "held",
        "requests",
        "problems",
        "not_exact",
        "verified",
    ]
    assert document["requests"] == {"testrail": 0, "testably": 0}
    json.dumps(document)
    failed = RunReport(IDENTITY, None, State.FAILED, error=ServerTrouble("Testably", "500"))
    assert failed.as_json()["error"] == {
        "kind": "server_error",
        "message": "500",
        "hint": "Run the same command again; nothing is done twice.",
    }


def test_an_error_as_json() -> None:
    """Kind, message and hint."""
    assert error_json(GuardTripped("Stop.", "Go.")) == {
        "kind": "guard",
        "message": "Stop.",
        "hint": "Go.",
    }


def test_the_plan_as_json() -> None:
    """Before and after of each field, notices, guards, and what it costs."""
    one = source(1, "New")
    there = target(source(1))
    twin = target(source(1), "ms_2")
    made = make_plan(snapshot([one], [there, twin], [link(source(1), there)], problems=[bad(None)]))
    document = plan_json(IDENTITY, made, {"testrail": 1, "testably": 2}, 0.0345)
    update, broken = document["actions"]
    assert update["fields"] == {"name": {"before": "Release 1", "after": "New"}}
    assert len(update["notices"]) == 1
    assert (broken["testrail_id"], broken["fields"]) == (None, {})
    assert "notices" not in broken
    assert (document["minutes"], document["requests"]["testably"]) == (0.03, 2)
    assert "guards" not in document
    json.dumps(document)


def test_a_plan_that_trips_a_guard_says_so() -> None:
    """With the flag that allows it."""
    sources = [source(i) for i in range(1, 13)]
    links = [link(one, target(one)) for one in sources]
    view = {"gone": frozenset(known.testably_id for known in links)}
    found = plan(sources, [], links, view=view).plan
    (guard,) = plan_json(IDENTITY, found, {}, 0.0)["guards"]
    assert guard["kind"] == "mass_guard"
    assert action_json(found.actions[0])["action"] == "create"


# --- how runs end and are recorded


def test_a_run_is_recorded_with_its_counts(world: World) -> None:
    """State, counts, requests and problems stand in the database as in the report."""
    world.add("One")
    world.rail.plant({"id": 90, "name": ""})
    report = world.run(Trigger.MIGRATION)
    (record,) = world.context().runs.latest(world.pair.id)
    assert (record.state, record.trigger, record.planned) == ("partial", "migration", 1)
    assert (record.counts, record.requests) == (report.counts, report.requests)
    assert record.problems == [dict(problem) for problem in report.problems]
    assert record.finished_at is not None


def test_agreement_is_proved_by_a_run_that_finds_nothing(world: World) -> None:
    """Only by one that read both sides whole."""
    world.add("One")
    world.run()
    assert world.pair.proved_at is None
    world.run(Trigger.SCHEDULE)
    assert world.pair.proved_at is None
    world.run()
    assert world.pair.proved_at == world.clock.now()


def test_a_run_that_nobody_confirmed_is_aborted(world: World) -> None:
    """Nothing was written, and it counts as if it had not been: nothing is recorded of it."""
    world.add("One")
    world.run()
    world.add("Two")
    before = world.context().runs.latest(world.pair.id)
    with Run(world.context(), Options()) as run:
        run.plan()
    assert (run.report.state, run.report.run) == (State.ABORTED, None)
    assert run.report.error is not None
    assert world.to_ably.writes == {"POST": 1}
    assert world.context().runs.latest(world.pair.id) == before


def test_a_run_that_is_asked_to_stop_stops(world: World) -> None:
    """Between two items; what was done is done, and the next run goes on."""
    for number in range(3):
        world.add(f"Release {number}")

    def ask(method: str, _what: str) -> None:
        if method == "POST":
            (record,) = world.context().runs.latest(world.pair.id)
            world.context().runs.change(record.id, stop_requested=True)
            world.clock.sleep(2)

    world.to_ably.before = ask
    report = world.run()
    assert (report.state, report.counts["created"]) == (State.ABORTED, 1)
    world.to_ably.before = lambda _method, _what: None
    assert world.run().counts["created"] == 2


def test_each_line_of_a_run_says_in_which_phase_it_is(world: World) -> None:
    """It reads, applies, and proves; afterwards nothing is left of it in the log's context."""
    world.add("One")
    seen: list[tuple[str, str]] = []

    def note(method: str, _what: str) -> None:
        seen.append((method, structlog.contextvars.get_contextvars()["phase"]))

    world.to_ably.before = world.to_rail.before = note
    world.run(Trigger.MIGRATION)
    assert list(dict.fromkeys(seen)) == [
        ("GET", "reading"),
        ("POST", "applying"),
        ("GET", "proving"),
    ]
    assert structlog.contextvars.get_contextvars() == {}


@pytest.mark.parametrize("trigger", [Trigger.MIGRATION, Trigger.SCHEDULE])
def test_what_keeps_a_run_from_being_recorded_is_in_its_report(
    world: World, trigger: Trigger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database has gone: no other word is had of the run."""

    def away(*_given: object, **_values: object) -> bool:
        raise StoreError("The database did not answer.")

    world.add("One")
    monkeypatch.setattr(RunLog, "note", away)
    report = world.run(trigger)
    assert (report.state, report.run is None) == (State.FAILED, False)
    assert isinstance(report.error, StoreError)


def test_somebody_else_is_running(world: World) -> None:
    """Told at once, without a run of its own."""
    with Run(world.context(), Options()):
        report = run_pair(world.context(), Options())
    assert (report.state, report.run) == (State.ABORTED, None)
    assert report.error is not None
    assert report.error.kind == "busy"


@pytest.mark.parametrize(
    ("error", "state"),
    [(KeyboardInterrupt, "aborted"), (ValueError, "failed")],
)
def test_what_nobody_expected_is_recorded_and_goes_on_to_the_caller(
    world: World, error: type[BaseException], state: str
) -> None:
    """A run never stays open because of a fault or of Ctrl-C."""

    def fail(*_given: Any) -> None:
        raise error("x")

    world.add("One")
    world.to_rail.before = fail
    with pytest.raises(error):
        world.run()
    (record,) = world.context().runs.latest(world.pair.id)
    assert record.state == state
    assert record.error is not None


def test_each_outcome_is_told_as_it_comes(world: World) -> None:
    """For the progress bar; every milestone at least once."""
    world.add("Done", is_completed=True)
    world.add("Two")
    told: list[int] = []
    run_pair(
        world.context(),
        Options(),
        on_outcome=lambda outcome: told.append(outcome.action.testrail_id),
    )
    assert set(told) == {1, 2}
