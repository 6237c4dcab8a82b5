"""The commands that look at the database, and those that put something right."""

from __future__ import annotations

import csv
import io
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SEEDED, Milesync
from tests.cli.schemas import (
    FAILURE,
    FAILURES,
    HISTORY,
    MAPPINGS,
    RUNS,
    STATUS,
    VERIFY,
    must_fit,
)
from worker.bootstrap import Deployment
from worker.sandbox.server import Sandbox
from worker.sandbox.switches import TestablySwitches
from worker.settings import load_settings


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("command", "schema"),
    [
        (["status"], STATUS),
        (["mappings"], MAPPINGS),
        (["failures"], FAILURES),
        (["history", "1"], HISTORY),
    ],
)
def test_a_fresh_database_shows_nothing(
    milesync: Milesync, command: list[str], schema: dict[str, Any]
) -> None:
    ended = milesync(*command, "--json")
    assert ended.code == 0
    must_fit(ended.json, schema)
    assert milesync(*command).out.startswith("Project 1 → proj_abc123")


@pytest.mark.usefixtures("sandbox")
def test_status_shows_the_runs_newest_first(milesync: Milesync) -> None:
    milesync("migrate", "--yes")
    milesync("sync")
    ended = milesync("status", "--json")
    must_fit(ended.json, STATUS)
    [project] = ended.json["projects"]
    assert [run["trigger"] for run in project["runs"]] == ["manual", "migration"]
    assert project["proved_at"] is not None
    assert " done " in milesync("status").out


@pytest.mark.usefixtures("sandbox")
def test_mappings_list_every_link(milesync: Milesync) -> None:
    milesync("migrate", "--yes")
    document = milesync("mappings", "--json").json
    must_fit(document, MAPPINGS)
    assert len(document["projects"][0]["links"]) == SEEDED

    rows = list(csv.reader(io.StringIO(milesync("mappings", "--csv").out)))
    assert rows[0] == [
        "testrail_id",
        "testably_id",
        "state",
        "name",
        "status",
        "start_date",
        "due_date",
        "testrail_lifecycle",
        "testably_status",
    ]
    assert len(rows) == SEEDED + 1
    assert milesync("mappings", "--csv", "--json").code == 2


def test_the_lifecycle_stands_beside_what_testably_shows(
    milesync: Milesync, sandbox: Sandbox, tmp_path: Path
) -> None:
    """In `mappings`, the plan, the report and the page of a plan; a parent's is derived."""
    starts = {"Late": 1_000_000_000, "Begun": 4_000_000_000, "Over": 4_000_000_000}
    late, begun, over = (
        int(str(sandbox.testrail.model.add(1, {"name": name, "start_on": at})["id"]))
        for name, at in starts.items()
    )
    sandbox.testrail.model.update(begun, {"is_started": True})
    sandbox.testrail.model.update(over, {"is_completed": True})
    both = {
        late: ("upcoming", "started"),
        begun: ("started", "started"),
        over: ("completed", "completed"),
    }
    planned = milesync("plan", "--all").out
    assert f"{late}  Late  upcoming in TestRail, started in Testably" in planned
    assert f"{begun}  Begun  started" in planned
    report = tmp_path / "report.json"
    ended = milesync("migrate", "--yes", "--json", "--report", str(report)).json
    assert ended["projects"][0]["not_exact"]["lifecycle"] >= 1
    rows = csv.DictReader(io.StringIO(milesync("mappings", "--csv").out))
    found = {int(row["testrail_id"]): row for row in rows}
    items = {
        item["testrail_id"]: item
        for item in json.loads(report.read_text(encoding="utf-8"))["projects"][0]["items"]
    }
    for shown in (found, items):
        assert {
            id_: (shown[id_]["testrail_lifecycle"], shown[id_]["testably_status"]) for id_ in both
        } == both
    assert "Testably shows" in milesync("mappings").out


def test_names_cannot_steer_the_terminal(milesync: Milesync, sandbox: Sandbox) -> None:
    sandbox.testrail.model.add(1, {"name": "\x1b[2J[bold]plain"})
    milesync("migrate", "--yes")
    shown = milesync("mappings").out
    assert "\x1b" not in shown
    assert "[bold]plain" in shown


def test_history_tells_what_was_there_before(milesync: Milesync, sandbox: Sandbox) -> None:
    """By either id."""
    milesync("migrate", "--yes")
    sandbox.testrail.model.update(1, {"name": "Renamed"})
    milesync("sync")
    document = milesync("history", "1", "--json").json
    must_fit(document, HISTORY)
    changes = document["projects"][0]["changes"]
    assert changes[-1]["after"] == {"name": "Renamed"}
    assert changes[-1]["trigger"] == "manual"
    target = changes[-1]["testably_id"]
    assert milesync("history", target, "--json").json == document
    assert "→ Renamed" in milesync("history", "1").out


