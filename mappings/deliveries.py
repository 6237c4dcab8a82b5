"""The accepted webhook calls: each delivery once, kept until what it hints at was read again.

A delivery holds ids and no payload, so never a secret. It waits until each pair of its project has
read the source: in a refresh of its milestone, or in a run of the whole pair that began later. If
something failed in that run that goes by itself, it waits on, and rests for longer each time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import (
    ColumnElement,
    and_,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from mappings.database import Connected
from mappings.tables import deliveries

WAITING, DONE, FAILED = "waiting", "done", "failed"
LONGEST_REST: Final = timedelta(minutes=15)
"""What was tried rests for as long as it had waited by then, and never for longer than this."""
TRIED_FOR: Final = timedelta(days=1)
"""What waits for longer and is tried in vain once more is given up: the schedule takes it."""
KEPT_FOR: Final = timedelta(days=7)
"""How long a handled delivery is remembered, so that it is known when it is sent again."""
_RECORD = {
    name: insert_into(deliveries)
    .inline()
    .on_conflict_do_nothing(index_elements=[deliveries.c.delivery])
    .execution_options(preserve_rowcount=True)
    for name, insert_into in (("postgresql", postgresql.insert), ("sqlite", sqlite.insert))
}
"""Made once: to build and to look up a statement costs more CPU than to send it."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a delivery says has changed: a milestone, or with None something of the project.

    ``correlation`` goes with the work that it starts, through all logs.
    """

    project: int
    milestone: int | None
    correlation: str


class Deliveries(Connected):
    """Keeps the deliveries."""

    def record(self, delivery: str, event: str, hint: Hint, now: datetime) -> bool:
        """Commit a delivery; False if it was recorded before. One that was given up waits anew."""
        row = {
            "delivery": delivery,
            "correlation": hint.correlation,
            "event": event,
            "testrail_project": hint.project,
            "testrail_id": hint.milestone,
            "state": WAITING,
            "received_at": now,
        }
        with self._transaction() as connection:
            record = _RECORD[connection.dialect.name]
            if connection.execute(record, row).rowcount:
                return True
            same = deliveries.c.delivery == delivery
            given_up = delete(deliveries).where(same, deliveries.c.state == FAILED)
            if not connection.execute(given_up).rowcount:
                return False
            return connection.execute(record, row).rowcount == 1

    def newest(
        self, project: int, milestone: int | None = None, *, before: datetime | None = None
    ) -> int | None:
        """The number of the newest waiting delivery of a milestone; of the project without one.

        Of those that were received ``before`` a moment, if one is given.
        """
        query = select(func.max(deliveries.c.id)).where(_waiting(project, milestone))
        if before is not None:
            query = query.where(deliveries.c.received_at < before)
        with self._transaction() as connection:
            found: int | None = connection.execute(query).scalar()
        return found

    def wait_for(self, project: int, pair: int) -> bool:
        """Whether a delivery waits that a pair of the project has not read."""
        of_project = _waiting(project, None)
        by_nobody = select(deliveries.c.id).where(of_project, deliveries.c.read_by.is_(None))
        by_some = select(deliveries.c.read_by).where(of_project, deliveries.c.read_by.is_not(None))
        with self._transaction() as connection:
            if connection.execute(by_nobody.limit(1)).first() is not None:
                return True
            return any(pair not in read for read in connection.execute(by_some).scalars())

    def read(
        self,
        project: int,
        milestone: int | None,
        up_to: int,
        by: Collection[int],
        of: Collection[int],
        now: datetime,
        *,
        state: str = DONE,
    ) -> None:
        """Note that the pairs ``by`` have read what waits, and close what all pairs ``of`` have.

        That is about the deliveries of a milestone (None: of all in the project) up to a number.
        """
        chosen = and_(_waiting(project, milestone), deliveries.c.id <= up_to)
        closed = {"state": state, "handled_at": now}
        with self._transaction() as connection:
            if set(of) <= set(by):
                connection.execute(update(deliveries).where(chosen).values(closed))
                return
            # The rows are locked first: of two pairs the second one sees what the first noted.
            connection.execute(update(deliveries).where(chosen).values(state=WAITING))
            columns = (deliveries.c.id, deliveries.c.read_by)
            for id_, before in connection.execute(select(*columns).where(chosen)).all():
                read = {*(before or ()), *by}
                values = closed if set(of) <= read else {"read_by": sorted(read)}
                connection.execute(update(deliveries).where(deliveries.c.id == id_).values(values))

    def were_tried(self, project: int, milestone: int | None, up_to: int, now: datetime) -> int:
        """Note that what waits was tried in vain; how many deliveries were given up with that.

        Which deliveries those are is said as for `read`.
        """
        chosen = and_(_waiting(project, milestone), deliveries.c.id <= up_to)
        is_again = deliveries.c.handled_at.is_not(None)
        is_over = and_(chosen, is_again, deliveries.c.received_at < now - TRIED_FOR)
        given_up = update(deliveries).where(is_over).values(state=FAILED, handled_at=now)
        with self._transaction() as connection:
            number = connection.execute(given_up).rowcount
            connection.execute(update(deliveries).where(chosen).values(handled_at=now))
        return number

    def forgotten(self, now: datetime, after: timedelta) -> list[Hint]:
        """What has waited for longer than that and does not rest, each hint once, oldest first.

        So has what was received so far in the future: the clock was set back meanwhile.
        """
        received, tried = deliveries.c.received_at, deliveries.c.handled_at
        is_old = or_(received < now - after, received > now + after)
        late = and_(deliveries.c.state == WAITING, is_old)
        what = (deliveries.c.testrail_project, deliveries.c.testrail_id)
        first, last = func.min(received), func.max(deliveries.c.correlation)
        query = select(*what, last, first, tried).where(late).group_by(*what, tried).order_by(first)
        with self._transaction() as connection:
            found = connection.execute(query).all()
        hints = [Hint(*hint) for *hint, at, tried_at in found if not _rests(at, tried_at, now)]
        return list({(hint.project, hint.milestone): hint for hint in hints}.values())

    def waiting(self) -> int:
        """How many deliveries wait."""
        query = select(func.count()).where(deliveries.c.state == WAITING)
        with self._transaction() as connection:
            return int(connection.execute(query).scalar_one())

    def oldest(self, now: datetime) -> float:
        """For how many seconds the oldest that waits has waited; 0.0 where none does."""
        query = select(func.min(deliveries.c.received_at)).where(deliveries.c.state == WAITING)
        with self._transaction() as connection:
            received: datetime | None = connection.execute(query).scalar()
        return 0.0 if received is None else max((now - received).total_seconds(), 0.0)

    def purge(self, now: datetime, keep: timedelta | None) -> None:
        """Delete what was handled and is old, and what was received longer ago than ``keep``.

        ``keep`` is how long runs are kept (None: for ever).
        """
        received = deliveries.c.received_at
        is_old = and_(deliveries.c.state != WAITING, received < now - KEPT_FOR)
        if keep is not None:
            is_old = or_(is_old, received < now - keep)
        with self._transaction() as connection:
            connection.execute(delete(deliveries).where(is_old))


def _rests(received: datetime, tried: datetime | None, now: datetime) -> bool:
    if tried is None:
        return False
    return tried <= now < tried + min(tried - received, LONGEST_REST)


def _waiting(project: int, milestone: int | None) -> ColumnElement[bool]:
    parts = [deliveries.c.state == WAITING, deliveries.c.testrail_project == project]
    if milestone is not None:
        parts.append(deliveries.c.testrail_id == milestone)
    return and_(*parts)
