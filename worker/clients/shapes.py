"""The fields that are read of each record, and their types.

Types are strict: the text "7" is no number. Plain all the same are 0 and 1 for a flag, an empty
object where PHP means an empty list, and an empty text for no date and no parent. A field that is
absent or null is empty. Field names and types: the TestRail page on milestones (get_milestone) and
the Testably page (object table, detail example).

A value of another kind makes its record a problem only where something is decided by it. So it
does not matter in a field that is not used (TestRail's ``project_id`` and ``url``), that is only
shown (the names of runs and sub-milestones, shares), or without which we decide more carefully
(``created_at``, ``updated_at``): there it counts as none.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import lru_cache
from sys import intern
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from mappings.dates import LAST_TIMESTAMP, moment
from mappings.milestone import ACTIVE
from worker.clients.clean import clean_text

LONGEST_ID = 255
"""Characters of a Testably id: an index of a database holds no text of any length."""


def text_of_number(value: object) -> object:
    """A number that stands for an id, as text; anything else as it is."""
    return str(value) if type(value) is int else value


def _none_if_blank(value: object) -> object:
    return None if value == "" else value


def _empty_if_null(value: object) -> object:
    return "" if value is None else value


def _active_if_null(value: object) -> object:
    return ACTIVE if value is None else value


def _flag(value: object) -> object:
    return bool(value) if type(value) is int and value in (0, 1) else value


def list_of_empty(value: object) -> object:
    """An empty object where a list belongs is PHP's empty array; all else stays as it is."""
    return [] if value == {} else value


def _share(value: object) -> float | None:
    """A share that is no number is none."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    return value if type(value) is int and abs(value) < 2**63 else None


def _shown(value: object) -> str:
    """A text that people are shown; one that is none, or cannot be stored, is empty."""
    return value if isinstance(value, str) and clean_text(value) == value else ""


def _hint_moment(value: object) -> str | None:
    """A moment that something is told by; where it cannot be read there is none."""
    with suppress(ValueError):
        return moment_or_none(value)
    return None


# Days repeat from milestone to milestone: the cache saves time, and one text serves them all.
@lru_cache(maxsize=4096)
def _moment(text: str) -> str:
    try:
        return moment(text)
    except OverflowError as error:
        raise ValueError("out of range") from error


def moment_or_none(value: Any) -> str | None:
    """A date as a record has it, as a canonical moment. Raises ValueError."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("not text")
    return _moment(value)


SourceId = Annotated[int, Field(gt=0, le=2**63 - 1)]
Timestamp = Annotated[
    Annotated[int, Field(ge=0, le=LAST_TIMESTAMP)] | None, BeforeValidator(_none_if_blank)
]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]
TextOrEmpty = Annotated[Text, BeforeValidator(_empty_if_null)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Share = Annotated[float | None, BeforeValidator(_share)]
ShownText = Annotated[str, BeforeValidator(_shown)]
HintMoment = Annotated[str | None, BeforeValidator(_hint_moment)]
TargetId = Annotated[
    Text, Field(min_length=1, max_length=LONGEST_ID), BeforeValidator(text_of_number)
]
ParentId = Annotated[TargetId | None, BeforeValidator(_none_if_blank)]
Moment = Annotated[Annotated[Text, AfterValidator(_moment)] | None, BeforeValidator(_none_if_blank)]
Status = Annotated[Text, BeforeValidator(_active_if_null), AfterValidator(intern)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class SourceShape(_Strict):
    id: SourceId
    name: Name
    description: Text | None = None
    start_on: Timestamp = None
    started_on: Timestamp = None
    due_on: Timestamp = None
    completed_on: Timestamp = None
    is_started: Flag | None = None
    is_completed: Flag | None = None
    parent_id: Annotated[SourceId | None, BeforeValidator(_none_if_blank)] = None
    refs: Text | None = None


class SubMilestoneShape(_Strict):
    id: TargetId
    name: ShownText = ""
    status: Status = ACTIVE
    progress: Share = None


class LinkedRunShape(_Strict):
    id: TargetId
    name: ShownText = ""
    status: TextOrEmpty = ""
    pass_rate: Share = None


class TargetShape(_Strict):
    id: TargetId
    name: TextOrEmpty = ""
    description: Text | None = None
    start_date: Moment = None
    due_date: Moment = None
    status: Status = ACTIVE
    parent_id: ParentId = None
    parent_milestone_id: ParentId = None
    date_mode: Text | None = None
    progress: Share = None
    created_at: HintMoment = None
    updated_at: HintMoment = None
    linked_runs: Annotated[list[LinkedRunShape] | None, BeforeValidator(list_of_empty)] = None
    sub_milestones: Annotated[list[SubMilestoneShape] | None, BeforeValidator(list_of_empty)] = None
