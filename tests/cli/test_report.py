"""The HTML report: what a manager reads first, the timeline, the tree, and that it stands alone."""

from __future__ import annotations

import getpass
import os
import re
import signal
import socket
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SEEDED, Milesync
from tests.web.page import Page
from worker.facts import words
from worker.sandbox.server import Sandbox
from worker.sandbox.switches import TestablySwitches

HOSTILE = "<script>document.title='it ran'</script>"


def read(folder: Path, name: str = "report.html") -> Page:
    return Page((folder / name).read_text(encoding="utf-8"))


def test_the_first_screen_is_sentences(milesync: Milesync, sandbox: Sandbox, folder: Path) -> None:
    """How many of how many, what needs a decision, the proof, the time, and how to undo it."""
    sandbox.testrail.model.add(1, {"name": "Too long" + " by far" * 40})
    sandbox.testably.model.switches = TestablySwitches(max_name_length=200)
    milesync("projects")
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


# --- what a run does not know is not claimed


def test_a_proof_before_a_run_is_not_told_as_its_own(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    milesync("migrate", "--yes")
    sandbox.testrail.model.update(1, {"name": "Renamed"})
    run = milesync("migrate", "--yes", "--no-verify", "--json").json["projects"][0]["run"]
    milesync("report", run, "--out", "report.html")
    told = "this run, both sides were last read whole and found to agree on"
    assert f"Before {told}" in read(folder).text
    assert milesync("verify").code == 0
    milesync("report", run, "--out", "report.html")
    assert f"After {told}" in read(folder).text


CLAIMS = (
    "Nothing needs a decision",
    "Everything was carried",
    "nothing to do",
    f"of {SEEDED} milestones",
)
"""What only a run of the whole project that came to its end can say."""


def claims(page: Page) -> list[str]:
    """The claims that the page makes."""
    return [one for one in CLAIMS if one in page.text]


def interrupt_after(model: Any, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, once Testably has made so many milestones."""
    create, made = model.create, count(1)

    def and_interrupt(*args: Any, **values: Any) -> Any:
        row = create(*args, **values)
        if next(made) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return row

    monkeypatch.setattr(model, "create", and_interrupt)


def test_a_run_that_was_interrupted_claims_nothing_about_the_rest(
    milesync: Milesync, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many are there, that it was stopped, and how much it had planned; afterwards too."""
    monkeypatch.setenv("MILESYNC_CONCURRENCY", "1")
    with monkeypatch.context() as patched:
        interrupt_after(sandbox.testably.model, 5, patched)
        ended = milesync("migrate", "--yes", "--json", "--report", "report.html")
    run = ended.json["projects"][0]
    assert (ended.code, run["state"]) == (130, "aborted")
    assert 0 < run["created"] < SEEDED
    planned = milesync("show", run["run"], "--json").json["planned"]
    there = f"{run['created']} milestones of TestRail project 1 are in Testably"
    milesync("report", run["run"], "--out", "again.html")
    for page in (read(folder), read(folder, "again.html")):
        assert f"{there}; this migration was stopped before its end." in page.text
        left = planned - run["created"]
        assert f"{left} of the {planned} writes that it had planned were not made." in page.text
        assert run["error"]["message"] in page.text
        assert "What else needs a decision is known only once a run has come" in page.text
        assert "Not carried exactly" not in page.text
        assert f"<title>{there}; this migration was stopped before its end</title>" in page.html
        assert claims(page) == []
    milesync("migrate", "--yes", "--report", "report.html")
    assert f"{SEEDED} of {SEEDED} milestones of" in read(folder).text
    assert "Nothing needs a decision." in read(folder).text


def test_a_run_that_was_narrowed_counts_its_scope_alone(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    """The others are there already; what is not exact is what the run itself says in its JSON."""
    parent = sandbox.testrail.model.add(1, {"name": "All done"})["id"]
    sandbox.testrail.model.add(1, {"name": "Still open", "parent_id": parent})
    sandbox.testrail.model.update(int(str(parent)), {"is_completed": True})
    milesync("migrate", "--yes")
    sandbox.testrail.model.add(1, {"name": "A new one", "due_on": 1_900_000_000})
    milesync("migrate", "--yes", "--only", "open", "--report", "report.html")
    [run, _] = milesync("runs", "--json").json["runs"]
    scope = sum(run["counts"].values())
    assert scope < SEEDED + 3
    page = read(folder)
    told = f"{scope} of {scope} open milestones of TestRail project 1, with their parents, are in"
    assert told in page.text
    assert f"This migration: 1 new, {scope - 1} the same." in page.text
    assert "compared, open ones alone)." in page.text
    assert claims(page) == []
    not_exact = milesync("show", run["run"], "--json").json["not_exact"]
    assert not_exact
    assert f"Not carried exactly: {words.not_exact(not_exact)}: which ones." in page.text
    lists = page.html.split('<details class="lost">')[1:]
    listed = [one.split("</details>")[0].count("<li>") for one in lists]
    for (kind, number), milestones in zip(not_exact.items(), listed, strict=True):
        if kind == "parent_dates":  # one milestone can have two of them
            assert number / 2 <= milestones <= number
        else:
            assert number == milestones
    assert all(words.not_exact({kind: number}) in page.text for kind, number in not_exact.items())


def test_what_a_narrowed_run_could_not_create_is_not_counted_as_there(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    sandbox.testrail.model.add(1, {"name": "Too long" + " by far" * 40})
    sandbox.testably.model.switches = TestablySwitches(max_name_length=200)
    milesync("projects")
    milesync("migrate", "--yes", "--only", "started", "--report", "report.html")
    [run] = milesync("runs", "--json").json["runs"]
    scope = sum(run["counts"].values())
    assert f"{scope - 1} of {scope} started milestones of" in read(folder).text


def test_a_run_that_a_guard_stopped_says_what_a_person_must_give(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    """It wrote nothing; the flag stands where the decisions do."""
    milesync("migrate", "--yes")
    for row in sandbox.testrail.model.everything(1):
        if row["parent_id"] is None:
            sandbox.testrail.model.delete(int(str(row["id"])))
    ended = milesync("migrate", "--yes", "--json", "--report", "report.html")
    assert (ended.code, ended.json["error"]["kind"]) == (1, "guard")
    page = read(folder)
    there = f"{SEEDED} milestones of TestRail project 1 are in Testably"
    assert f"{there}; this migration was stopped before it wrote anything." in page.text
    assert "This migration: no milestone was finished." in page.text
    assert ended.json["error"]["message"] in page.text
    assert "--allow-mass-archive" in page.text
    assert claims(page) == []


@pytest.mark.usefixtures("sandbox")
def test_a_run_whose_credentials_were_refused_says_so(
    milesync: Milesync, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    milesync("migrate", "--yes")
    monkeypatch.setenv("MILESYNC_TESTRAIL_API_KEY", "wrong")
    ended = milesync("migrate", "--yes", "--json", "--report", "report.html")
    assert ended.code == 1
    page = read(folder)
    assert "; this migration failed before it wrote anything." in page.text
    assert "401" in ended.json["error"]["message"]
    assert ended.json["error"]["message"].replace("`", "") in page.text
    assert ended.json["error"]["hint"].replace("`", "") in page.text
    assert claims(page) == []


@pytest.mark.usefixtures("sandbox")
def test_an_undo_speaks_of_no_total(milesync: Milesync, folder: Path) -> None:
    milesync("migrate", "--yes")
    [run] = milesync("runs", "--json").json["runs"]
    milesync("undo", run["run"], "--yes")
    undo = milesync("runs", "--json").json["runs"][0]
    milesync("report", undo["run"], "--out", "report.html")
    page = read(folder)
    assert "0 milestones of TestRail project 1 are in Testably." in page.text
    assert claims(page) == []


def test_a_record_without_an_id_leaves_the_total_unknown(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    """The run came to its end, but nobody can tell which milestone that is, or what else it is."""
    sandbox.testrail.model.plant({"name": "Without an id"}, 1)
    assert milesync("migrate", "--yes", "--report", "report.html").code == 3
    page = read(folder)
    assert f"{SEEDED} milestones of TestRail project 1 are in Testably." in page.text
    assert re.search(r"\d+ things? needs? a decision: listed below.", page.text)
    assert claims(page) == []


@pytest.mark.usefixtures("two_projects")
def test_each_pair_has_its_part(milesync: Milesync, folder: Path, sandbox: Sandbox) -> None:
    """One that could not be read says why, beside one that went well."""
    sandbox.testrail.model.no_access.add(2)
    milesync("migrate", "--yes", "--report", "report.html")
    page = read(folder)
    assert f"{SEEDED} of {SEEDED} milestones" in page.text
    told = "0 milestones of TestRail project 2 are in Testably; this migration failed before it"
    assert told in page.text
    assert "403" in page.text
