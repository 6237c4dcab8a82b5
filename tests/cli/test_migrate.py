"""`plan`, `migrate` and `sync`: what they do, say and answer."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mappings.locks import pair_lock
from tests.cli.conftest import SEEDED, Milesync, Terminal
from tests.cli.schemas import FAILURE, PLAN, RUNS, must_fit
from tests.cli.terminal import milesync as typed_command
from tests.cli.terminal import terminal
from worker.bootstrap import Deployment
from worker.sandbox.server import Sandbox
from worker.settings import load_settings
from worker.sync.proof import Proof
from worker.sync.run import Run

Person = Callable[[str], None]


def test_a_plan_writes_nothing_and_has_the_contracts_shape(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """What `plan` says migrate will take is what migrate takes, to the request."""
    planned = milesync("plan", "--json")
    assert planned.code == 0
    must_fit(planned.json, PLAN)
    assert sandbox.testably.count("POST") == 0
    [project] = planned.json["projects"]
    assert len(project["actions"]) == SEEDED

    [run] = milesync("migrate", "--yes", "--json").json["projects"]
    assert run["requests"] == project["requests"]


def test_migrate_creates_all_and_a_second_time_nothing(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    first = milesync("migrate", "--yes", "--json")
    must_fit(first.json, RUNS)
    assert (first.code, first.json["state"]) == (0, "succeeded")
    assert first.json["projects"][0]["created"] == SEEDED
    written = sandbox.testably.count("POST") + sandbox.testably.count("PATCH")

    again = milesync("migrate", "--yes", "--json")
    assert again.json["projects"][0]["unchanged"] == SEEDED
    assert sandbox.testably.count("POST") + sandbox.testably.count("PATCH") == written


@pytest.mark.usefixtures("sandbox")
def test_people_see_the_plan_its_cost_and_the_result(milesync: Milesync) -> None:
    ended = milesync("migrate", "--yes")
    assert "Project 1 → proj_abc123" in ended.out
    assert f"{SEEDED} new; " in ended.out
    assert "Testably allows 60000 requests a minute." in ended.out
    assert f"{SEEDED} new." in ended.out
    assert re.search(r"Undo it with `milesync undo [\w-]{4,}`", ended.out)


@pytest.mark.usefixtures("sandbox")
def test_without_a_terminal_and_without_yes_nothing_is_touched(
    milesync: Milesync, sandbox: Sandbox, folder: Path
) -> None:
    ended = milesync("migrate")
    assert ended.code == 2
    assert "--yes" in ended.err
    assert not sandbox.testrail.requests
    assert not list(folder.iterdir())


def test_a_person_who_says_no_has_nothing_written(
    milesync: Milesync, sandbox: Sandbox, person: Person
) -> None:
    person("n")
    ended = milesync("migrate", "--json")
    assert (ended.code, ended.json["state"]) == (1, "aborted")
    assert ended.json["error"]["message"] == "Nobody said yes; nothing was written."
    assert "Go on? [y/N]" in ended.err
    assert sandbox.testably.count("POST") == 0
    person("n")
    told = milesync("migrate")
    assert (told.code, told.out.splitlines()[-1]) == (1, "Nothing was changed.")
    assert "Nobody" not in told.out


def test_a_pair_stays_in_step_when_a_person_says_no(
    milesync: Milesync, sandbox: Sandbox, person: Person
) -> None:
    """Nothing has run: what ran last is still the migration that ended well."""
    milesync("migrate", "--yes")
    before = milesync("status", "--json").json["projects"][0]
    sandbox.testrail.model.add(1, {"name": "A new one"})
    person("n")
    declined = milesync("migrate", "--json")
    assert (declined.code, declined.json["projects"][0]["run"]) == (1, None)
    assert all(declined.json["projects"][0]["requests"].values())  # both sides were read
    after = milesync("status", "--json").json["projects"][0]
    del before["listed_at"], after["listed_at"]  # the plan that was declined has listed it
    assert (after, before["in_step"]) == (before, True)
    person("n")
    milesync("migrate", "--report", "report.html")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "Nothing was migrated from TestRail project 1" in page


def test_a_person_who_says_yes_is_obeyed(
    milesync: Milesync, sandbox: Sandbox, person: Person
) -> None:
    person("y")
    assert milesync("migrate").code == 0
    assert sandbox.testably.count("POST") == SEEDED


@pytest.mark.usefixtures("sandbox")
def test_nobody_is_asked_where_there_is_nothing_to_do(milesync: Milesync, person: Person) -> None:
    milesync("migrate", "--yes")
    person("n")
    ended = milesync("migrate")
    assert ended.code == 0
    assert "Go on?" not in ended.err


def test_a_dry_run_is_the_plan(milesync: Milesync, sandbox: Sandbox) -> None:
    """No lock, no run, no question."""
    ended = milesync("migrate", "--dry-run", "--json")
    must_fit(ended.json, PLAN)
    assert sandbox.testably.count("POST") == 0
    assert milesync("status", "--json").json["projects"][0]["runs"] == []


@pytest.mark.usefixtures("sandbox")
def test_only_narrows_the_migration(milesync: Milesync) -> None:
    chosen = milesync("migrate", "--yes", "--only", "upcoming", "--json").json["projects"][0]
    every = milesync("plan", "--json").json["projects"][0]["actions"]
    assert chosen["created"] == sum(action["action"] == "skip" for action in every) > 0
    assert chosen["created"] < SEEDED


def test_a_name_that_is_taken_is_for_a_person(milesync: Milesync, sandbox: Sandbox) -> None:
    """Partial is exit code 3; adopting by name then settles it."""
    name = "A name that only one has"
    sandbox.testrail.model.add(1, {"name": name})
    theirs = sandbox.testably.model.create("proj_abc123", {"name": name})["id"]
    ended = milesync("migrate", "--yes", "--json")
    assert (ended.code, ended.json["state"]) == (3, "partial")
    must_fit(ended.json, RUNS)
    assert ended.json["projects"][0]["conflicts"] == 1
    assert ended.json["projects"][0]["problems"][0]["kind"] == "name_conflict"

    settled = milesync("migrate", "--yes", "--adopt-by-name", "--json")
    assert settled.json["projects"][0]["adopted"] == 1
    assert str(theirs) in milesync("mappings", "--csv").out


def test_a_guard_stops_the_run_and_says_which_flag_allows_it(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    milesync("migrate", "--yes")
    while left := sandbox.testably.model.everything("proj_abc123"):
        sandbox.testably.model.remove(str(left[0]["id"]))
    ended = milesync("migrate", "--yes", "--json")
    assert (ended.code, ended.json["state"]) == (1, "aborted")
    assert "--allow-mass-recreate" in ended.json["error"]["hint"]
    assert milesync("migrate", "--yes", "--allow-mass-recreate").code == 0


def test_one_pair_that_fails_stops_no_other(milesync: Milesync, two_projects: Sandbox) -> None:
    two_projects.testrail.model.projects.discard(1)
    for command in (("migrate", "--yes"), ("sync",)):
        ended = milesync(*command, "--json")
        must_fit(ended.json, RUNS)
        first, second = ended.json["projects"]
        assert (ended.code, ended.json["state"]) == (1, "failed")
        assert ended.json["error"] == first["error"]
        assert second["state"] == "succeeded"
    assert two_projects.testably.count("POST", "proj_two") == 1


@pytest.mark.usefixtures("two_projects")
def test_a_pair_that_somebody_holds_is_left_to_them(milesync: Milesync) -> None:
    with Deployment(load_settings()) as deployment:
        pair = deployment.store.pair(deployment.identity(deployment.settings.projects[0]))
        with pair_lock(deployment.engine, pair.id):
            ended = milesync("migrate", "--yes", "--json")
    first, second = ended.json["projects"]
    assert (ended.code, ended.json["state"]) == (1, "aborted")
    assert (first["run"], first["error"]["kind"]) == (None, "busy")
    assert second["created"] == 1


@pytest.mark.usefixtures("two_projects")
def test_project_chooses_the_pair(milesync: Milesync) -> None:
    ended = milesync("sync", "--project", "2", "--json")
    assert [p["testrail_project"] for p in ended.json["projects"]] == [2]
    unknown = milesync("sync", "--project", "9", "--json")
    assert unknown.code == 2
    must_fit(unknown.json, FAILURE)
    assert "Configured are: 1, 2." in unknown.json["error"]["hint"]


@pytest.mark.usefixtures("sandbox")
def test_an_interrupt_is_130_and_one_document(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("worker.sync.context.make_plan", interrupted)
        ended = milesync("migrate", "--yes", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (130, "interrupted")
    [run] = milesync("status", "--json").json["projects"][0]["runs"]
    assert run["state"] == "aborted"


@pytest.mark.usefixtures("sandbox")
def test_the_unexpected_is_told_without_a_traceback(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("worker.sync.context.make_plan", broken)
    ended = milesync("sync", "--json")
    must_fit(ended.json, FAILURE)
    assert ended.code == 1
    assert ended.json["error"]["message"] == "ZeroDivisionError: by nothing"


# --- the reviewed plan ------------------------------------------------------------------------


@pytest.mark.usefixtures("sandbox")
def test_a_reviewed_plan_is_applied_as_long_as_it_holds(milesync: Milesync) -> None:
    """The options come from the file."""
    assert milesync("plan", "--out", "plan.json", "--only", "completed").code == 0
    kept = json.loads(Path("plan.json").read_text(encoding="utf-8"))
    must_fit(kept, PLAN)
    ended = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert ended.code == 0
    assert ended.json["projects"][0]["created"] == len(kept["projects"][0]["actions"]) < SEEDED


def test_a_plan_that_changed_is_refused_in_words(milesync: Milesync, sandbox: Sandbox) -> None:
    milesync("plan", "--out", "plan.json")
    sandbox.testrail.model.update(1, {"name": "Renamed since"})
    for extra in (["--yes"], ["--dry-run"]):
        ended = milesync("migrate", "--plan", "plan.json", "--json", *extra)
        assert ended.code == 1
        assert ended.json["error"]["kind"] == "plan_changed"
        assert "Renamed since" in ended.json["error"]["message"]
    assert sandbox.testably.count("POST") == 0


def test_a_reviewed_plan_says_below_what_it_creates(milesync: Milesync, sandbox: Sandbox) -> None:
    """Testably could not move it afterwards."""
    rail = sandbox.testrail.model
    parents = [rail.add(1, {"name": name})["id"] for name in ("One", "Other")]
    for parent in parents:
        rail.add(1, {"name": f"Below {parent}", "parent_id": parent})
    moved = int(str(rail.add(1, {"name": "Moved", "parent_id": parents[0]})["id"]))
    milesync("plan", "--out", "plan.json")
    rail.update(moved, {"parent_id": parents[1]})
    ended = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (1, "plan_changed")
    told = f"would hang below milestone {parents[1]} instead of {parents[0]}"
    assert told in ended.json["error"]["message"]


@pytest.mark.parametrize("extra", ["--yes", "--dry-run"])
def test_a_reviewed_plan_is_not_applied_in_part(
    milesync: Milesync, two_projects: Sandbox, extra: str
) -> None:
    """A pair of it that cannot be planned now stops the others, and is named."""
    milesync("plan", "--out", "plan.json")
    two_projects.testrail.model.update(1, {"name": "Renamed since"})
    two_projects.testrail.model.no_access.add(2)
    ended = milesync("migrate", "--plan", "plan.json", "--json", extra)
    assert (ended.code, ended.json["error"]["kind"]) == (1, "guard")
    assert "project 2 → proj_two could not be planned" in ended.json["error"]["message"]
    assert two_projects.testably.count("POST") == 0


@pytest.mark.parametrize("extra", ["--yes", "--dry-run"])
def test_where_nothing_of_a_reviewed_plan_can_be_planned_it_is_said_why(
    milesync: Milesync, sandbox: Sandbox, extra: str
) -> None:
    milesync("plan", "--out", "plan.json")
    sandbox.testrail.model.no_access.add(1)
    ended = milesync("migrate", "--plan", "plan.json", "--json", extra)
    assert (ended.code, ended.json["error"]["kind"]) == (1, "access_denied")


def standing(milesync: Milesync) -> list[Any]:
    """What status, failures and runs say of every pair."""
    told = [milesync(command, "--json").json for command in ("status", "failures", "runs")]
    assert "stands still" not in milesync("failures").out
    return told


def interrupt_each(number: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after every so many writes in Testably."""
    written = count(1)
    for name in ("create", "update"):
        write = getattr(sandbox.testably.model, name)

        def and_interrupt(*args: Any, write: Any = write, **values: Any) -> Any:
            row = write(*args, **values)
            if next(written) % number == 0:
                os.kill(os.getpid(), signal.SIGINT)
            return row

        monkeypatch.setattr(sandbox.testably.model, name, and_interrupt)


