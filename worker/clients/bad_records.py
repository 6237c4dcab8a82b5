"""A record that could not be read: which field, what stood there, and why that is wrong."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mappings.dates import LAST_TIMESTAMP
from mappings.milestone import BadRecord
from worker.clients.bounds import DEEPEST
from worker.clients.clean import clean_record, clean_text, number_text
from worker.clients.decode import HugeNumber
from worker.clients.shapes import LinkedRunShape, SourceShape, SubMilestoneShape, TargetShape


class _Short(reprlib.Repr):
    """Values as a person is shown them, numbers by `number_text`."""

    def repr1(self, x: object, level: int) -> str:
        if isinstance(x, int | float) and not isinstance(x, bool):
            return number_text(x)
        return super().repr1(x, level)


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 80

_MOST_MILLISECONDS: Final = LAST_TIMESTAMP * 1000

_SAYS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "bool_type": "is neither true nor false",
    "string_type": "is not text",
    "string_too_short": "is empty",
    "string_too_long": "is too long",
    "string_unicode": "holds half a character (a lone surrogate), which cannot be stored",
    "string_pattern_mismatch": "holds a NUL character, which cannot be stored",
    "greater_than": "must be greater than zero",
    "greater_than_equal": "is negative",
    "less_than_equal": "is too large",
    "value_error": "is not an ISO 8601 date",
    "list_type": "is not a list",
    "model_type": "is not an object",
}


def not_an_object(record: object, parent_id: int | None) -> BadRecord:
    """The problem of a record that is a number, a text or a list."""
    shown = _SHORT.repr(record)[:80]
    return BadRecord(None, "", "", shown, "the record is not an object", parent_id)


def bad_children(children: object) -> BadRecord:
    """The problem of a milestone whose sub-milestones are no list; it has no id of its own."""
    shown = _SHORT.repr(children)[:80]
    return BadRecord(None, "", "milestones", shown, "milestones is not a list")


def too_deep() -> BadRecord:
    """The problem of milestones that nest deeper than anything is read; their ids stay unknown."""
    reason = f"milestones nest deeper than {DEEPEST} levels"
    return BadRecord(None, "", "milestones", "", reason)


def bad_record(
    record: dict[str, object], error: ValidationError, parent_id: int | None
) -> BadRecord:
    """The first problem of a record; ``parent_id`` is that of the record around it, if any."""
    first = error.errors(include_url=False, include_context=False)[0]
    given = first["loc"]
    # A union's own steps, such as "int", are no part of the way to the value.
    steps = [step for step in given if isinstance(step, int) or step in _NAMED]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)[1:]
    missing = first["type"] == "missing"
    name = record.get("name")
    return BadRecord(
        id=_readable_id(record.get("id")),
        name=clean_text(name) if isinstance(name, str) else "",
        path=path,
        value="" if missing else _SHORT.repr(first["input"])[:80],
        reason=_reason(path, first),
        parent_id=_readable_id(record.get("parent_id") or record.get("parent_milestone_id"))
        or parent_id,
        raw=clean_record(record),
    )


_NAMED: Final = frozenset().union(
    *(model.model_fields for model in (SourceShape, TargetShape, SubMilestoneShape, LinkedRunShape))
)


def _reason(path: str, error: ErrorDetails) -> str:
    kind, value = error["type"], error["input"]
    if path == "name" and (kind == "missing" or value is None or _is_blank(value)):
        return "name is blank"
    if isinstance(value, HugeNumber) and kind.startswith("int_"):
        return f"{path} is too large"
    if path.endswith("_on") and kind == "less_than_equal" and value < _MOST_MILLISECONDS:
        return f"{path} is after the year 3000; it should be Unix seconds, not milliseconds"
    return f"{path} {_SAYS.get(kind, 'cannot be read: ' + error['msg'])}"


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value and not value.strip()


def _readable_id(value: object) -> int | str | None:
    if type(value) is int and 0 < value < 2**63:
        return value
    return clean_text(value) if isinstance(value, str) and value else None
