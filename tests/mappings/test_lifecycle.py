"""Where a milestone stands, by its flags and its due date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.lifecycle import Lifecycle, lifecycle
from mappings.milestone import SourceMilestone
from tests.mappings.milestones import BERLIN, ZONES, aware, stamps, unix

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
    after = lifecycle(source, min(now + later, datetime.max.replace(tzinfo=UTC)), zone)
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
