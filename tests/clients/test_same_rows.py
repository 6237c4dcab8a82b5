"""A row that says what it said is told without parsing it, and only then."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.fingerprints import fingerprint_of_source, fingerprint_of_target
from mappings.milestone import SourceMilestone, TargetMilestone
from worker.clients.records import parse_source, parse_target
from worker.clients.same_rows import unchanged_source, unchanged_target
from worker.clients.source_rows import SourceRows
from worker.clients.target_rows import read_page

TEXT = st.one_of(st.none(), st.text(max_size=8), st.integers(), st.just("\ud800"))
STAMP = st.one_of(st.none(), st.integers(-1, 2**40), st.booleans(), st.floats())
FLAG = st.one_of(st.none(), st.booleans(), st.integers(0, 2))
PARENT = st.one_of(st.none(), st.integers(0, 3), st.just("2"))
DATE = st.sampled_from([None, "", "2026-03-01", "2026-03-01T00:00:00.000Z", "soon", 7])
SOURCE_ROWS = st.fixed_dictionaries(
    {"id": st.one_of(st.integers(0, 3), st.booleans(), st.just("1")), "name": TEXT},
    optional={
        "description": TEXT,
        "start_on": STAMP,
        "started_on": STAMP,
        "due_on": STAMP,
        "completed_on": STAMP,
        "is_started": FLAG,
        "is_completed": FLAG,
        "parent_id": PARENT,
        "refs": TEXT,
        "url": TEXT,
    },
)
TARGET_ROWS = st.fixed_dictionaries(
    {"id": st.one_of(st.integers(0, 3), st.sampled_from(["1", "ms_1", ""])), "name": TEXT},
    optional={
        "description": TEXT,
        "start_date": DATE,
        "due_date": DATE,
        "status": st.sampled_from([None, "active", "completed", "upcoming", 3]),
        "parent_id": PARENT,
        "parent_milestone_id": PARENT,
        "date_mode": st.sampled_from([None, "auto", "manual"]),
        "created_at": DATE,
    },
)


@given(SOURCE_ROWS, SOURCE_ROWS, st.one_of(st.none(), st.integers(1, 3)))
def test_a_source_row_is_unchanged_only_if_it_parses_to_the_same_fingerprint(
    row: dict[str, Any], other: dict[str, Any], enclosing: int | None
) -> None:
    """Whatever JSON can hold: what the short cut says, parsing would have said."""
    for known_row in (row, other):
        before = parse_source(known_row, enclosing)
        if not isinstance(before, SourceMilestone):
            continue
        known = {before.id: fingerprint_of_source(before)}
        same = unchanged_source(row, enclosing, known)
        if same is not None:
            now = parse_source(row, enclosing)
            assert isinstance(now, SourceMilestone)
            assert fingerprint_of_source(now) == known[before.id]
            assert (same.name, same.parent_id) == (now.name, now.parent_id)


@given(TARGET_ROWS, TARGET_ROWS)
def test_a_target_row_is_unchanged_only_if_it_parses_to_the_same_fingerprint(
    row: dict[str, Any], other: dict[str, Any]
) -> None:
    """Where parsing refuses a record for what decides nothing, the short cut need not."""
    for known_row in (row, other):
        before = parse_target(known_row)
        if not isinstance(before, TargetMilestone):
            continue
        known = {before.id: fingerprint_of_target(before)}
        same = unchanged_target(row, known)
        now = parse_target({**row, "created_at": None})
        if same is not None:
            assert isinstance(now, TargetMilestone)
            assert fingerprint_of_target(now) == known[before.id]
            assert same == (now.status, now.parent_id, now.date_mode)


@pytest.mark.parametrize("date", [7, 1e400, float("nan"), True, [], {}, "soon"])
@pytest.mark.parametrize("field", ["start_date", "due_date", "created_at"])
def test_a_known_row_whose_date_is_no_text_is_left_to_the_parser(field: str, date: object) -> None:
    """It is a problem of that record alone, and no fault of the reader."""
    plain: dict[str, Any] = {"id": "ms_1", "name": "One"}
    before = parse_target(plain)
    assert isinstance(before, TargetMilestone)
    page = read_page(
        {"data": [{**plain, field: date}]}, 100, {"ms_1": fingerprint_of_target(before)}
    )
    assert page.rows == 1
    if field != "created_at":
        assert len(page.problems) == 1


def row(**fields: Any) -> dict[str, Any]:
    """A complete row of TestRail's list."""
    blank = dict.fromkeys(("start_on", "started_on", "due_on", "completed_on", "refs"))
    flags = {"is_started": False, "is_completed": False, "parent_id": None}
    return {"id": 1, "name": "One", "description": "Text", **blank, **flags, **fields}


def known_of(*rows: dict[str, Any]) -> dict[int, str]:
    """The fingerprints of these rows."""
    read = SourceRows()
    read.add(rows)
    return {id_: fingerprint_of_source(one) for id_, one in read.milestones.items()}


def test_a_row_that_is_the_same_is_not_kept() -> None:
    """Neither are those of its sub-milestones, in the list or nested in it."""
    flat = [row(), row(id=2, name="Two", parent_id=1)]
    nested = [row(milestones=[row(id=2, name="Two")])]
    for rows in (flat, nested):
        read = SourceRows(known_of(*rows))
        read.add(rows)
        assert not read.milestones
        assert {id_: one.parent_id for id_, one in read.unchanged.items()} == {1: None, 2: 1}


@pytest.mark.parametrize("field", ["name", "description", "start_on", "is_completed", "refs"])
def test_a_row_that_differs_in_anything_is_kept(field: str) -> None:
    """Each field counts."""
    value = {"start_on": 7, "is_completed": True}.get(field, "other")
    read = SourceRows(known_of(row()))
    read.add([row(**{field: value})])
    assert list(read.milestones) == [1]
    assert not read.unchanged


def test_a_row_that_comes_twice_counts_once_and_takes_a_parent_from_the_later() -> None:
    """As it does where nothing is known of it."""
    read = SourceRows(known_of(row()))
    read.add([row(), row(parent_id=5), row()])
    assert {id_: one.parent_id for id_, one in read.milestones.items()} == {1: 5}
    assert not read.unchanged


def test_the_newest_time_of_creation_is_told_of_rows_that_are_not_kept() -> None:
    """A create in doubt goes by it (R2), in whatever notation the target writes it."""
    times = ["2026-03-01T00:00:00Z", "2026-03-02T00:30:00+02:00", "2026-03-01T23:00:00.000Z"]
    rows = [{"id": f"ms_{n}", "name": "Same", "created_at": at} for n, at in enumerate(times)]
    read = [parse_target(one) for one in rows]
    known = {one.id: fingerprint_of_target(one) for one in read if isinstance(one, TargetMilestone)}
    page = read_page({"data": rows}, 100, known)
    assert (len(page.unchanged), page.newest_unchanged) == (3, "2026-03-01T23:00:00Z")
