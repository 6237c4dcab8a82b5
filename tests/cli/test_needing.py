"""How many milestones need a person: one answer, in the plan, the run, its pages and afterwards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import SEEDED, Milesync
from tests.web.page import Page
from worker.sandbox.server import Sandbox
from worker.sandbox.switches import TestablySwitches

PROJECT = "proj_abc123"
DAY = 1_772_323_200


def test_edits_that_are_kept_need_nobody(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """They have a section of their own, in the plan, the run, `show` and the report."""
    monkeypatch.setenv("MILESYNC_ON_TARGET_EDIT", "target")
    milesync("migrate", "--yes")
    rows = {row["name"]: row["id"] for row in sandbox.testably.model.everything(PROJECT)}
    name, target = next(iter(rows.items()))
    edits = {"name": "Edited there", "description": "By somebody"}
    sandbox.testably.model.update(PROJECT, str(target), edits)
    planned = milesync("plan").out
    assert f"{SEEDED - 1} the same, 1 kept as edited; " in planned
    assert "Kept as edited in Testably (1)\n" in planned
    assert f"name: Edited there (TestRail says {name})" in planned
    assert "Left as it is: 1 edited in Testably and kept." in planned
    ended = milesync("migrate", "--yes", "--report", "report.html")
    assert ended.code == 0
    run = milesync("runs", "--json").json["runs"][0]
    page = Page((folder / "report.html").read_text(encoding="utf-8")).text
    for told in (ended.out, milesync("show", run["run"]).out, page):
        assert "Kept as edited in Testably (1)" in told
        assert f"{SEEDED - 1} the same, 1 kept as edited." in told
        assert "but for 1 milestone kept as edited" in told
        assert not re.search(r"needs? you", told)
        assert "milesync failures" not in told
    assert run["summary"] == f"{SEEDED - 1} the same, 1 kept as edited"
    assert "1 edited in Testably and kept" in milesync("verify").out
    assert "need" not in milesync("status").out
    assert "Nothing needs a person." in milesync("failures").out


def test_a_milestone_with_two_problems_is_one_that_needs_a_person(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    """So says every mouth, and a heading has as many milestones below it as it says."""
    sandbox.testably.model.switches = TestablySwitches(null_clears=False)
    made = sandbox.testrail.model.add(1, {"name": "Two", "start_on": DAY, "due_on": DAY * 2})
    milesync("migrate", "--yes")
    both = {"start_on": None, "due_on": None, "description": "New"}
    sandbox.testrail.model.update(int(str(made["id"])), both)
    sandbox.testrail.model.plant({"id": 4711, "name": "   "}, 1)
    ended = milesync("migrate", "--yes", "--report", "report.html")
    assert ended.code == 3
    assert f"1 changed, {SEEDED} the same, 2 need you (1 written too)." in ended.out
    assert len(milesync("failures", "--json").json["projects"][0]["failures"]) == 3
    run = milesync("runs", "--json").json["runs"][0]
    for told in (ended.out, milesync("show", run["run"]).out):
        [_, below] = told.split("What needs you (2):\n")
        assert below.count("Testably refuses to clear") == 2
        assert len(re.findall(r"^ +\d+  \S", below.split("`milesync")[0], re.MULTILINE)) == 2
    assert run["summary"] in milesync("runs").out.replace("\n", "")
    page = Page((folder / "report.html").read_text(encoding="utf-8")).text
    assert "2 things need a decision" in page
    planned = milesync("plan").out
    assert f"{SEEDED} the same, 2 need you; " in planned
    assert "Needs you (2)\n" in planned
    assert "2 need you: `milesync failures`" in milesync("status").out
    again = milesync("sync")
    assert f"{SEEDED} the same, 2 need you." in again.out
    assert "What needs you (2):" in again.out
