"""The recorded runs: who runs a pair, what came of it, and whether it was asked to stop.

A run notes its sign of life and when it is due to go on, so that no message is needed (R13).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from mappings.database import Connected, time_of
from mappings.deaths import DIED, let_go
from mappings.errors import LostLock, StoreError
from mappings.run_record import BY_HAND, RUNNING, UNFINISHED, RunRecord
from mappings.run_rows import free_id, is_still, is_unchanged, is_whole, row_of, run_of
from mappings.tables import runs

SHORTEST_NAME: Final = 4
"""Characters of a run's id by which it is called, or more: one of fewer is soon not unique."""
MOST_NAMED: Final = 5
"""So many runs that one name could mean are enough to tell of."""
STOPPED: Final = {"kind": "guard", "message": "The run was stopped.", "hint": ""}


class RunLog(Connected):
    """Keeps the runs."""

    def begin(
        self,
        pair_id: int,
        trigger: str,
        holder: str,
        now: datetime,
        options: Mapping[str, Any] | None = None,
        *,
        exclusive: bool = True,
        state: str = RUNNING,
    ) -> RunRecord:
        """Record that a run has begun; called with the pair's lock held, if it is ``exclusive``.

        An exclusive run of the pair that still counted as running has died then: it is closed as
        aborted, or left to the workers if it was handed to them.
        """
        with self._transaction() as connection:
            at = time_of(connection)
            if exclusive:
                for dead in _running(connection, pair_id):
                    to_workers = bool(dead.options.get("background"))
                    let_go(connection, dead, now, at, DIED, goes_on=to_workers)
            run = RunRecord(
                free_id(connection, now),
                pair_id,
                trigger,
                state,
                holder,
                now,
                options=options or {},
                exclusive=exclusive or state == UNFINISHED,  # what waits is so once it goes on
            )
            run = replace(run, heartbeat_at=at) if state == RUNNING else replace(run, due_at=at)
            connection.execute(insert(runs).values(**row_of(run)))
        return run

    def resume(self, run_id: str, pair_id: int, holder: str) -> RunRecord:
        """Record that a run goes on; called with the pair's lock held.

        One that still counts as running, and is silent, has died. Raises StoreError if there is no
        such run, LostLock if it has ended, is alive elsewhere, or is another pair's: what it has
        read and decided is not about this one (R5).
        """
        found = self.get(run_id)
        if found is not None and found.pair_id == pair_id and found in self.silent():
            self.let_go(found)
            found = self.get(run_id)
        if found is None:
            raise StoreError(f"There is no run {run_id}.", "`milesync runs` lists the runs.")
        going_on = {"state": RUNNING, "holder": holder, "finished_at": None, "error": None}
        with self._transaction() as connection:
            at = time_of(connection)
            chosen = update(runs).where(is_unchanged(found))
            values = {**going_on, "heartbeat_at": at, "due_at": None}
            waits = found.state == UNFINISHED and found.pair_id == pair_id
            if not waits or connection.execute(chosen.values(**values)).rowcount != 1:
                raise LostLock(f"Run {run_id} has ended, or is not for this process to go on with.")
        return self.get(run_id) or found

    def unfinished(self) -> list[RunRecord]:
        """Every run that waits for its next part."""
        return self._select(select(runs).where(runs.c.state == UNFINISHED))

    def beat(self, run: RunRecord) -> bool:
        """Note that a run is alive; False if it is no longer its holder's."""
        with self._transaction() as connection:
            noted = update(runs).where(is_still(run)).values(heartbeat_at=time_of(connection))
            return connection.execute(noted).rowcount == 1

    def note(self, run: RunRecord, **values: Any) -> bool:
        """`change` by the run's holder; False, and nothing changed, if it is no longer its own."""
        with self._transaction() as connection:
            noted = update(runs).where(is_still(run)).values(**values)
            return connection.execute(noted).rowcount == 1

    def forget(self, run: RunRecord) -> None:
        """Take back the record of a run that has written nothing, by its holder."""
        self._execute(delete(runs).where(is_still(run)))

    def postpone(self, run_id: str, holder: str, seconds: float) -> bool:
        """Have a run gone on with in so many seconds; False if it is not for this holder to say.

        It is for whoever finds it waiting, and for the holder whose own part of it has failed.
        """
        own = and_(runs.c.state == "failed", runs.c.holder == holder)
        chosen = and_(runs.c.id == run_id, or_(runs.c.state == UNFINISHED, own))
        with self._transaction() as connection:
            due = time_of(connection) + timedelta(seconds=seconds)
            later = update(runs).where(chosen).values(state=UNFINISHED, due_at=due)
            return connection.execute(later).rowcount == 1

    def overdue(self) -> list[RunRecord]:
        """The unfinished runs that are due for so long that their message must be lost."""
        with self._transaction() as connection:
            at = time_of(connection)
            query = select(runs).where(runs.c.state == UNFINISHED)
            waiting = [run_of(row) for row in connection.execute(query).mappings()]
        return [run for run in waiting if run.is_overdue(at)]

    def silent(self) -> list[RunRecord]:
        """The running runs whose heartbeat has stopped; dead if their lock is free as well."""
        with self._transaction() as connection:
            at = time_of(connection)
            running = _running(connection)
        return [run for run in running if run.is_silent(at)]

    def is_alive(self, run: RunRecord) -> bool:
        """Whether a run is running and its heartbeat has not stopped."""
        return run.state == RUNNING and run.id not in {silent.id for silent in self.silent()}

    def let_go(self, run: RunRecord, error: Mapping[str, str] = DIED) -> bool:
        """Take a running run from the holder that died or lost its lock: compare-and-set.

        A run of the service, or handed to it, is unfinished and due then, unless it dies each time;
        another one is aborted with the error. Called with the pair's lock held, unless the run is
        its caller's own or is a refresh.
        """
        with self._transaction() as connection:
            to_workers = run.exclusive and run.in_background and not run.stop_requested
            at = time_of(connection)
            return let_go(connection, run, at, at, error, goes_on=to_workers)

    def supersede(self, pair_id: int, run_id: str, now: datetime) -> None:
        """Close what was left unfinished of the pair: a whole run has ended in step since."""
        error = {
            "kind": "superseded",
            "message": f"Run {run_id} has brought both sides in step since.",
            "hint": "",
        }
        left = and_(runs.c.pair_id == pair_id, runs.c.state == UNFINISHED, runs.c.id != run_id)
        closed = update(runs).where(left).values(state="aborted", finished_at=now, error=error)
        self._execute(closed)

    def stop(self, run_id: str) -> None:
        """Ask a run to stop; one that waits for its next part ends here, since nobody is at it."""
        self._execute(update(runs).where(runs.c.id == run_id).values(stop_requested=True))
        self.abort_waiting(run_id, STOPPED)

    def abort_waiting(self, run_id: str, error: Mapping[str, str]) -> bool:
        """Close a run that waits for its next part; False if it does not: nothing is changed."""
        with self._transaction() as connection:
            ended = {"state": "aborted", "finished_at": time_of(connection), "error": error}
            chosen = update(runs).where(runs.c.id == run_id, runs.c.state == UNFINISHED)
            return connection.execute(chosen.values(**ended)).rowcount == 1

    def change(self, run_id: str, **values: Any) -> None:
        """Set columns of a run: its progress while it works, or how it ended."""
        self._execute(update(runs).where(runs.c.id == run_id).values(**values))

    def get(self, run_id: str) -> RunRecord | None:
        """The run with this id."""
        found = self._select(select(runs).where(runs.c.id == run_id))
        return found[0] if found else None

    def latest(self, pair_id: int, limit: int = 5) -> list[RunRecord]:
        """The newest runs of a pair, newest first."""
        return self.of_pairs([pair_id], limit)

    def last_whole(
        self,
        pair_id: int,
        *,
        states: Collection[str] = (),
        error: str = "",
        unwatched: bool = False,
    ) -> RunRecord | None:
        """The newest run of the whole pair that has ended, however long ago.

        Narrowed, where given, to those that ended in one of these states or with this kind of
        error, and to those that nobody watched: no migration, or stopped one.
        """
        chosen = [runs.c.pair_id == pair_id, is_whole(), runs.c.finished_at.is_not(None)]
        chosen += [runs.c.state.in_(states)] if states else [runs.c.state != UNFINISHED]
        chosen += [runs.c.error["kind"].as_string() == error] if error else []
        if unwatched:
            chosen += [runs.c.trigger.not_in(BY_HAND), ~runs.c.stop_requested]
        query = select(runs).where(*chosen).order_by(runs.c.started_at.desc(), runs.c.id.desc())
        found = self._select(query.limit(1))
        return found[0] if found else None

    def first_began(self, pair_id: int) -> datetime | None:
        """When the first recorded run of a pair began; or the first that one row stands for."""
        query = select(runs).where(runs.c.pair_id == pair_id).order_by(runs.c.started_at).limit(1)
        first = next(iter(self._select(query)), None)
        if first is None:
            return None
        since = first.options.get("since")
        return first.started_at if since is None else datetime.fromisoformat(since)

    def of_pairs(
        self, pair_ids: Sequence[int], limit: int | None = None, offset: int = 0
    ) -> list[RunRecord]:
        """The newest runs of these pairs together, newest first; without a limit all of them."""
        query = select(runs).where(runs.c.pair_id.in_(pair_ids)).limit(limit).offset(offset)
        return self._select(query.order_by(runs.c.started_at.desc(), runs.c.id.desc()))

    def count(self, pair_ids: Sequence[int]) -> int:
        """How many runs of these pairs are recorded."""
        query = select(func.count()).select_from(runs).where(runs.c.pair_id.in_(pair_ids))
        with self._transaction() as connection:
            return connection.execute(query).scalar_one()

    def named(self, part: str) -> list[RunRecord]:
        """The run with this id, else the newest `MOST_NAMED` whose id begins or ends with it."""
        exact = self.get(part)
        if exact is not None:
            return [exact]
        begins = runs.c.id.startswith(part, autoescape=True)
        ends = runs.c.id.endswith(part, autoescape=True)
        query = select(runs).where(or_(begins, ends)).order_by(runs.c.id.desc())
        return self._select(query.limit(MOST_NAMED))

    def shortest_name(self, run_id: str) -> str:
        """The shortest ending of the id, of `SHORTEST_NAME` or more, that names no other run."""
        for length in range(SHORTEST_NAME, len(run_id)):
            ending = run_id[-length:]
            if len(self.named(ending)) == 1:
                return ending
        return run_id

    def running(self, pair_id: int) -> RunRecord | None:
        """The run that holds the pair, as far as is recorded; a refresh holds none."""
        return next((run for run in self.open(pair_id) if run.state == RUNNING), None)

    def open(self, pair_id: int) -> list[RunRecord]:
        """The exclusive runs of a pair that have not ended, newest first; refreshes are none."""
        return self.open_of([pair_id])

    def open_of(self, pair_ids: Sequence[int]) -> list[RunRecord]:
        """The exclusive runs of these pairs that have not ended, newest first."""
        query = select(runs).where(
            runs.c.pair_id.in_(pair_ids),
            runs.c.state.in_((RUNNING, UNFINISHED)),
            runs.c.exclusive.is_(True),
        )
        return self._select(query.order_by(runs.c.started_at.desc(), runs.c.id.desc()))

    def _execute(self, *statements: Any) -> None:
        with self._transaction() as connection:
            for statement in statements:
                connection.execute(statement)

    def _select(self, query: Any) -> list[RunRecord]:
        with self._transaction() as connection:
            return [run_of(row) for row in connection.execute(query).mappings()]


def _running(connection: Connection, pair_id: int | None = None) -> list[RunRecord]:
    """Every running run; or the exclusive ones of a pair."""
    chosen: list[ColumnElement[bool]] = [runs.c.state == RUNNING]
    if pair_id is not None:
        chosen += [runs.c.pair_id == pair_id, runs.c.exclusive.is_(True)]
    return [run_of(row) for row in connection.execute(select(runs).where(*chosen)).mappings()]
