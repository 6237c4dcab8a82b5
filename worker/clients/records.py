"""JSON records of both APIs as the values of `mappings.milestone`; a bad one becomes a BadRecord.

Types are strict: the text "7" is no number, and neither is true. A field that is absent or null is
empty. Fields that are not documented are ignored here and kept in ``raw``. No function raises for
anything that JSON can express. Field names and types: the TestRail page on milestones
(get_milestone) and the Testably page (object table, detail example).
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from sys import intern
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from mappings.dates import LAST_TIMESTAMP, moment
from mappings.milestone import (
    ACTIVE,
    BadRecord,
    LinkedRun,
    SourceMilestone,
    SubMilestone,
    TargetMilestone,
)

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_DEEPEST: Final = 20


# --- the shapes -------------------------------------------------------------------------------


def _text_of_number(value: object) -> object:
    return str(value) if type(value) is int else value


def _none_if_blank(value: object) -> object:
    return None if value == "" else value


def _empty_if_null(value: object) -> object:
    return "" if value is None else value


def _active_if_null(value: object) -> object:
    return ACTIVE if value is None else value


# Days repeat from milestone to milestone: the cache saves time, and one text serves them all.
@lru_cache(maxsize=4096)
def _moment(text: str) -> str:
    try:
        return moment(text)
    except OverflowError as error:
        raise ValueError("out of range") from error


SourceId = Annotated[int, Field(gt=0, le=2**63 - 1)]
Timestamp = Annotated[int, Field(ge=0, le=LAST_TIMESTAMP)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]
TextOrEmpty = Annotated[Text, BeforeValidator(_empty_if_null)]
TargetId = Annotated[Text, Field(min_length=1), BeforeValidator(_text_of_number)]
ParentId = Annotated[TargetId | None, BeforeValidator(_none_if_blank)]
Moment = Annotated[Annotated[Text, AfterValidator(_moment)] | None, BeforeValidator(_none_if_blank)]
Status = Annotated[Text, BeforeValidator(_active_if_null), AfterValidator(intern)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Source(_Strict):
    id: SourceId
    name: Name
    project_id: SourceId | None = None
    description: Text | None = None
    start_on: Timestamp | None = None
    started_on: Timestamp | None = None
    due_on: Timestamp | None = None
    completed_on: Timestamp | None = None
    is_started: bool | None = None
    is_completed: bool | None = None
    parent_id: SourceId | None = None
    refs: Text | None = None
    url: Text | None = None


class _SubMilestone(_Strict):
    id: TargetId
    name: TextOrEmpty = ""
    status: Status = ACTIVE
    progress: float | None = None


class _LinkedRun(_Strict):
    id: TargetId
    name: TextOrEmpty = ""
    status: TextOrEmpty = ""
    pass_rate: float | None = None


class _Target(_Strict):
    id: TargetId
    name: TextOrEmpty = ""
    description: Text | None = None
    start_date: Moment = None
    due_date: Moment = None
    status: Status = ACTIVE
    parent_id: ParentId = None
    parent_milestone_id: ParentId = None
    date_mode: Text | None = None
    progress: float | None = None
    created_at: Moment = None
    updated_at: Moment = None
    linked_runs: list[_LinkedRun] | None = None
    sub_milestones: list[_SubMilestone] | None = None


_SOURCE_FIELDS: Final = frozenset(_Source.model_fields)


# --- TestRail ---------------------------------------------------------------------------------


def parse_source(record: object, parent_id: int | None = None) -> SourceMilestone | BadRecord:
    """One TestRail milestone; ``parent_id`` is that of the record around it, if there is one.

    ``raw`` is the record without its nested ``milestones``.
    """
    if not isinstance(record, dict):
        return _not_an_object(record, parent_id)
    raw = _raw(record)
    try:
        fields = _Source.model_validate(record)
    except ValidationError as error:
        return _bad(record, error, parent_id)
    known = {key: value for key, value in fields.__dict__.items() if value is not None}
    if parent_id is not None and parent_id != fields.id:
        known.setdefault("parent_id", parent_id)
    return SourceMilestone(**known, raw=raw)


def collect_source(
    rows: Iterable[object],
) -> tuple[dict[int, SourceMilestone], list[BadRecord]]:
    """The milestones of TestRail rows by id, nested ones included, and what could not be read.

    An id that repeats counts once: the first record wins, and takes a ``parent_id`` that it lacks
    from a later one. A child without a ``parent_id`` belongs to the record around it.
    """
    milestones: dict[int, SourceMilestone] = {}
    problems: dict[object, BadRecord] = {}
    for path, result in _walk(rows):
        if isinstance(result, BadRecord):
            key = path if result.id is None else result.id
            problems.setdefault(key, replace(result, path=f"{path}.{result.path}".rstrip(".")))
            continue
        first = milestones.setdefault(result.id, result)
        if first.parent_id is None and result.parent_id is not None:
            milestones[result.id] = replace(first, parent_id=result.parent_id)
    return milestones, [bad for key, bad in problems.items() if key not in milestones]


def _walk(rows: Iterable[object]) -> Iterator[tuple[str, SourceMilestone | BadRecord]]:
    """Each record with its path, the enclosing one first; without recursion, at any depth."""
    for index, row in enumerate(rows):
        waiting: list[tuple[str, object, SourceMilestone | BadRecord | None]] = [
            (f"milestones[{index}]", row, None)
        ]
        while waiting:
            path, record, around = waiting.pop()
            result = _within(around, record)
            yield path, result
            if not isinstance(record, dict) or not record.get("milestones"):
                continue
            children = record["milestones"]
            if not isinstance(children, list):
                yield path, _bad_children(children)
                continue
            places = [(f"{path}.milestones[{i}]", child) for i, child in enumerate(children)]
            waiting.extend((place, child, result) for place, child in reversed(places))


def _within(
    around: SourceMilestone | BadRecord | None, record: object
) -> SourceMilestone | BadRecord:
    enclosing = around.id if around is not None and isinstance(around.id, int) else None
    result = parse_source(record, enclosing)
    if around is None or enclosing is not None or isinstance(result, BadRecord):
        return result
    if result.parent_id is not None:
        return result
    # Without its parent it would be created at the root, from where it could never be moved.
    reason = "the milestone around it has no readable id"
    return BadRecord(result.id, result.name, "parent_id", "None", reason, raw=result.raw)


def _bad_children(children: object) -> BadRecord:
    shown = _SHORT.repr(children)[:80]
    return BadRecord(None, "", "milestones", shown, "milestones is not a list")


def _raw(record: dict[str, object]) -> Mapping[str, object]:
    known = {key: value for key, value in record.items() if key != "milestones"}
    if known.keys() <= _SOURCE_FIELDS:
        return known
    return {_clean_text(key): _clean(value) for key, value in known.items()}


# --- Testably ---------------------------------------------------------------------------------


def parse_target(record: object) -> TargetMilestone | BadRecord:
    """One Testably milestone, of a list or a detail; dates as canonical moments.

    A numeric id becomes text; the parent is ``parent_id``, else ``parent_milestone_id``; the
    status stays the API's word, and is ``active`` where there is none.
    """
    if not isinstance(record, dict):
        return _not_an_object(record, None)
    try:
        fields = _Target.model_validate(record)
    except ValidationError as error:
        return _bad(record, error, None)
    known: dict[str, Any] = dict(fields.__dict__)
    parent = known.pop("parent_milestone_id")
    known["parent_id"] = known["parent_id"] or parent
    known["linked_runs"] = tuple(LinkedRun(**run.__dict__) for run in fields.linked_runs or ())
    known["sub_milestones"] = tuple(
        SubMilestone(**sub.__dict__) for sub in fields.sub_milestones or ()
    )
    return TargetMilestone(**known)


# --- what could not be read -------------------------------------------------------------------

_SAYS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "bool_type": "is neither true nor false",
    "string_type": "is not text",
    "string_too_short": "is empty",
    "string_unicode": "holds half a character (a lone surrogate), which cannot be stored",
    "string_pattern_mismatch": "holds a NUL character, which cannot be stored",
    "greater_than": "must be greater than zero",
    "greater_than_equal": "is negative",
    "less_than_equal": "is too large",
    "value_error": "is not an ISO 8601 date",
    "list_type": "is not a list",
    "model_type": "is not an object",
}


def _not_an_object(record: object, parent_id: int | None) -> BadRecord:
    shown = _SHORT.repr(record)[:80]
    return BadRecord(None, "", "", shown, "the record is not an object", parent_id)


def _bad(record: dict[str, object], error: ValidationError, parent_id: int | None) -> BadRecord:
    first = error.errors(include_url=False, include_context=False)[0]
    given = first["loc"]
    # A union's own steps, such as "int", are no part of the way to the value.
    steps = [step for step in given if isinstance(step, int) or step in _NAMED]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)[1:]
    missing = first["type"] == "missing"
    name = record.get("name")
    return BadRecord(
        id=_readable_id(record.get("id")),
        name=_clean_text(name) if isinstance(name, str) else "",
        path=path,
        value="" if missing else _SHORT.repr(first["input"])[:80],
        reason=_reason(path, first),
        parent_id=_readable_id(record.get("parent_id")) or parent_id,
        raw={_clean_text(key): _clean(v) for key, v in record.items() if key != "milestones"},
    )


_NAMED: Final = frozenset().union(
    *(model.model_fields for model in (_Source, _Target, _SubMilestone, _LinkedRun))
)


def _reason(path: str, error: ErrorDetails) -> str:
    kind, value = error["type"], error["input"]
    if path == "name" and (kind == "missing" or value is None or _is_blank(value)):
        return "name is blank"
    if path.endswith("_on") and kind == "less_than_equal":
        return f"{path} is after the year 3000; it should be Unix seconds, not milliseconds"
    return f"{path} {_SAYS.get(kind, 'cannot be read: ' + error['msg'])}"


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value and not value.strip()


def _readable_id(value: object) -> int | str | None:
    if type(value) is int and 0 < value < 2**63:
        return value
    return _clean_text(value) if isinstance(value, str) and value else None


def _clean_text(text: str) -> str:
    """The text as a database can store it: UTF-8, and without NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _clean(value: object, depth: int = 0) -> object:
    if isinstance(value, str):
        return _clean_text(value)
    if depth > _DEEPEST:
        return None
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_clean_text(key): _clean(item, depth + 1) for key, item in value.items()}
    return value
