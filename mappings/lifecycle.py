"""Where a milestone stands: upcoming, started, past due or completed. Pure: `now` comes in.

TestRail says it by two flags and the due date. Testably, as the vendor's public pages say, lets
people set completed alone, and shows the others by the dates. So the two can differ.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from mappings.dates import calendar_day
from mappings.milestone import (
    ACTIVE,
    COMPLETED,
    MappingRules,
    SourceMilestone,
    Values,
    start_of,
)

_DAY: Final = 86_400
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


class Lifecycle(StrEnum):
    """Where a milestone stands; Testably is written COMPLETED or, for the others, active."""

    UPCOMING = "upcoming"
    STARTED = "started"
    PAST_DUE = "past_due"
    COMPLETED = "completed"


def lifecycle(source: SourceMilestone, now: datetime, zone: ZoneInfo | None = None) -> Lifecycle:
    """Where TestRail says that the milestone stands at ``now`` (aware).

    A due date at midnight in UTC means that whole day, any other is over at its moment. With a
    time zone every due date is the day that people see there, and is over when that day is.
    """
    if source.is_completed:
        return Lifecycle.COMPLETED
    if _is_over(source.due_on, now, zone):
        return Lifecycle.PAST_DUE
    return Lifecycle.STARTED if source.is_started else Lifecycle.UPCOMING


def shown_lifecycle(
    values: Values, now: datetime, zone: ZoneInfo | None = None
) -> Lifecycle | None:
    """What Testably shows at ``now`` (aware) of a milestone with these values.

    Completed by its status; else upcoming until the start date, and where there is none; started
    after it; past due once the due date is over, as in `lifecycle`. None for an archived one.
    """
    status, start, due = (values.get(name) for name in ("status", "start_date", "due_date"))
    if status not in (None, ACTIVE):
        return Lifecycle.COMPLETED if status == COMPLETED else None
    if due is not None and now >= _end(datetime.fromisoformat(due), zone):
        return Lifecycle.PAST_DUE
    has_begun = start is not None and now >= _beginning(datetime.fromisoformat(start), zone)
    return Lifecycle.STARTED if has_begun else Lifecycle.UPCOMING


def lifecycle_differs(source: SourceMilestone, rules: MappingRules, now: datetime) -> bool:
    """Whether the mapped dates make Testably show something else than TestRail's flags say.

    It asks of whole projects, so it parses no text: `lifecycle` and `shown_lifecycle` of the
    desired values would differ.
    """
    if source.is_completed or _is_over(source.due_on, now, rules.timezone):
        return False
    return source.is_started != _has_begun(start_of(source, rules), now, rules.timezone)


def lifecycle_changes_at(source: SourceMilestone, rules: MappingRules, now: datetime) -> int | None:
    """The Unix seconds, after ``now``, at which `lifecycle_differs` may answer otherwise."""
    zone = rules.timezone
    moments = (_begins_at(start_of(source, rules), zone), _over_at(source.due_on, zone))
    after = [moment for moment in moments if moment is not None and moment > now.timestamp()]
    return None if source.is_completed else min(after, default=None)


# --- days and moments


def _is_over(timestamp: int | None, now: datetime, zone: ZoneInfo | None) -> bool:
    over_at = _over_at(timestamp, zone)
    return over_at is not None and now.timestamp() >= over_at


def _has_begun(timestamp: int | None, now: datetime, zone: ZoneInfo | None) -> bool:
    begins_at = _begins_at(timestamp, zone)
    return begins_at is not None and now.timestamp() >= begins_at


def _over_at(timestamp: int | None, zone: ZoneInfo | None) -> int | None:
    """When a due date is over, in Unix seconds; None where there is none."""
    if timestamp is None:
        return None
    if zone is None:
        return timestamp + (0 if timestamp % _DAY else _DAY)
    day = calendar_day(timestamp, zone).day + timedelta(days=1)
    return int(_midnight(day, zone).timestamp())


def _begins_at(timestamp: int | None, zone: ZoneInfo | None) -> int | None:
    """When a start date begins, in Unix seconds; None where there is none."""
    if timestamp is None or zone is None:
        return timestamp
    return int(_midnight(calendar_day(timestamp, zone).day, zone).timestamp())


def _beginning(at: datetime, zone: ZoneInfo | None) -> datetime:
    """The moment of a date value, or the first of the day that it stands for."""
    return _midnight(at.date(), zone) if at.time() == time() else at


def _end(at: datetime, zone: ZoneInfo | None) -> datetime:
    """The moment of a date value, or the end of the day that it stands for."""
    if at.time() != time():
        return at
    return _LAST if at.date() == date.max else _midnight(at.date() + timedelta(days=1), zone)


def _midnight(day: date, zone: ZoneInfo | None) -> datetime:
    try:
        return datetime.combine(day, time(), zone or UTC).astimezone(UTC)
    except OverflowError:  # the first of all days, east of Greenwich
        return _FIRST
