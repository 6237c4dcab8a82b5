"""Where a milestone stands, by its flags and its due date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.lifecycle import Lifecycle, lifecycle, lifecycle_differs, shown_lifecycle
from mappings.milestone import MappingRules, SourceMilestone, desired_values
from tests.support.texts import BERLIN, ZONES, aware, stamps, unix

flags = list(product((False, True), (False, True), (None, unix(2026, 3, 1), unix(2026, 3, 1, 9))))


@pytest.mark.parametrize(("is_started", "is_completed", "due_on"), flags)
@given(now=aware, name=st.none() | st.sampled_from(ZONES))
def test_the_lifecycle_knows_every_case(
    is_started: bool, is_completed: bool, due_on: int | None, now: datetime, name: str | None
) -> None:
    """Completed by the flag; else past due after the due day; else started by the flag."""
    source = SourceMilestone(
        1, "R", due_on=due_on, is_started=is_started, is_completed=is_completed
    )
    found = lifecycle(source, now, ZoneInfo(name) if name else None)
    by_flag = Lifecycle.STARTED if is_started else Lifecycle.UPCOMING
    allowed = {by_flag} if due_on is None else {by_flag, Lifecycle.PAST_DUE}
    assert found in ({Lifecycle.COMPLETED} if is_completed else allowed)


@given(
    now=aware,
    later=st.timedeltas(timedelta(), timedelta(days=4000)),
    due=stamps,
    started=st.booleans(),
    name=st.none() | st.sampled_from(ZONES),
)
def test_what_is_past_due_stays_past_due(
    now: datetime, later: timedelta, due: int, started: bool, name: str | None
) -> None:
    """Time alone moves a milestone only from its flag to past due, and never back."""
    source = SourceMilestone(1, "R", due_on=due, is_started=started)
    zone = ZoneInfo(name) if name else None
    before = lifecycle(source, now, zone)
    after = lifecycle(source, now + min(later, datetime.max.replace(tzinfo=UTC) - now), zone)
    assert after in (before, Lifecycle.PAST_DUE)


@pytest.mark.parametrize(
    ("due_on", "zone", "last_good"),
    [
        (unix(2026, 3, 1), None, unix(2026, 3, 2) - 1),
        (unix(2026, 3, 1, 9), None, unix(2026, 3, 1, 9) - 1),
        (unix(2026, 3, 1, 0, BERLIN), BERLIN, unix(2026, 3, 2, 0, BERLIN) - 1),
        (unix(2026, 3, 1), BERLIN, unix(2026, 3, 2, 0, BERLIN) - 1),
        (unix(2026, 3, 29, 0, BERLIN), BERLIN, unix(2026, 3, 30, 0, BERLIN) - 1),
    ],
)
def test_a_due_day_lasts_until_it_is_over(
    due_on: int, zone: ZoneInfo | None, last_good: int
) -> None:
    """A due day counts to its end in the zone, a due moment to the second."""
    source = SourceMilestone(1, "R", due_on=due_on)
    end = datetime.fromtimestamp(last_good, UTC)
    assert lifecycle(source, end, zone) == Lifecycle.UPCOMING
    assert lifecycle(source, end + timedelta(seconds=1), zone) == Lifecycle.PAST_DUE


# --- what Testably shows

sources = st.builds(
    SourceMilestone,
    st.just(1),
    st.just("R"),
    start_on=st.none() | stamps,
    started_on=st.none() | stamps,
    due_on=st.none() | stamps,
    is_started=st.booleans(),
    is_completed=st.booleans(),
)
zones = st.none() | st.sampled_from(ZONES).map(ZoneInfo)


@given(sources, zones, aware, st.none() | st.integers(-26, 26))
def test_the_lifecycles_differ_where_the_two_sides_show_different_ones(
    source: SourceMilestone, zone: ZoneInfo | None, now: datetime, hours: int | None
) -> None:
    """However it is computed; also at the very moments at which it changes."""
    edge = source.due_on or source.start_on
    if edge is not None and hours is not None:
        now = datetime.fromtimestamp(edge, UTC) + timedelta(hours=hours)
    rules = MappingRules("https://rail.example", zone)
    shown = shown_lifecycle(desired_values(source, rules, has_children=False), now, zone)
    said = lifecycle(source, now, zone)
    assert lifecycle_differs(source, rules, now) == (said is not shown)
    assert (said is Lifecycle.COMPLETED) == (shown is Lifecycle.COMPLETED)
    assert (said is Lifecycle.PAST_DUE) == (shown is Lifecycle.PAST_DUE)


MARCH = "2026-03-01T00:00:00Z"


@pytest.mark.parametrize(
    ("values", "at", "shown"),
    [
        ({}, unix(2026, 3, 1), "upcoming"),
        ({"status": "active"}, unix(2026, 3, 1), "upcoming"),
        ({"status": "active", "start_date": MARCH}, unix(2026, 3, 1) - 1, "upcoming"),
        ({"status": "active", "start_date": MARCH}, unix(2026, 3, 1), "started"),
        ({"status": "active", "due_date": MARCH}, unix(2026, 3, 2) - 1, "upcoming"),
        ({"status": "active", "due_date": MARCH}, unix(2026, 3, 2), "past_due"),
        ({"due_date": "2026-03-01T09:00:00Z"}, unix(2026, 3, 1, 9), "past_due"),
        ({"status": "completed", "due_date": MARCH}, unix(2027, 3, 1), "completed"),
        ({"status": "archived", "due_date": MARCH}, unix(2027, 3, 1), None),
    ],
)
def test_what_testably_shows_goes_by_the_dates(
    values: dict[str, str], at: int, shown: str | None
) -> None:
    assert shown_lifecycle(values, datetime.fromtimestamp(at, UTC)) == shown


@pytest.mark.parametrize(
    ("fields", "differs"),
    [
        ({"start_on": unix(2026, 2, 1)}, True),
        ({"start_on": unix(2026, 4, 1)}, False),
        ({}, False),
        ({"is_started": True}, True),
        ({"is_started": True, "start_on": unix(2026, 4, 1)}, True),
        ({"is_started": True, "start_on": unix(2026, 2, 1)}, False),
        ({"is_started": True, "started_on": unix(2026, 2, 1)}, False),
        ({"is_started": True, "started_on": unix(2026, 2, 1), "start_on": unix(2026, 4, 1)}, False),
        ({"start_on": unix(2026, 1, 1), "due_on": unix(2026, 2, 1)}, False),
        ({"is_started": True, "is_completed": True}, False),
    ],
)
def test_flags_and_dates_that_disagree(fields: dict[str, Any], differs: bool) -> None:
    """Not started although its planned date has passed; started although no date says so."""
    source = SourceMilestone(1, "R", **fields)
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert lifecycle_differs(source, MappingRules("https://rail.example"), now) is differs


@pytest.mark.parametrize("zone", [None, BERLIN, ZoneInfo("America/New_York")])
@pytest.mark.parametrize("name", ["start_date", "due_date"])
@pytest.mark.parametrize(
    "date", ["0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_the_first_and_the_last_of_all_days_are_days(
    date: str, name: str, zone: ZoneInfo | None
) -> None:
    """They stand for no date, or for one that never comes, in other tools."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    is_past = date.startswith("0001")
    late = Lifecycle.PAST_DUE if name == "due_date" else Lifecycle.STARTED
    shown = shown_lifecycle({"status": "active", name: date}, now, zone)
    assert shown is (late if is_past else Lifecycle.UPCOMING)
