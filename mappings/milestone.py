"""What a TestRail milestone becomes in Testably. Pure: no clock, no network, no database.

The values of a milestone are the five fields that Testably lets us write, as text or None:
``name``, ``description``, ``start_date``, ``due_date`` (moments in one canonical form, see
`moment`) and ``status`` (``active``, ``completed`` or ``archived``). Everything that is planned,
pushed, echoed, compared and kept in the history is such a mapping.

Field names and types: the TestRail page on milestones (get_milestone) and the Testably page
(object table, POST and PATCH bodies).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

Values = Mapping[str, str | None]

FIELDS: Final = ("name", "description", "start_date", "due_date", "status")
DATE_FIELDS: Final = ("start_date", "due_date")
ACTIVE, COMPLETED, ARCHIVED = "active", "completed", "archived"
OPEN_WORDS: Final = frozenset({"upcoming", "started", "past_due", ACTIVE})

LAST_TIMESTAMP: Final = 32_503_680_000
"""3000-01-01 in Unix seconds: anything later is a mistake (milliseconds, most often)."""


@dataclass(frozen=True, slots=True)
class SourceMilestone:
    """A TestRail milestone. Timestamps are Unix seconds; empty fields are None."""

    id: int
    name: str
    project_id: int | None = None
    description: str | None = None
    start_on: int | None = None
    started_on: int | None = None
    due_on: int | None = None
    completed_on: int | None = None
    is_started: bool = False
    is_completed: bool = False
    parent_id: int | None = None
    refs: str | None = None
    url: str | None = None
    raw: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SubMilestone:
    """What Testably's detail tells about a sub-milestone."""

    id: str
    name: str
    status: str
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class LinkedRun:
    """A test run that hangs on a Testably milestone."""

    id: str
    name: str
    status: str
    pass_rate: float | None = None


@dataclass(frozen=True, slots=True)
class TargetMilestone:
    """A Testably milestone; dates are canonical moments, ``status`` is the word the API used."""

    id: str
    name: str
    description: str | None = None
    start_date: str | None = None
    due_date: str | None = None
    status: str = ACTIVE
    parent_id: str | None = None
    date_mode: str | None = None
    progress: float | None = None
    created_at: str | None = None
    updated_at: str | None = None
    linked_runs: tuple[LinkedRun, ...] = ()
    sub_milestones: tuple[SubMilestone, ...] = ()

    @property
    def values(self) -> Values:
        """The five writable fields, the status in the written vocabulary."""
        return {
            "name": self.name,
            "description": self.description,
            "start_date": self.start_date,
            "due_date": self.due_date,
            "status": written_status(self.status),
        }


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that could not be read: where, what stood there and why that is wrong."""

    id: int | str | None
    name: str
    path: str
    value: str
    reason: str
    parent_id: int | str | None = None
    raw: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)


class Lifecycle(StrEnum):
    """Where a milestone stands; Testably is written COMPLETED or, for the others, active."""

    UPCOMING = "upcoming"
    STARTED = "started"
    PAST_DUE = "past_due"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class MappingRules:
    """What of the settings decides how a milestone is mapped."""

    testrail_url: str
    timezone: ZoneInfo | None = None
    footer: bool = True

    @property
    def fingerprint(self) -> str:
        """Equal for rules that map every milestone to the same values."""
        return f"timezone={self.timezone.key if self.timezone else 'none'} footer={self.footer}"


# --- moments and days -------------------------------------------------------------------------


def moment(text: str) -> str:
    """Any ISO 8601 date or date-time as the one canonical form, in UTC: ``2026-03-01T00:00:00Z``.

    A text without an offset is taken as UTC; fractions of a second stay if they are not zero.
    Raises ValueError for anything else.
    """
    parsed = datetime.fromisoformat(text.strip())
    try:
        aware = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"Outside the years 1 to 9999 in UTC: {text!r}") from None
    return aware.isoformat().replace("+00:00", "Z")


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


def _date_value(timestamp: int | None, zone: ZoneInfo | None) -> str | None:
    if timestamp is None:
        return None
    if zone is None:
        return moment_of(timestamp)
    return f"{calendar_day(timestamp, zone).day.isoformat()}T00:00:00Z"


# --- the footer -------------------------------------------------------------------------------

_FOOTER = re.compile(
    r"(?:^|\n\n|\r\n\r\n)---\r?\n"
    r"TestRail: (?P<url>[^\r\n]+)"
    r"(?:\r?\nRefs: (?P<refs>[^\r\n]+))?"
    r"(?:\r?\nStarted: (?P<started>[^\r\n]+))?"
    r"(?:\r?\nCompleted: (?P<completed>[^\r\n]+))?"
    r"\Z"
)
_FOOTER_STARTS: Final = ("\n\n---\nTestRail: ", "\r\n\r\n---\r\nTestRail: ")
_ID: Final = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Footer:
    """The last block of a target description: the marker and what has no field of its own."""

    url: str
    refs: str | None = None
    started: str | None = None
    completed: str | None = None


def with_footer(text: str | None, footer: Footer) -> str:
    """A description with its footer below it; `split_footer` takes it apart again."""
    lines = [
        f"{label}: {value}"
        for label, value in (
            ("TestRail", footer.url),
            ("Refs", footer.refs),
            ("Started", footer.started),
            ("Completed", footer.completed),
        )
        if value
    ]
    block = "\n".join(["---", *lines])
    return f"{text}\n\n{block}" if text else block


def split_footer(description: str | None) -> tuple[str, Footer | None]:
    """The text and the footer of a description; only its very last block can be a footer.

    Line ends and white space around the whole may have been normalised by the target.
    """
    text = (description or "").rstrip()
    start = max(0, *(text.rfind(opening) for opening in _FOOTER_STARTS))
    found = _FOOTER.match(text, start)
    if not found:
        return description or "", None
    return text[:start], Footer(**found.groupdict())


def marker_url(testrail_url: str, milestone_id: int) -> str:
    """The address of a milestone in TestRail: its identity in the target."""
    return f"{testrail_url.rstrip('/')}/index.php?/milestones/view/{milestone_id}"


def marked_id(description: str | None, testrail_url: str) -> int | None:
    """The TestRail id that a description's marker names, if it is a marker of this TestRail."""
    _, footer = split_footer(description)
    prefix = marker_url(testrail_url, 0)[:-1]
    if footer is None or not footer.url.startswith(prefix):
        return None
    number = _ID.fullmatch(footer.url.removeprefix(prefix))
    return int(number[0]) if number else None


