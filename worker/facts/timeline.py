"""A timeline of milestones: where each bar, each month and today stand. Pure.

Lengths are units of the picture, whose width is `WIDTH`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

WIDTH: Final = 960
NAMES: Final = 270
"""The width of the names, left of the bars."""
ROW: Final = 22
HEAD: Final = 26
_PAD: Final = 0.03
"""The part of the time shown that is left free at either side."""
_LONGEST: Final = 36
"""Characters of a name that have room."""
_TICKS: Final = 14
_STEPS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 1200, 12_000, 120_000)
"""Months from one mark to the next, so that there are not too many."""
_SHORTEST: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Span:
    """A milestone with the days of its start and due dates, as far as it has them."""

    testrail_id: int
    name: str
    lifecycle: str
    depth: int
    start: date | None
    due: date | None


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: from ``x`` for ``width``; without a width a single day."""

    span: Span
    label: str
    y: int
    x: float
    width: float

    @property
    def dates(self) -> str:
        """Both days in words."""
        return f"{self.span.start or 'no start'} to {self.span.due or 'no due date'}"


@dataclass(frozen=True, slots=True)
class Tick:
    """The first day of a month or a year."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that is drawn."""

    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    today: float
    height: int


def timeline(spans: Sequence[Span], today: date) -> Timeline | None:
    """The timeline of the milestones that have a date; None if none has."""
    dated = [span for span in spans if span.start or span.due]
    if not dated:
        return None
    days = [today, *(day for span in dated for day in (span.start, span.due) if day)]
    scale = _Scale.around(min(days), max(days))
    bars = [_bar(span, number, scale) for number, span in enumerate(dated)]
    height = HEAD + ROW * len(bars) + 6
    return Timeline(bars, list(_ticks(scale)), scale.x(today), height)


@dataclass(frozen=True, slots=True)
class _Scale:
    first: date
    last: date

    @classmethod
    def around(cls, first: date, last: date) -> _Scale:
        length = max(last - first, _SHORTEST)
        room = timedelta(days=max(1, round(length.days * _PAD)))
        earliest = first - min(room, first - date.min)
        latest = first + length
        return cls(earliest, latest + min(room, date.max - latest))

    @property
    def days(self) -> int:
        return (self.last - self.first).days

    def x(self, day: date) -> float:
        return round(NAMES + (day - self.first).days / self.days * (WIDTH - NAMES), 1)


def _bar(span: Span, number: int, scale: _Scale) -> Bar:
    begin = span.start or span.due
    end = span.due or span.start
    assert begin is not None  # noqa: S101  (only those with a date are drawn)
    assert end is not None  # noqa: S101
    first, last = min(begin, end), max(begin, end)
    room = _LONGEST - 2 * span.depth
    label = span.name if len(span.name) <= room else span.name[: room - 1] + "…"
    x = scale.x(first)
    return Bar(span, label, HEAD + ROW * number, x, round(scale.x(last) - x, 1))


def _ticks(scale: _Scale) -> Iterator[Tick]:
    """The beginnings of months, of every few months, or of years."""
    months = scale.days / 30.4
    step = next(size for size in _STEPS if months / size <= _TICKS)
    number = scale.first.year * 12 + scale.first.month - 1
    number += -number % step
    while number // 12 < date.max.year:
        day = date(number // 12, number % 12 + 1, 1)
        if day > scale.last:
            return
        if day >= scale.first:
            yield Tick(scale.x(day), f"{day:%Y}" if step >= 12 else f"{day:%b %Y}")
        number += step
