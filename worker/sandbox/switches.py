"""What the vendors' documents leave open, and what instances are known to do differently.

The defaults are the friendlier guesses; the tests run with every field both ways. On the command
line a switch is ``NAME=VALUE``: `milesync sandbox --switch most_per_page=20`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class TestRailSwitches:
    """How this instance behaves where the document is silent or instances differ."""

    __test__ = False

    list_shape: Literal["envelope", "array", "array_paged", "array_cut", "beta_header"] = "envelope"
    """``envelope`` (6.7 and later); ``array`` holds every row whatever limit and offset say;
    ``array_paged`` heeds them; ``array_cut`` is the first 250 rows, always; ``beta_header`` is the
    envelope for requests with ``x-api-ident: beta``, else ``array``."""

    lists_projects: bool = True
    """Off, the account may not list the projects: 403."""

    sub_milestones: Literal["nested", "flat", "roots_only"] = "nested"
    """In the list they are in their parent, beside it, or missing."""

    filters_reach_nested: bool = False
    """Whether the list's filters apply to nested milestones too."""

    api_is_on: bool = True
    """Off, every call is answered with 403 and the words of an instance whose API is off."""


@dataclass(frozen=True, slots=True)
class TestablySwitches:
    """What the Testably page leaves open; the tests run with every field both ways."""

    __test__ = False

    # --- the list

    list_holds_subs: bool = True
    """The list shows sub-milestones beside their parents."""

    status_lists_hold_subs: bool = False
    """The lists of a status show them, even where the plain one does not."""

    list_holds_completed: bool = True
    """The unfiltered list shows completed milestones; ``status=completed`` always does."""

    list_holds_archived: bool = False
    """The unfiltered list shows archived milestones; ``status=archived`` always does."""

    newest_first: bool = False

    listing_delay: float = 0.0
    """Seconds until a new milestone is listed."""

    most_per_page: int | None = None
    """A larger per_page is cut down to this; ``meta.per_page`` says so."""

    total: Literal["exact", "missing", "growing", "too_small"] = "exact"
    """``meta.total``: absent; always more than was shown; or half of what there is."""

    lists_projects: bool = True
    """Off, the token may not list the projects: 403."""

    # --- what a write may do

    null_clears: bool = True
    """A null empties a field, else it is refused."""

    refused_statuses: tuple[str, ...] = ()
    """Words that a PATCH answers with 400, such as active or archived."""

    status_alone: bool = True
    """Off, a PATCH of a status and nothing else is refused."""

    status_words: Literal["active", "lifecycle"] = "active"
    """What a PATCH takes: active, completed, archived; or the object table's upcoming, started and
    completed, and archived."""

    archived_subs_lock_status: bool = True
    """Archived sub-milestones keep a parent's status and dates read-only."""

    parent_dates_read_only: bool = True
    """Writing the dates of a parent is refused, else ignored."""

    max_name_length: int | None = None
    """A longer name is refused."""

    # --- how text and dates are stored

    cuts_name_at: int | None = None
    """A longer name keeps so many characters."""

    cuts_description_at: int | None = None
    """A longer description keeps so many characters, as a short column does."""

    trims_text: bool = False
    """Names and descriptions are stripped."""

    dashes: bool = False
    """``---`` becomes a long dash."""

    collapses_blank_lines: bool = False
    """Blank lines are left out."""

    html_entities: bool = False
    """``&``, ``<``, ``>`` and quotes become entities."""

    paragraphs: bool = False
    """Descriptions become HTML: a paragraph for each block of lines, ``<br>`` between its lines."""

    links_addresses: Literal["no", "markdown", "html"] = "no"
    """Addresses become links to themselves."""

    cuts_dates_to_day: bool = False
    """A date keeps its day in UTC, at midnight."""

    # --- what is shown

    echo_differs: bool = False
    """Text is trimmed, but the answer to a write still shows it as it was sent."""

    unsteady: bool = False
    """A description ends with another number each time it is read."""

    clock_offset: float = 0.0
    """Seconds that the account's own clock is ahead of the caller's."""

    hides_created_at: bool = False

    status_vocabulary: Literal["active", "lifecycle"] = "active"
    """The word that is shown for an open milestone: active, or by its dates upcoming, started or
    past_due."""

    parent_key: Literal["parent_id", "parent_milestone_id", "both"] = "parent_id"
    date_style: Literal["Z", ".000Z", "+00:00"] = "Z"
    shows_date_mode: bool = True


_FLAGS: Final[Mapping[str, bool]] = {"true": True, "1": True, "false": False, "0": False}


Switches = tuple[TestRailSwitches, TestablySwitches]


def parse_switches(given: Iterable[str]) -> Switches:
    """Switches as ``NAME=VALUE``; a list is separated by commas, ``none`` is none.

    Raises ValueError, with the names that there are or the values that one may have.
    """
    rail, ably = TestRailSwitches(), TestablySwitches()
    for text in given:
        name, _, value = text.partition("=")
        if name in _names(rail):
            rail = replace(rail, **{name: _value(TestRailSwitches, name, value)})
        elif name in _names(ably):
            ably = replace(ably, **{name: _value(TestablySwitches, name, value)})
        else:
            known = ", ".join(sorted([*_names(rail), *_names(ably)]))
            raise ValueError(f"There is no switch {name!r}; there are {known}.")
    return rail, ably


def _names(switches: TestRailSwitches | TestablySwitches) -> list[str]:
    return [field.name for field in fields(switches)]


def _value(kind: type[Any], name: str, text: str) -> Any:
    """The value of a switch that its type allows. Raises ValueError."""
    wanted = get_type_hints(kind)[name]
    options = get_args(wanted)
    if get_origin(wanted) is Literal:
        if text not in options:
            raise ValueError(f"{name} is one of {', '.join(options)}.")
        return text
    if get_origin(wanted) is tuple:
        return tuple(word for word in text.split(",") if word)
    if NoneType in options:
        wanted = options[0]
        if text == "none":
            return None
    try:
        return _FLAGS[text.lower()] if wanted is bool else wanted(text)
    except (KeyError, ValueError):
        raise ValueError(f"{name} cannot be {text!r}; it is {_said(wanted)}.") from None


def _said(wanted: type[Any]) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number"}[wanted]
