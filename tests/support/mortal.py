"""A process that can die: before and after each request, each commit, and in each phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Engine
from structlog.contextvars import get_contextvars

from mappings.database import Connected
from mappings.journal import Journal
from mappings.runs import RunLog
from mappings.store import Store


class Died(BaseException):
    """The process ends here: nothing after it is carried out, not even what tidies up."""


@dataclass
class Boundaries:
    """The points at which a process can die: before and after each request and each commit.

    It dies at number ``dies_at`` (from 1 on), or at the first that is called ``dies_on``.
    ``meanwhile`` happens once, at the first boundary
    from number ``meanwhile_at`` on whose name begins with ``meanwhile_on``. ``seen`` are those that
    were passed, each with the phase of the run.
    """

    dies_at: int | None = None
    dies_on: str | None = None
    meanwhile_at: int = 0
    meanwhile_on: str = "after"
    meanwhile: Callable[[], None] | None = None
    passed: int = 0
    dead: bool = False
    seen: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, what: str) -> None:
        if self.dead:
            raise Died(what)
        self.passed += 1
        self.seen.append((get_contextvars().get("phase", ""), what))
        if self.passed == self.dies_at or what == self.dies_on:
            self.dead = True
            raise Died(what)
        is_due = self.passed >= self.meanwhile_at and what.startswith(self.meanwhile_on)
        if self.meanwhile is not None and is_due:
            happens, self.meanwhile = self.meanwhile, None
            happens()


class _Mortal(Connected):
    """What the process that keeps it can die at: before and after each commit of a change."""

    def __init__(self, engine: Engine, point: Boundaries) -> None:
        super().__init__(engine)
        self._point = point

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        if self._point.dead:
            raise Died
        with super()._transaction() as connection:
            before = _changes(connection)
            yield connection
            wrote = _changes(connection) != before
            if wrote:
                self._point("before commit")
        if wrote:
            self._point("after commit")


class _MortalJournal(_Mortal, Journal):
    pass


class MortalStore(_Mortal, Store):
    """A store whose process can die."""

    @cached_property
    def journal(self) -> Journal:
        return _MortalJournal(self.engine, self._point)


class MortalRunLog(_Mortal, RunLog):
    """A run log whose process can die."""


def _changes(connection: Connection) -> int:
    driver: Any = connection.connection.dbapi_connection
    return int(driver.total_changes)
