"""A cron line, checked before anything is scheduled by it.

The grammar is what Celery's ``crontab`` understands (``*``, ``*/5``, ``1-5``, ``1-10/2``, lists,
names of months and weekdays; weekdays are 0 to 6, Sunday first), but Celery itself is asked only
by the tasks, and it ignores what it cannot read behind a number. Without Celery's import, a command
that runs by a timer can tell what it has missed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from worker.settings.values import plain_text

_PART: Final = re.compile(r"(?:(?P<star>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_LAST_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text in self.names:
            return self.low + self.names.index(text)
        if text.isascii() and text.isdigit() and self.low <= int(text) <= self.high:
            return int(text)
        raise ValueError(f"has a {self.name} that is not between {self.low} and {self.high}")

    def expand(self, text: str) -> set[int]:
        """Every number that one field of the line stands for."""
        return {number for part in text.split(",") for number in self._part(part)}

    def _part(self, text: str) -> list[int]:
        found = _PART.fullmatch(text)
        every = list(range(self.low, self.high + 1))
        if not found or (found["step"] and not (found["star"] or found["last"])):
            raise ValueError(f"has a {self.name} that cannot be read")
        step = int(found["step"] or 1)
        if not 1 <= step <= self.high:
            raise ValueError(f"has a step that is too small or too large for a {self.name}")
        if found["star"]:
            return every[::step]
        first = self.number(found["first"])
        last = self.number(found["last"] or found["first"])
        turned = every[first - self.low :] + every[: first - self.low]
        return turned[: (last - first) % len(every) + 1][::step]


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 6, _WEEKDAYS),
)


def _expand(texts: Sequence[str]) -> list[set[int]]:
    return [field.expand(text) for field, text in zip(_FIELDS, texts, strict=True)]


def cron(value: object) -> str:
    """A cron line of five fields, with single spaces. Raises ValueError, as in `values`."""
    texts = plain_text(value).lower().split()
    if len(texts) == 1 and len(texts[0]) >= len(_FIELDS):
        raise ValueError(
            "is not a cron line: its five fields have no blanks between them; in a .env, put it in"
            " single quotes, since honcho drops blanks otherwise"
        )
    if len(texts) != len(_FIELDS):
        raise ValueError("is not a cron line: minute, hour, day, month, weekday")
    _, _, days, months, _ = _expand(texts)
    if min(days) > max(_LAST_DAYS[month - 1] for month in months):
        raise ValueError("names a day that its months do not have")
    return " ".join(texts)


@lru_cache(maxsize=256)
def _read(line: str) -> tuple[set[int], set[int], set[int], list[timedelta]]:
    """The days, months and weekdays of a checked line, and its times of a day in their order."""
    minutes, hours, days, months, weekdays = _expand(line.split())
    times = [timedelta(hours=hour, minutes=minute) for hour in hours for minute in minutes]
    return days, months, weekdays, sorted(times)


def moments(line: str, after: datetime) -> Iterator[datetime]:
    """The moments of a checked cron line after this one, in their order, without end; all UTC.

    As in Celery, a day must be both one of the days of the month and one of the weekdays.
    """
    days, months, weekdays, times = _read(line)
    at = after.astimezone(UTC).replace(second=0, microsecond=0)
    day, first = at.replace(hour=0, minute=0), at + timedelta(minutes=1)
    while True:
        if day.month in months and day.day in days and day.isoweekday() % 7 in weekdays:
            yield from (day + time for time in times if day + time >= first)
        day += timedelta(days=1)


def next_moment(line: str, after: datetime) -> datetime:
    """The first moment of a checked cron line after this one; both are UTC."""
    return next(moments(line, after))
