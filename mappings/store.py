"""The mapping store: the pairs and their links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    insert,
    not_,
    or_,
    select,
    update,
)

from mappings.compare_and_set import mark_to_look_again, save_apart, save_link
from mappings.database import Connected
from mappings.errors import DoesNotFit, StoreError
from mappings.journal import Journal
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.links import Links, Outline
from mappings.quiet import QuietReadings
from mappings.rows import (
    COLUMN_OF,
    Pair,
    PairIdentity,
    identity_columns,
    link_of,
    pair_of,
)
from mappings.tables import links, pairs


@dataclass(frozen=True, slots=True)
class ForeignCreate:
    """A create in doubt of another pair."""

    pair_id: int
    testrail_url: str
    link: Link


class Store(Connected):
    """Keeps the pairs and their links."""

    @cached_property
    def journal(self) -> Journal:
        """The writes to the target that are journaled with the links."""
        return Journal(self.engine)

    @cached_property
    def quiet(self) -> QuietReadings:
        """What was read by runs that found nothing to do."""
        return QuietReadings(self.engine)

    # --- pairs

    def pair(self, identity: PairIdentity) -> Pair:
        """The pair with this identity, recorded now if it was not."""
        found = self.find_pair(identity)
        if found is not None:
            return found
        try:
            with self._transaction() as connection:
                connection.execute(insert(pairs).values(**identity_columns(identity)))
        except DoesNotFit:
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

    def each_link(self, pair_id: int) -> Iterator[Link]:
        """The pair's links in the order of their ids, one by one: none is kept."""
        query = select(links).where(links.c.pair_id == pair_id).order_by(links.c.testrail_id)
        with self._transaction() as connection:
            yield from map(link_of, _mappings(connection, query))

    def outlines(self, pair_id: int) -> Links:
        """The pair's links, for a run that reads thousands and changes few.

        Of those whose both sides agreed, and with which nothing is wrong since, only what tells
        whether they are still what they were; `links` has the rest of them.
        """
        agreed = and_(
            links.c.pair_id == pair_id,
            links.c.state == LinkState.LINKED.value,
            links.c.target_print.is_not(None),
            links.c.agreed_counts.is_not(None),
            links.c.trouble_kind.is_(None),
            links.c.look_again.is_(False),
        )
        columns = [links.c[COLUMN_OF[name]] for name in Outline._fields]
        query = select(*columns).where(agreed).execution_options(yield_per=1000)
        with self._transaction() as connection:
            outlined = {row[0]: Outline._make(row) for row in connection.execute(query)}
            others = select(links).where(links.c.pair_id == pair_id, not_(agreed))
            full = {row["testrail_id"]: link_of(row) for row in _mappings(connection, others)}
        return Links(full, outlined)

    def links_with_problems(self, pair_id: int, most: int | None = None) -> list[Link]:
        """The links about which something needs a person, or was accepted by one.

        With ``most``, only the first so many.
        """
        listed = or_(links.c.open_problems > 0, links.c.accepted_problems > 0)
        query = select(links).where(links.c.pair_id == pair_id, listed)
        with self._transaction() as connection:
            rows = _mappings(connection, query.order_by(links.c.testrail_id).limit(most))
            return [link_of(row) for row in rows]

    def targets_of_others(self, pair: Pair, most: int | None = None) -> frozenset[str]:
        """The target ids that other pairs hold in this pair's Testably project (R7).

        With ``most``, only so many.
        """
        query = select(links.c.testably_id).where(
            links.c.testably_id.is_not(None), links.c.pair_id.in_(_beside(pair))
        )
        with self._transaction() as connection:
            return frozenset(connection.execute(query.limit(most)).scalars())

    def creates_of_others(self, pair: Pair) -> list[ForeignCreate]:
        """The creates in doubt at the root that other pairs of this Testably project have (R2).

        Below a parent nobody else's can be: no two pairs have one target.
        """
        is_in_doubt = links.c.state == LinkState.CREATING.value
        query = (
            select(links, pairs.c.testrail_url)
            .join(pairs, pairs.c.id == links.c.pair_id)
            .where(is_in_doubt, links.c.parent_id.is_(None), links.c.pair_id.in_(_beside(pair)))
        )
        with self._transaction() as connection:
            rows = _mappings(connection, query)
            return [ForeignCreate(r["pair_id"], r["testrail_url"], link_of(r)) for r in rows]

    def note_agreement(self, pair_id: int, agreed: Iterable[Link]) -> None:
        """Record that both sides of links agree that nobody changed since they were read."""
        rows = [
            {
                "of": link.testrail_id,
                "at": link.version,
                "print": link.target_fingerprint,
                "counts": link.agreed_counts,
                "until": link.agreed_until,
            }
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
            noted = (
                update(links)
                .where(chosen)
                .values(
                    target_print=bindparam("print"),
                    agreed_counts=bindparam("counts"),
                    agreed_until=bindparam("until"),
                )
            )
            connection.execute(noted, rows)

    def save(self, pair_id: int, link: Link, now: datetime) -> Link | None:
        """Write a link if nobody changed it since it was read, and nobody else holds a lease.

        Returns the link as it stands now, or None to the loser of the compare-and-set.
        """
        try:
            with self._transaction() as connection:
                return save_link(connection, pair_id, link, now)
        except DoesNotFit:
            return None

    def save_many(self, pair_id: int, changed: Iterable[Link], now: datetime) -> list[Link]:
        """`save` for many links in one transaction; returns those that were kept."""
        with self._transaction() as connection:
            saved = (save_apart(connection, pair_id, link, now) for link in changed)
            return [link for link in saved if link is not None]

    def mark_to_look_again(self, pair_id: int, testrail_id: int) -> None:
        """Have the next run read this link's target, whatever else it would read."""
        with self._transaction() as connection:
            mark_to_look_again(connection, pair_id, testrail_id)


def _beside(pair: Pair) -> Select[tuple[int]]:
    """The ids of the other pairs that write into the same Testably project."""
    return select(pairs.c.id).where(
        pairs.c.id != pair.id,
        pairs.c.testably_url == pair.identity.testably_url,
        pairs.c.testably_project == pair.identity.testably_project,
    )


_BATCH = 10_000
"""Ids in one query: PostgreSQL takes 65,535 parameters, SQLite 32,766."""


def _batches(ids: list[int]) -> Iterator[list[int]]:
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))


def _mappings(connection: Connection, query: Select[Any]) -> Iterable[RowMapping]:
    """The rows as they come, without holding them all."""
    return connection.execute(query.execution_options(yield_per=1000)).mappings()
