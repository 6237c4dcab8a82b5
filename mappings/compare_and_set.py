"""Links are changed by comparing and setting a version, so that one of two writers loses (R8)."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, case, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from mappings.causes import is_numbered_twice
from mappings.link import Link
from mappings.rows import link_columns
from mappings.tables import links, pairs

LONGEST_LEASE = timedelta(hours=1)
"""No request lasts so long: a lease that ends later is of before the clock was set back."""

# Built once: to build a statement of thirty columns takes longer than to carry it out.
_INSERT = insert(links)
_UPDATE_HELD = update(links).where(
    links.c.pair_id == bindparam("of_pair"),
    links.c.testrail_id == bindparam("of_id"),
    links.c.version == bindparam("as_read"),
)
_UPDATE = _UPDATE_HELD.where(
    or_(
        links.c.claim_until.is_(None),
        links.c.claim_until < bindparam("now"),
        links.c.claim_until > bindparam("latest"),
    )
)

_OWN = select(pairs.c.testably_url, pairs.c.testably_project).where(
    pairs.c.id == bindparam("of_pair")
)
_OF_ONE_PROJECT = (
    select(pairs.c.id)
    .where(tuple_(pairs.c.testably_url, pairs.c.testably_project).in_(_OWN))
    .order_by(pairs.c.id)
    .with_for_update(key_share=True)
)
_HOLDER = select(links.c.pair_id).where(
    links.c.testably_id == bindparam("target"),
    links.c.pair_id.in_(bindparam("others", expanding=True)),
)


def save_link(
    connection: Connection, pair_id: int, link: Link, now: datetime, *, holding: bool = False
) -> Link | None:
    """Write a link if nobody changed it since it was read, and nobody else holds a lease.

    ``holding`` is who holds it. Returns the link as it stands now, or None to the loser. Raises
    IntegrityError where it is new to two at once, or two have one target.
    """
    saved = link.saved()
    values = link_columns(saved)
    if link.version == 0:
        connection.execute(_INSERT, {"pair_id": pair_id, **values})
        return saved
    if holding and not link.look_again:
        del values["look_again"]  # somebody may have set it meanwhile
    values |= {"of_pair": pair_id, "of_id": link.testrail_id, "as_read": link.version}
    if holding:
        done = connection.execute(_UPDATE_HELD, values)
    else:
        done = connection.execute(_UPDATE, {**values, "now": now, "latest": now + LONGEST_LEASE})
    return saved if done.rowcount == 1 else None


def save_apart(connection: Connection, pair_id: int, link: Link, now: datetime) -> Link | None:
    """`save_link`, so that a link that somebody else inserted meanwhile costs only itself."""
    if link.version > 0:
        return save_link(connection, pair_id, link, now)
    try:
        with connection.begin_nested():
            return save_link(connection, pair_id, link, now)
    except IntegrityError as error:
        if is_numbered_twice(error):
            raise
        return None


def is_anothers(connection: Connection, pair_id: int, testably_id: str | None) -> bool:
    """Whether another pair of the same Testably project holds this target (R7).

    Asked after the link was written: of two that write at once, one waits here until the other has
    committed. SQLite has let only one of them write; on PostgreSQL the pairs' rows are locked.
    """
    if testably_id is None:
        return False
    pairs_of_project = connection.execute(_OF_ONE_PROJECT, {"of_pair": pair_id}).scalars()
    others = [id_ for id_ in pairs_of_project if id_ != pair_id]
    if not others:
        return False
    held = connection.execute(_HOLDER, {"target": testably_id, "others": others})
    return held.first() is not None


def mark_to_look_again(connection: Connection, pair_id: int, testrail_id: int) -> None:
    """Have the next run read this link's target; the mark outlives the write of a lease's holder.

    Whoever does not hold the link has to read it again before he changes it.
    """
    chosen = and_(links.c.pair_id == pair_id, links.c.testrail_id == testrail_id)
    bump = case((links.c.claim_until.is_(None), 1), else_=0)
    marked = {"look_again": True, "version": links.c.version + bump}
    connection.execute(update(links).where(chosen).values(**marked))
