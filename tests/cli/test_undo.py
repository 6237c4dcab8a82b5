"""`undo` and what comes after it: said, listed, and done as it was said."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.cli.conftest import SEEDED, Milesync
from tests.cli.schemas import FAILURES, must_fit
from worker.sandbox.rules import Problem, Record
from worker.sandbox.server import Sandbox

PROJECT = "proj_abc123"


def target_of(milesync: Milesync, testrail_id: int) -> str:
    """The id in Testably that a milestone is linked to."""
    [project] = milesync("mappings", "--json").json["projects"]
    return next(str(k["testably_id"]) for k in project["links"] if k["testrail_id"] == testrail_id)


def listed(milesync: Milesync) -> list[dict[str, Any]]:
    """What `failures` lists."""
    document = milesync("failures", "--json").json
    must_fit(document, FAILURES)
    return list(document["projects"][0]["failures"])


def renamed_and_edited(milesync: Milesync, sandbox: Sandbox) -> str:
    """A run that renamed milestone 1, whose name somebody has edited in Testably since."""
    assert milesync("migrate", "--yes").code == 0
    sandbox.testrail.model.update(1, {"name": "Renamed"})
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    sandbox.testably.model.update(PROJECT, target_of(milesync, 1), {"name": "By hand"})
    return str(run)


def test_what_an_undo_leaves_is_listed_and_stays_as_it_is(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """Where the output says so; and its advice, as it is typed, does what it says."""
    run = renamed_and_edited(milesync, sandbox)
    undone = milesync("undo", run, "--yes")
    assert undone.code == 3
    assert "`milesync failures` lists what needs you" in undone.out
    [one] = listed(milesync)
    assert (one["testrail_id"], one["kind"]) == (1, "changed_since")
    assert "edited in Testably since: name." in one["reason"]
    for command in ("sync", "verify"):
        assert milesync(command).code == 3
    assert milesync("status", "--json").json["projects"][0]["needs_a_person"] == 1
    target = target_of(milesync, 1)
    assert sandbox.testably.model.get(PROJECT, target)["name"] == "By hand"
    [advised] = re.findall(r"`milesync (undo \S+ --force)`", one["reason"])
    assert milesync(*advised.split(), "--yes").code == 0
    assert sandbox.testably.model.get(PROJECT, target)["name"] not in ("By hand", "Renamed")
    assert [found["kind"] for found in listed(milesync)] == ["held"]


def test_one_that_is_denied_is_listed_and_the_rest_is_taken_back(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands before Testably refuses one address; undone again, it is taken back too."""
    ably = sandbox.testably.model
    ably.switches = replace(ably.switches, archived_subs_lock_status=False)
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    [bad, *_], update = [str(row["id"]) for row in ably.live(PROJECT)], ably.update

    def denied(project_id: str, milestone_id: str, body: object) -> Record:
        if milestone_id == bad:
            raise Problem(403, "Blocked by the firewall")
        return update(project_id, milestone_id, body)

    with monkeypatch.context() as patched:
        patched.setattr(ably, "update", denied)
        assert milesync("undo", run, "--yes").code == 3
    [one] = [found for found in listed(milesync) if found["kind"] != "held"]
    assert (one["testably_id"], one["kind"]) == (bad, "undo_failed")
    assert "Blocked by the firewall" in one["reason"]
    assert [row["id"] for row in ably.live(PROJECT)] == [bad]
    assert milesync("undo", run, "--yes").code == 0
    assert ably.live(PROJECT) == []


