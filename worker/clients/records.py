"""JSON records of both APIs as the values of `mappings.milestone`; a bad one becomes a BadRecord.

Fields that are not documented are ignored here and kept in ``raw``. No function raises for anything
that JSON can express.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from mappings.milestone import (
    BadRecord,
    LinkedRun,
    SourceMilestone,
    SubMilestone,
    TargetMilestone,
)
from mappings.sharing import PackedRecord, kept_once
from worker.clients.bad_records import bad_record, not_an_object
from worker.clients.clean import clean_record
from worker.clients.shapes import SourceShape, TargetShape


def parse_source(record: object, parent_id: int | None = None) -> SourceMilestone | BadRecord:
    """One TestRail milestone; ``parent_id`` is that of the record around it, if there is one.

    ``raw`` is the record without its nested ``milestones``.
    """
    if not isinstance(record, dict):
        return not_an_object(record, parent_id)
    try:
        fields = SourceShape.model_validate(record)
    except ValidationError as error:
        return bad_record(record, error, parent_id)
    known = {n: kept_once(value) for n, value in fields.__dict__.items() if value is not None}
    if parent_id is not None and parent_id != fields.id:
        known.setdefault("parent_id", parent_id)
    return SourceMilestone(**known, raw=PackedRecord(clean_record(record)))


# --- Testably ---------------------------------------------------------------------------------


def parse_target(record: object) -> TargetMilestone | BadRecord:
    """One Testably milestone, of a list or a detail; dates as canonical moments.

    A numeric id becomes text; the parent is ``parent_id``, else ``parent_milestone_id``; the
    status stays the API's word, and is ``active`` where there is none.
    """
    if not isinstance(record, dict):
        return not_an_object(record, None)
    try:
        fields = TargetShape.model_validate(record)
    except ValidationError as error:
        return bad_record(record, error, None)
    known: dict[str, Any] = {name: kept_once(value) for name, value in fields.__dict__.items()}
    parent = known.pop("parent_milestone_id")
    known["parent_id"] = known["parent_id"] or parent
    known["linked_runs"] = tuple(LinkedRun(**run.__dict__) for run in fields.linked_runs or ())
    known["sub_milestones"] = tuple(
        SubMilestone(**sub.__dict__) for sub in fields.sub_milestones or ()
    )
    return TargetMilestone(**known)