def applied_in_parts(milesync: Milesync) -> list[dict[str, Any]]:
    """The runs that the reviewed plan took, given the same command again and again."""
    runs, code = [], 130
    while code == 130:
        ended = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
        code = ended.code
        runs += ended.json["projects"]
    assert code == 0, ended.json.get("error")
    return runs


@pytest.mark.parametrize("each", [1, 2, 3])
def test_a_reviewed_plan_that_was_interrupted_goes_on_with_the_same_command(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, each: int
) -> None:
    """After whichever write, and once everything is done there is nothing to do."""
    monkeypatch.setenv("MILESYNC_CONCURRENCY", "1")
    milesync("plan", "--out", "plan.json")
    with monkeypatch.context() as patched:
        interrupt_each(each, sandbox, patched)
        runs = applied_in_parts(milesync)
    assert len(runs) > SEEDED // each
    assert len(sandbox.testably.model.live("proj_abc123")) == SEEDED
    assert milesync("verify").code == 0
    again = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (again.code, again.json["projects"][0]["unchanged"]) == (0, SEEDED)

    rail = sandbox.testrail.model
    roots = [one for one in rail.everything(1) if not one["parent_id"]]
    changed, gone = int(str(roots[0]["id"])), int(str(rail.everything(1)[-1]["id"]))
    rail.update(changed, {"name": "Renamed", "description": "Other words"})
    rail.delete(gone)
    rail.add(1, {"name": "There by hand"})
    sandbox.testably.model.create("proj_abc123", {"name": "There by hand"})
    milesync("plan", "--adopt-by-name", "--out", "plan.json")
    with monkeypatch.context() as patched:
        interrupt_each(each, sandbox, patched)
        runs = applied_in_parts(milesync)
    assert sum(one["archived"] for one in runs) == 1
    assert milesync("verify").code == 0


