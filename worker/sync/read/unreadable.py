"""What a record tells that cannot be read in Testably: which milestone it may be."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from mappings.footer import marked_id
from mappings.milestone import ACTIVE, ARCHIVED, BadRecord, MappingRules, TargetMilestone
from worker.sync.decide.snapshot import is_archived
from worker.sync.decide.unreadable import UNKNOWN_PLACE, Unreadable, place_of


def unreadable_among(records: Iterable[BadRecord], rules: MappingRules) -> Unreadable:
    """What those of the records that no link holds tell. The name of an archived one is free."""
    marked: dict[int, str] = {}
    named: dict[str, str] = {}
    living: dict[int, list[str]] = {}
    for record in records:
        known = as_target(record)
        called = str(record.id or "A record") + (f' ("{record.name}")' if record.name else "")
        why = f"{called} in Testably cannot be read: its {record.reason}."
        if record.name and not is_archived(known):
            named[place_of(record.name, _parent_of(record, known.parent_id))] = why
        id_ = marked_id(known.description, rules.testrail_url)
        if id_ is not None:
            marked[id_] = why
            if not is_archived(known):
                living.setdefault(id_, []).append(str(record.id))
    return Unreadable(marked=marked, named=named, living=living)


def _parent_of(record: BadRecord, parent: str | None) -> str | None:
    """Its parent's id; of one that is given and cannot be read, that its place is not known."""
    given = any(record.raw.get(key) for key in ("parent_id", "parent_milestone_id"))
    return UNKNOWN_PLACE if parent is None and given else parent


def as_target(record: BadRecord, *, archived: bool = False) -> TargetMilestone:
    """What is known of a record: its name and text, where it is, its status and its time.

    Each as far as it is right: with the text the marker of the milestone that it may be.
    ``archived`` says that the list of archived ones showed it.
    """
    status, text = record.raw.get("status"), record.raw.get("description")
    return TargetMilestone(
        str(record.id),
        record.name,
        status=ARCHIVED if archived else status if isinstance(status, str) else ACTIVE,
        parent_id=None if record.parent_id is None else str(record.parent_id),
        created_at=_time(record.raw.get("created_at")),
        description=text if isinstance(text, str) else None,
    )


def _time(value: object) -> str | None:
    try:
        is_one = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return None
    return str(value) if is_one else None