# --- the field mapping ------------------------------------------------------------------------


def _footer_of(source: SourceMilestone, rules: MappingRules) -> Footer:
    return Footer(
        url=marker_url(rules.testrail_url, source.id),
        refs=" ".join((source.refs or "").split()) or None,
        started=None if source.started_on is None else moment_of(source.started_on),
        completed=None if source.completed_on is None else moment_of(source.completed_on),
    )


def _start_of(source: SourceMilestone) -> int | None:
    return source.started_on if source.start_on is None else source.start_on


def wanted_values(source: SourceMilestone, rules: MappingRules) -> Values:
    """The five values that Testably should have for a TestRail milestone."""
    description = source.description or None
    if rules.footer:
        description = with_footer(description, _footer_of(source, rules))
    return {
        "name": source.name,
        "description": description,
        "start_date": _date_value(_start_of(source), rules.timezone),
        "due_date": _date_value(source.due_on, rules.timezone),
        "status": COMPLETED if source.is_completed else ACTIVE,
    }


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


def written_status(word: str) -> str:
    """Either vocabulary of Testably's ``status`` as the one that PATCH and the filter use."""
    known = word.strip().lower()
    return ACTIVE if known in OPEN_WORDS else known


# --- sameness ---------------------------------------------------------------------------------


def same_value(field_name: str, one: str | None, other: str | None) -> bool:
    """Whether two values differ at most in form: a target may trim and normalise text."""
    if field_name in DATE_FIELDS or field_name == "status":
        return one == other
    return _plain(one) == _plain(other)


_RUN_OF_MARKS: Final = re.compile(r"[^\w\s]{100}")
"""Longer than any letter's accents. Normalising a run of marks takes the square of its length."""


def _plain(text: str | None) -> str:
    lines = (text or "").replace("\r\n", "\n").strip()
    if lines.isascii() or _RUN_OF_MARKS.search(lines):
        return lines
    return unicodedata.normalize("NFC", lines)


# --- the loss ledger --------------------------------------------------------------------------


class Carried(StrEnum):
    """How a TestRail field arrives in Testably."""

    EXACT = "exact"
    LOSSY = "lossy"
    FOOTER = "footer"
    KEPT = "kept"


LOSS_LEDGER: Final[Mapping[str, tuple[Carried, str]]] = {
    "id": (Carried.FOOTER, "in the marker's address"),
    "name": (Carried.EXACT, "name"),
    "description": (Carried.EXACT, "description, above the footer"),
    "start_on": (Carried.EXACT, "start_date; with a time zone its calendar day"),
    "due_on": (Carried.EXACT, "due_date; with a time zone its calendar day"),
    "started_on": (Carried.FOOTER, "Started, and start_date where start_on is empty"),
    "completed_on": (Carried.FOOTER, "Completed"),
    "is_completed": (Carried.EXACT, "status; a parent's is derived by Testably"),
    "is_started": (Carried.LOSSY, "Testably derives upcoming or started from the dates"),
    "parent_id": (Carried.LOSSY, "one level; a deeper milestone hangs under the top one"),
    "refs": (Carried.FOOTER, "Refs, on one line"),
    "project_id": (Carried.KEPT, "by the project pair"),
    "url": (Carried.FOOTER, "rebuilt from the base URL and the id"),
    "milestones": (Carried.EXACT, "each sub-milestone on its own"),
}
"""Every field of TestRail's milestone page. The raw record is kept beside the link as well."""


def has_lossy_date(source: SourceMilestone, rules: MappingRules) -> bool:
    """Whether a time of day is dropped because a time zone turns dates into calendar days."""
    zone = rules.timezone
    if zone is None:
        return False
    stamps = (_start_of(source), source.due_on)
    return any(not calendar_day(stamp, zone).exact for stamp in stamps if stamp is not None)
