"""Where a milestone stands: upcoming, started, past due or completed. Pure: `now` comes in."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from mappings.dates import calendar_day
from mappings.milestone import SourceMilestone


class Lifecycle(StrEnum):
    """Where a milestone stands; Testably is written COMPLETED or, for the others, active."""

    UPCOMING = "upcoming"
    STARTED = "started"
    PAST_DUE = "past_due"
    COMPLETED = "completed"


def lifecycle(source: SourceMilestone, now: datetime, zone: ZoneInfo | None = None) -> Lifecycle:
    """Where the milestone stands at ``now`` (aware).

    A due date at midnight (of ``zone``, else of UTC) means that whole day; any other is a moment.
    """
    if source.is_completed:
        return Lifecycle.COMPLETED
    if source.due_on is not None and now >= _end_of_due(source.due_on, zone or ZoneInfo("UTC")):
        return Lifecycle.PAST_DUE
    return Lifecycle.STARTED if source.is_started else Lifecycle.UPCOMING


def _end_of_due(due_on: int, zone: ZoneInfo) -> datetime:
    due = calendar_day(due_on, zone)
    if not due.exact:
        return datetime.fromtimestamp(due_on, UTC)
    return datetime.combine(due.day + timedelta(days=1), time(), zone).astimezone(UTC)
