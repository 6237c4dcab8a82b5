"""Where everything stands, in a few queries for all pairs together: for pages and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, and_, func, select
from sqlalchemy.exc import SQLAlchemyError

from mappings.causes import store_error
from mappings.tables import links, runs

ENDED_WELL = ("succeeded", "partial")


@dataclass(frozen=True, slots=True)
class Overview:
    """By pair id: links by state, links in trouble by kind, the end of the last good run (UTC)."""

    links: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    problems: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    synced_at: Mapping[int, datetime] = field(default_factory=dict)


def overview(engine: Engine) -> Overview:
    """Count for every pair. Raises StoreError."""
    states = select(links.c.pair_id, links.c.state, func.count())
    kinds = select(links.c.pair_id, links.c.trouble_kind, func.count())
    whole = and_(runs.c.state.in_(ENDED_WELL), runs.c.finished_at.is_not(None))
    synced = select(runs.c.pair_id, func.max(runs.c.finished_at)).where(whole)
    try:
        with engine.connect() as connection:
            state_rows = connection.execute(states.group_by(links.c.pair_id, links.c.state)).all()
            troubled = kinds.where(links.c.trouble_kind.is_not(None))
            kind_rows = connection.execute(
                troubled.group_by(links.c.pair_id, links.c.trouble_kind)
            ).all()
            synced_rows = connection.execute(synced.group_by(runs.c.pair_id)).all()
    except SQLAlchemyError as error:
        raise store_error("The database did not answer", error) from error
    return Overview(
        _nested(state_rows), _nested(kind_rows), {row[0]: row[1] for row in synced_rows}
    )


def _nested(rows: Any) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for pair_id, name, number in rows:
        found.setdefault(pair_id, {})[name] = number
    return found
