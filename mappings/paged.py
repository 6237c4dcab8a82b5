"""What the pages show of a pair and of a run, a piece at a time however much there is.

All raise StoreError where the database does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from mappings.causes import store_error
from mappings.link import Link
from mappings.rows import Change, change_of, link_of
from mappings.tables import changes, links

MOST_DIGITS: Final = 18
"""Of an id that a database can hold."""
_ORDER: Final = {"create": 0, "adopt": 1, "archive": 3}
"""In which the kinds of write are shown; all others come between."""


def links_page(
    engine: Engine, pair_id: int, text: str = "", *, limit: int, offset: int = 0
) -> tuple[list[Link], int]:
    """Some of a pair's links in the order of their ids, and how many there are in all.

    With ``text``, those alone whose name holds it, whatever its case, or one of whose ids it is.
    """
    chosen = links.c.pair_id == pair_id
    if text:
        chosen = and_(chosen, _matches(text))
    query = select(links).where(chosen).order_by(links.c.testrail_id)
    with _connection(engine) as connection:
        total = connection.execute(select(func.count()).select_from(links).where(chosen))
        rows = connection.execute(query.limit(limit).offset(offset)).mappings()
        return [link_of(row) for row in rows], total.scalar_one()


def _matches(text: str) -> ColumnElement[bool]:
    is_id = [links.c.testably_id == text]
    if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS:
        is_id.append(links.c.testrail_id == int(text))
    return or_(links.c.name.icontains(text, autoescape=True), *is_id)


def links_below(engine: Engine, pair_id: int, link: Link) -> dict[int, Link]:
    """The links that hang below this one, on either side, by TestRail id."""
    below = [links.c.parent_id == link.testrail_id]
    if link.testably_id is not None:
        below.append(links.c.target_parent == link.testably_id)
    query = select(links).where(links.c.pair_id == pair_id, or_(*below))
    with _connection(engine) as connection:
        rows = connection.execute(query.order_by(links.c.testrail_id)).mappings()
        return {row["testrail_id"]: link_of(row) for row in rows}


def written(engine: Engine, run_id: str, limit: int, offset: int = 0) -> tuple[list[Change], int]:
    """The changes of so many milestones, and to how many the run wrote in all.

    Milestones of which the first write was of the same kind stand together.
    """
    firsts = (
        select(changes.c.testrail_id, func.min(changes.c.id).label("first"))
        .where(changes.c.run_id == run_id)
        .group_by(changes.c.testrail_id)
        .subquery()
    )
    order = case(_ORDER, value=changes.c.kind, else_=2)
    page = select(changes.c.testrail_id).join(firsts, firsts.c.first == changes.c.id)
    page = page.order_by(order, firsts.c.first).limit(limit).offset(offset)
    with _connection(engine) as connection:
        total = connection.execute(select(func.count()).select_from(firsts)).scalar_one()
        places = {id_: place for place, id_ in enumerate(connection.execute(page).scalars())}
        own = and_(changes.c.run_id == run_id, changes.c.testrail_id.in_(places))
        rows = connection.execute(select(changes).where(own).order_by(changes.c.id)).mappings()
        found = [change_of(row) for row in rows]
    return sorted(found, key=lambda change: places[change.testrail_id]), total


def history_page(
    engine: Engine, pair_id: int, testrail_id: int, limit: int, offset: int = 0
) -> tuple[list[Change], int]:
    """Some of the changes of a milestone, newest first, and how many there are in all."""
    own = and_(changes.c.pair_id == pair_id, changes.c.testrail_id == testrail_id)
    query = select(changes).where(own).order_by(changes.c.id.desc()).limit(limit).offset(offset)
    with _connection(engine) as connection:
        total = connection.execute(select(func.count()).select_from(changes).where(own))
        rows = connection.execute(query).mappings()
        return [change_of(row) for row in rows], total.scalar_one()


@contextmanager
def _connection(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise store_error("The database did not answer", error) from error
