"""The HTML report: what a manager reads first, the timeline, the tree, and that it stands alone."""

from __future__ import annotations

import getpass
import re
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import SEEDED, Milesync
from tests.web.page import Page
from worker.sandbox.server import Sandbox
from worker.sandbox.switches import TestablySwitches

HOSTILE = "<script>document.title='it ran'</script>"


def read(folder: Path, name: str = "report.html") -> Page:
    return Page((folder / name).read_text(encoding="utf-8"))


def test_the_first_screen_is_sentences(milesync: Milesync, sandbox: Sandbox, folder: Path) -> None:
    """How many of how many, what needs a decision, the proof, the time, and how to undo it."""
    sandbox.testrail.model.add(1, {"name": "Too long" + " by far" * 40})
    sandbox.testably.model.switches = TestablySwitches(max_name_length=200)
    milesync("check")
    milesync("migrate", "--yes", "--report", "report.html")
    page = read(folder)
    assert f"{SEEDED} of {SEEDED + 1} milestones of Webshop are in Testably." in page.text
    assert f"This migration: {SEEDED} new, 1 needs you." in page.text
    assert "1 thing needs a decision: listed below." in page.text
    assert re.search(r"It began on \d+ \w+ \d{4} \d\d:\d\d UTC and took \d+ s, run by", page.text)
    assert re.search(r"It can be undone until \d+ \w+ \d{4}: milesync undo \w{4}", page.text)
    first = page.text.index("needs a decision")
    assert page.text.index("Timeline") > first
    links = [link for link in page.links if "milestones/view/" in link]
    assert links[0].startswith(sandbox.testrail.url)


def test_a_name_that_is_there_already_is_linked_to_and_who_ran_it_is_said(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    """The milestone in Testably by its address; the person by account and machine."""
    sandbox.testrail.model.add(1, {"name": "Release 9"})
    made = sandbox.testably.model.create("proj_abc123", {"name": "Release 9"})
    milesync("migrate", "--yes", "--report", "report.html")
    page = read(folder)
    address = f"{sandbox.testably.url}/v1/projects/proj_abc123/milestones/{made['id']}"
    assert address in page.links
    assert f"run by {getpass.getuser()} on {socket.gethostname()};" in page.text
    assert "process" not in page.text


@pytest.mark.usefixtures("sandbox")
def test_a_migration_that_was_proved_says_when(milesync: Milesync, folder: Path) -> None:
    milesync("migrate", "--yes", "--report", "report.html")
    page = read(folder)
    assert re.search(
        rf"Both sides were read again on .* UTC: no difference \({SEEDED} milestones", page.text
    )
    assert "Nothing needs a decision." in page.text


def test_what_is_not_exact_is_told_with_its_list(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    """In plain words; the list names the milestones."""
    model = sandbox.testrail.model
    parent = model.add(1, {"name": "All done"})["id"]
    model.add(1, {"name": "Still open", "parent_id": parent})
    model.update(int(str(parent)), {"is_completed": True})
    document = milesync("migrate", "--yes", "--json").json["projects"][0]
    milesync("report", document["run"], "--out", "report.html")
    page = read(folder)
    number = document["not_exact"]["parent_status"]
    told = "the status that Testably derives from sub-milestones"
    assert f"{number} parent{'s' * (number > 1)} with {told}" in page.text
    listed = page.html.split(f"{told}</summary>")[1].split("</details>")[0]
    assert "All done" in listed
    assert listed.count("<li>") == number


def test_the_timeline_has_every_dated_milestone(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    """A bar from start to due by lifecycle, sub-milestones indented below, and today's line."""
    model = sandbox.testrail.model
    parent = model.add(1, {"name": "Parent of one", "due_on": 1_900_000_000})["id"]
    below = {"name": "Below it", "parent_id": parent, "due_on": 1_890_000_000}
    model.add(1, below)
    milesync("migrate", "--yes", "--report", "report.html")
    svg = read(folder).html.split("<svg")[1].split("</svg>")[0]
    assert svg.count('class="today"') == 1
    assert svg.index("Parent of one") < svg.index("Below it")
    assert 'class="label sub"' in svg
    dated = [
        row for row in model.everything(1) if row["start_on"] or row["started_on"] or row["due_on"]
    ]
    assert svg.count("<g>") == len(dated)
    assert {"completed", "started", "upcoming", "past_due"} >= set(
        re.findall(r'<(?:rect|circle) class="(\w+)"', svg)
    )


def test_the_tree_shows_both_sides(milesync: Milesync, sandbox: Sandbox, folder: Path) -> None:
    """Dates and status; where Testably shows others, both; the details are folded."""
    milesync("migrate", "--yes", "--report", "report.html")
    page = read(folder)
    assert page.html.count("<details><summary>") == SEEDED
    for row in sandbox.testrail.model.everything(1):
        assert " ".join(str(row["name"]).split()) in page.text
    assert page.text.count("Verdict") == SEEDED


def test_the_report_stands_alone_and_runs_nothing(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    """No script, no file beside it, nothing that is loaded; a name is text."""
    sandbox.testrail.model.add(1, {"name": HOSTILE, "description": HOSTILE})
    milesync("migrate", "--yes", "--report", "report.html")
    page = read(folder)
    assert HOSTILE in page.text
    assert "<script" not in page.html
    assert page.all("link", "img", "iframe", "object") == []
    assert "url(" not in page.html
    assert "@media print" in page.html
    assert "prefers-color-scheme: dark" in page.html


@pytest.mark.usefixtures("sandbox")
def test_a_run_that_was_narrowed_says_so(milesync: Milesync, folder: Path) -> None:
    milesync("migrate", "--yes", "--only", "open", "--report", "report.html")
    assert re.search(r"\d+ of \d+ open milestones of", read(folder).text)


@pytest.mark.usefixtures("two_projects")
def test_each_pair_has_its_part(milesync: Milesync, folder: Path, sandbox: Sandbox) -> None:
    """One that could not be read says why, beside one that went well."""
    sandbox.testrail.model.no_access.add(2)
    milesync("migrate", "--yes", "--report", "report.html")
    page = read(folder)
    assert f"{SEEDED} of {SEEDED} milestones" in page.text
    assert "0 of 0 milestones of TestRail project 2 are in Testably." in page.text
    assert "403" in page.text
