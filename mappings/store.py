"""The mapping store: pairs, links and the journal of changes. The only code that queries them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    RowMapping,
    Select,
    and_,
    bindparam,
    case,
    insert,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from mappings.causes import store_error
from mappings.errors import StoreError
from mappings.link import Link, LinkState
from mappings.milestone import Values
from mappings.rows import (
    COLUMN_OF,
    Change,
    ChangeState,
    Pair,
    PairIdentity,
    change_columns,
    change_of,
    identity_columns,
    link_columns,
    link_of,
    pair_of,
)
from mappings.tables import changes, links, pairs


class Store:
    """Keeps what is known of each pair. Every method is one short transaction.

    Raises StoreError where the database does not answer.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise store_error("The database did not answer", error) from error

    # --- pairs

    def pair(self, identity: PairIdentity) -> Pair:
        """The pair with this identity, recorded now if it was not."""
        found = self.find_pair(identity)
        if found is not None:
            return found
        try:
            with self._transaction() as connection:
                connection.execute(insert(pairs).values(**identity_columns(identity)))
        except IntegrityError:
            pass  # another process recorded it in the meantime
        found = self.find_pair(identity)
        if found is None:
            raise StoreError("The project pair could not be recorded.")
        return found

    def find_pair(self, identity: PairIdentity) -> Pair | None:
        """The pair with this identity, if it was recorded."""
        columns = identity_columns(identity)
        matches = and_(*(pairs.c[name] == value for name, value in columns.items()))
        with self._transaction() as connection:
            row = connection.execute(select(pairs).where(matches)).mappings().one_or_none()
        return None if row is None else pair_of(row)

    def all_pairs(self) -> list[Pair]:
        """Every pair that was ever recorded."""
        with self._transaction() as connection:
            return [pair_of(r) for r in connection.execute(select(pairs)).mappings()]

    def update_pair(self, pair_id: int, **values: Any) -> None:
        """Set columns of a pair: ``rules``, ``listed_at``, ``proved_at``, ``paused_because``.

        What agreed under other ``rules`` does not count as agreed any more.
        """
        chosen = pairs.c.id == pair_id
        with self._transaction() as connection:
            if "rules" in values:
                other = select(pairs.c.id).where(
                    chosen, pairs.c.rules.is_distinct_from(values["rules"])
                )
                open_again = update(links).where(links.c.pair_id.in_(other))
                connection.execute(open_again.values(target_print=None))
            connection.execute(update(pairs).where(chosen).values(**values))

    # --- links

    def links(self, pair_id: int, testrail_ids: Iterable[int] | None = None) -> dict[int, Link]:
        """The pair's links by TestRail id; all of them, or those of some ids."""
        query = select(links).where(links.c.pair_id == pair_id).order_by(links.c.testrail_id)
        with self._transaction() as connection:
            if testrail_ids is None:
                return {row["testrail_id"]: link_of(row) for row in _mappings(connection, query)}
            return {
                row["testrail_id"]: link_of(row)
                for some in _batches(list(testrail_ids))
                for row in _mappings(connection, query.where(links.c.testrail_id.in_(some)))
            }

    def outlines(self, pair_id: int) -> dict[int, Link]:
        """The pair's links by TestRail id, for a run that reads thousands and changes few.

        Of those with a ``target_fingerprint``, only what tells whether both sides are still what
        they were; `links` has the rest of them.
        """
        agreed = and_(
            links.c.pair_id == pair_id,
            links.c.state == LinkState.LINKED.value,
            links.c.target_print.is_not(None),
            links.c.look_again.is_(False),
        )
        columns = [links.c[COLUMN_OF[name]] for name in OUTLINE]
        with self._transaction() as connection:
            outlined = {
                row[0]: Link(**dict(zip(OUTLINE, row, strict=True)), state=LinkState.LINKED)
                for row in connection.execute(select(*columns).where(agreed))
            }
            others = select(links).where(links.c.pair_id == pair_id, not_(agreed))
            full = {row["testrail_id"]: link_of(row) for row in _mappings(connection, others)}
        return dict(sorted({**outlined, **full}.items()))

    def links_with_problems(self, pair_id: int, most: int | None = None) -> list[Link]:
        """The links about which something needs a person, or was accepted by one.

        With ``most``, only the first so many.
        """
        listed = links.c.open_problems + links.c.accepted_problems > 0
        query = select(links).where(links.c.pair_id == pair_id, listed)
        with self._transaction() as connection:
            rows = _mappings(connection, query.order_by(links.c.testrail_id).limit(most))
            return [link_of(row) for row in rows]

    def targets_of_others(self, pair: Pair) -> frozenset[str]:
        """The target ids that other pairs hold in this pair's Testably project (R7)."""
        same = and_(
            pairs.c.id != pair.id,
            pairs.c.testably_url == pair.identity.testably_url,
            pairs.c.testably_project == pair.identity.testably_project,
        )
        query = select(links.c.testably_id).where(
            links.c.testably_id.is_not(None), links.c.pair_id.in_(select(pairs.c.id).where(same))
        )
        with self._transaction() as connection:
            return frozenset(connection.execute(query).scalars())

    def note_agreement(self, pair_id: int, agreed: Iterable[Link]) -> None:
        """Record the ``target_fingerprint`` of links that nobody changed since they were read."""
        rows = [
            {"of": link.testrail_id, "at": link.version, "print": link.target_fingerprint}
            for link in agreed
        ]
        if not rows:
            return
        chosen = and_(
            links.c.pair_id == pair_id,
            links.c.testrail_id == bindparam("of"),
            links.c.version == bindparam("at"),
        )
        with self._transaction() as connection:
            connection.execute(
                update(links).where(chosen).values(target_print=bindparam("print")), rows
            )

    def save(self, pair_id: int, link: Link, now: datetime) -> Link | None:
        """Write a link if nobody changed it since it was read, and nobody else holds a claim.

        Returns the link as it stands now, or None to the loser of the compare-and-set.
        """
        try:
            with self._transaction() as connection:
                return _save(connection, pair_id, link, now)
        except IntegrityError:
            return None

    def save_many(self, pair_id: int, changed: Iterable[Link], now: datetime) -> list[Link]:
        """`save` for many links in one transaction; returns those that were kept."""
        with self._transaction() as connection:
            saved = (_save_apart(connection, pair_id, link, now) for link in changed)
            return [link for link in saved if link is not None]

    def mark_to_look_again(self, pair_id: int, testrail_id: int) -> None:
        """Have the next run read this link's target, whatever else it would read.

        The mark outlives the write of whoever holds the link; whoever does not hold it has to
        read it again.
        """
        chosen = and_(links.c.pair_id == pair_id, links.c.testrail_id == testrail_id)
        bump = case((links.c.claim_until.is_(None), 1), else_=0)
        marked = {"look_again": True, "version": links.c.version + bump}
        with self._transaction() as connection:
            connection.execute(update(links).where(chosen).values(**marked))

    # --- the journal

    def lease(
        self, pair_id: int, link: Link, change: Change, until: datetime | None
    ) -> tuple[Link, int] | None:
        """Journal a write before it is sent (R1): the link's claim and the change, or neither.

        ``link`` already carries what is intended. Returns the claimed link and the change's id,
        or None if somebody else changed or holds the link. Without ``until`` there is nothing to
        send: the change is recorded, and nothing is held.
        """
        try:
            with self._transaction() as connection:
                change_id = _record(connection, pair_id, change)
                leased = link.leased(until, change_id)
                saved = _save(connection, pair_id, leased, change.at)
                if saved is None:
                    raise _LostError
                return saved, change_id
        except (_LostError, IntegrityError):
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
    ) -> Link | None:
        """Commit what became of a write that this caller sent, and let go of the claim.

        Returns the saved link; None if the claim had run out and somebody else took the link,
        in which case it is marked to be looked at again. The change keeps what the caller's own
        answer says of it; an answer that says nothing (AMBIGUOUS) replaces no other.
        """
        released = link.released()
        settled = (state, released.testably_id, echo, note, now)
        try:
            with self._transaction() as connection:
                if change_id is not None:
                    _settle_change(connection, change_id, *settled)
                saved = _save(connection, pair_id, released, now, holding=True)
        except IntegrityError:  # another link has this target; the change stays true
            saved = None
            if change_id is not None:
                with self._transaction() as connection:
                    _settle_change(connection, change_id, *settled)
        if saved is None:
            self.mark_to_look_again(pair_id, link.testrail_id)
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

        Returns the saved link; None, with nothing recorded, if somebody else took the link since:
        they may know more.
        """
        released = link.released()
        try:
            with self._transaction() as connection:
                saved = _save(connection, pair_id, released, now, holding=True)
                if saved is None:
                    raise _LostError
                if link.change_id is not None:
                    settled = (state, released.testably_id, echo, "", now)
                    _settle_change(connection, link.change_id, *settled)
                return saved
        except (_LostError, IntegrityError):
            self.mark_to_look_again(pair_id, link.testrail_id)
            return None

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


OUTLINE = (
    "testrail_id",
    "testably_id",
    "name",
    "source_fingerprint",
    "target_fingerprint",
    "target_parent",
    "version",
)
LONGEST_LEASE = timedelta(hours=1)
"""No request lasts so long: a lease that ends later is of before the clock was set back."""
_BATCH = 10_000
"""Ids in one query: PostgreSQL takes 65,535 parameters, SQLite 32,766."""


def _batches(ids: list[int]) -> Iterator[list[int]]:
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))


def _mappings(connection: Connection, query: Select[Any]) -> Iterable[RowMapping]:
    """The rows as they come, without holding them all."""
    return connection.execute(query.execution_options(yield_per=1000)).mappings()


class _LostError(Exception):
    """Rolls a claim's transaction back."""


