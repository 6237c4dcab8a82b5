"""The fields that are read of each record, and their types.

Types are strict: the text "7" is no number. Plain all the same are 0 and 1 for a flag, and an empty
object where PHP means an empty list. A field that is absent or null is empty. Field names and
types: the TestRail page on milestones (get_milestone) and the Testably page (object table, detail
example).
"""

from __future__ import annotations

import math
from functools import lru_cache
from sys import intern
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from mappings.dates import LAST_TIMESTAMP, moment
from mappings.milestone import ACTIVE

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


def _finite(value: object) -> object:
    """A share that is no number is none: nothing is decided by it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return None if type(value) is int and abs(value) >= 2**63 else value


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
Timestamp = Annotated[int, Field(ge=0, le=LAST_TIMESTAMP)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]
TextOrEmpty = Annotated[Text, BeforeValidator(_empty_if_null)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Share = Annotated[float | None, BeforeValidator(_finite)]
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
    project_id: SourceId | None = None
    description: Text | None = None
    start_on: Timestamp | None = None
    started_on: Timestamp | None = None
    due_on: Timestamp | None = None
    completed_on: Timestamp | None = None
    is_started: Flag | None = None
    is_completed: Flag | None = None
    parent_id: SourceId | None = None
    refs: Text | None = None
    url: Text | None = None


class SubMilestoneShape(_Strict):
    id: TargetId
    name: TextOrEmpty = ""
    status: Status = ACTIVE
    progress: Share = None


class LinkedRunShape(_Strict):
    id: TargetId
    name: TextOrEmpty = ""
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
    created_at: Moment = None
    updated_at: Moment = None
    linked_runs: Annotated[list[LinkedRunShape] | None, BeforeValidator(list_of_empty)] = None
    sub_milestones: Annotated[list[SubMilestoneShape] | None, BeforeValidator(list_of_empty)] = None
