"""A mass of deletions: seen whole before, reviewed, done, and proved, each by the command said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import SEEDED, Ended, Milesync
from tests.cli.schemas import VERIFY, must_fit
from worker.sandbox.server import Sandbox

PROJECT = "proj_abc123"
GONE = 17


@pytest.fixture
def deleted(milesync: Milesync, sandbox: Sandbox) -> list[int]:
    """Forty milestones are mirrored; seventeen of them are then deleted in TestRail."""
    rail = sandbox.testrail.model
    added = [int(str(rail.add(1, {"name": f"R{n}"})["id"])) for n in range(40 - SEEDED)]
    assert milesync("migrate", "--yes").code == 0
    for id_ in added[:GONE]:
        rail.delete(id_)
    return added[:GONE]


def emptied(milesync: Milesync, sandbox: Sandbox) -> None:
    """All that was mirrored is deleted in Testably."""
    assert milesync("migrate", "--yes").code == 0
    while left := sandbox.testably.model.everything(PROJECT):
        sandbox.testably.model.remove(str(left[0]["id"]))


def words_of(ended: Ended) -> str:
    return " ".join(f"{ended.out} {ended.err}".split())


def commands(told: str, name: str) -> list[list[str]]:
    """What follows each `` `milesync NAME`` in a text: its arguments."""
    return [found.split() for found in re.findall(rf"`milesync {name}\b([^`]*)`", told)]


@pytest.mark.usefixtures("deleted")
def test_a_mass_archive_is_reviewed_and_then_done(milesync: Milesync, sandbox: Sandbox) -> None:
    """The plan that would stop says which one shows all; that one is kept, signed and applied."""
    told = words_of(milesync("plan"))
    assert "It would stop: 17 of 40 linked milestones are missing" in told
    [[flag]] = commands(told, "plan")
    assert "17 gone" in words_of(milesync("plan", flag))
    kept = milesync("plan", flag, "--out", "plan.json", "--out", "plan.md")
    assert "It would stop" not in kept.out
    assert "`milesync migrate --plan plan.json`" in kept.out
    assert "17 gone" in Path("plan.md").read_text(encoding="utf-8")
    assert len(sandbox.testably.model.live(PROJECT)) == 40
    done = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (done.code, done.json["projects"][0]["archived"]) == (0, GONE)
    assert milesync("verify").code == 0


@pytest.mark.usefixtures("deleted")
def test_a_plan_that_would_stop_leads_to_one_that_does_not(milesync: Milesync) -> None:
    """Whichever flag is forgotten where, the error names the command that helps."""
    kept = milesync("plan", "--out", "plan.json")
    assert "migrate --plan plan.json" not in kept.out
    stopped = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (stopped.code, stopped.json["error"]["kind"]) == (1, "guard")
    [[flag]] = commands(stopped.json["error"]["hint"], "plan")
    changed = milesync("migrate", "--plan", "plan.json", flag, "--yes", "--json")
    assert (changed.code, changed.json["error"]["kind"]) == (1, "plan_changed")
    [again] = commands(changed.json["error"]["hint"], "plan")
    assert again == [flag, "--out", "FILE"]
    milesync("plan", *again[:-1], "plan.json")
    assert milesync("migrate", "--plan", "plan.json", flag, "--yes").code == 0


def test_a_guard_allowed_beside_a_reviewed_plan_is_allowed(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """Where the plan without the flag already showed all that would be done."""
    emptied(milesync, sandbox)
    milesync("plan", "--out", "plan.json")
    assert milesync("migrate", "--plan", "plan.json", "--yes").code == 1
    allowed = ("--allow-mass-recreate", "--yes", "--json")
    done = milesync("migrate", "--plan", "plan.json", *allowed)
    assert (done.code, done.json["projects"][0]["created"]) == (0, SEEDED)


def test_a_mass_recreate_is_reviewed_and_then_done(milesync: Milesync, sandbox: Sandbox) -> None:
    emptied(milesync, sandbox)
    told = words_of(milesync("plan", "--create-anyway"))
    assert "It would stop" in told
    [flags] = commands(told, "plan")
    assert commands(told, "migrate") == [flags]
    assert flags == ["--create-anyway", "--allow-mass-recreate"]
    assert "It would stop" not in milesync("plan", *flags, "--out", "plan.json").out
    assert milesync("migrate", "--plan", "plan.json", "--yes").code == 0


def test_what_people_work_in_is_archived_by_a_reviewed_plan(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """The plan shows it only with the flag; the file keeps that, so it is refused beside it."""
    assert milesync("migrate", "--yes").code == 0
    [used] = [
        one
        for one in milesync("mappings", "--json").json["projects"][0]["links"]
        if one["testrail_id"] == 1
    ]
    run: dict[str, object] = {"id": "run_1", "name": "Nightly", "status": "in_progress"}
    sandbox.testably.model.link_run(used["testably_id"], run)
    sandbox.testrail.model.delete(1)
    assert "needs you" in milesync("plan").out
    assert "1 gone" in milesync("plan", "--archive-in-use", "--out", "plan.json").out
    refused = milesync("migrate", "--plan", "plan.json", "--archive-in-use", "--yes", "--json")
    assert (refused.code, "--archive-in-use" in refused.json["error"]["message"]) == (2, True)
    done = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (done.code, done.json["projects"][0]["archived"]) == (0, 1)


@pytest.mark.usefixtures("deleted")
def test_a_guard_names_its_project_among_several(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is allowed for one project is not meant for the others."""
    sandbox.testrail.model.projects.add(2)
    sandbox.testably.model.projects.add("proj_two")
    monkeypatch.setenv("MILESYNC_PROJECTS", f"1={PROJECT},2=proj_two")
    for command in (["plan"], ["migrate", "--yes"], ["sync"], ["verify"]):
        told = words_of(milesync(*command))
        for named in ("plan", "migrate"):
            for flags in commands(told, named):
                assert flags[-2:] == ["--project", "1"], command


def test_verify_tells_every_deletion_and_the_command_that_helps(
    milesync: Milesync, sandbox: Sandbox, deleted: list[int]
) -> None:
    """Each one that is missing is asked for, as often as it is verified, and none is written."""
    for _ in range(2):
        before = sandbox.testrail.count("GET", "get_milestone/")
        found = milesync("verify", "--json")
        must_fit(found.json, VERIFY)
        assert (found.code, found.json["in_step"]) == (3, False)
        assert len(found.json["projects"][0]["extra"]) == GONE
        assert sandbox.testrail.count("GET", "get_milestone/") - before == len(deleted)
    told = words_of(milesync("verify"))
    assert "not in step, 23 compared" in told
    assert "17 of 40 linked milestones are missing from TestRail, and they are proved" in told
    assert "`milesync sync`" not in told
    [flags] = commands(told, "migrate")
    assert milesync("migrate", *flags, "--yes").code == 0
    assert milesync("verify").code == 0


def test_verify_says_what_brings_back_a_mass_that_testably_lost(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    emptied(milesync, sandbox)
    ended = milesync("verify")
    assert ended.code == 3
    [flags] = commands(words_of(ended), "migrate")
    assert milesync("migrate", *flags, "--yes").code == 0
    assert milesync("verify").code == 0