def _save(
    connection: Connection, pair_id: int, link: Link, now: datetime, *, holding: bool = False
) -> Link | None:
    saved = link.saved()
    values = link_columns(saved)
    if link.version == 0:
        connection.execute(insert(links).values(pair_id=pair_id, **values))
        return saved
    until = links.c.claim_until
    unclaimed = or_(until.is_(None), until < now, until > now + LONGEST_LEASE)
    chosen = and_(
        links.c.pair_id == pair_id,
        links.c.testrail_id == link.testrail_id,
        links.c.version == link.version,
        *(() if holding else (unclaimed,)),
    )
    if holding and not link.look_again:
        del values["look_again"]  # somebody may have set it meanwhile
    done = connection.execute(update(links).where(chosen).values(**values))
    return saved if done.rowcount == 1 else None


def _save_apart(connection: Connection, pair_id: int, link: Link, now: datetime) -> Link | None:
    """`_save`, so that a link that somebody else inserted meanwhile costs only itself."""
    if link.version > 0:
        return _save(connection, pair_id, link, now)
    try:
        with connection.begin_nested():
            return _save(connection, pair_id, link, now)
    except IntegrityError:
        return None


def _record(connection: Connection, pair_id: int, change: Change) -> int:
    row = change_columns(pair_id, change)
    key = connection.execute(insert(changes).values(**row)).inserted_primary_key
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
    chosen = changes.c.id == change_id
    if state is ChangeState.AMBIGUOUS:
        chosen = and_(chosen, changes.c.state == ChangeState.INTENDED.value)
    connection.execute(update(changes).where(chosen).values(**values))
