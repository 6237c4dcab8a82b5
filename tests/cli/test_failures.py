"""`failures`, `accept` and what the other documents say of it: the contract, word by word."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.cli.conftest import Milesync
from tests.cli.schemas import ACCEPTED, FAILURES, STATUS, VERIFY, must_fit
from worker.sandbox.faults import Fault, FaultKind
from worker.sandbox.server import Sandbox

LONG = "A name that is longer than twenty characters"
PROJECT = "proj_abc123"


@pytest.fixture
def cut(milesync: Milesync, sandbox: Sandbox) -> int:
    """A milestone whose name Testably cuts; its TestRail id."""
    model = sandbox.testably.model
    model.switches = replace(model.switches, cuts_name_at=20)
    for row in sandbox.testrail.model.everything(1):
        sandbox.testrail.model.update(int(str(row["id"])), {"name": f"M{row['id']}"})
    made = sandbox.testrail.model.add(1, {"name": LONG, "due_on": 1_780_272_000})
    assert milesync("migrate", "--yes").code == 3
    return int(str(made["id"]))


def listed(milesync: Milesync) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What `failures` lists, and what it lists as accepted."""
    document = milesync("failures", "--json").json
    must_fit(document, FAILURES)
    [project] = document["projects"]
    return project["failures"], project["accepted"]


def requests(sandbox: Sandbox) -> int:
    return sandbox.testrail.count() + sandbox.testably.count()


def test_a_failure_says_what_why_since_when_and_what_next(milesync: Milesync, cut: int) -> None:
    """Every key of the contract, in JSON and in words."""
    [one], accepted = listed(milesync)
    assert accepted == []
    assert (one["testrail_id"], one["kind"], one["field"]) == (cut, "altered", "name")
    assert one["name"] == LONG
    assert one["testably_id"]
    assert one["since"].endswith("Z")
    assert one["count"] >= 1
    assert f"milesync accept {cut}" in one["next_step"]
    assert LONG[:20] in one["reason"]
    shown = milesync("failures").out
    assert f"milesync accept {cut}" in shown.replace("\n", " ")


@pytest.mark.parametrize("solved", ["renamed", "archived", "created"])
def test_of_several_of_one_name_the_next_step_is_one_that_works(
    milesync: Milesync, sandbox: Sandbox, solved: str
) -> None:
    """Not the flag that has just failed: which is meant stays open until one of it is left."""
    ably = sandbox.testably.model
    sandbox.testrail.model.add(1, {"name": "Twin"})
    twins = [str(ably.create(PROJECT, {"name": "Twin"})["id"]) for _ in range(2)]
    for flags in ([], ["--adopt-by-name"]):
        assert milesync("migrate", "--yes", *flags).code == 3
        [[one], _] = listed(milesync)
        assert one["kind"] == "several_named"
        assert all(twin in one["reason"] for twin in twins)
        step = one["next_step"]
        assert step.index("rename others") < step.index("`milesync migrate --adopt-by-name`")
    if solved == "created":
        assert milesync("migrate", "--yes", "--create-anyway").code == 0
    else:
        taken = {"name": "Another"} if solved == "renamed" else {"status": "archived"}
        ably.update(PROJECT, twins[1], taken)
        assert milesync("migrate", "--yes", "--adopt-by-name").code == 0
        assert twins[0] in milesync("mappings", "--csv").out
    assert listed(milesync) == ([], [])
    assert milesync("verify").code == 0


