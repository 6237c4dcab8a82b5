"""What a person reads of a plan: on a terminal, as a page and as Markdown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import SEEDED, Milesync
from worker.facts import words
from worker.facts.changes import FieldChange
from worker.sandbox.server import Sandbox
from worker.sandbox.switches import TestablySwitches

PAIR = "proj_abc123"
TEXTS = st.lists(st.sampled_from(["one", "two", "three", ""]), max_size=8).map("\n".join)


@pytest.fixture
def edited(milesync: Milesync, sandbox: Sandbox) -> Sandbox:
    """Both sides in step, and then something of everything."""
    source, target = sandbox.testrail.model, sandbox.testably.model
    source.add(1, {"name": "Will be edited there"})
    source.add(1, {"name": "Will go"})
    assert milesync("migrate", "--yes").code == 0
    by_name = {row["name"]: row for row in target.everything(PAIR)}
    target.update(PAIR, str(by_name["Will be edited there"]["id"]), {"name": "Edited by somebody"})
    [going] = [row["id"] for row in source.everything(1) if row["name"] == "Will go"]
    source.delete(int(str(going)))
    source.update(1, {"name": "A new name", "description": "First line\nsecond line\n" * 5})
    target.create(PAIR, {"name": "Taken already"})
    source.add(1, {"name": "Taken already"})
    parent = source.add(1, {"name": "A new parent"})
    source.add(1, {"name": "A new child", "parent_id": parent["id"]})
    return sandbox


def positions(text: str, *parts: str) -> list[int]:
    return [text.index(part) for part in parts]


@pytest.mark.usefixtures("edited")
def test_the_first_sentence_has_the_numbers_before_the_words(milesync: Milesync) -> None:
    shown = milesync("plan").out.splitlines()[1]
    counts = f"2 new, 2 changed, 1 gone, {SEEDED - 1} the same, 1 needs you; "
    assert shown.startswith(counts)
    assert re.fullmatch(r"\d+ requests, about (a minute|\d+ (s|minutes))\.", shown[len(counts) :])


@pytest.mark.usefixtures("edited")
def test_what_needs_a_person_comes_first_and_what_is_new_last(milesync: Milesync) -> None:
    shown = milesync("plan").out
    order = positions(
        shown,
        "Needs you (1)",
        "Taken already",
        "would be overwritten (1)",
        "would be archived",
        "Will go",
        "Changed (1)",
        "New (2)",
        "A new parent",
        "A new child",
    )
    assert order == sorted(order)


@pytest.mark.usefixtures("edited")
def test_each_change_says_from_what_to_what(milesync: Milesync) -> None:
    shown = milesync("plan").out
    assert "name: Edited by somebody → Will be edited there (edited in Testably)\n" in shown
    assert re.search(r"name: .+ → A new name\n", shown)
    assert "+ second line" in shown
    assert "more lines" in shown
    everything = milesync("plan", "--all").out
    assert everything.count("+ second line") == 5
    assert "more" not in everything


@pytest.mark.usefixtures("edited")
def test_the_inner_words_stay_in_the_json(milesync: Milesync) -> None:
    shown = milesync("plan", "--all").out.lower()
    for inner in ("quarantine", "adopt ", "skip", "marker", "create "):
        assert inner not in shown.replace("--adopt-by-name", "").replace("--create-anyway", "")


def test_who_has_no_name_is_named_by_id_and_link(milesync: Milesync, sandbox: Sandbox) -> None:
    sandbox.testrail.model.plant({"id": 4711, "name": "   "}, 1)
    shown = milesync("plan").out
    link = f"{sandbox.testrail.url}/index.php?/milestones/view/4711"
    assert f"4711  (no name) {link}\n" in shown
    assert "1 needs you" in shown
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    for command in (["failures"], ["show", run]):
        told = milesync(*command).out
        assert f"(no name) {link}" in told
        assert "In TestRail its name is blank" in told


@pytest.mark.usefixtures("sandbox")
def test_many_new_ones_are_folded(milesync: Milesync, sandbox: Sandbox) -> None:
    parent = sandbox.testrail.model.add(1, {"name": "Of many"})
    for number in range(30):
        sandbox.testrail.model.add(1, {"name": f"Root {number}"})
        sandbox.testrail.model.add(1, {"name": f"Sub {number}", "parent_id": parent["id"]})
    shown = milesync("plan").out
    assert "milesync plan --all" in shown
    assert len(shown.splitlines()) < 50
    assert "Root 29" not in shown
    everything = milesync("plan", "--all").out
    assert all(
        f"Sub {n}  started\n" in everything and f"Root {n}  started\n" in everything
        for n in range(30)
    )


@pytest.mark.usefixtures("edited")
def test_a_plan_can_be_kept_in_every_form_from_one_reading(milesync: Milesync) -> None:
    files = ("plan.json", "plan.html", "plan.md")
    ended = milesync("plan", *(arg for file in files for arg in ("--out", file)))
    assert "milesync migrate --plan plan.json" in ended.out
    kept, page, text = (Path(file).read_text(encoding="utf-8") for file in files)
    fingerprint = json.loads(kept)["fingerprint"]
    for told in (page, text):
        assert fingerprint in told
        assert "2 new, 2 changed, 1 gone" in told
        order = positions(told, "Needs you", "Edited by somebody", "Will go", "A new child")
        assert order == sorted(order)
    assert milesync("migrate", "--plan", "plan.json", "--dry-run").code == 0


def test_the_next_step_does_what_was_planned(milesync: Milesync, two_projects: Sandbox) -> None:
    """For the projects and with the options that the plan was made with, and no others."""
    assert two_projects.testrail.count() == 0
    said = milesync("plan", "--project", "2", "--only", "open", "--adopt-by-name").out
    assert "`milesync migrate --project 2 --only open --adopt-by-name`" in said
    assert "`milesync migrate`" in milesync("plan").out


def test_a_name_cannot_steer_a_page_or_markdown(milesync: Milesync, sandbox: Sandbox) -> None:
    sandbox.testrail.model.add(1, {"name": "<script>alert(1)</script> [x](http://evil) `y`"})
    milesync("plan", "--out", "plan.html", "--out", "plan.md")
    assert "<script>" not in Path("plan.html").read_text(encoding="utf-8")
    text = Path("plan.md").read_text(encoding="utf-8")
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "[x](" not in text


@pytest.mark.usefixtures("sandbox")
def test_a_plan_that_cannot_be_written_is_wrong_usage(milesync: Milesync) -> None:
    for file in ("p.txt", "plan", "plan.csv", "nowhere/plan.html"):
        assert milesync("plan", "--out", "plan.json", "--out", file).code == 2
    assert ".json, .html or .md" in milesync("plan", "--out", "p.txt").err
    assert not Path("plan.json").exists(), "nothing is read or written first"


# --- pure -------------------------------------------------------------------------------------


@given(TEXTS, TEXTS)
def test_a_difference_takes_away_what_was_and_brings_what_is_new(before: str, after: str) -> None:
    """What is left out of both is the same on both sides, in the same order."""
    lines = list(FieldChange("description", before, after).difference())
    old, new = before.splitlines(), after.splitlines()
    taken = [line for mark, line in lines if mark == "-"]
    brought = [line for mark, line in lines if mark == "+"]
    assert len(old) - len(taken) == len(new) - len(brought)
    assert sorted([*old, *brought]) == sorted([*new, *taken])
    if before == after:
        assert lines == []


def test_a_plan_of_an_empty_scope_does_not_say_that_testrail_is_empty(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    for row in sandbox.testrail.model.everything(1):
        sandbox.testrail.model.update(int(str(row["id"])), {"is_completed": True})
    assert "Nothing upcoming in TestRail; " in milesync("plan", "--only", "upcoming").out


@given(st.dictionaries(st.sampled_from(["create", "update", "skip", "conflict"]), st.integers(1)))
def test_every_count_is_said(counts: dict[str, int]) -> None:
    said = words.counted(counts, "nothing")
    assert [int(number) for number in re.findall(r"\d+", said)] == [
        counts[name] for name in ("create", "update", "skip", "conflict") if name in counts
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "about 1 s"),
        (40, "about 40 s"),
        (50, "about a minute"),
        (89, "about a minute"),
        (150, "about 2 minutes"),
        (7200, "about 2.0 hours"),
    ],
)
def test_a_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert words.about(seconds) == said


def test_what_could_not_be_read_whole_is_said_in_every_form(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """Before anybody signs it: what is not in the plan may be there all the same."""
    milesync("migrate", "--yes", "--no-verify")
    sandbox.testably.model.switches = TestablySwitches(total="growing")
    files = ("plan.html", "plan.md")
    planned = milesync("plan", *(word for file in files for word in ("--out", file)))
    said = "list could not be read whole"
    assert planned.code == 0
    assert f"Not all was read: Testably's {said}" in " ".join(planned.out.split())
    assert all(said in Path(file).read_text(encoding="utf-8") for file in files)
