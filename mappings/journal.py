"""The journal of the writes to the target: each is recorded with its link before it is sent (R1).

A write leases its link, is sent, and is then settled by its sender; what became of one in doubt
is concluded by whoever found it out.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, func, insert, or_, select, update

from mappings.compare_and_set import is_anothers, mark_to_look_again, save_link
from mappings.database import Connected
from mappings.errors import DoesNotFit
from mappings.link import Link
from mappings.milestone import Values
from mappings.rows import Change, ChangeState, change_columns, change_of
from mappings.tables import changes


class Mark(NamedTuple):
    """Names one change: in a copy of the database that went its own way, none has the same name."""

    id: int
    run_id: str
    at: str


BEFORE_ALL = Mark(0, "", "")


class _LostError(Exception):
    """Rolls a lease's transaction back."""


class Journal(Connected):
    """Keeps the writes, together with the links that they change."""

    def lease(
        self, pair_id: int, link: Link, change: Change, until: datetime | None
    ) -> tuple[Link, int] | None:
        """Journal a write before it is sent (R1): the link's lease and the change, or neither.

        ``link`` already carries what is intended. Returns the leased link and the change's id,
        or None if somebody else changed or holds the link. Without ``until`` there is nothing to
        send: the change is recorded, and nothing is held.
        """
        try:
            with self._transaction() as connection:
                return _lease(connection, pair_id, link, change, until)
        except (_LostError, DoesNotFit):
            return None

    def adopt(self, pair_id: int, link: Link, change: Change) -> Link | None:
        """Journal that a target was linked that was there already; nothing is sent, or held.

        A create in doubt in whose place it is linked has left nothing that is known of. Returns the
        saved link; None if somebody else changed or holds it, or another link has the target, be it
        another pair's.
        """
        try:
            with self._transaction() as connection:
                if link.change_id is not None:
                    settled = {"state": ChangeState.NOT_DONE.value, "settled_at": change.at}
                    connection.execute(_GIVE_UP, {**settled, "of_change": link.change_id})
                saved = _lease(connection, pair_id, link, change, None)[0]
                _require_free(connection, pair_id, saved)
                return saved
        except (_LostError, DoesNotFit):
            return None

    def settle(
        self,
        pair_id: int,
        link: Link,
        change_id: int | None,
        state: ChangeState,
        now: datetime,
        *,
        echo: Values | None = None,
        note: str = "",
        is_new: bool = False,
    ) -> Link | None:
        """Commit what became of a write that this caller sent, and let go of the lease.

        Returns the saved link; None if the lease had run out and somebody else took the link, or
        another link the target, which ``is_new`` to this one: it is then marked to be looked at
        again. The change keeps what the caller's own answer says of it; an answer that says
        nothing (AMBIGUOUS) replaces no other.
        """
        released = link.released()
        settled = (state, released.testably_id, echo, note, now)
        try:
            with self._transaction() as connection:
                if change_id is not None:
                    _settle_change(connection, change_id, *settled)
                saved = save_link(connection, pair_id, released, now, holding=True)
                if is_new:
                    _require_free(connection, pair_id, released)
        except (_LostError, DoesNotFit):  # another link has this target; the change stays true
            saved = None
            if change_id is not None:
                with self._transaction() as connection:
                    _settle_change(connection, change_id, *settled)
        if saved is None:
            self._mark(pair_id, link.testrail_id)
        return saved

    def conclude(
        self,
        pair_id: int,
        link: Link,
        state: ChangeState,
        now: datetime,
        *,
        echo: Values | None = None,
    ) -> Link | None:
        """Commit what became of a write in doubt, as the target's lists tell it.

        Returns the saved link; None, with nothing recorded, if somebody else took the link or its
        target since: they may know more.
        """
        released = link.released()
        try:
            with self._transaction() as connection:
                saved = save_link(connection, pair_id, released, now, holding=True)
                if saved is None:
                    raise _LostError
                _require_free(connection, pair_id, saved)
                if link.change_id is not None:
                    settled = (state, released.testably_id, echo, "", now)
                    _settle_change(connection, link.change_id, *settled)
                return saved
        except (_LostError, DoesNotFit):
            self._mark(pair_id, link.testrail_id)
            return None

    def carried_out(self, change_ids: Collection[int], now: datetime) -> None:
        """Commit that these writes got no answer and are done all the same, as a reading shows."""
        done = {"state": ChangeState.DONE.value, "settled_at": now}
        if change_ids:
            with self._transaction() as connection:
                rows = [{**done, "of_change": id_} for id_ in change_ids]
                connection.execute(_CARRIED_OUT, rows)

    def changes(
        self,
        pair_id: int,
        *,
        testrail_id: int | None = None,
        testably_id: str | None = None,
        run_id: str | None = None,
    ) -> list[Change]:
        """The journal of a pair, oldest first, narrowed to a milestone or a run."""
        query = select(changes).where(changes.c.pair_id == pair_id).order_by(changes.c.id)
        for column, value in (
            (changes.c.testrail_id, testrail_id),
            (changes.c.testably_id, testably_id),
            (changes.c.run_id, run_id),
        ):
            if value is not None:
                query = query.where(column == value)
        with self._transaction() as connection:
            return [change_of(row) for row in connection.execute(query).mappings()]

    def writes_done(self, run_ids: Collection[str]) -> dict[str, int]:
        """How many writes of each of these runs the target has carried out; a link is none."""
        done = and_(changes.c.state == ChangeState.DONE.value, changes.c.kind != "adopt")
        query = select(changes.c.run_id, func.count()).where(changes.c.run_id.in_(run_ids), done)
        with self._transaction() as connection:
            rows = connection.execute(query.group_by(changes.c.run_id))
            return {row[0]: row[1] for row in rows}

    def first_done(self, run_id: str) -> dict[int, str]:
        """The kind of the first change that a run has carried out, by TestRail id."""
        done = and_(changes.c.run_id == run_id, changes.c.state == ChangeState.DONE.value)
        query = select(changes.c.testrail_id, changes.c.kind).where(done)
        with self._transaction() as connection:
            latest_first = connection.execute(query.order_by(changes.c.id.desc()))
            return {row[0]: row[1] for row in latest_first}

    def newest(self) -> Mark:
        """Names the newest change of all pairs; `BEFORE_ALL` without any."""
        return self._named(select(*_NAME).order_by(changes.c.id.desc()).limit(1))

    def holds(self, mark: Mark) -> bool:
        """Whether the change of this name is there: not in a database of before it was journaled.

        A database that has it has all that was journaled before it, however it was restored.
        """
        return self._named(select(*_NAME).where(changes.c.id == mark.id)) == mark

    def _named(self, query: Select[Any]) -> Mark:
        with self._transaction() as connection:
            row = connection.execute(query).one_or_none()
        return BEFORE_ALL if row is None else Mark(row.id, row.run_id, row.at.isoformat())

    def count(self, run_id: str) -> int:
        """How many changes of a run are journaled."""
        query = select(func.count()).where(changes.c.run_id == run_id)
        with self._transaction() as connection:
            return int(connection.execute(query).scalar_one())

    def has_written(self, run_id: str, since: int) -> bool:
        """Whether the run has journaled a write after the change ``since``."""
        query = select(changes.c.id).where(changes.c.run_id == run_id, changes.c.id > since)
        with self._transaction() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def written_by_others(self, pair_id: int, run_id: str, since: int) -> set[int]:
        """The milestones that other runs of the pair have written after the change ``since``."""
        query = select(changes.c.testrail_id).where(
            changes.c.pair_id == pair_id, changes.c.run_id != run_id, changes.c.id > since
        )
        with self._transaction() as connection:
            return set(connection.execute(query).scalars())

    def _mark(self, pair_id: int, testrail_id: int) -> None:
        with self._transaction() as connection:
            mark_to_look_again(connection, pair_id, testrail_id)


