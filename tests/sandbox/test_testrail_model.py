"""The rules of a TestRail instance, as the vendor's page and the recorded instances have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import FakeClock
from worker.sandbox.rules import Problem
from worker.sandbox.switches import TestRailSwitches
from worker.sandbox.testrail_model import TestRailModel

DOCUMENTED = {
    "completed_on",
    "description",
    "due_on",
    "id",
    "is_completed",
    "is_started",
    "milestones",
    "name",
    "parent_id",
    "project_id",
    "refs",
    "start_on",
    "started_on",
    "url",
}


@pytest.fixture
def model(clock: FakeClock) -> TestRailModel:
    return TestRailModel((1, 2), clock=clock)


def added(model: TestRailModel, name: str = "Release 24.3", **fields: object) -> int:
    new_id = model.add(1, {"name": name, **fields})["id"]
    assert isinstance(new_id, int)
    return new_id


def refusal(error: pytest.ExceptionInfo[Problem]) -> int:
    return error.value.status


def test_a_milestone_has_exactly_the_documented_fields(model: TestRailModel) -> None:
    """Neither more fields than the vendor's table, nor fewer."""
    assert set(model.get(added(model))) == DOCUMENTED


def test_without_a_start_date_it_is_started_at_once(model: TestRailModel, clock: FakeClock) -> None:
    """A milestone added without start_on comes back started; one with it does not."""
    now = int(clock.now().timestamp())
    at_once, planned = model.get(added(model)), model.get(added(model, start_on=now - 1))
    assert (at_once["is_started"], at_once["started_on"]) == (True, now)
    assert (planned["is_started"], planned["started_on"]) == (False, None)


@pytest.mark.parametrize(
    ("flag", "stamp"), [("is_completed", "completed_on"), ("is_started", "started_on")]
)
def test_flags_set_and_clear_their_moment(
    model: TestRailModel, clock: FakeClock, flag: str, stamp: str
) -> None:
    """The moment is when the flag was first set; setting it again does not move it."""
    milestone = added(model, start_on=0)
    clock.sleep(100)
    first = model.update(milestone, {flag: True})[stamp]
    clock.sleep(100)
    assert first == int(clock.now().timestamp()) - 100
    assert model.update(milestone, {flag: True})[stamp] == first
    assert model.update(milestone, {flag: False})[stamp] is None


def test_an_update_changes_only_what_it_names(model: TestRailModel) -> None:
    milestone = added(model, description="kept", refs="RF-1")
    before = model.get(milestone)
    assert model.update(milestone, {"name": "Release 24.4"}) == before | {"name": "Release 24.4"}


def test_nesting_ends_after_one_level(model: TestRailModel) -> None:
    """Neither adding nor moving makes a second level; unknown and foreign parents are refused."""
    root, other = added(model), added(model)
    sub = added(model, parent_id=root)
    foreign = model.add(2, {"name": "elsewhere"})["id"]
    for parent in (sub, foreign, 999):
        with pytest.raises(Problem) as error:
            added(model, parent_id=parent)
        assert refusal(error) == 400
    for child, parent in ((root, other), (root, root), (other, sub)):
        with pytest.raises(Problem):
            model.update(child, {"parent_id": parent})


def test_a_milestone_can_be_moved(model: TestRailModel) -> None:
    """update_milestone takes parent_id: below another parent, and back to the root."""
    root, other = added(model), added(model)
    sub = added(model, parent_id=root)
    model.update(sub, {"parent_id": other})
    assert model.get(root)["milestones"] == []
    assert [row["id"] for row in below(model, other)] == [sub]
    model.update(sub, {"parent_id": None})
    assert [row["id"] for row in model.page(1).rows] == [root, other, sub]


def below(model: TestRailModel, milestone: int) -> list[dict[str, object]]:
    rows = model.get(milestone)["milestones"]
    assert isinstance(rows, list)
    return rows


def test_deleting_a_parent_deletes_its_sub_milestones(model: TestRailModel) -> None:
    root, other = added(model), added(model)
    sub = added(model, parent_id=root)
    model.delete(root)
    assert [row["id"] for row in model.everything(1)] == [other]
    for gone in (root, sub):
        with pytest.raises(Problem) as error:
            model.get(gone)
        assert refusal(error) == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"name": ""},
        {"name": " "},
        {"name": None},
        {"name": 7},
        {"name": "x", "due_on": "2026-03-01"},
        {"name": "x", "due_on": True},
        {"name": "x", "due_on": 1.5},
        {"name": "x", "description": 1},
        {"name": "x", "refs": ["RF-1"]},
        {"name": "x", "parent_id": "1"},
        {"name": "x", "is_completed": True},
        {"name": "x", "colour": "red"},
    ],
)
def test_a_wrong_body_is_refused_and_changes_nothing(model: TestRailModel, body: object) -> None:
    """Missing names, wrong types and unknown fields: 400; the flags are for updates only."""
    with pytest.raises(Problem) as error:
        model.add(1, body)
    assert refusal(error) == 400
    assert model.everything(1) == []