def test_failures_are_listed_and_retried(milesync: Milesync, sandbox: Sandbox) -> None:
    """A quarantined milestone is left alone until a person says so."""
    sandbox.testrail.model.add(1, {"name": "A name" + " that is long" * 20})
    sandbox.testably.model.switches = TestablySwitches(max_name_length=200)
    failed = milesync("migrate", "--yes", "--json")
    assert (failed.code, failed.json["projects"][0]["quarantined"]) == (3, 1)
    document = milesync("failures", "--json").json
    must_fit(document, FAILURES)
    [failure] = document["projects"][0]["failures"]
    assert failure["kind"] == "refused"
    assert "Testably answered POST" in milesync("failures").out
    assert "1 needs you: `milesync failures`" in milesync("status").out
    assert milesync("sync").code == 3

    sandbox.testably.model.switches = TestablySwitches()
    assert milesync("sync").code == 3
    assert milesync("retry", str(failure["testrail_id"]), "--json").json["cleared"] == 1
    assert milesync("sync").code == 0
    assert "Nothing needs a person." in milesync("failures").out


def test_what_is_accepted_is_tried_again_only_where_it_is_named(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """Then both sides differ again, and every command says so."""

    def in_step() -> object:
        return milesync("status", "--json").json["projects"][0]["in_step"]

    made = sandbox.testrail.model.add(1, {"name": "A name" + " that is long" * 20})["id"]
    sandbox.testably.model.switches = TestablySwitches(cuts_name_at=100)
    assert milesync("migrate", "--yes").code == 3
    assert milesync("accept", str(made)).code == 0
    assert (milesync("verify").code, in_step()) == (0, True)
    assert milesync("retry", "--json").json["cleared"] == 0
    assert in_step() is True
    assert milesync("retry", str(made), "--json").json["cleared"] == 1
    assert (in_step(), milesync("verify").code) == (False, 3)
    sandbox.testably.model.switches = TestablySwitches()
    assert (milesync("sync").code, in_step()) == (0, None)
    assert (milesync("verify").code, in_step()) == (0, True)


def test_a_retry_of_everything_takes_no_acceptance_back(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """Also where something else of the same milestone is tried again."""
    facts = {"name": "A name" + " that is long" * 20, "due_on": 1_780_272_000}
    made = int(str(sandbox.testrail.model.add(1, facts)["id"]))
    sandbox.testably.model.switches = TestablySwitches(cuts_name_at=100, null_clears=False)
    assert milesync("migrate", "--yes").code == 3
    sandbox.testrail.model.update(made, {"due_on": None})
    assert milesync("sync").code == 3
    assert milesync("accept", str(made), "--field", "name").code == 0
    sandbox.testably.model.switches = TestablySwitches(cuts_name_at=100)
    assert milesync("retry", "--json").json["cleared"] == 1
    assert milesync("sync").code == 0
    [project] = milesync("failures", "--json").json["projects"]
    assert [one["field"] for one in project["accepted"]] == ["name"]
    assert project["failures"] == []


@pytest.mark.usefixtures("sandbox")
def test_retry_of_what_is_not_known_is_wrong_usage(milesync: Milesync) -> None:
    ended = milesync("retry", "4711", "--json")
    assert ended.code == 2
    assert "4711" in ended.json["error"]["message"]
    assert milesync("retry", "--json").json["cleared"] == 0


def test_verify_finds_what_differs(milesync: Milesync, sandbox: Sandbox) -> None:
    milesync("migrate", "--yes")
    good = milesync("verify", "--json")
    must_fit(good.json, VERIFY)
    assert (good.code, good.json["in_step"]) == (0, True)

    sandbox.testrail.model.update(1, {"name": "Renamed since"})
    sandbox.testrail.model.add(1, {"name": "New since"})
    drifted = milesync("verify", "--json")
    must_fit(drifted.json, VERIFY)
    assert (drifted.code, drifted.json["in_step"]) == (3, False)
    [project] = drifted.json["projects"]
    assert [found["expected"] for found in project["differences"]] == ["Renamed since"]
    assert [found["name"] for found in project["missing"]] == ["New since"]
    assert "Renamed since" in milesync("verify").out


def test_verify_that_cannot_read_is_no_verdict(milesync: Milesync, two_projects: Sandbox) -> None:
    two_projects.testably.model.projects.discard("proj_two")
    milesync("sync")
    ended = milesync("verify", "--json")
    assert (ended.code, ended.json["state"]) == (1, "failed")
    assert [project["in_step"] for project in ended.json["projects"]] == [True, False]


def test_undo_takes_a_run_back(
    milesync: Milesync, sandbox: Sandbox, person: Callable[[str], None]
) -> None:
    milesync("migrate", "--yes")
    old = sandbox.testrail.model.get(1)["name"]
    sandbox.testrail.model.update(1, {"name": "Renamed"})
    run = milesync("sync", "--json").json["projects"][0]["run"]

    assert milesync("undo", run).code == 2
    person("n")
    assert milesync("undo", run).code == 1
    assert milesync("verify").code == 0
    undone = milesync("undo", run, "--yes", "--json")
    must_fit(undone.json, RUNS)
    assert (undone.code, undone.json["projects"][0]["updated"]) == (0, 1)
    [difference] = milesync("verify", "--json").json["projects"][0]["differences"]
    assert difference["actual"] == old


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("command", ["undo", "stop"])
def test_a_run_that_is_not_known_is_wrong_usage(milesync: Milesync, command: str) -> None:
    ended = milesync(command, "20260101-000000-abcd", "--yes", "--json")
    assert ended.code == 2
    assert "milesync runs" in ended.json["error"]["hint"]


@pytest.mark.usefixtures("sandbox")
def test_rebuild_recovers_the_links(milesync: Milesync, monkeypatch: pytest.MonkeyPatch) -> None:
    milesync("migrate", "--yes")
    links = milesync("mappings", "--csv").out.splitlines()
    monkeypatch.setenv("MILESYNC_DATABASE_URL", "sqlite:///lost.db")
    ended = milesync("rebuild", "--json")
    must_fit(ended.json, RUNS)
    assert (ended.code, ended.json["projects"][0]["adopted"]) == (0, SEEDED)
    again = milesync("mappings", "--csv").out.splitlines()
    assert [line.split(",")[:2] for line in again] == [line.split(",")[:2] for line in links]
    assert milesync("sync", "--json").json["projects"][0]["unchanged"] == SEEDED


def test_a_rebuild_that_fails_tells_its_run_and_its_requests(
    milesync: Milesync, two_projects: Sandbox
) -> None:
    """As they are recorded; the other pair is rebuilt."""
    two_projects.testrail.model.no_access.add(1)
    ended = milesync("rebuild", "--json")
    must_fit(ended.json, FAILURE)
    failed, other = ended.json["projects"]
    assert (ended.code, failed["state"], other["state"]) == (1, "failed", "succeeded")
    assert failed["error"] == ended.json["error"]
    recorded = {run["run"]: run for run in milesync("runs", "--json").json["runs"]}
    assert recorded.keys() == {failed["run"], other["run"]}
    assert failed["requests"] == recorded[failed["run"]]["requests"]
    assert failed["requests"]["testrail"] > 0


@pytest.mark.usefixtures("sandbox")
def test_a_rebuild_that_may_send_nothing_has_failed(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody goes on with it: where Redis, which says what is allowed, is away."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("MILESYNC_REDIS_URL", f"redis://127.0.0.1:{port}/0")
    ended = milesync("rebuild", "--json")
    must_fit(ended.json, FAILURE)
    [project] = ended.json["projects"]
    assert (ended.code, project["state"], ended.json["error"]["kind"]) == (1, "failed", "redis")


@pytest.mark.usefixtures("sandbox")
def test_stop_asks_a_running_run_to_end(milesync: Milesync, person: Callable[[str], None]) -> None:
    with Deployment(load_settings()) as deployment:
        pair = deployment.store.pair(deployment.identity(deployment.settings.projects[0]))
        run = deployment.runs.begin(pair.id, "manual", "a test", datetime.now(UTC)).id
        assert milesync("stop", run).code == 2
        person("n")
        assert milesync("stop", run).code == 1
        person("y")
        ended = milesync("stop", run, "--json")
        assert (ended.code, ended.json["stop_requested"]) == (0, True)
        stopped = deployment.runs.get(run)
        assert stopped is not None
        assert stopped.stop_requested
    assert "asked to stop" in " ".join(milesync("status").out.split())


@pytest.mark.usefixtures("sandbox")
def test_stop_of_a_run_that_has_ended_says_so(milesync: Milesync) -> None:
    run = milesync("sync", "--json").json["projects"][0]["run"]
    assert "has ended already: done" in milesync("stop", run, "--yes").out
