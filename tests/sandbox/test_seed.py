"""The seed data is plausible, various and the same every time."""

from __future__ import annotations

import pytest

from tests.support.clock import FakeClock
from worker.clients.source_rows import collect_source
from worker.sandbox.seed import edit_some, seed
from worker.sandbox.testrail_model import TestRailModel


@pytest.fixture
def model(clock: FakeClock) -> TestRailModel:
    return TestRailModel(clock=clock)


def test_the_same_seed_gives_the_same_milestones(clock: FakeClock) -> None:
    one, again, other = (TestRailModel(clock=clock) for _ in range(3))
    seed(one, 1, 50)
    seed(again, 1, 50)
    seed(other, 1, 50, seed=2)
    assert one.everything(1) == again.everything(1) != other.everything(1)


def test_everything_that_occurs_in_life_occurs(model: TestRailModel, clock: FakeClock) -> None:
    """Every state, empty fields, several lines, other scripts; a third lies below others."""
    assert len(set(seed(model, 1))) == 300
    milestones, problems = collect_source(model.everything(1))
    found = list(milestones.values())
    assert (len(found), problems) == (300, [])
    now = clock.now().timestamp()
    states = [
        [one for one in found if one.is_completed and one.completed_on],
        [one for one in found if one.is_started and not one.is_completed],
        [one for one in found if not one.is_started and one.start_on and one.start_on > now],
        [one for one in found if not one.is_completed and one.due_on and one.due_on < now],
    ]
    assert all(len(state) >= 30 for state in states)
    assert 70 <= sum(one.parent_id is not None for one in found) <= 130
    text = "".join(one.name + (one.description or "") for one in found)
    assert all(part in text for part in ("ü", "検索", "🔍", "\n\n"))
    for field in ("description", "refs", "start_on", "due_on"):
        assert {getattr(one, field) is None for one in found} == {True, False}
    assert all(one.due_on % 86400 == 0 for one in found if one.due_on)


def test_a_day_of_edits_touches_what_it_says(model: TestRailModel) -> None:
    """Renamed, completed or reopened, postponed, added; nothing else changes."""
    seed(model, 1, 100)
    before = {row["id"]: row for row in model.everything(1)}
    touched = edit_some(model, 1, 20)
    after = {row["id"]: row for row in model.everything(1)}
    assert {key for key, row in after.items() if before.get(key) != row} == set(touched)
    assert len(after) == 104
    changed = {
        field for key, row in before.items() for field in row if row[field] != after[key][field]
    }
    assert changed >= {"name", "is_completed", "completed_on", "due_on", "description"}
