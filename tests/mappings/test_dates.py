"""Moments have one text, and calendar days stay the days that people picked."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.dates import Day, calendar_day, moment, moment_of
from tests.support.texts import BERLIN, ZONES, aware, stamps, unix

ONE_DAY = timedelta(days=1)
offsets = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda m: timezone(timedelta(minutes=m)))


# --- moments


@given(aware, offsets)
def test_the_same_moment_has_one_text(at: datetime, offset: timezone) -> None:
    """Whatever the offset an instant is written with, its canonical form is the same."""
    local = at.astimezone(offset)
    assert moment(local.isoformat()) == moment(at.isoformat())
    assert datetime.fromisoformat(moment(local.isoformat())) == at


@given(aware)
def test_a_moment_is_canonical_already(at: datetime) -> None:
    """Canonical forms stay as they are."""
    once = moment(at.isoformat())
    assert moment(once) == once


@given(aware, aware)
def test_different_moments_have_different_texts(one: datetime, other: datetime) -> None:
    """Two canonical forms are equal only for one and the same instant."""
    assert (moment(one.isoformat()) == moment(other.isoformat())) == (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01",
        "2026-03-01T00:00:00",
        "2026-03-01 00:00:00Z",
        " 2026-03-01T00:00:00.000Z\n",
        "2026-03-01T00:00:00+00:00",
        "2026-03-01T01:00:00+01:00",
        "20260301T000000Z",
        "2026-03-01t00:00:00z",
    ],
)
def test_every_documented_form_is_read(text: str) -> None:
    """Dates, Z, fractions and offsets are forms of the same midnight."""
    assert moment(text) == "2026-03-01T00:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-02-30",
        "1772323200",
        "0001-01-01T00:00:00+01:00",
        "2026-03-01T25Z",
        "2026-03-01" + 1000 * " ",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Anything that is not an ISO 8601 date or date-time is a ValueError, never another error."""
    with pytest.raises(ValueError, match=r".+"):
        moment(text)


@given(stamps)
def test_unix_seconds_are_exact(stamp: int) -> None:
    """A timestamp and its canonical form are the same instant."""
    assert datetime.fromisoformat(moment_of(stamp)).timestamp() == stamp


# --- calendar days


def assert_day_is_kept(day: date, zone: ZoneInfo) -> None:
    for fold in (0, 1):
        start = int(datetime.combine(day, time(fold=fold), zone).timestamp())
        if datetime.fromtimestamp(start, zone).date() == day:
            assert calendar_day(start, zone) == Day(day, exact=True), (day, zone, fold)


@given(st.dates(date(1970, 1, 2), date(2100, 1, 1)), st.sampled_from(ZONES))
def test_the_day_that_people_see_is_kept(day: date, zone: str) -> None:
    """A day's midnight in the zone, or its first moment where midnight is skipped, is that day."""
    assert_day_is_kept(day, ZoneInfo(zone))


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/Sao_Paulo", date(2018, 11, 4)),  # midnight is skipped
        ("Asia/Beirut", date(2026, 3, 29)),  # midnight is skipped
        ("America/St_Johns", date(2010, 11, 7)),  # midnight comes twice
        ("America/Havana", date(2026, 3, 8)),  # midnight is skipped
        ("Pacific/Apia", date(2011, 12, 31)),  # the day before it never was
        ("Africa/Monrovia", date(1971, 6, 1)),  # an offset with seconds
    ],
)
def test_odd_midnights_keep_their_day(zone: str, day: date) -> None:
    """Where the clocks change around midnight the day stays the day."""
    assert_day_is_kept(day, ZoneInfo(zone))


def test_no_clock_change_moves_a_day() -> None:
    """On each day of 2026 on which some zone changes its clocks, the day stays the day."""
    days = [date(2026, 1, 1) + count * ONE_DAY for count in range(364)]
    for zone in map(ZoneInfo, ZONES):
        offsets = [datetime.combine(day, time(), zone).utcoffset() for day in days]
        for day, next_day, before, after in zip(days, days[1:], offsets, offsets[1:], strict=False):
            if before != after:
                assert_day_is_kept(day, zone)
                assert_day_is_kept(next_day, zone)


@given(st.dates(date(1970, 1, 2), date(2100, 1, 1)), st.sampled_from(ZONES))
def test_a_utc_midnight_is_the_utc_day(day: date, name: str) -> None:
    """TestRail's own dates are midnight in UTC, and mean that day in every zone."""
    zone = ZoneInfo(name)
    stamp = int(datetime.combine(day, time(), UTC).timestamp())
    local = datetime.fromtimestamp(stamp, zone)
    starts_a_day = datetime.combine(local.date(), time(), zone).timestamp() == stamp
    expected = local.date() if local.time() == time() or starts_a_day else day
    assert calendar_day(stamp, zone) == Day(expected, exact=True)


@given(stamps, st.sampled_from(ZONES))
def test_any_other_moment_is_the_local_day(stamp: int, name: str) -> None:
    """A day that is not exact is the day on the zone's calendar."""
    found = calendar_day(stamp, ZoneInfo(name))
    assert found.exact or found.day == datetime.fromtimestamp(stamp, ZoneInfo(name)).date()


def test_a_time_of_day_is_counted_as_lost() -> None:
    """Noon in Berlin is that day, and not exact."""
    noon = unix(2026, 3, 1, 12, BERLIN)
    assert calendar_day(noon, BERLIN) == Day(date(2026, 3, 1), exact=False)
