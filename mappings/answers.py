"""What the APIs answered in a reading that is longer than a slice, for the next slice of its run.

Whole answers, compressed: the next slice compares them with the links as they are then.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select

from mappings.database import Connected, time_of
from mappings.run_record import RUNNING, UNFINISHED, RunRecord
from mappings.run_rows import is_still
from mappings.tables import answers, changes, runs

KEPT_FOR: Final = timedelta(hours=24)
"""What a reading began with is not gone on with after this time: it is begun anew."""


class Kept(NamedTuple):
    """One answer: to the ``number``-th question of this ``name`` in its reading.

    ``part`` is the slice that got it, 1 for the first of the reading; ``body`` is compressed.
    """

    name: str
    number: int
    part: int
    status: int
    body: bytes


class Progress(NamedTuple):
    """How far a reading has come: how many slices have read, and how many bytes are kept."""

    parts: int
    size: int


class AnswerStore(Connected):
    """Keeps the answers of readings that go on."""

    def progress(self, run_id: str, phase: str) -> Progress:
        """How far the run's reading in this phase has come; what is too old is forgotten first."""
        chosen = _of(run_id, phase)
        size = func.coalesce(func.sum(func.length(answers.c.body)), 0)
        query = select(func.max(answers.c.part), size, func.min(answers.c.kept_at)).where(chosen)
        with self._transaction() as connection:
            parts, size_, oldest = connection.execute(query).one()
            if oldest is not None and oldest < time_of(connection) - KEPT_FOR:
                connection.execute(delete(answers).where(chosen))
                return Progress(0, 0)
        return Progress(parts or 0, size_)

    def newest_change(self) -> int:
        """The id of the newest journaled change; 0 without any."""
        query = select(func.coalesce(func.max(changes.c.id), 0))
        with self._transaction() as connection:
            return int(connection.execute(query).scalar_one())

    def find(self, run_id: str, phase: str, name: str, number: int) -> Kept | None:
        """The answer that an earlier slice got to the same question, if it did."""
        asked = and_(_of(run_id, phase), answers.c.name == name, answers.c.number == number)
        columns = [answers.c[field] for field in Kept._fields]
        with self._transaction() as connection:
            row = connection.execute(select(*columns).where(asked)).one_or_none()
        return None if row is None else Kept._make(row)

    def keep(self, run: RunRecord, phase: str, kept: Iterable[Kept]) -> None:
        """Keep these, the later instead of the earlier; not for a run that is another's by now."""
        with self._transaction() as connection:
            if connection.execute(select(runs.c.id).where(is_still(run))).first() is None:
                return
            at = time_of(connection)
            rows = [one._asdict() | _key(run.id, phase) | {"kept_at": at} for one in kept]
            for row in rows:
                same = and_(*(answers.c[name] == row[name] for name in ("name", "number")))
                connection.execute(delete(answers).where(_of(run.id, phase), same))
            if rows:
                connection.execute(insert(answers), rows)

    def forget(self, run_id: str, phase: str = "", *, api: str = "") -> None:
        """Delete what is kept of one reading of a run, or of all, or only what one API answered."""
        chosen = _of(run_id, phase) if phase else answers.c.run_id == run_id
        if api:
            chosen = and_(chosen, answers.c.name.startswith(f"{api} ", autoescape=True))
        with self._transaction() as connection:
            connection.execute(delete(answers).where(chosen))

    def purge(self) -> None:
        """Delete what nobody goes on with: of runs that have ended, and what is too old."""
        goes_on = select(runs.c.id).where(runs.c.state.in_((RUNNING, UNFINISHED)))
        oldest = select(answers.c.run_id).group_by(answers.c.run_id)
        with self._transaction() as connection:
            limit = time_of(connection) - KEPT_FOR
            old = answers.c.run_id.in_(oldest.having(func.min(answers.c.kept_at) < limit))
            connection.execute(delete(answers).where(or_(old, answers.c.run_id.not_in(goes_on))))


def _of(run_id: str, phase: str) -> ColumnElement[bool]:
    return and_(answers.c.run_id == run_id, answers.c.phase == phase)


def _key(run_id: str, phase: str) -> dict[str, Any]:
    return {"run_id": run_id, "phase": phase}
