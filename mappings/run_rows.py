"""The runs as rows of their table, and which row is still the one that was read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, RowMapping, and_, select

from mappings.run_record import RunRecord, new_run_id
from mappings.tables import runs


def row_of(run: RunRecord) -> dict[str, Any]:
    """A record as a row of the table."""
    return {column.name: getattr(run, column.name) for column in runs.c} | {
        "problems": list(run.problems)
    }


def run_of(row: RowMapping) -> RunRecord:
    """A row of the table as a record."""
    return RunRecord(**{column.name: row[column.name] for column in runs.c})


def is_whole(of: FromClause = runs) -> ColumnElement[bool]:
    """Whether a run speaks of the whole pair (R10), in this table of runs or an alias of it.

    A refresh and a run with ``--only`` speak of their scope, an undo of the run that it takes back,
    and a rebuild syncs nothing.
    """
    narrowed = (of.c.options[name].as_string() for name in ("only", "undoes"))
    return and_(of.c.exclusive, of.c.trigger != "rebuild", *(one.is_(None) for one in narrowed))


def free_id(connection: Connection, now: datetime) -> str:
    """An id for a new run that no other run of this second has drawn."""
    while True:
        drawn = new_run_id(now)
        if connection.execute(select(runs.c.id).where(runs.c.id == drawn)).first() is None:
            return drawn


def is_still(run: RunRecord) -> ColumnElement[bool]:
    """Whether the recorded run is in the state, and with the holder, of this one."""
    return and_(runs.c.id == run.id, runs.c.state == run.state, runs.c.holder == run.holder)


def is_unchanged(run: RunRecord) -> ColumnElement[bool]:
    """Whether nobody has given a sign of life since this was read."""
    return and_(is_still(run), runs.c.heartbeat_at.is_not_distinct_from(run.heartbeat_at))
