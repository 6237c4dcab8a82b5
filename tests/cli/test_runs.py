"""Every run that is recorded: listed, shown and reported, named by a part of its id."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SEEDED, Milesync
from tests.cli.schemas import PAST_RUNS, SHOWN_RUN, must_fit
from worker.bootstrap import Deployment
from worker.sandbox.server import Sandbox
from worker.sandbox.switches import TestablySwitches
from worker.settings import load_settings


def migrated(milesync: Milesync) -> str:
    """A whole migration: the id of its run."""
    return str(milesync("migrate", "--yes", "--json").json["projects"][0]["run"])


@pytest.mark.usefixtures("sandbox")
def test_runs_lists_every_kind_newest_first_and_undo_among_them(milesync: Milesync) -> None:
    first = migrated(milesync)
    for _ in range(6):
        milesync("sync")
    undone = milesync("undo", first, "--yes", "--json").json["projects"][0]["run"]
    document = milesync("runs", "--json").json
    must_fit(document, PAST_RUNS)
    found = document["runs"]
    assert [found[0]["run"], found[-1]["run"], len(found)] == [undone, first, 8]
    assert (found[0]["undoes"], found[1]["undoes"]) == (first, None)
    shown = milesync("runs").out
    assert all(run["run"] in shown for run in found)
    assert "undo" in shown
    assert f"{SEEDED} new" in shown


@pytest.mark.usefixtures("two_projects")
def test_runs_can_be_narrowed_and_cut(milesync: Milesync) -> None:
    milesync("migrate", "--yes")
    milesync("sync")
    every = milesync("runs", "--all", "--json").json["runs"]
    assert sorted(run["testrail_project"] for run in every) == [1, 1, 2, 2]
    assert milesync("runs", "--limit", "3", "--json").json["runs"] == every[:3]
    [one, other] = milesync("runs", "--project", "2", "--json").json["runs"]
    assert one["testrail_project"] == other["testrail_project"] == 2
    assert "milesync runs --all" in milesync("runs", "--limit", "3").out
    assert "milesync runs --all" not in milesync("runs", "--all").out


@pytest.mark.usefixtures("sandbox")
def test_without_a_run_it_says_how_to_begin(milesync: Milesync) -> None:
    assert milesync("runs", "--json").json == {"runs": []}
    assert "milesync migrate" in milesync("runs").out


def test_show_tells_what_was_written(milesync: Milesync, sandbox: Sandbox) -> None:
    migrated(milesync)
    sandbox.testrail.model.update(1, {"name": "A new name of several words"})
    second = milesync("sync", "--json").json["projects"][0]["run"]
    document = milesync("show", second, "--json").json
    must_fit(document, SHOWN_RUN)
    assert (document["run"], document["testrail_project"]) == (second, 1)
    [change] = document["changes"]
    assert change["after"] == {"name": "A new name of several words"}
    shown = milesync("show", second).out
    assert "1 changed" in shown
    assert f"name: {change['before']['name']} → A new name of several words\n" in shown
    assert f"milesync undo {second[-4:]}" in shown


def test_show_tells_the_name_that_was_written_after_a_later_one(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """The headline has the name of today, which that run did not write."""
    first = migrated(milesync)
    written = sandbox.testrail.model.get(1)["name"]
    assert f"name: {written}\n" not in milesync("show", first).out
    sandbox.testrail.model.update(1, {"name": "Renamed since"})
    milesync("sync")
    shown = milesync("show", first).out
    assert "new  1 Renamed since" in shown
    assert f"    name: {written}\n" in shown


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("name", ["end", "beginning", "whole", "-end", "-longer end"])
def test_a_run_is_named_by_any_unique_part_of_either_end(milesync: Milesync, name: str) -> None:
    whole = migrated(milesync)
    ends = {"end": whole[-4:], "-end": whole[-5:], "-longer end": whole[-12:]}
    part = {**ends, "beginning": whole[:4], "whole": whole}[name]
    assert milesync("show", part, "--json").json["run"] == whole
    assert milesync("stop", part, "--yes", "--json").json["run"] == whole
    report = milesync("report", part, "--out", "report.json", "--json")
    assert (report.code, report.json["run"]) == (0, whole)
    undone = milesync("undo", part, "--yes", "--json")
    assert undone.json["projects"][0]["archived"] > 0
    assert milesync("runs", "--json").json["runs"][0]["undoes"] == whole


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    "command",
    [
        ["show"],
        ["report", "--out", "r.csv"],
        ["undo", "--yes"],
        ["stop", "--yes"],
        ["history"],
        ["accept"],
        ["retry"],
        ["sandbox", "--host"],
    ],
)
def test_a_name_that_is_no_text_names_nothing(milesync: Milesync, command: list[str]) -> None:
    """As Python hands on the bytes of an argument that are not UTF-8."""
    migrated(milesync)
    ended = milesync(*command, "2026\udcff", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "usage")


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    "command", [["show"], ["report", "--out", "r.csv"], ["undo", "--yes"], ["stop", "--yes"]]
)
def test_a_name_that_is_not_clear_is_refused(milesync: Milesync, command: list[str]) -> None:
    first, second = migrated(milesync), milesync("sync", "--json").json["projects"][0]["run"]
    verb, *options = command
    ambiguous = milesync(verb, "2026"[:2] + first[2:4], *options, "--json")
    assert (ambiguous.code, ambiguous.json["error"]["kind"]) == (2, "usage")
    assert first in ambiguous.json["error"]["message"]
    assert second in ambiguous.json["error"]["message"]
    for nothing in ("zzzz", ""):  # an empty one begins every id, and names none
        unknown = milesync(verb, nothing, *options, "--json")
        assert (unknown.code, f"no run {nothing}" in unknown.json["error"]["message"]) == (2, True)
    told = milesync(verb, first[:4], *options)
    assert (told.code, told.out) == (2, "")


@pytest.mark.usefixtures("sandbox")
def test_a_part_of_an_id_is_enough_however_short_it_is(milesync: Milesync) -> None:
    """As long as it is unique; of many that it could be, no more than a few are told."""
    run = migrated(milesync)
    for part in (run[:1], run[-1:]):
        assert milesync("show", part, "--json").json["run"] == run
    for _ in range(5):
        milesync("migrate", "--yes")
    [message] = [milesync("show", run[:1], "--json").json["error"]["message"]]
    assert "could be any of 5 or more runs: " in message
    assert message.count("-") == 2 * 5


def test_a_report_can_be_written_afterwards(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    """With every milestone that was written, and every one that needs a person."""
    sandbox.testrail.model.add(1, {"name": "Too long" + " by far" * 40})
    sandbox.testably.model.switches = TestablySwitches(max_name_length=200)
    run = migrated(milesync)
    for file in ("r.json", "r.csv", "r.html"):
        ended = milesync("report", run[-4:], "--out", file)
        assert (ended.code, file in ended.out) == (0, True)
    [project] = json.loads((folder / "r.json").read_text(encoding="utf-8"))["projects"]
    assert (project["run"], project["created"], project["quarantined"]) == (run, SEEDED, 1)
    results = [item["result"] for item in project["items"]]
    assert (results.count("created"), results.count("quarantined")) == (SEEDED, 1)
    with (folder / "r.csv").open(encoding="utf-8-sig", newline="") as text:
        assert len(list(csv.reader(text))) == SEEDED + 2
    page = (folder / "r.html").read_text(encoding="utf-8")
    assert run in page
    assert "Too long by far" in page


@pytest.mark.usefixtures("sandbox")
def test_every_kind_of_run_can_be_reported(milesync: Milesync, folder: Path) -> None:
    first = migrated(milesync)
    milesync("sync")
    milesync("undo", first, "--yes")
    for run in milesync("runs", "--json").json["runs"]:
        assert milesync("report", run["run"], "--out", "any.html").code == 0
        assert run["run"] in (folder / "any.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("sandbox")
def test_a_report_that_cannot_be_written_is_wrong_usage(milesync: Milesync) -> None:
    run = migrated(milesync)
    for file in ("r.txt", "r", "nowhere/r.html"):
        for command in (["report", run, "--out"], ["migrate", "--yes", "--report"]):
            assert milesync(*command, file).code == 2
    assert ".html, .csv or .json" in milesync("report", run, "--out", "r.md").err


@pytest.mark.usefixtures("sandbox")
def test_a_run_of_a_pair_that_is_not_configured_any_more_is_shown(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = migrated(milesync)
    monkeypatch.setenv("MILESYNC_PROJECTS", "2=proj_two")
    assert milesync("show", run, "--json").json["testably_project"] == "proj_abc123"
    assert milesync("runs", "--json").json == {"runs": []}


@pytest.mark.usefixtures("sandbox")
def test_a_run_keeps_what_could_not_be_carried_exactly(milesync: Milesync) -> None:
    document: dict[str, Any] = milesync("migrate", "--yes", "--json").json["projects"][0]
    with Deployment(load_settings()) as deployment:
        record = deployment.runs.get(document["run"])
    assert record
    assert record.not_exact == document["not_exact"]
    assert milesync("show", document["run"], "--json").json["not_exact"] == document["not_exact"]


def test_an_undo_that_is_not_wanted_is_one_line_and_one_that_is_says_what_it_holds(
    milesync: Milesync, sandbox: Sandbox, person: Callable[[str], None]
) -> None:
    run = migrated(milesync)
    person("n")
    refused = milesync("undo", run)
    assert (refused.code, refused.out.splitlines()[-1]) == (1, "Nothing was changed.")
    assert milesync("undo", run, "--yes", "--json").json["projects"][0]["archived"] > 0
    sandbox.testrail.model.update(1, {"name": "Renamed"})
    assert "held after an undo; `milesync migrate` releases" in milesync("undo", run, "--yes").out


@pytest.mark.usefixtures("sandbox")
def test_a_run_shows_the_proof_that_it_ended_with(milesync: Milesync) -> None:
    run = migrated(milesync)
    shown = milesync("show", run, "--json").json
    assert (shown["verified"]["in_step"], shown["verified"]["compared"]) == (True, SEEDED)
    assert f"Both sides were read and agree: {SEEDED} compared." in milesync("show", run).out


@pytest.mark.usefixtures("sandbox")
def test_a_row_that_stands_for_several_runs_says_so(milesync: Milesync) -> None:
    run = migrated(milesync)
    with Deployment(load_settings()) as deployment:
        folded = {"stands_for": 35, "since": "2026-11-20T10:00:00+00:00"}
        deployment.runs.change(run, options=folded)
    assert milesync("runs", "--json").json["runs"][0]["stands_for"] == 35
    assert "35 runs like it since 2026-11-20" in " ".join(milesync("runs").out.split())
