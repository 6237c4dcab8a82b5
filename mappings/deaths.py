"""Lets go of a run whose process has died: the service goes on with it, but not for ever (R13)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from mappings.rows import ChangeState
from mappings.run_record import RUNNING, UNFINISHED, RunRecord
from mappings.run_rows import is_unchanged
from mappings.tables import answers, changes, runs

MOST_DEATHS: Final = 5
"""Deaths in a row between which a run gets no further. A sixth process would die as well."""
DIED: Final = {"kind": "died", "message": "The process ended before the run did.", "hint": ""}
KEEPS_DYING: Final = {
    "kind": "died",
    "message": f"Its process died {MOST_DEATHS} times, and the run got no further in between.",
    "hint": "Look for the reason in the log of the worker and of its machine. Where memory ran out,"
    " give the worker more. Then run it again.",
}


def let_go(
    connection: Connection,
    run: RunRecord,
    ended_at: datetime,
    at: datetime,
    error: Mapping[str, str],
    *,
    goes_on: bool,
) -> bool:
    """Take a running run from its holder; False if it has ended, or given a sign of life since.

    One that ``goes_on`` is unfinished and due ``at`` once, and has failed at the last death that
    is borne; another one is aborted with the error.
    """
    if run.state != RUNNING:
        return False
    values: dict[str, Any] = {"state": "aborted", "finished_at": ended_at, "error": error}
    if goes_on:
        values |= {"state": UNFINISHED, "due_at": at, "error": None}
    if goes_on and error == DIED:
        deaths = _deaths(connection, run)
        values["options"] = {**run.options, "deaths": deaths}
        if deaths["count"] >= MOST_DEATHS:
            values |= {"state": "failed", "due_at": None, "error": KEEPS_DYING}
    return connection.execute(update(runs).where(is_unchanged(run)).values(**values)).rowcount == 1


def _deaths(connection: Connection, run: RunRecord) -> dict[str, int]:
    """How many deaths in a row, this one included, and how far the run had got.

    It has got further if more is written in Testably, or more is kept of what it has read.
    """
    before = run.options.get("deaths", {})
    done = select(func.count()).where(changes.c.run_id == run.id)
    done = done.where(changes.c.state == ChangeState.DONE.value)
    read = select(func.count()).where(answers.c.run_id == run.id)
    got = {"written": done, "read": read}
    now = {name: int(connection.execute(query).scalar_one()) for name, query in got.items()}
    most = {name: max(number, before.get(name, 0)) for name, number in now.items()}
    is_further = any(most[name] > before.get(name, 0) for name in most)
    return {"count": 1 if is_further else before.get("count", 0) + 1, **most}