def test_what_was_done_of_a_reviewed_plan_lets_nothing_else_be_done(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody edits between its parts, in either tool, nobody has reviewed."""
    monkeypatch.setenv("MILESYNC_CONCURRENCY", "1")
    milesync("plan", "--out", "plan.json")
    with monkeypatch.context() as patched:
        interrupt_each(3, sandbox, patched)
        assert milesync("migrate", "--plan", "plan.json", "--yes").code == 130
    written = sandbox.testably.count("POST") + sandbox.testably.count("PATCH")
    made, *_ = sandbox.testably.model.live("proj_abc123")
    before = dict(made)
    sandbox.testably.model.update("proj_abc123", str(made["id"]), {"description": "By hand"})
    refused = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (1, "plan_changed")
    undone = {"description": before["description"]}
    sandbox.testably.model.update("proj_abc123", str(made["id"]), undone)
    sandbox.testrail.model.update(1, {"description": "Edited in TestRail"})
    refused = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (1, "plan_changed")
    assert "milestone 1 (" in refused.json["error"]["message"]
    assert sandbox.testably.count("POST") + sandbox.testably.count("PATCH") == written


@pytest.mark.parametrize(("others", "kind"), [((), "plan_changed"), ((1,), "guard")])
def test_a_reviewed_plan_that_is_refused_says_nothing_of_its_pairs(
    milesync: Milesync, two_projects: Sandbox, others: tuple[int, ...], kind: str
) -> None:
    """It is about a file: each pair stands where it stood, whichever of them is why."""
    assert milesync("migrate", "--yes").code == 0
    milesync("plan", "--out", "plan.json")
    two_projects.testrail.model.update(1, {"name": "Renamed since"})
    before = standing(milesync)
    with Deployment(load_settings()) as deployment, ExitStack() as held:
        for number in others:
            pair = deployment.store.pair(deployment.identity(deployment.settings.projects[number]))
            held.enter_context(pair_lock(deployment.engine, pair.id))
        refused = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (1, kind)
    assert standing(milesync) == before
    assert [one["in_step"] for one in before[0]["projects"]] == [True, True]


@pytest.mark.usefixtures("two_projects")
def test_a_reviewed_plan_waits_for_whoever_holds_a_pair_of_it(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    milesync("plan", "--out", "plan.json")
    with Deployment(load_settings()) as deployment:
        pair = deployment.store.pair(deployment.identity(deployment.settings.projects[1]))
        with pair_lock(deployment.engine, pair.id):
            ended = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (1, "guard")
    assert sandbox.testably.count("POST") == 0
    assert milesync("migrate", "--plan", "plan.json", "--yes").code == 0


@pytest.mark.usefixtures("two_projects")
def test_a_plan_of_one_project_leaves_the_others(milesync: Milesync) -> None:
    milesync("plan", "--project", "2", "--out", "plan.json")
    ended = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert [p["testrail_project"] for p in ended.json["projects"]] == [2]


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"version": 2}'])
def test_a_file_that_is_no_plan_is_wrong_usage(milesync: Milesync, text: str) -> None:
    Path("plan.json").write_text(text, encoding="utf-8")
    ended = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert ended.code == 2
    assert "plan.json" in ended.json["error"]["message"]


@pytest.mark.usefixtures("sandbox")
def test_what_shapes_a_plan_cannot_be_given_beside_one(milesync: Milesync) -> None:
    milesync("plan", "--out", "plan.json")
    assert milesync("migrate", "--plan", "plan.json", "--yes", "--create-anyway").code == 2
    assert milesync("migrate", "--plan", "missing.json", "--yes").code == 2


@pytest.mark.parametrize("command", [("plan",), ("migrate", "--yes")])
def test_a_taken_name_is_adopted_or_made_beside_and_not_both(
    milesync: Milesync, sandbox: Sandbox, command: tuple[str, ...]
) -> None:
    """One of both would silently win, and it was the one that doubles."""
    ended = milesync(*command, "--adopt-by-name", "--create-anyway", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "usage")
    assert not sandbox.testrail.requests


def test_a_pair_that_was_disabled_since_its_plan_is_not_run(
    milesync: Milesync, two_projects: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants it all the same names it."""
    milesync("plan", "--out", "plan.json")
    monkeypatch.delenv("MILESYNC_PROJECTS")
    pairs = ((1, "proj_abc123", "true"), (2, "proj_two", "false"))
    Path("milesync.toml").write_text(
        "".join(
            f'[[projects]]\ntestrail = {rail}\ntestably = "{ably}"\nenabled = {enabled}\n'
            for rail, ably, enabled in pairs
        ),
        encoding="utf-8",
    )
    ended = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "usage")
    assert "2 → proj_two of the reviewed plan is disabled" in ended.json["error"]["message"]
    assert two_projects.testably.count("POST") == 0
    named = ("--project", "1", "--project", "2")
    assert milesync("migrate", "--plan", "plan.json", "--yes", *named).code == 0


