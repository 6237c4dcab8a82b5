"""Where milestones hang in the target."""

from __future__ import annotations

import pytest

from mappings.milestone import BadRecord, SourceMilestone
from tests.support.build import source
from worker.sync.decide.placement import Place, parents_of, places

NOBODY: frozenset[int] = frozenset()


def placed(parents: dict[int, int | None], known: frozenset[int] = NOBODY) -> dict[int, Place]:
    every: dict[int, SourceMilestone] = {i: source(i, parent_id=p) for i, p in parents.items()}
    return places(every, known)


def test_roots_and_children_hang_where_they_hang_in_testrail() -> None:
    """One level of nesting is carried as it is."""
    assert placed({1: None, 2: 1}) == {1: Place(), 2: Place(1)}


@pytest.mark.parametrize("depth", [3, 4, 7])
def test_a_deeper_milestone_hangs_under_its_topmost_ancestor(depth: int) -> None:
    """Whatever is deeper than one level is flattened, and marked so."""
    found = placed({1: None, **{i: i - 1 for i in range(2, depth + 1)}})
    assert found[2] == Place(1)
    assert {found[i] for i in range(3, depth + 1)} == {Place(1, flattened=True)}


def test_its_own_parent_has_no_place() -> None:
    """It cannot be created below itself, and is told apart from a circle."""
    (place,) = placed({5: 5}).values()
    assert place.problem is not None
    assert (place.parent_id, place.problem.kind) == (None, "own_parent")
    assert place.problem.reason == "It names itself as its parent."


def test_a_circle_of_parents_has_no_place_and_names_its_path() -> None:
    """Every member of the circle is troubled, each with the path from itself."""
    found = placed({1: 2, 2: 3, 3: 1})
    problems = {i: place.problem for i, place in found.items()}
    assert {t.kind for t in problems.values() if t} == {"parent_circle"}
    assert problems[1] is not None
    assert "1 → 2 → 3 → 1" in problems[1].reason


def test_below_a_circle_it_waits() -> None:
    """A milestone outside of the circle is not to blame: it waits for its parent."""
    found = placed({1: 2, 2: 1, 3: 1, 4: 5, 5: 5})
    assert [p.problem and p.problem.kind for p in found.values()] == [
        "parent_circle",
        "parent_circle",
        "waiting",
        "waiting",
        "own_parent",
    ]
    assert found[3].problem is not None
    assert found[3].problem.reason == "Above its parent 1, the parents form a circle."
    assert [p.parent_id for p in found.values()] == [None, None, 1, 5, None]


def test_a_parent_that_is_nowhere() -> None:
    """The direct child is told which parent is missing; what is deeper waits for that child."""
    found = placed({2: 1, 3: 2})
    assert found[2].problem is not None
    assert (found[2].parent_id, found[2].problem.kind) == (1, "unknown_parent")
    assert found[2].problem.reason == "Its parent 1 is not in TestRail's list."
    assert found[3].problem is not None
    assert (found[3].parent_id, found[3].problem.kind) == (2, "waiting")
    assert found[3].problem.reason == "Its parent 2 cannot be placed."


def test_a_parent_that_exists_but_cannot_be_read_is_a_parent() -> None:
    """An unreadable record may have a target already, so its children keep their place."""
    found = placed({2: 1, 3: 2}, frozenset({1}))
    assert found == {2: Place(1), 3: Place(1, flattened=True)}


# --- which milestones are parents


def unreadable(id_: int | None, parent_id: int | str | None) -> BadRecord:
    return BadRecord(id_, "Bad", "milestones[0].name", "''", "name is blank", parent_id)


@pytest.mark.parametrize(
    ("parents", "bad", "expected"),
    [
        ({1: None, 2: None}, [], set()),
        ({1: None, 2: 1}, [], {1}),
        ({1: None, 2: 1, 3: 2}, [], {1}),
        ({1: None}, [unreadable(9, 1)], {1}),
        ({1: None, 2: 1}, [unreadable(9, 2)], {1}),
        ({1: None}, [unreadable(None, 1)], {1}),
        ({1: None}, [unreadable(9, "1"), unreadable(8, None)], set()),
        ({2: 9}, [unreadable(9, None)], {9}),
        ({5: 5}, [], set()),
    ],
)
def test_parents_are_those_with_sub_milestones_in_testrail(
    parents: dict[int, int | None], bad: list[BadRecord], expected: set[int]
) -> None:
    """Flattened and unreadable ones count, for the milestone that they hang under in Testably."""
    known = frozenset(one.id for one in bad if isinstance(one.id, int))
    assert parents_of(placed(parents, known), bad) == expected
