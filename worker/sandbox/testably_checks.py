"""What a Testably account takes in the body of a write, by its switches; else a 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mappings.dates import moment
from mappings.milestone import ACTIVE, ARCHIVED, COMPLETED
from worker.sandbox.rules import Check, Problem, Record, checked, filled_text, nullable, text
from worker.sandbox.switches import TestablySwitches

FILTERS: Final = (ACTIVE, COMPLETED, ARCHIVED)
"""The words that the list's ``status`` takes."""
_LIFECYCLE: Final = ("upcoming", "started", COMPLETED, ARCHIVED)


def checked_create(body: object, switches: TestablySwitches) -> Record:
    """The fields of a POST, which takes no status. Raises Problem."""
    fields = checked(body, {**_common(switches), "parent_id": nullable(text)})
    filled_text("name", fields.get("name", ""))
    return fields


def checked_update(body: object, switches: TestablySwitches) -> Record:
    """The fields of a PATCH, which takes no parent. Raises Problem.

    Either vocabulary's word for an open milestone becomes active: the account derives the rest.
    """
    words = FILTERS if switches.status_words == "active" else _LIFECYCLE

    def status(field: str, value: object) -> None:
        one_of(field, value, words)
        if value in switches.refused_statuses:
            raise Problem(400, f"{field} cannot be {value}")

    fields = checked(body, {**_common(switches), "status": status})
    if fields.keys() == {"status"} and not switches.status_alone:
        raise Problem(400, "status cannot be changed alone")
    if fields.get("status") in ("upcoming", "started"):
        fields["status"] = ACTIVE
    return fields


def one_of(field: str, value: object, words: tuple[str, ...]) -> None:
    """Raises Problem for a value that is none of these words."""
    if value not in words:
        raise Problem(400, f"{field} must be one of: {', '.join(words)}")


def _common(switches: TestablySwitches) -> Mapping[str, Check]:
    optional = nullable if switches.null_clears else (lambda check: check)

    def name(field: str, value: object) -> None:
        filled_text(field, value)
        longest = switches.max_name_length
        if longest is not None and len(str(value)) > longest:
            raise Problem(400, f"{field} must have at most {longest} characters")

    return {
        "name": name,
        "description": optional(text),
        "start_date": optional(_iso_date),
        "due_date": optional(_iso_date),
    }


def _iso_date(field: str, value: object) -> None:
    text(field, value)
    try:
        moment(str(value))
    except (ValueError, OverflowError):
        raise Problem(400, f"{field} must be an ISO 8601 date") from None
