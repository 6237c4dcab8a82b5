"""What a TestRail milestone becomes in Testably. Pure: no clock, no network, no database.

The values of a milestone are the five fields that Testably lets us write, as text or None:
``name``, ``description``, ``start_date``, ``due_date`` (moments in one canonical form, see
`mappings.dates.moment`) and ``status`` (``active``, ``completed`` or ``archived``). Everything
that is planned, pushed, echoed, compared and kept in the history is such a mapping.

Field names and types: the TestRail page on milestones (get_milestone) and the Testably page
(object table, POST and PATCH bodies).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from mappings.dates import calendar_day, date_value, is_earlier, moment_of
from mappings.footer import Footer, marker_url, same_description, with_footer
from mappings.sharing import EMPTY, kept_once
from mappings.text import same_text

MAPPING_VERSION: Final = 2
"""Counts the changes of this mapping: a new one is part of the rules' fingerprint (R5)."""

Values = Mapping[str, str | None]

FIELDS: Final = ("name", "description", "start_date", "due_date", "status")
DATE_FIELDS: Final = ("start_date", "due_date")
ACTIVE, COMPLETED, ARCHIVED = "active", "completed", "archived"
OPEN_WORDS: Final = frozenset({"upcoming", "started", "past_due", ACTIVE})


@dataclass(frozen=True, slots=True)
class SourceMilestone:
    """A TestRail milestone. Timestamps are Unix seconds; empty fields are None."""

    id: int
    name: str
    description: str | None = None
    start_on: int | None = None
    started_on: int | None = None
    due_on: int | None = None
    completed_on: int | None = None
    is_started: bool = False
    is_completed: bool = False
    parent_id: int | None = None
    refs: str | None = None
    raw: Mapping[str, object] = field(default_factory=lambda: EMPTY, compare=False, repr=False)


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

    @property
    def derivable(self) -> Values:
        """Those of the values that sub-milestones may give it."""
        return {name: self.values[name] for name in ("status", *DATE_FIELDS)}


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that could not be read: where, what stood there and why that is wrong."""

    id: int | str | None
    name: str
    path: str
    value: str
    reason: str
    parent_id: int | str | None = None
    raw: Mapping[str, object] = field(default_factory=lambda: EMPTY, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class MappingRules:
    """What of the settings decides how a milestone is mapped."""

    testrail_url: str
    timezone: ZoneInfo | None = None
    footer: bool = True

    @property
    def fingerprint(self) -> str:
        """Equal for rules that map every milestone to the same values."""
        zone = self.timezone.key if self.timezone else "none"
        return f"mapping={MAPPING_VERSION} timezone={zone} footer={self.footer}"


# --- the field mapping


def desired_values(source: SourceMilestone, rules: MappingRules, *, has_children: bool) -> Values:
    """The five values that Testably should have for a TestRail milestone.

    ``has_children`` says whether it has sub-milestones in TestRail: its own dates are then kept
    in the footer, because Testably may show those of its sub-milestones.
    """
    return dict(DesiredLater(source, rules, has_children=has_children))


@dataclass(frozen=True, slots=True, eq=False)
class DesiredLater(Mapping[str, str | None]):
    """`desired_values`, each made whenever it is looked at: of many milestones little is held."""

    source: SourceMilestone
    rules: MappingRules
    has_children: bool

    def __getitem__(self, name: str) -> str | None:
        return _DESIRED[name](self)

    def __iter__(self) -> Iterator[str]:
        return iter(_DESIRED)

    def __len__(self) -> int:
        return len(_DESIRED)


def _start(of: DesiredLater) -> str | None:
    return date_value(start_of(of.source, of.rules), of.rules.timezone)


def _due(of: DesiredLater) -> str | None:
    return date_value(of.source.due_on, of.rules.timezone)


def _description(of: DesiredLater) -> str | None:
    own = of.source.description or None
    if not of.rules.footer:
        return own
    footer = _footer_of(of.source, of.rules)
    if of.has_children:
        footer = replace(footer, start=_start(of), due=_due(of))
    text: str = kept_once(with_footer(own, footer))
    return text


_DESIRED: Final[Mapping[str, Callable[[DesiredLater], str | None]]] = {
    "name": lambda of: of.source.name,
    "description": _description,
    "start_date": _start,
    "due_date": _due,
    "status": lambda of: COMPLETED if of.source.is_completed else ACTIVE,
}


def _footer_of(source: SourceMilestone, rules: MappingRules) -> Footer:
    return Footer(
        url=marker_url(rules.testrail_url, source.id),
        refs=" ".join((source.refs or "").split()) or None,
        started=None if source.started_on is None else moment_of(source.started_on),
        completed=None if source.completed_on is None else moment_of(source.completed_on),
        planned_start=_planned_start(source, rules),
    )


def start_of(source: SourceMilestone, rules: MappingRules) -> int | None:
    """The timestamp of the start date: the planned start, or when it was really started.

    The real one where no start was planned, or where TestRail calls the milestone started and
    that was before the planned start: Testably, whose open statuses go by the dates, then shows
    it as started too. With a time zone both count as the days that people see there.
    """
    planned, real = source.start_on, source.started_on
    if planned is None or real is None:
        return real if planned is None else planned
    return real if source.is_started and is_earlier(real, planned, rules.timezone) else planned


def _planned_start(source: SourceMilestone, rules: MappingRules) -> str | None:
    """The planned start, where that is not the start date."""
    planned = date_value(source.start_on, rules.timezone)
    return None if planned == date_value(start_of(source, rules), rules.timezone) else planned


def written_status(word: str) -> str:
    """Either vocabulary of Testably's ``status`` as the one that PATCH and the filter use."""
    known = word.strip().lower()
    return ACTIVE if known in OPEN_WORDS else known


# --- sameness ---------------------------------------------------------------------------------


def same_value(field_name: str, one: str | None, other: str | None) -> bool:
    """Whether two values of a field are equal without loss (rule R3).

    Dates are canonical moments and statuses written words: equal values are equal texts.
    """
    if field_name == "description":
        return same_description(one, other)
    return same_text(one, other) if field_name == "name" else one == other


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
    "start_on": (Carried.EXACT, "start_date, or Planned start where it was started earlier"),
    "due_on": (Carried.EXACT, "due_date, and Due where there are sub-milestones"),
    "started_on": (
        Carried.FOOTER,
        "Started; start_date too, where no start or a later one was planned",
    ),
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
    """Whether a date is not carried to the second.

    A time zone turns dates into calendar days and drops the time of day; without the footer, what
    it would have kept of when the milestone was really started or completed is dropped as well.
    """
    start = start_of(source, rules)
    if not rules.footer and not {source.started_on, source.completed_on} <= {None, start}:
        return True
    zone = rules.timezone
    if zone is None:
        return False
    stamps = (start, source.due_on)
    return any(not calendar_day(stamp, zone).exact for stamp in stamps if stamp is not None)


def loses_planned_start(source: SourceMilestone, rules: MappingRules) -> bool:
    """Whether the planned start is not the start date, and no footer keeps it."""
    return not rules.footer and _planned_start(source, rules) is not None
