"""What people are told of milestones that something is the matter with: each counts once."""

from __future__ import annotations

from typing import Any

import pytest

from mappings.problem import ProblemKind
from worker.facts import ending
from worker.facts.matters import by_milestone, kept, needing
from worker.facts.progress import Progress
from worker.sync.apply.outcome import Outcome, Result, unattempted
from worker.sync.decide.action import Action, Kind
from worker.sync.report import after_proof, problems_of


def problem(
    id_: int | None, result: str = "unchanged", kind: ProblemKind = ProblemKind.REJECTED
) -> dict[str, Any]:
    """A problem of a run, as it is recorded."""
    told = {"kind": kind.value, "reason": f"{kind} of {id_}.", "result": result}
    return {"testrail_id": id_, "testably_id": None, "name": "", **told}


def kept_edit(id_: int, result: str = "unchanged") -> dict[str, Any]:
    return problem(id_, result, ProblemKind.TARGET_EDIT_KEPT)


def test_entries_of_a_milestone_come_together_in_the_order_of_the_first() -> None:
    found = by_milestone([problem(7), problem(None), problem(9), problem(7), problem(None)])
    assert [one.testrail_id for one in found] == [7, None, 9, None]
    assert [len(one.entries) for one in found] == [2, 1, 1, 1]


def test_what_is_kept_needs_nobody_and_what_nobody_knows_needs_a_person() -> None:
    """A later version may have recorded a kind that this one does not know."""
    problems = [kept_edit(7), problem(8), {**problem(9), "kind": "of_tomorrow"}]
    assert [one.testrail_id for one in needing(problems)] == [8, 9]
    assert [one.testrail_id for one in kept(problems)] == [7]


@pytest.mark.parametrize(
    ("counts", "problems", "said"),
    [
        ({"unchanged": 5}, [problem(1), problem(1), problem(2)], "3 the same, 2 need you"),
        ({"updated": 2}, [problem(1, "updated")], "2 changed, 1 needs you (1 written too)"),
        ({"created": 1, "waiting": 1}, [problem(1, "waiting")], "1 new, 1 needs you"),
        ({"unchanged": 2, "held": 1}, [problem(1, "held")], "2 the same, 1 needs you (1 held)"),
        ({"unchanged": 2, "held": 1}, [], "2 the same, 1 held"),
        ({"unchanged": 3}, [kept_edit(1)], "2 the same, 1 kept as edited"),
        ({"updated": 1}, [kept_edit(1, "updated")], "1 changed"),
        ({"unchanged": 3}, [kept_edit(1), problem(1)], "2 the same, 1 needs you"),
        ({"unchanged": 3}, [problem(None, kind=ProblemKind.SOURCE_INCOMPLETE)], None),
        ({"created": 4, "quarantined": 1, "conflicts": 2}, [], "4 new, 3 need you"),
    ],
)
def test_each_milestone_is_told_once(
    counts: dict[str, int], problems: list[dict[str, Any]], said: str | None
) -> None:
    """Under what was written, or as one that needs a person; a list that is not whole needs one."""
    gap = [{name: value for name, value in one.items() if name != "result"} for one in problems]
    told = ending.counted(counts, gap if said is None else problems, "partial")
    assert told == (said or "3 the same, 1 needs you")


def test_what_an_undo_took_back_is_not_told_twice() -> None:
    problems = [problem(2, "quarantined", ProblemKind.UNDO_FAILED)]
    counts = {"archived": 1, "quarantined": 1, "held": 2}
    assert ending.counted(counts, problems, "partial", is_undo=True) == "1 gone, 1 needs you"


def test_what_the_proof_has_mended_is_counted_as_done() -> None:
    """What the run wrote stays written, whatever the proof then finds of it."""
    actions = [Action(Kind.CREATE, id_, f"M{id_}", "New.") for id_ in (1, 2, 3)]
    wrote, waits, gave_up = actions
    first = [
        Outcome(wrote, Result.CREATED, "ms_1"),
        Outcome(waits, Result.WAITING),
        Outcome(gave_up, Result.WAITING),
    ]
    last = [unattempted(wrote), Outcome(waits, Result.CREATED, "ms_2")]
    ended = after_proof(first, last)
    expected = [Result.CREATED, Result.CREATED, Result.UNCHANGED]
    assert [outcome.result for outcome in ended] == expected
    assert problems_of(last, ended) == ()


@pytest.mark.parametrize(
    ("far", "told", "left"),
    [
        (Progress(0, None), "0 writes done", ""),
        (Progress(1, 1), "1 of 1 write done", ""),
        (Progress(10, 58, 48.0), "10 of 58 writes done", "about a minute"),
    ],
)
def test_progress_is_of_writes(far: Progress, told: str, left: str) -> None:
    assert (far.text, far.time_left) == (told, left)
