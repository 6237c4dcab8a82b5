"""Rows that say what they said when a fingerprint was taken of them, told without parsing them.

A row that is the same was read, and found right, when its fingerprint was taken. The facts are
those of `mappings.fingerprints`, in the same order; any other row is parsed and looked at anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any

from mappings.fingerprints import digest
from mappings.milestone import ACTIVE
from worker.clients.shapes import moment_or_none, text_of_number
from worker.sync.ports import Shown, Unchanged

Row = Mapping[str, Any]


def unchanged_source(row: Row, enclosing: int | None, known: Mapping[int, str]) -> Unchanged | None:
    """What stays of a TestRail row that is the same; ``enclosing`` is the id of that around it."""
    get = row.get
    id_ = get("id")
    if type(id_) is not int or id_ not in known:
        return None
    parent = get("parent_id")
    if parent is None and enclosing != id_:
        parent = enclosing
    name: Any = get("name")
    facts = (
        name,
        get("description"),
        get("start_on"),
        get("started_on"),
        get("due_on"),
        get("completed_on"),
        get("is_started") or False,
        get("is_completed") or False,
        parent,
        get("refs"),
    )
    return Unchanged(name, parent) if digest(facts) == known[id_] else None


def unchanged_target(row: Row, known: Mapping[str, str]) -> Shown | None:
    """What stays of a Testably row that is the same, and says nothing of what hangs on it."""
    get = row.get
    id_ = text_of_number(get("id"))
    if type(id_) is not str or id_ not in known or get("sub_milestones") or get("linked_runs"):
        return None
    if not isinstance(get("created_at"), str | None):
        return None
    parent: Any = text_of_number(get("parent_id") or get("parent_milestone_id") or None)
    status: Any = ACTIVE if get("status") is None else get("status")
    mode: Any = get("date_mode")
    try:
        dates = (moment_or_none(get("start_date")), moment_or_none(get("due_date")))
    except ValueError:
        return None
    facts = (get("name"), get("description"), *dates, status, parent, mode)
    return Shown(intern(status), parent, mode) if digest(facts) == known[id_] else None
