"""Moments and calendar days. Pure: no clock.

A moment is text in one canonical form, in UTC, so that equal moments are equal texts. A calendar
day is what a person picked; TestRail keeps it as the Unix seconds of some midnight.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

LAST_TIMESTAMP: Final = 32_503_680_000
"""3000-01-01 in Unix seconds: anything later is a mistake (milliseconds, most often)."""
_LONGEST: Final = 100
"""Characters of a date, its blanks among them."""


def moment(text: str) -> str:
    """Any ISO 8601 date or date-time as the one canonical form, in UTC: ``2026-03-01T00:00:00Z``.

    A text without an offset is taken as UTC; fractions of a second stay if they are not zero.
    Raises ValueError for anything else.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"No date has {len(text):,} characters")
    parsed = datetime.fromisoformat(text.strip().upper())
    try:
        aware = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"Outside the years 1 to 9999 in UTC: {text!r}") from None
    return aware.isoformat().replace("+00:00", "Z")


@lru_cache(maxsize=4096)
def moment_of(timestamp: int) -> str:
    """Unix seconds as a canonical moment."""
    return moment(datetime.fromtimestamp(timestamp, UTC).isoformat())


@dataclass(frozen=True, slots=True)
class Day:
    """The calendar day a person picked; ``exact`` unless the time of day had to be dropped."""

    day: date
    exact: bool


def calendar_day(timestamp: int, zone: ZoneInfo) -> Day:
    """The day that a timestamp stands for to people in ``zone``.

    The zone's day if the moment is its midnight (or its first moment, where the clocks skip
    midnight); else the UTC day if it is midnight in UTC; else the zone's day, inexactly.
    """
    local = datetime.fromtimestamp(timestamp, zone)
    first = datetime.combine(local.date(), time(), zone)
    if local.time() == time() or first.timestamp() == timestamp:
        return Day(local.date(), exact=True)
    utc = datetime.fromtimestamp(timestamp, UTC)
    if utc.time() == time():
        return Day(utc.date(), exact=True)
    return Day(local.date(), exact=False)


def date_value(timestamp: int | None, zone: ZoneInfo | None) -> str | None:
    """A date field's value: the exact moment, or with a zone its calendar day at midnight UTC."""
    if timestamp is None:
        return None
    if zone is None:
        return moment_of(timestamp)
    return f"{calendar_day(timestamp, zone).day.isoformat()}T00:00:00Z"


def is_earlier(one: int, other: int, zone: ZoneInfo | None) -> bool:
    """Whether the date value of one timestamp is before that of the other."""
    if zone is None:
        return one < other
    return calendar_day(one, zone).day < calendar_day(other, zone).day
