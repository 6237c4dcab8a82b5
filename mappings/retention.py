"""How long runs and their changes are kept, and what is never pruned.

Raw records and links are never pruned: for a milestone that was deleted in TestRail they are the
only copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, RowMapping, delete, exists, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from mappings.causes import store_error
from mappings.database import time_of
from mappings.deliveries import Deliveries
from mappings.link_record import LinkState
from mappings.rows import ChangeState
from mappings.run_record import RUNNING, UNFINISHED
from mappings.run_rows import is_whole
from mappings.tables import changes, links, pairs, runs

QUIET_AFTER: Final = timedelta(days=1)
"""Runs without changes are kept one by one for so long; older ones of a stretch as one row.

Also those that told the same each time: a conflict that waits for a person, a server that is away.
"""
KEPT_SINGLY: Final = 8
"""The newest runs of a pair, which are never put together."""
_BATCH: Final = 500
_BY_THE_SERVICE: Final = ("schedule", "webhook")
_GOES_ON: Final = (RUNNING, UNFINISHED)
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
    the run that created or adopted a living link's target, or the newest of its pair, of the whole
    or of a part, or a refresh. Webhook calls go as `Deliveries.purge` says. Raises StoreError.
    """
    try:
        with engine.connect() as connection:
            now = time_of(connection)
        Deliveries(engine).purge(now, keep)
        folded = _fold(engine, now - QUIET_AFTER)
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
    newest = select(func.max(runs.c.id)).group_by(runs.c.pair_id, runs.c.exclusive, is_whole())
    query = select(runs.c.id).where(runs.c.finished_at < before)
    for needed in (named, unsettled, made, newest):
        query = query.where(runs.c.id.not_in(needed))
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))


# --- stretches of runs without changes


def _fold(engine: Engine, before: datetime) -> int:
    """Keep the newest run of each stretch without changes; it says how many it stands for.

    One pair at a time, so that thousands of them take neither memory nor a long transaction.
    """
    with engine.connect() as connection:
        ids = list(connection.execute(select(pairs.c.id)).scalars())
    folded = 0
    for pair_id in ids:
        with engine.begin() as connection:
            for stretch in _stretches(_runs_of(connection, pair_id), before):
                folded += _fold_into_newest(connection, stretch)
    return folded


def _runs_of(connection: Connection, pair_id: int) -> Sequence[RowMapping]:
    """The pair's runs, oldest first, and of each whether it wrote; without the newest few."""
    wrote = exists().where(changes.c.run_id == runs.c.id)
    told = ("trigger", "exclusive", "state", "problems", "error")
    names = ("id", "started_at", "finished_at", "options", *told)
    query = select(*(runs.c[name] for name in names), wrote.label("wrote"))
    ordered = query.where(runs.c.pair_id == pair_id).order_by(runs.c.started_at, runs.c.id)
    return connection.execute(ordered).mappings().all()[:-KEPT_SINGLY]


def _stretches(every: Iterable[RowMapping], before: datetime) -> Iterator[list[RowMapping]]:
    """The runs without changes that told the same, with nothing else between them.

    Those of the schedule and of webhooks, whole or of a milestone, lie between each other, and are
    stretches of their own: a refresh tells nothing of the whole pair.
    """
    open_: dict[tuple[str, bool], list[RowMapping]] = {}
    told: Any = None
    for row in every:
        tells = (row["state"], row["problems"], row["error"])
        calm = _is_calm(row, before)
        if not (calm and tells == told):
            yield from _several(open_)
            open_, told = {}, tells
        if calm:
            open_.setdefault((row["trigger"], row["exclusive"]), []).append(row)
    yield from _several(open_)


def _several(stretches: Mapping[Any, list[RowMapping]]) -> Iterator[list[RowMapping]]:
    return (stretch for stretch in stretches.values() if len(stretch) > 1)


def _is_calm(row: RowMapping, before: datetime) -> bool:
    """Whether the service began a run that ended, however, before this moment without a write."""
    if row["wrote"] or row["trigger"] not in _BY_THE_SERVICE or row["state"] in _GOES_ON:
        return False
    ended: datetime | None = row["finished_at"]
    return ended is not None and ended < before


def _fold_into_newest(connection: Connection, stretch: Sequence[RowMapping]) -> int:
    *older, last = stretch
    options = {**last["options"], "stands_for": sum(_stands_for(row) for row in stretch)}
    options["since"] = _since(stretch[0])
    connection.execute(update(runs).where(runs.c.id == last["id"]).values(options=options))
    ids = [row["id"] for row in older]
    for some in _batches(ids):
        connection.execute(delete(runs).where(runs.c.id.in_(some)))
    return len(ids)


def _stands_for(row: RowMapping) -> int:
    return int(row["options"].get("stands_for", 1))


def _since(row: RowMapping) -> Any:
    return row["options"].get("since") or row["started_at"].isoformat()