def test_what_an_undo_leaves_is_taken_up_or_lived_with_as_its_next_step_says(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    run = renamed_and_edited(milesync, sandbox)
    milesync("undo", run, "--yes")
    [one] = listed(milesync)
    assert "`milesync accept 1`" in one["next_step"]
    assert milesync("accept", "1").code == 0
    assert milesync("sync").code == 0
    assert listed(milesync) == []
    assert milesync("accept", "--revoke", "1").code == 0
    assert "`milesync migrate` takes it up again" in one["next_step"]
    planned = milesync("plan").out
    assert "Edited in Testably, and would be overwritten (1)" in planned
    assert milesync("migrate", "--yes").code == 0
    target = target_of(milesync, 1)
    assert sandbox.testably.model.get(PROJECT, target)["name"] == "Renamed"
    assert listed(milesync) == []


def test_what_is_accepted_after_an_undo_is_in_step_for_every_command(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """Nothing is planned, nothing is written, and what would release it is said (R10)."""
    ably = sandbox.testably.model
    ably.switches = replace(ably.switches, archived_subs_lock_status=False)
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    assert milesync("undo", run, "--yes").code == 0
    assert milesync("accept", "--all").code == 0
    assert milesync("verify").code == 0
    assert milesync("sync").code == 0
    [planned] = milesync("plan", "--json").json["projects"]
    assert {action["action"] for action in planned["actions"]} == {"skip"}
    assert (
        planned["requests"]["testably"]
        == milesync("migrate", "--yes", "--json").json["projects"][0]["requests"]["testably"]
    )
    shown = milesync("plan").out
    assert "Waits" not in shown
    assert "accepted by a person" in shown
    [project] = milesync("status", "--json").json["projects"]
    assert (project["in_step"], project["needs_a_person"]) == (True, 0)
    for command in ("status", "sync"):
        said = milesync(command).out
        assert "held after an undo and accepted; `milesync accept --revoke ID`" in said
    assert sandbox.testably.model.live(PROJECT) == []
    milesync("accept", "--revoke", "1")
    said = milesync("status").out
    assert "of them accepted; `milesync migrate` releases the others" in said
    assert milesync("migrate", "--yes").code == 0
    assert len(sandbox.testably.model.live(PROJECT)) == 1


@pytest.mark.usefixtures("sandbox")
def test_a_rebuild_is_called_a_rebuild(milesync: Milesync, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `runs`, `show` and `history`; no sync has run."""
    milesync("migrate", "--yes")
    monkeypatch.setenv("MILESYNC_DATABASE_URL", "sqlite:///lost.db")
    assert milesync("rebuild").code == 0
    [run] = milesync("runs", "--json").json["runs"]
    assert run["trigger"] == "rebuild"
    for command in (("runs",), ("show", run["run"]), ("status",), ("history", "1")):
        said = milesync(*command).out
        assert "rebuild" in said
        assert "sync " not in re.sub(r"`milesync [^`]*`", "", said)


def test_an_undo_that_nobody_is_asked_about_reads_each_target_once(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """It says all the same what it takes back; with ``--json`` that is on neither stream."""
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    before = len(sandbox.testably.requests)
    undone = milesync("undo", run, "--yes")
    requests = [one.method for one in sandbox.testably.requests[before:]]
    assert (requests.count("GET"), requests.count("PATCH")) == (SEEDED, SEEDED)
    assert f"What taking back run {run} means:" in undone.out
    assert milesync("migrate", "--yes").code == 0
    run = milesync("runs", "--json").json["runs"][0]["run"]
    quiet = milesync("undo", run, "--yes", "--json")
    assert quiet.json["state"] == "succeeded"
    assert "means:" not in quiet.out + quiet.err


@pytest.mark.usefixtures("sandbox")
def test_what_an_undo_unlinked_is_missing_until_a_migration_releases_it(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And `verify` says so; every milestone was adopted by a database that had been lost."""
    milesync("migrate", "--yes")
    monkeypatch.setenv("MILESYNC_DATABASE_URL", "sqlite:///lost.db")
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    assert milesync("undo", run, "--yes").code == 0
    said = milesync("verify")
    assert said.code == 3
    assert said.out.count("missing") == SEEDED
    assert "`milesync migrate` releases what an undo holds." in said.out
    assert "`milesync plan` says why" not in said.out
    assert milesync("migrate", "--yes").code == 0
    assert milesync("verify").code == 0
