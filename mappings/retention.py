"""How long runs and their changes are kept, and what is never pruned.

Raw records and links are never pruned: for a milestone that was deleted in TestRail they are the
only copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, RowMapping, delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from mappings.causes import store_error
from mappings.database import time_of
from mappings.link_record import LinkState
from mappings.rows import ChangeState
from mappings.tables import changes, links, runs

QUIET_AFTER: Final = timedelta(days=1)
"""Runs without changes are kept one by one for so long; older ones of a stretch as one row."""
KEPT_SINGLY: Final = 8
"""The newest runs of a pair, which are never put together."""
_BATCH: Final = 500
_OPEN: Final = (ChangeState.INTENDED.value, ChangeState.AMBIGUOUS.value)
_LIVING: Final = (LinkState.LINKED.value, LinkState.HELD.value, LinkState.CREATING.value)


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much was deleted; ``folded`` are runs without changes that are one row now."""

    runs: int = 0
    changes: int = 0
    folded: int = 0


def prune(engine: Engine, keep: timedelta | None) -> Pruned:
    """Delete what ended longer ago than ``keep`` (None: nothing), and fold quiet stretches.

    A run goes whole with its changes, and never one with an open change, one that a link names,
    the run that created or adopted a living link's target, or the newest of its pair. Raises
    StoreError.
    """
    try:
        with engine.begin() as connection:
            now = time_of(connection)
            folded = _fold(connection, now - QUIET_AFTER)
        if keep is None:
            return Pruned(folded=folded)
        gone = Pruned(folded=folded)
        for ids in _batches(_prunable(engine, now - keep)):
            with engine.begin() as connection:
                wrote = connection.execute(delete(changes).where(changes.c.run_id.in_(ids)))
                ended = connection.execute(delete(runs).where(runs.c.id.in_(ids)))
            gone = Pruned(gone.runs + ended.rowcount, gone.changes + wrote.rowcount, folded)
    except SQLAlchemyError as error:
        raise store_error("The database did not answer", error) from error
    return gone


def _prunable(engine: Engine, before: datetime) -> list[str]:
    """The ids of runs that ended before this moment and that nothing needs any more."""
    named = select(changes.c.run_id).join(links, links.c.change_id == changes.c.id)
    unsettled = select(changes.c.run_id).where(changes.c.state.in_(_OPEN))
    made = (
        select(changes.c.run_id)
        .join(
            links,
            (links.c.pair_id == changes.c.pair_id) & (links.c.testably_id == changes.c.testably_id),
        )
        .where(changes.c.kind.in_(("create", "adopt")), links.c.state.in_(_LIVING))
    )
    newest = select(func.max(runs.c.id)).group_by(runs.c.pair_id)
    query = select(runs.c.id).where(runs.c.finished_at < before)
    for needed in (named, unsettled, made, newest):
        query = query.where(runs.c.id.not_in(needed))
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))


# --- stretches of runs without changes


def _fold(connection: Connection, before: datetime) -> int:
    """Keep the newest run of each stretch without changes; it says how many it stands for."""
    wrote = select(changes.c.run_id)
    query = (
        select(runs)
        .where(runs.c.finished_at < before, runs.c.id.not_in(wrote))
        .order_by(runs.c.pair_id, runs.c.started_at, runs.c.id)
    )
    rows = connection.execute(query).mappings().all()
    single = _newest(connection)
    folded = 0
    for stretch in _stretches(connection, [row for row in rows if row["id"] not in single]):
        *older, last = stretch
        ids = [row["id"] for row in older]
        options = {**last["options"], "stands_for": sum(_stands_for(row) for row in stretch)}
        options["since"] = _since(stretch[0])
        connection.execute(update(runs).where(runs.c.id == last["id"]).values(options=options))
        for some in _batches(ids):
            folded += connection.execute(delete(runs).where(runs.c.id.in_(some))).rowcount
    return folded


def _newest(connection: Connection) -> set[str]:
    number = func.row_number().over(partition_by=runs.c.pair_id, order_by=runs.c.started_at.desc())
    ranked = select(runs.c.id, number.label("number")).subquery()
    newest = select(ranked.c.id).where(ranked.c.number <= KEPT_SINGLY)
    return set(connection.execute(newest).scalars())


def _stretches(connection: Connection, quiet: Iterable[RowMapping]) -> Iterator[list[RowMapping]]:
    """The quiet runs that follow each other with no other run of their pair between them."""
    order = select(runs.c.id).order_by(runs.c.pair_id, runs.c.started_at, runs.c.id)
    place = {id_: number for number, id_ in enumerate(connection.execute(order).scalars())}
    stretch: list[RowMapping] = []
    for row in quiet:
        if not _is_quiet(row):
            continue
        follows = bool(stretch) and place[row["id"]] == place[stretch[-1]["id"]] + 1
        if not (follows and stretch[-1]["pair_id"] == row["pair_id"]):
            if len(stretch) > 1:
                yield stretch
            stretch = []
        stretch.append(row)
    if len(stretch) > 1:
        yield stretch


def _is_quiet(row: RowMapping) -> bool:
    """Whether a run was a schedule's, ended well and had nothing to tell."""
    told = row["problems"] or row["error"]
    return row["trigger"] == "schedule" and row["state"] == "succeeded" and not told


def _stands_for(row: RowMapping) -> int:
    return int(row["options"].get("stands_for", 1))


def _since(row: RowMapping) -> Any:
    return row["options"].get("since") or row["started_at"].isoformat()