def test_what_is_held_is_shown_in_words_where_no_field_differs(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """By verify; neither side has a value that could stand there."""
    held(milesync, sandbox)
    [target] = [
        one["testably_id"]
        for one in milesync("mappings", "--json").json["projects"][0]["links"]
        if one["testrail_id"] == 1
    ]
    sandbox.testably.model.update(PROJECT, target, {"name": "Renamed"})
    [row] = [line for line in milesync("verify").out.splitlines() if target in line]
    assert row.split() == ["1", target, "held", "after", "an", "undo"]
    [one] = milesync("verify", "--json").json["projects"][0]["differences"]
    assert (one["field"], one["expected"], one["actual"]) == ("milestone", None, None)


def test_a_next_step_names_its_project_among_several(
    milesync: Milesync, two_projects: Sandbox
) -> None:
    """So that the command that is copied does nothing to the others."""
    assert two_projects.testably.model.create("proj_two", {"name": "Of the second project"})
    assert milesync("migrate", "--yes").code == 3
    document = milesync("failures", "--json").json
    [one] = document["projects"][1]["failures"]
    assert "`milesync migrate --adopt-by-name --project 2`" in one["next_step"]
    said = " ".join(milesync("failures").out.split())
    assert "`milesync migrate --adopt-by-name --project 2`" in said
    assert ": same name" in said
    assert "name_conflict" not in said


def test_why_an_undo_was_refused_stays_listed(milesync: Milesync, sandbox: Sandbox) -> None:
    """With the answer that Testably gave and the right next step, in JSON and in words."""
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    model = sandbox.testably.model
    model.switches = replace(model.switches, refused_statuses=("archived",))
    assert milesync("undo", run, "--yes").code == 3
    milesync("sync")
    failures, _ = listed(milesync)
    assert {one["kind"] for one in failures} == {"undo_failed"}
    assert all("400" in one["reason"] and run in one["reason"] for one in failures)
    assert all("by hand in Testably" in one["next_step"] for one in failures)
    said = milesync("failures").out
    assert "400" in said
    assert "held" not in said
    assert milesync("accept", "--all").code == 0
    assert listed(milesync)[0] == []


def test_accept_takes_the_difference_out_of_every_count(
    milesync: Milesync, sandbox: Sandbox, cut: int
) -> None:
    """It stays listed as accepted, nothing is fetched, and the pair is in step."""
    before = requests(sandbox)
    ended = milesync("accept", str(cut), "--json")
    assert requests(sandbox) == before
    assert ended.code == 0
    must_fit(ended.json, ACCEPTED)
    [project] = ended.json["projects"]
    assert (project["accepted"], project["revoked"]) == ([cut], [])
    failures, accepted = listed(milesync)
    assert failures == []
    assert [(one["testrail_id"], one["field"]) for one in accepted] == [(cut, "name")]
    assert milesync("sync").code == 0
    verified = milesync("verify", "--json")
    must_fit(verified.json, VERIFY)
    [project] = verified.json["projects"]
    assert (verified.code, project["in_step"], project["differences"]) == (0, True, [])
    [difference] = project["accepted"]
    assert difference["testrail_id"] == cut
    assert (difference["field"], difference["expected"]) == ("name", LONG)
    status = milesync("status", "--json").json
    must_fit(status, STATUS)
    assert [status["projects"][0][key] for key in ("in_step", "needs_a_person")] == [True, 0]
    assert "Accepted by a person: 1" in milesync("failures").out
    assert "1 accepted by a person" in milesync("verify").out


@pytest.mark.parametrize("side", ["TestRail", "Testably"])
def test_what_is_accepted_counts_again_when_either_value_changes(
    milesync: Milesync, sandbox: Sandbox, cut: int, side: str
) -> None:
    assert milesync("accept", str(cut)).code == 0
    assert milesync("sync").code == 0
    if side == "TestRail":
        sandbox.testrail.model.update(cut, {"name": f"{LONG}, changed"})
    else:
        [_, [one]] = listed(milesync)
        sandbox.testably.model.update(PROJECT, one["testably_id"], {"name": "Somebody's"})
    for _ in range(3):
        milesync("sync")
    failures, accepted = listed(milesync)
    assert ([one["field"] for one in failures], accepted) == (["name"], [])
    assert milesync("sync").code == 3


@pytest.mark.parametrize("order", [("--revoke", "{id}"), ("{id}", "--revoke")])
def test_revoke_takes_an_acceptance_back(
    milesync: Milesync, cut: int, order: tuple[str, ...]
) -> None:
    assert milesync("accept", "--all").code == 0
    ended = milesync("accept", *(part.format(id=cut) for part in order), "--json")
    [project] = ended.json["projects"]
    assert (ended.code, project["accepted"], project["revoked"]) == (0, [], [cut])
    assert [one["testrail_id"] for one in listed(milesync)[0]] == [cut]
    assert milesync("verify").code == 3
    assert milesync("accept", "--revoke", str(cut)).code == 2


def test_an_id_without_such_a_difference_is_wrong_usage_and_nothing_is_accepted(
    milesync: Milesync, cut: int
) -> None:
    """Also where another id has one, and for a field that has none."""
    for words in (["1"], [str(cut), "1"], [str(cut), "--field", "due_date"], ["999999"]):
        ended = milesync("accept", *words, "--json")
        assert (ended.code, ended.json["error"]["kind"]) == (2, "usage")
    assert [one["testrail_id"] for one in listed(milesync)[0]] == [cut]


@pytest.mark.parametrize("words", [[], ["--revoke"], ["1", "--all"], ["one"]])
def test_accept_wants_ids_or_all_and_not_both(
    milesync: Milesync, cut: int, words: list[str]
) -> None:
    assert milesync("accept", *words).code == 2
    assert [one["testrail_id"] for one in listed(milesync)[0]] == [cut]


def test_accepting_twice_is_no_mistake(milesync: Milesync, cut: int) -> None:
    assert [milesync("accept", str(cut)).code for _ in range(2)] == [0, 0]


def test_one_field_alone_can_be_accepted(milesync: Milesync, sandbox: Sandbox, cut: int) -> None:
    """The other field's difference stays in `failures`."""
    model = sandbox.testably.model
    model.switches = replace(model.switches, null_clears=False)
    sandbox.testrail.model.update(cut, {"due_on": None})
    assert milesync("sync").code == 3
    assert {one["field"] for one in listed(milesync)[0]} == {"name", "due_date"}
    told = milesync("failures").out
    [named] = re.findall(r", (\w+): not taken by Testably", told)
    assert milesync("accept", str(cut), "--field", named).code == 0
    failures, accepted = listed(milesync)
    assert [one["field"] for one in failures] == ["name"]
    assert [one["field"] for one in accepted] == ["due_date"]
    assert milesync("sync").code == 3
    assert milesync("accept", "--all").code == 0
    assert milesync("sync").code == 0


@pytest.mark.parametrize("said", ["due", "due date", "due_date", " Due  Date "])
def test_a_field_is_taken_however_it_is_called(
    milesync: Milesync, sandbox: Sandbox, cut: int, said: str
) -> None:
    model = sandbox.testably.model
    model.switches = replace(model.switches, null_clears=False)
    sandbox.testrail.model.update(cut, {"due_on": None})
    assert milesync("sync").code == 3
    assert milesync("accept", str(cut), "--field", said).code == 0
    assert [one["field"] for one in listed(milesync)[1]] == ["due_date"]
    assert milesync("accept", "--revoke", str(cut), "--field", said).code == 0
    assert listed(milesync)[1] == []


def test_a_field_that_does_not_exist_is_named_with_those_that_do(
    milesync: Milesync, cut: int
) -> None:
    ended = milesync("accept", str(cut), "--field", "dew", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "usage")
    assert "'dew'" in ended.json["error"]["message"]
    assert "name, description, start, due, status, parent" in ended.json["error"]["hint"]
    assert [one["testrail_id"] for one in listed(milesync)[0]] == [cut]


def held(milesync: Milesync, sandbox: Sandbox) -> tuple[str, str]:
    """Migrate, rename the first, migrate, undo that: the run, and what the undo said."""
    assert milesync("migrate", "--yes").code == 0
    sandbox.testrail.model.update(1, {"name": "Renamed"})
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    return run, milesync("undo", run, "--yes").out


def test_what_an_undo_holds_is_counted_everywhere_with_what_releases_it(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """By undo, sync, verify, status and failures, in words and in JSON (R9)."""
    _, said = held(milesync, sandbox)
    assert "1 milestone is held" in said
    assert "milesync migrate" in said
    synced = milesync("sync", "--json")
    assert (synced.code, synced.json["projects"][0]["held"]) == (3, 1)
    text = milesync("sync").out
    assert "1 held" in text
    assert "`milesync migrate` releases it" in text
    verified = milesync("verify")
    assert verified.code == 3
    assert "`milesync migrate` releases what an undo holds" in verified.out
    assert milesync("status", "--json").json["projects"][0]["held"] == 1
    assert "1 held" in milesync("status").out
    [[one], _] = listed(milesync)
    assert (one["kind"], one["testrail_id"]) == ("held", 1)
    assert "milesync migrate" in one["next_step"]
    assert milesync("migrate", "--yes").code == 0
    assert listed(milesync) == ([], [])


def test_verify_advises_what_helps_about_what_is_extra(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """Gone in TestRail: a sync archives it; held by an undo: a migration does; a copy: a person."""
    assert milesync("migrate", "--yes").code == 0
    rail, ably = sandbox.testrail.model, sandbox.testably.model
    [gone, other] = [int(str(row["id"])) for row in rail.everything(1) if not row["parent_id"]][:2]
    rail.update(other, {"name": "Renamed"})
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    assert milesync("undo", run, "--yes").code == 0
    for id_ in (gone, other):
        rail.delete(id_)
    marker = f"/view/{gone}\n"
    [row] = [one for one in ably.live(PROJECT) if marker in f"{one['description']}\n"]
    ably.create(PROJECT, {"name": "Copy", "description": row["description"]})
    shown = " ".join(milesync("verify").out.split())
    assert "`milesync sync` archives in Testably what is gone in TestRail." in shown
    assert "`milesync migrate` releases what an undo holds." in shown
    assert "Archive in Testably what carries the address of another one's milestone." in shown


def test_what_is_held_can_be_accepted_and_revoked(milesync: Milesync, sandbox: Sandbox) -> None:
    """It stays held, and counts again when its source changes."""
    held(milesync, sandbox)
    assert milesync("accept", "1").code == 0
    assert [one["kind"] for one in listed(milesync)[1]] == ["held"]
    assert milesync("sync").code == 0
    assert milesync("verify").code == 0
    assert milesync("accept", "--revoke", "1").code == 0
    assert milesync("sync").code == 3
    assert milesync("accept", "1").code == 0
    sandbox.testrail.model.update(1, {"name": "Renamed again"})
    assert milesync("sync").code == 3
    assert [one["kind"] for one in listed(milesync)[0]] == ["held"]


def test_a_plan_says_what_it_releases_and_what_it_leaves(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration releases what is held; kept and accepted differences are named, not written."""
    held(milesync, sandbox)
    assert "Released after an undo." in milesync("plan", "--all").out
    assert milesync("migrate", "--yes").code == 0
    monkeypatch.setenv("MILESYNC_ON_TARGET_EDIT", "target")
    [target] = [
        one["testably_id"]
        for one in milesync("mappings", "--json").json["projects"][0]["links"]
        if one["testrail_id"] == 1
    ]
    sandbox.testably.model.update(PROJECT, target, {"name": "Theirs"})
    planned = milesync("plan").out
    assert "Left as it is: 1 edited in Testably and kept." in planned


def test_a_proof_that_cannot_be_read_is_a_failure_until_one_can(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """The run ends with 3, says why, and nothing is proved."""
    assert milesync("migrate", "--yes").code == 0
    sandbox.testrail.model.update(1, {"name": "Renamed"})
    patched = sandbox.testably.count("PATCH")

    def fail_after_the_write(_: Any, method: str, _what: str) -> Any:
        written = sandbox.testably.count("PATCH") > patched
        return Fault(FaultKind.SERVER_ERROR) if written and method == "GET" else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(sandbox.testably.faults), "__call__", fail_after_the_write)
        ended = milesync("migrate", "--yes", "--json")
    [project] = ended.json["projects"]
    assert (ended.code, project["verified"]["in_step"]) == (3, None)
    assert project["verified"]["reason"]
    [[one], _] = listed(milesync)
    assert (one["kind"], one["testrail_id"]) == ("not_proved", None)
    assert milesync("status", "--json").json["projects"][0]["in_step"] is None
    assert "in step." not in milesync("status").out.lower()
    assert milesync("sync").code == 0
    assert listed(milesync) == ([], [])