_NAME = (changes.c.id, changes.c.run_id, changes.c.at)
# Built once: to build a statement takes longer than to carry it out.
_INSERT = insert(changes)
_SETTLE = update(changes).where(changes.c.id == bindparam("of_change"))
_DOUBT = _SETTLE.where(changes.c.state == ChangeState.INTENDED.value)
_OPEN = (ChangeState.INTENDED.value, ChangeState.AMBIGUOUS.value)
_GIVE_UP = _SETTLE.where(changes.c.kind == "create", changes.c.state.in_(_OPEN))
_CARRIED_OUT = _SETTLE.where(
    changes.c.kind != "create", or_(*(changes.c.state == state for state in _OPEN))
)


def _lease(
    connection: Connection, pair_id: int, link: Link, change: Change, until: datetime | None
) -> tuple[Link, int]:
    """The link as it is leased for a change, and the change's id. Raises _LostError."""
    change_id = _record(connection, pair_id, change)
    saved = save_link(connection, pair_id, link.leased(until, change_id), change.at)
    if saved is None:
        raise _LostError
    return saved, change_id


def _require_free(connection: Connection, pair_id: int, link: Link) -> None:
    """Raises _LostError where another pair has the target that this link was given."""
    if is_anothers(connection, pair_id, link.testably_id):
        raise _LostError


def _record(connection: Connection, pair_id: int, change: Change) -> int:
    row = change_columns(pair_id, change)
    key = connection.execute(_INSERT, row).inserted_primary_key
    assert key is not None  # noqa: S101  (every insert of one row has a key)
    return int(key[0])


def _settle_change(
    connection: Connection,
    change_id: int,
    state: ChangeState,
    testably_id: str | None,
    echo: Values | None,
    note: str,
    now: datetime,
) -> None:
    values: dict[str, Any] = {"state": state.value, "settled_at": now, "note": note}
    if testably_id is not None:
        values["testably_id"] = testably_id
    if echo is not None:
        values["echo"] = dict(echo)
    doubtful = state is ChangeState.AMBIGUOUS
    connection.execute(_DOUBT if doubtful else _SETTLE, {**values, "of_change": change_id})
