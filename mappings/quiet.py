"""Stores the quiet reading of each pair: what the last sync read that had nothing to do.

`worker.sync.quiet` says what the next sync may conclude from it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, select

from mappings.database import Connected
from mappings.tables import links, quiet_readings


class QuietReading(NamedTuple):
    """What a sync read that had nothing to do, and all else that its plan depended on.

    ``key`` stands for its settings and options, ``links`` for the links. It began ``at`` (aware)
    and is valid ``until`` a date changes the status of a milestone (Unix seconds; None: for ever).
    ``listed`` says whether the target was listed, ``in_step`` how many milestones agreed;
    ``exempt`` and ``not_exact`` are those of its plan. ``answered`` maps each request, in the order
    of requests, to the digest of its answer.
    """

    key: str
    links: str
    at: datetime
    until: int | None
    listed: bool
    in_step: int
    exempt: Mapping[str, int]
    not_exact: Mapping[str, int]
    answered: Mapping[str, str]


class QuietReadings(Connected):
    """Keeps the last quiet reading of each pair, one with a list of the target and one without."""

    def find(self, pair_id: int, *, with_target: bool) -> QuietReading | None:
        """The pair's last quiet reading of this kind; None if there is none. Raises StoreError."""
        chosen = _of(pair_id, with_target=with_target)
        columns = [quiet_readings.c[name] for name in QuietReading._fields]
        with self._transaction() as connection:
            row = connection.execute(select(*columns).where(chosen)).one_or_none()
        return None if row is None else QuietReading._make((*row[:-1], _unpacked(row[-1])))

    def keep(self, pair_id: int, reading: QuietReading, *, with_target: bool) -> None:
        """Replace the pair's last quiet reading of this kind. Raises StoreError."""
        row = reading._asdict() | {"answered": _packed(reading.answered)}
        with self._transaction() as connection:
            connection.execute(delete(quiet_readings).where(_of(pair_id, with_target=with_target)))
            connection.execute(
                insert(quiet_readings).values(pair_id=pair_id, with_target=with_target, **row)
            )

    def links_of(self, pair_id: int) -> str:
        """A text that changes whenever any link of the pair changes.

        Links are never deleted, and each write increases a link's version; only the mark to look
        again can change without it, so it is counted too.
        """
        marked = func.sum(case((links.c.look_again, 1), else_=0))
        facts = (func.count(), func.sum(links.c.version), marked)
        query = select(*facts).where(links.c.pair_id == pair_id)
        with self._transaction() as connection:
            return " ".join(str(int(number or 0)) for number in connection.execute(query).one())


def _of(pair_id: int, *, with_target: bool) -> ColumnElement[bool]:
    return and_(quiet_readings.c.pair_id == pair_id, quiet_readings.c.with_target == with_target)


def _packed(digests: Mapping[str, str]) -> bytes:
    return zlib.compress(json.dumps(dict(digests)).encode())


def _unpacked(packed: bytes) -> dict[str, str]:
    digests: dict[str, str] = json.loads(zlib.decompress(packed))
    return digests