def test_projects_decide_who_may_do_what(model: TestRailModel) -> None:
    """An unknown project is 400, one without access 403; a read-only one can still be read."""
    milestone = added(model)
    with pytest.raises(Problem) as unknown:
        model.page(3)
    model.read_only.add(1)
    assert model.get(milestone)["id"] == milestone
    with pytest.raises(Problem) as unwritable:
        model.delete(milestone)
    model.no_access.add(1)
    with pytest.raises(Problem) as closed:
        model.get(milestone)
    assert [refusal(unknown), refusal(unwritable), refusal(closed)] == [400, 403, 403]


def test_planted_records_come_back_as_they_are(model: TestRailModel) -> None:
    """Tests of bad input need what no real instance would take: null names, text ids, depth."""
    planted: list[dict[str, object]] = [
        {"id": "7", "name": None},
        {"name": "without an id"},
        {"id": 10, "name": "top"},
        {"id": 11, "name": "middle", "parent_id": 10},
        {"id": 12, "name": "deep", "parent_id": 11},
        {"id": 13, "name": "own nesting", "milestones": "not a list"},
    ]
    for record in planted:
        model.plant(record)
    assert model.everything(1) == planted
    rows = {row.get("id"): row for row in model.page(1).rows}
    assert set(rows) == {"7", None, 10, 13}
    assert rows[13]["milestones"] == "not a list"
    middle = below(model, 10)[0]
    assert middle["milestones"] == [planted[4]]


def test_a_child_planted_before_its_parent_is_found_below_it(model: TestRailModel) -> None:
    model.plant({"id": 5, "name": "sub", "parent_id": 6})
    assert [row["id"] for row in model.page(1).rows] == [5]
    model.plant({"id": 6, "name": "root"})
    assert [row["id"] for row in model.page(1).rows] == [6]


@pytest.mark.parametrize("shape", ["nested", "flat", "roots_only"])
def test_the_three_ways_to_give_sub_milestones(clock: FakeClock, shape: str) -> None:
    """Nested in their parent, flat beside it, or only in get_milestone."""
    switches = TestRailSwitches(sub_milestones=shape)  # type: ignore[arg-type]
    model = TestRailModel(clock=clock, switches=switches)
    root = added(model)
    sub = added(model, parent_id=root)
    rows = model.page(1).rows
    assert [row["id"] for row in rows] == ([root, sub] if shape == "flat" else [root])
    assert ("milestones" in rows[0]) == (shape == "nested")
    assert [row["id"] for row in below(model, root)] == [sub]


@pytest.mark.parametrize("reach", [False, True])
def test_filters_reach_nested_rows_only_where_switched_on(clock: FakeClock, reach: bool) -> None:
    """A filter always applies to the rows of the list; to nested ones it may."""
    model = TestRailModel(clock=clock, switches=TestRailSwitches(filters_reach_nested=reach))
    root, done = added(model), added(model)
    sub = added(model, parent_id=root)
    for milestone in (done, sub):
        model.update(milestone, {"is_completed": True})
    rows = model.page(1, is_completed=False).rows
    assert [row["id"] for row in rows] == [root]
    assert len(rows[0]["milestones"]) == (0 if reach else 1)  # type: ignore[arg-type]
    assert [row["id"] for row in model.page(1, is_completed=True).rows] == [done]
    assert model.page(1, is_completed=True, is_started=False).rows == []


@given(st.integers(0, 30), st.integers(1, 7), st.booleans())
def test_pages_partition_the_list(count: int, limit: int, flat: bool) -> None:
    """Going on by the number of rows received gives every row once, in order."""
    switches = TestRailSwitches(sub_milestones="flat" if flat else "nested")
    model = TestRailModel(clock=FakeClock(), switches=switches)
    for number in range(count):
        added(model, parent_id=1 if number % 3 == 1 else None)
    rows: list[object] = []
    while (page := model.page(1, limit=limit, offset=len(rows))).rows:
        assert len(page.rows) <= limit
        rows += [row["id"] for row in page.rows]
    assert rows == [row["id"] for row in model.page(1, limit=None).rows]
    assert page.total == len(rows)
