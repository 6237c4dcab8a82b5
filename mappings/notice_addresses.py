"""The addresses of notices that took nothing when they were tried last, and for how long they rest.

An address is known by a mark, for it is a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from mappings.database import Connected
from mappings.tables import notice_addresses


@dataclass(frozen=True, slots=True)
class Rest:
    """That an address failed so many times in a row, and is left alone until then."""

    failures: int
    until: datetime


class Addresses(Connected):
    """Keeps the rests. Who changes them holds the lock of the sender."""

    def resting(self) -> dict[str, Rest]:
        """The addresses that failed last, whether or not their rest is over."""
        with self._transaction() as connection:
            rows = connection.execute(select(notice_addresses))
            return {row.address: Rest(row.failures, row.rests_until) for row in rows}

    def note(self, address: str, rest: Rest | None) -> None:
        """Note the rest of an address that failed; None is for one that took a notice."""
        with self._transaction() as connection:
            chosen = notice_addresses.c.address == address
            connection.execute(delete(notice_addresses).where(chosen))
            if rest is not None:
                row = {"address": address, "failures": rest.failures, "rests_until": rest.until}
                connection.execute(insert(notice_addresses).values(row))
