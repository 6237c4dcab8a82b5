"""The moments of a cron line, and what is missed of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import pytest
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st

from worker.settings.schedule import cron, moments, next_moment
from worker.stale import GRACE, LEAST, is_stale

AT = datetime(2026, 3, 1, 10, 7, 20, tzinfo=UTC)
"""A Sunday."""


@pytest.mark.parametrize(
    ("line", "then"),
    [
        ("*/15 * * * *", "2026-03-01 10:15"),
        ("7 * * * *", "2026-03-01 11:07"),
        ("30 2 * * *", "2026-03-02 02:30"),
        ("0 9 * * 1-5", "2026-03-02 09:00"),
        ("0 9 * * 0", "2026-03-08 09:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 13 * fri", "2026-03-13 00:00"),
    ],
)
def test_the_next_moment_of_a_line(line: str, then: str) -> None:
    """In UTC, whatever the zone of the time that is given."""
    for zone in (UTC, timezone(timedelta(hours=5, minutes=45))):
        assert f"{next_moment(cron(line), AT.astimezone(zone)):%Y-%m-%d %H:%M}" == then


def a_field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        st.integers(2, high).map(lambda step: f"*/{step}"),
        number.map(str),
        st.tuples(number, number)
        .filter(lambda both: both[0] < both[1])
        .map("{0[0]}-{0[1]}".format),
        st.lists(number, min_size=2, max_size=3, unique=True).map(
            lambda all_: ",".join(map(str, all_))
        ),
    )


LINES = st.tuples(a_field(0, 59), a_field(0, 23), a_field(1, 28), a_field(1, 12), a_field(0, 6))
_FIRST, _LAST = (AT.replace(year=year, tzinfo=None) for year in (2024, 2030))
TIMES = st.datetimes(_FIRST, _LAST, timezones=st.just(UTC))


@given(LINES, TIMES)
def test_the_moments_are_those_of_the_beat(fields: tuple[str, ...], after: datetime) -> None:
    """Celery starts the runs; what is said to be missed is what it would have started."""
    minute, hour, day, month, weekday = fields
    celery = crontab(minute, hour, weekday, day, month, nowfun=lambda: after)
    found = next_moment(cron(" ".join(fields)), after)
    assert found == after + celery.remaining_estimate(after)


@given(LINES, TIMES)
def test_the_moments_come_in_order(fields: tuple[str, ...], after: datetime) -> None:
    some = list(islice(moments(cron(" ".join(fields)), after), 5))
    assert some == sorted(set(some))
    assert some[0] > after


@pytest.mark.parametrize(
    ("line", "stale_at"),
    [
        ("*/15 * * * *", "2026-03-01 11:07"),  # an hour at the least
        ("0 * * * *", "2026-03-01 13:10"),
        ("0 2 * * *", "2026-03-04 02:10"),
        ("*/15 12-13 * * 1-5", "2026-03-02 12:40"),  # a night and a weekend are not missed
    ],
)
def test_three_moments_without_a_good_run_make_a_pair_stale(line: str, stale_at: str) -> None:
    """The last of them has had ten minutes to end well."""
    moment = datetime.fromisoformat(f"{stale_at}:00+00:00")
    assert not is_stale(line, AT, moment)
    assert is_stale(line, AT, moment + timedelta(seconds=21))
    assert not is_stale(line, AT, AT - timedelta(days=1)), "a clock that was set back"
    assert timedelta(0) < GRACE < LEAST
