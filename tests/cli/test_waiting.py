"""A plan that waits, at its question or behind other projects: nothing is written as it was read
long before (R12's bound)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import Milesync, Terminal
from worker.clock import SystemClock
from worker.sandbox.server import Sandbox
from worker.sync.run import Run

PROJECT = "proj_abc123"
SOON, LATE = timedelta(minutes=4), timedelta(minutes=6)
Pass = Callable[[timedelta], None]
Happens = Callable[[], None]
Asked = Callable[..., list[str]]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Lets time pass."""
    passed = [timedelta()]
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + sum(passed, timedelta()))
    return passed.append


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Somebody who answers each question, the first one once something has happened.

    Gives the answers that are left.
    """

    def answers(*texts: str, once: Happens) -> list[str]:
        left, to_happen = list(texts), [once]

        def readline() -> str:
            if to_happen:
                to_happen.pop()()
            return f"{left.pop(0)}\n"

        terminal = Terminal()
        monkeypatch.setattr(terminal, "readline", readline)
        monkeypatch.setattr("sys.stdin", terminal)
        return left

    return answers


@pytest.fixture
def target(milesync: Milesync, sandbox: Sandbox) -> str:
    """Milestone 1, which is linked and renamed in TestRail since; its id in Testably."""
    milesync("migrate", "--yes")
    sandbox.testrail.model.update(1, {"name": "New in TestRail"})
    sandbox.testrail.model.add(1, {"name": "Twin"})
    links = milesync("mappings", "--json").json["projects"][0]["links"]
    return str(next(link["testably_id"] for link in links if link["testrail_id"] == 1))


def edit(sandbox: Sandbox, target: str) -> None:
    """Somebody works in Testably."""
    sandbox.testably.model.update(PROJECT, target, {"name": "By hand"})
    sandbox.testably.model.create(PROJECT, {"name": "Twin"})


def twins(sandbox: Sandbox) -> int:
    return [row["name"] for row in sandbox.testably.model.everything(PROJECT)].count("Twin")


def test_who_answers_late_is_asked_again_where_the_plan_is_another_one(
    milesync: Milesync, sandbox: Sandbox, target: str, later: Pass, person: Asked
) -> None:
    """What a person wrote meanwhile is shown and kept in the history, and nothing is doubled."""

    def happens() -> None:
        later(LATE)
        edit(sandbox, target)

    left = person("y", "y", once=happens)
    ended = milesync("migrate")
    assert (ended.code, left, ended.err.count("Go on?")) == (3, [], 2)
    assert "By hand" in ended.out
    assert twins(sandbox) == 1
    changes = milesync("history", "1", "--json").json["projects"][0]["changes"]
    assert (changes[-1]["before"]["name"], changes[-1]["after"]["name"]) == (
        "By hand",
        "New in TestRail",
    )


def test_who_then_says_no_has_nothing_written(
    milesync: Milesync, sandbox: Sandbox, target: str, later: Pass, person: Asked
) -> None:
    def happens() -> None:
        later(LATE)
        edit(sandbox, target)

    person("y", "n", once=happens)
    patches = sandbox.testably.count("PATCH")
    ended = milesync("migrate", "--json")
    assert (ended.code, ended.json["state"]) == (1, "aborted")
    assert sandbox.testably.count("PATCH") == patches
    assert sandbox.testably.model.get(PROJECT, target)["name"] == "By hand"


@pytest.mark.usefixtures("target")
def test_nobody_is_asked_again_where_the_plan_is_the_same(
    milesync: Milesync, sandbox: Sandbox, later: Pass, person: Asked
) -> None:
    left = person("y", once=lambda: later(LATE))
    reads = sandbox.testrail.count("GET")
    assert (milesync("migrate").code, left) == (0, [])
    assert sandbox.testrail.count("GET") - reads == 3  # the plan, once more, and the proof


@pytest.mark.usefixtures("target")
def test_a_quick_answer_needs_no_other_reading(
    milesync: Milesync, sandbox: Sandbox, later: Pass, person: Asked
) -> None:
    person("y", once=lambda: later(SOON))
    reads = sandbox.testrail.count("GET")
    assert milesync("migrate").code == 0
    assert sandbox.testrail.count("GET") - reads == 2


@pytest.fixture
def behind(
    milesync: Milesync, two_projects: Sandbox, later: Pass, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The first project takes long to write, and the second's name is then changed in Testably."""
    milesync("migrate", "--yes")
    model = two_projects.testrail.model
    [row] = two_projects.testably.model.everything("proj_two")
    model.update(1, {"name": "Renamed"})
    model.update(int(str(model.everything(2)[0]["id"])), {"name": "Renamed too"})
    milesync("plan", "--out", "plan.json")
    ends = Run._end

    def ends_late(run: Run, *args: object) -> object:
        if run.context.identity.testably_project == PROJECT:
            later(LATE)
            edited = {"name": "By hand"}
            two_projects.testably.model.update("proj_two", str(row["id"]), edited)
        return ends(run, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "_end", ends_late)
    return str(row["id"])


def test_a_project_that_waited_for_another_is_read_again(
    milesync: Milesync, two_projects: Sandbox, behind: str
) -> None:
    """With --yes the new plan is applied as it is."""
    ended = milesync("migrate", "--yes", "--json")
    assert (ended.code, [one["updated"] for one in ended.json["projects"]]) == (0, [1, 1])
    assert two_projects.testably.model.get("proj_two", behind)["name"] == "Renamed too"
    changes = milesync("history", "--json", "13").json["projects"][1]["changes"]
    assert changes[-1]["before"]["name"] == "By hand"


def test_a_project_that_waited_is_not_written_otherwise_than_reviewed(
    milesync: Milesync, two_projects: Sandbox, behind: str
) -> None:
    ended = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    first, second = ended.json["projects"]
    assert (ended.code, first["updated"]) == (1, 1)
    assert (second["updated"], second["error"]["kind"]) == (0, "plan_changed")
    assert "By hand" in second["error"]["message"]
    assert two_projects.testably.model.get("proj_two", behind)["name"] == "By hand"