@pytest.mark.usefixtures("sandbox")
def test_a_plan_that_was_changed_by_hand_is_wrong_usage(milesync: Milesync) -> None:
    milesync("plan", "--out", "plan.json")
    kept = json.loads(Path("plan.json").read_text(encoding="utf-8"))
    kept["projects"][0]["actions"].pop()
    Path("plan.json").write_text(json.dumps(kept), encoding="utf-8")
    ended = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "usage")
    assert "fingerprint" in ended.json["error"]["message"]


@pytest.fixture
def edited_before_its_proof(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run writes, somebody edits the second milestone, deletes the last and adds one."""
    reads = Run._read_again

    def after_an_edit(run: Run) -> Proof:
        rail = sandbox.testrail.model
        last = int(str(rail.everything(1)[-1]["id"]))
        rail.delete(last)
        rail.update(2, {"name": f"Edited meanwhile, not {last}"})
        rail.add(1, {"name": f"Made meanwhile, not {last}"})
        return reads(run)

    monkeypatch.setattr(Run, "_read_again", after_an_edit)


@pytest.mark.usefixtures("edited_before_its_proof")
def test_with_a_reviewed_plan_nothing_else_is_written(milesync: Milesync, sandbox: Sandbox) -> None:
    """What somebody edits while it is applied is counted, and left to the next run."""
    milesync("plan", "--out", "plan.json")
    ended = milesync("migrate", "--plan", "plan.json", "--yes", "--json")
    [project] = ended.json["projects"]
    assert (ended.code, project["created"], project["archived"]) == (0, SEEDED, 0)
    assert (project["verified"]["in_step"], project["verified"]["changed_since"]) == (False, 3)
    assert "meanwhile" not in str(sandbox.testably.model.live("proj_abc123"))
    assert milesync("sync", "--json").json["projects"][0]["updated"] == 1


# --- the report -------------------------------------------------------------------------------


def test_reports_hold_every_milestone(milesync: Milesync, sandbox: Sandbox) -> None:
    sandbox.testrail.model.add(1, {"name": '=HYPERLINK("http://evil")'})
    sandbox.testrail.model.add(1, {"name": "<script>alert(1)</script>"})
    milesync("migrate", "--yes", "--report", "run.json")
    milesync("migrate", "--yes", "--report", "run.csv")
    milesync("migrate", "--yes", "--report", "run.html")

    document = json.loads(Path("run.json").read_text(encoding="utf-8"))
    must_fit(document, RUNS)
    items = document["projects"][0]["items"]
    assert [item["result"] for item in items] == ["created"] * (SEEDED + 2)

    lines = Path("run.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == SEEDED + 3
    assert "\"'=HYPERLINK" in "".join(lines)

    page = Path("run.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert f"{sandbox.testrail.url}/index.php?/milestones/view/1" in page


@pytest.mark.usefixtures("edited_before_its_proof")
def test_a_report_holds_what_the_proof_wrote(milesync: Milesync, sandbox: Sandbox) -> None:
    """As the command counts it, each milestone once, also in what is recorded."""
    milesync("sync")
    sandbox.testrail.model.update(1, {"name": "Renamed"})
    ended = milesync("migrate", "--yes", "--json", "--report", "run.json")
    [project] = ended.json["projects"]
    wrote = {"created": 1, "updated": 2, "archived": 1, "unchanged": SEEDED - 3}
    assert {name: project[name] for name in wrote} == wrote
    assert project["verified"]["in_step"]
    items = json.loads(Path("run.json").read_text(encoding="utf-8"))["projects"][0]["items"]
    assert len({item["testrail_id"] for item in items}) == len(items) == SEEDED + 1
    assert Counter(item["result"] for item in items) == wrote
    [new] = [item for item in items if item["result"] == "created"]
    assert (new["action"], new["testrail_lifecycle"]) == ("create", "started")
    recorded = milesync("show", project["run"], "--json").json
    assert recorded["counts"] == {name: project[name] for name in recorded["counts"]}


def test_a_report_that_could_not_be_written_is_noticed_first(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    for name in ("run.pdf", "nowhere/run.html"):
        assert milesync("migrate", "--yes", "--report", name).code == 2
    assert not sandbox.testrail.requests


def test_a_dry_run_has_nothing_to_report(milesync: Milesync, sandbox: Sandbox) -> None:
    """It wrote no file, and said nothing of that."""
    ended = milesync("migrate", "--dry-run", "--report", "report.html", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "usage")
    assert "`milesync plan --out FILE`" in ended.json["error"]["hint"]
    assert not sandbox.testrail.requests


@pytest.mark.parametrize(("level", "seen"), [("", False), ("info", True)])
def test_on_a_terminal_a_command_logs_warnings_unless_a_level_is_set(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, level: str, seen: bool
) -> None:
    """It says itself what it does; a line for each write would stand in the middle of that."""
    err = Terminal()
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setenv("MILESYNC_LOG_LEVEL", level)
    assert milesync("sync").code in (0, 3)
    assert sandbox.testably.model.everything("proj_abc123")
    assert ("run ended" in err.getvalue()) is seen


@pytest.mark.parametrize(
    ("typed", "errors"),
    [
        pytest.param(b"\x04", "strict", id="ctrl-d"),
        pytest.param(b"n\n", "strict", id="no"),
        pytest.param(b"\xe9\n", "strict", id="no text"),
        pytest.param(b"\xe9\n", "surrogateescape", id="no text in the C locale"),
    ],
)
def test_who_does_not_say_yes_leaves_no_run(
    sandbox: Sandbox, milesync: Milesync, tmp_path: Path, typed: bytes, errors: str
) -> None:
    """However the question of a migration is declined: nothing is written, and nothing recorded."""
    environ = {**os.environ, "PYTHONIOENCODING": f"utf-8:{errors}"}
    with terminal(typed_command("migrate"), folder=tmp_path, environ=environ) as shown:
        shown.expect(r"Go on\? \[y/N\] $")
        shown.press(typed)
        assert shown.end() == 1
        assert "Nothing was changed." in shown.shown
    assert milesync("runs", "--json").json["runs"] == []
    assert sandbox.testably.count("POST") == 0


def test_a_hint_in_json_names_its_project_among_several(
    milesync: Milesync, two_projects: Sandbox
) -> None:
    """Of an error, of a guard and of a recorded run, as in the words: so it can be copied."""
    rail, ably = two_projects.testrail.model, two_projects.testably.model
    for number in range(12):
        rail.add(2, {"name": f"Many {number}"})
    assert milesync("migrate", "--yes").code == 0
    for row in ably.everything("proj_two"):
        ably.remove(str(row["id"]))
    flagged = "`milesync migrate --allow-mass-recreate --project 2`"
    synced = milesync("sync", "--json").json
    assert "error" not in synced["projects"][0]
    assert flagged in synced["projects"][1]["error"]["hint"]
    assert synced["error"] == synced["projects"][1]["error"]
    planned = milesync("plan", "--json").json["projects"][1]
    assert flagged in planned["guards"][0]["hint"]
    recorded = milesync("runs", "--json", "--project", "2").json["runs"][0]
    assert flagged in recorded["error"]["hint"]
    shown = milesync("show", recorded["run"], "--json").json
    of_status = milesync("status", "--json").json["projects"][1]["runs"][0]
    assert shown["error"] == of_status["error"] == recorded["error"]
    rail.no_access.add(2)
    for command in ("sync", "verify", "plan"):
        failed = milesync(command, "--json").json
        assert failed["error"] == failed["projects"][1]["error"]
        commands = failed["error"]["hint"].split("`")[1::2]
        assert all(one.endswith("--project 2") for one in commands if one.startswith("milesync "))


def test_the_document_of_a_run_has_the_proof_or_says_that_there_is_none(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """As `show` does; only --no-verify leaves it out."""
    assert milesync("migrate", "--yes", "--json").json["projects"][0]["verified"]["in_step"]
    sandbox.testrail.model.update(1, {"name": "Renamed"})
    wrote = milesync("sync", "--json")
    must_fit(wrote.json, RUNS)
    [project] = wrote.json["projects"]
    assert (project["updated"], project["verified"]) == (1, None)
    assert milesync("show", project["run"], "--json").json["verified"] is None
    sandbox.testrail.model.update(1, {"name": "Renamed again"})
    [project] = milesync("migrate", "--yes", "--no-verify", "--json").json["projects"]
    assert (project["updated"], "verified" in project) == (1, False)
