"""How a stored Testably record looks from outside: derived fields, vocabularies, date styles."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import UTC, datetime
from typing import Final

from mappings.milestone import ACTIVE, ARCHIVED, COMPLETED
from worker.sandbox.rules import Record
from worker.sandbox.switches import TestablySwitches

PLANTED: Final = "_planted"
_DATES: Final = ("start_date", "due_date", "created_at", "updated_at")
_BRIEF: Final = ("id", "name", "status", "progress")


def blank(new_id: str, now: str) -> Record:
    """A new record's fields; ``now`` is its creation time."""
    return {
        "id": new_id,
        "name": "",
        "description": None,
        "start_date": None,
        "due_date": None,
        "status": ACTIVE,
        "date_mode": "auto",
        "created_at": now,
        "updated_at": now,
    }


def with_derived(record: Record, subs: Sequence[Record]) -> Record:
    """The record with its progress, and with the dates that sub-milestones give it.

    In date_mode auto: from the earliest start to the latest due date, where there are any.
    """
    whole = dict(record)
    live = [sub for sub in subs if sub.get("status") != ARCHIVED]
    done = [sub.get("status") == COMPLETED for sub in live or [record]]
    whole["progress"] = round(100 * sum(done) / len(done))
    if record.get("date_mode") == "auto":
        starts = [str(sub["start_date"]) for sub in subs if sub.get("start_date")]
        dues = [str(sub["due_date"]) for sub in subs if sub.get("due_date")]
        whole["start_date"] = min(starts, key=_time, default=record["start_date"])
        whole["due_date"] = max(dues, key=_time, default=record["due_date"])
    return whole


def shown(
    record: Record, parent: Hashable, switches: TestablySwitches, now: str, reading: int
) -> Record:
    """The record in the vocabulary and the date style of this account, without details.

    ``reading`` is another number each time, for an account that is ``unsteady``.
    """
    answer = {name: value for name, value in record.items() if name != "linked_runs"}
    if switches.status_vocabulary == "lifecycle" and record["status"] == ACTIVE:
        answer["status"] = _open_word(record, now)
    for name in _DATES:
        answer[name] = _styled(answer[name], switches.date_style)
    keys = ("parent_id", "parent_milestone_id")
    answer |= {key: parent for key in keys if switches.parent_key in (key, "both")}
    if not switches.shows_date_mode:
        del answer["date_mode"]
    if switches.hides_created_at:
        del answer["created_at"]
    if switches.unsteady and answer["description"]:
        answer["description"] = f"{answer['description']} ({reading})"
    return answer


def shown_total(total: int, shown: int, switches: TestablySwitches) -> int | None:
    """What ``meta.total`` says where there are ``total`` rows and ``shown`` of them were asked."""
    if switches.total == "missing":
        return None
    if switches.total == "growing":
        return max(total, shown) + 1
    return total // 2 if switches.total == "too_small" else total


def runs_of(record: Record, milestone_id: Hashable) -> list[Record]:
    """The test runs that hang on a milestone, as the list of a project's runs shows them."""
    runs = record.get("linked_runs")
    return [{**run, "milestone_id": milestone_id} for run in runs] if isinstance(runs, list) else []


def brief(row: Record) -> Record:
    """What a parent's detail tells about a sub-milestone."""
    return {name: row[name] for name in _BRIEF if name in row}


def _open_word(record: Record, now: str) -> str:
    start, due = record["start_date"], record["due_date"]
    if due is not None and _time(str(due)) < _time(now):
        return "past_due"
    return "upcoming" if start is None or _time(str(start)) > _time(now) else "started"


def _styled(value: object, style: str) -> object:
    if value is None:
        return None
    at = _time(str(value))
    precise = "milliseconds" if style == ".000Z" or at.microsecond else "seconds"
    text = at.isoformat(timespec=precise)
    return text if style == "+00:00" else text.replace("+00:00", "Z")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
