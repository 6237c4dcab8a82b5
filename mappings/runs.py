"""The recorded runs: who runs a pair, what came of it, and whether it was asked to stop."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, RowMapping, and_, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from mappings.database import plain
from mappings.errors import StoreError
from mappings.tables import runs

RUNNING = "running"
UNFINISHED = "unfinished"
"""Between two parts of a run, or before the first."""


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over one pair. Times are UTC; ``state`` is running or how it ended."""

    id: str
    pair_id: int
    trigger: str
    state: str
    holder: str
    started_at: datetime
    finished_at: datetime | None = None
    planned: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[Mapping[str, Any]] = ()
    error: Mapping[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    stop_requested: bool = False


def new_run_id(now: datetime) -> str:
    """An id that sorts by time and can be typed: ``20261121-204512-3fa9``."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class RunLog:
    """Keeps the runs. Raises StoreError where the database does not answer."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def begin(
        self,
        pair_id: int,
        trigger: str,
        holder: str,
        now: datetime,
        options: Mapping[str, Any] | None = None,
        *,
        alone: bool = True,
        state: str = RUNNING,
    ) -> Run:
        """Record that a run has begun; called with the pair's lock held, if it runs ``alone``.

        Whatever run of the pair still counted as running has died then: it is closed as aborted.
        """
        run = Run(new_run_id(now), pair_id, trigger, state, holder, now, options=options or {})
        if not alone:
            self._execute(insert(runs).values(**_columns(run)))
            return run
        died = {"kind": "died", "message": "The process ended before the run did.", "hint": ""}
        dead = and_(runs.c.pair_id == pair_id, runs.c.state == RUNNING)
        closing = update(runs).where(dead).values(state="aborted", finished_at=now, error=died)
        self._execute(closing, insert(runs).values(**_columns(run)))
        return run

    def resume(self, run_id: str, holder: str) -> Run:
        """Record that a run goes on. Raises StoreError if there is no such run."""
        self.change(run_id, state=RUNNING, holder=holder, finished_at=None, error=None)
        found = self.get(run_id)
        if found is None:
            raise StoreError(f"There is no run {run_id}.", "`milesync status` lists the runs.")
        return found

    def unfinished(self) -> list[Run]:
        """Every run that waits for its next part."""
        return self._select(select(runs).where(runs.c.state == UNFINISHED))

    def change(self, run_id: str, **values: Any) -> None:
        """Set columns of a run: its progress while it works, or how it ended."""
        self._execute(update(runs).where(runs.c.id == run_id).values(**values))

    def get(self, run_id: str) -> Run | None:
        """The run with this id."""
        found = self._select(select(runs).where(runs.c.id == run_id))
        return found[0] if found else None

    def latest(self, pair_id: int, limit: int = 5) -> list[Run]:
        """The newest runs of a pair, newest first."""
        query = select(runs).where(runs.c.pair_id == pair_id)
        return self._select(query.order_by(runs.c.started_at.desc(), runs.c.id.desc()).limit(limit))

    def running(self, pair_id: int) -> Run | None:
        """The run that holds the pair, as far as is recorded."""
        found = self._select(
            select(runs).where(and_(runs.c.pair_id == pair_id, runs.c.state == RUNNING))
        )
        return found[-1] if found else None

    def _execute(self, *statements: Any) -> None:
        try:
            with self.engine.begin() as connection:
                for statement in statements:
                    connection.execute(statement)
        except SQLAlchemyError as error:
            raise StoreError(f"The database did not answer: {plain(error)}") from error

    def _select(self, query: Any) -> list[Run]:
        try:
            with self.engine.connect() as connection:
                return [_run_of(row) for row in connection.execute(query).mappings()]
        except SQLAlchemyError as error:
            raise StoreError(f"The database did not answer: {plain(error)}") from error


def _columns(run: Run) -> dict[str, Any]:
    return {column.name: getattr(run, column.name) for column in runs.c} | {
        "problems": list(run.problems)
    }


def _run_of(row: RowMapping) -> Run:
    return Run(**{column.name: row[column.name] for column in runs.c})
