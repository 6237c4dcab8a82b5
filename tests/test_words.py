"""The words for people: there is one for everything, and none is the JSON's."""

from __future__ import annotations

import pytest

from mappings.commands import for_project
from mappings.field_names import FIELD_NAMES
from mappings.milestone import FIELDS
from mappings.problem import ProblemKind
from mappings.rows import ChangeState
from mappings.run_record import RUNNING
from worker.facts import ending, words
from worker.sync.decide.verdict import Verdict
from worker.sync.report import State

INNER = {"altered", "partial", "aborted", "adopt", "quarantine", "skip", "marker", "ambiguous"}


@pytest.mark.parametrize("kind", ProblemKind)
def test_every_kind_of_problem_has_words(kind: ProblemKind) -> None:
    """A few plain ones, which are no inner words."""
    told = words.problem(kind.value)
    assert "_" not in told
    assert 1 <= len(told.split()) <= 5
    assert not INNER & set(told.split())
    assert kind.value in words._PROBLEMS


def test_what_becomes_of_runs_and_writes_is_said_in_plain_words() -> None:
    told = [words.run_state(state.value) for state in State] + [words.run_state(RUNNING)]
    told += [words.write_state(state.value) for state in ChangeState]
    assert not INNER & set(told)
    assert all("_" not in one for one in told)
    assert len(set(told)) == len(told) - 1, "a run and a write may both be done"


@pytest.mark.parametrize("state", [*(state.value for state in State), RUNNING])
def test_only_a_run_that_came_to_its_end_had_nothing_to_do(state: str) -> None:
    """Of the others nobody knows it; what they cannot carry exactly they have not carried yet."""
    ended = state in ("succeeded", "partial")
    told = ending.counted(dict.fromkeys(("created", "unchanged"), 0), (), state)
    assert (told == "nothing to do") is ended
    assert ending.inexact_title(state) == ("Not" if ended else "Cannot be") + " carried exactly"
    assert ending.counted({"created": 2, "unchanged": 1}, (), state) == "2 new, 1 the same"


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("Say `milesync retry 7`.", "Say `milesync retry 7 --project 2`."),
        (
            "`milesync migrate --create-anyway`, or `milesync accept 7`.",
            "`milesync migrate --create-anyway --project 2`, or `milesync accept 7 --project 2`.",
        ),
        ("`milesync undo RUN --force` and `on_target_edit`", None),
        ("`milesync sync --project 3`", None),
        ("run milesync retry 7", None),
    ],
)
def test_a_command_names_its_project_where_it_takes_one(text: str, then: str | None) -> None:
    """Only a command in backticks, and once."""
    assert for_project(text, 2) == (then or text)
    assert for_project(for_project(text, 2), 2) == for_project(text, 2)
    assert for_project(text, None) == text


@pytest.mark.parametrize("kind", ProblemKind)
def test_the_next_step_of_every_kind_can_be_copied_for_one_project(kind: ProblemKind) -> None:
    """Each command in it but `undo`, which has a run, names the project."""
    step = kind.advice(7, 2)
    for command in step.split("`")[1::2]:
        if command.startswith("milesync ") and not command.startswith("milesync undo"):
            assert command.endswith("--project 2"), command


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_name_of_a_field_is_understood(name: str) -> None:
    """As it is shown, as it is written in a sentence, and as the JSON has it."""
    for said in (name, words.field_called(name), *FIELD_NAMES[name], name.upper()):
        assert words.field_meant(said) == name
    assert words.field_meant(f"{name}s") is None


def test_every_field_has_names_and_every_verdict_words() -> None:
    assert list(FIELD_NAMES) == [*FIELDS, "parent_id"]
    assert {verdict.value for verdict in Verdict} == words._VERDICTS.keys()


@pytest.mark.parametrize(
    ("exempt", "told"),
    [
        ({}, ""),
        ({"parent_status": 0, "parent_dates": 0}, ""),
        ({"parent_status": 1}, "1 status of a parent is Testably's own"),
        ({"parent_dates": 1}, "1 date of a parent is Testably's own"),
        (
            {"parent_status": 1, "parent_dates": 2},
            "1 status and 2 dates of parents are Testably's own",
        ),
        (
            {"parent_status": 2, "parent_dates": 1},
            "2 statuses and 1 date of parents are Testably's own",
        ),
    ],
)
def test_one_and_several_are_told_apart(exempt: dict[str, int], told: str) -> None:
    assert words.of_parents(exempt) == told
