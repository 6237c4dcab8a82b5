"""One full run of a pair at a time (R8), and one sender of notices.

A lock dies with the process that holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from mappings.causes import store_error
from mappings.errors import Busy
from mappings.run_record import RunRecord
from mappings.runs import RunLog

IsHeld = Callable[[], bool]

_ADVISORY_SPACE = 0x6D736C6B
"""The first key of our advisory locks, so that they meet nobody else's in a shared database."""
_NO_PAIR = 0
"""The second key of the lock that is about no pair; the ids of pairs begin with 1."""
_NOTICE_A_DEAD_HOST = text(
    "SELECT set_config('tcp_keepalives_idle', '10', false),"
    " set_config('tcp_keepalives_interval', '5', false),"
    " set_config('tcp_keepalives_count', '3', false)"
)
"""The server ends the session, and with it the lock, 25 s after the holder's machine has gone.

Its own default is that of the system, which is two hours.
"""


@contextmanager
def pair_lock(engine: Engine, pair_id: int) -> Iterator[IsHeld]:
    """Hold the pair; raises Busy at once, naming the holder, if somebody else does.

    What it gives tells whether the lock is still held: a connection can be cut.

    A file lock beside a SQLite database, a session advisory lock on PostgreSQL: both are let
    go by the system when the process dies.
    """
    with _lock(engine, f"pair-{pair_id}", pair_id, lambda: _busy(engine, pair_id)) as is_held:
        yield is_held


@contextmanager
def sender_lock(engine: Engine) -> Iterator[None]:
    """Be the one process that sends notices; raises Busy at once if another one is."""
    with _lock(engine, "notices", _NO_PAIR, lambda: Busy("Somebody else is sending notices.")):
        yield


@contextmanager
def _lock(engine: Engine, name: str, number: int, busy: Callable[[], Busy]) -> Iterator[IsHeld]:
    is_sqlite = engine.dialect.name == "sqlite"
    holding = _file_lock(engine, name, busy) if is_sqlite else _advisory_lock(engine, number, busy)
    with holding as is_held:
        yield is_held


@contextmanager
def _file_lock(engine: Engine, name: str, busy: Callable[[], Busy]) -> Iterator[IsHeld]:
    from filelock import FileLock, Timeout  # here, because most commands take no lock

    file = f"{engine.url.database}.{name}.lock"
    lock = FileLock(file, timeout=0, mode=0o600, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise busy() from None
    except OSError as error:
        raise store_error(f"The lock {file} cannot be taken", error) from error
    try:
        yield lambda: lock.is_locked
    finally:
        lock.release()


@contextmanager
def _advisory_lock(engine: Engine, number: int, busy: Callable[[], Busy]) -> Iterator[IsHeld]:
    keys = {"space": _ADVISORY_SPACE, "number": number}
    try:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(_NOTICE_A_DEAD_HOST)
        taken = connection.execute(text("SELECT pg_try_advisory_lock(:space, :number)"), keys)
        is_ours = bool(taken.scalar())
    except SQLAlchemyError as error:
        raise store_error("The database did not answer", error) from error
    with connection:
        if not is_ours:
            raise busy()
        try:
            yield lambda: _answers(connection)
        finally:
            with suppress(SQLAlchemyError):  # a dead connection has let go of the lock already
                connection.execute(text("SELECT pg_advisory_unlock(:space, :number)"), keys)
            connection.invalidate()


def settle_dead(runs: RunLog) -> list[RunRecord]:
    """Let go of every run whose heartbeat has stopped and whose lock is free.

    Both are needed: a lock is also freed by a connection that was cut. Returns those that held a
    pair: the unfinished ones are to be gone on with. Raises StoreError.
    """
    taken = []
    for run in runs.silent():
        if not run.exclusive:
            runs.let_go(run)
            continue
        with suppress(Busy), pair_lock(runs.engine, run.pair_id):
            if runs.let_go(run):
                taken.append(runs.get(run.id))
    return [run for run in taken if run is not None]


def _answers(connection: Connection) -> bool:
    """Whether the connection lives; a session lock lives as long."""
    try:
        connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def _busy(engine: Engine, pair_id: int) -> Busy:
    run = RunLog(engine).running(pair_id)
    if run is None:
        return Busy("Somebody else is running this project pair.")
    return Busy(
        f"Run {run.id} ({run.trigger}) has held this project pair since "
        f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC: {run.holder}."
    )
