"""One full run of a pair at a time, on both databases, and across real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from mappings.database import open_engine
from mappings.errors import Busy, StoreError
from mappings.locks import pair_lock, sender_lock
from mappings.runs import RunLog
from tests.support.clock import NOW
from tests.support.rows import at_once

HOLDER = """
import os, sys
from mappings.database import open_engine
from mappings.locks import pair_lock

with pair_lock(open_engine(sys.argv[1]), 1):
    print("held", flush=True)
    sys.stdin.readline()
    os._exit(3)
"""


@contextmanager
def holding_process(engine: Engine) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds pair 1; a line on its stdin makes it exit without clean-up."""
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", HOLDER, url]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def take_within(engine: Engine, seconds: float) -> None:
    """Take the lock of pair 1 as soon as it is free; raises Busy if it is not within that time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with pair_lock(engine, 1):
                return
        except Busy:
            if time.monotonic() > deadline:
                raise


def assert_held(engine: Engine) -> None:
    with pytest.raises(Busy), pair_lock(engine, 1):
        pass


def test_every_thread_of_the_holder_is_told_that_the_lock_is_held(engine: Engine) -> None:
    """The heartbeat asks from a thread of its own; an answer for its thread alone ends the run."""
    with pair_lock(engine, 1) as is_held, ThreadPoolExecutor(1) as elsewhere:
        assert is_held()
        assert elsewhere.submit(is_held).result()


def test_a_second_holder_is_busy_at_once(engine: Engine) -> None:
    """Whoever comes second hears so without waiting; the first notices nothing."""
    with pair_lock(engine, 1):
        assert_held(engine)
        assert_held(engine)
    take_within(engine, 0)


def test_who_is_busy_is_named(engine: Engine, run_log: RunLog, pair_id: int, run_id: str) -> None:
    """The message says which run holds the pair, what started it, since when, and who."""
    with pair_lock(engine, pair_id), pytest.raises(Busy) as caught, pair_lock(engine, pair_id):
        pass
    for fact in (run_id, "manual", "2026-03-01 12:00:00 UTC", "ann on host"):
        assert fact in caught.value.message
    run_log.change(run_id, state="succeeded", finished_at=NOW)
    with pair_lock(engine, pair_id), pytest.raises(Busy, match="Somebody else"):
        take_within(engine, 0)


def test_other_pairs_are_free(engine: Engine) -> None:
    """Different pairs run side by side."""
    with pair_lock(engine, 1), pair_lock(engine, 2):
        assert_held(engine)


def test_one_sends_notices_and_no_pair_waits_for_it(engine: Engine) -> None:
    """The second one hears so at once; whoever runs a pair is not concerned."""
    second = pytest.raises(Busy, match="sending notices")
    with sender_lock(engine), pair_lock(engine, 1), second, sender_lock(engine):
        pass
    with sender_lock(engine):
        pass


def test_an_error_lets_go(engine: Engine) -> None:
    """A run that fails lets go of the pair, and its error is not changed on the way."""
    with pytest.raises(ZeroDivisionError), pair_lock(engine, 1):
        _ = 1 // 0
    take_within(engine, 10)


def test_one_of_many_holds(engine: Engine) -> None:
    """Of threads that want the pair at once, exactly one is inside at any time."""
    inside: list[int] = []
    most: list[int] = []

    def enter(number: int) -> bool:
        try:
            with pair_lock(engine, 1):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)
        except Busy:
            return False
        return True

    assert any(at_once(enter))
    assert set(most) == {1}


@pytest.mark.parametrize("by_signal", [True, False], ids=["kill -9", "os._exit"])
def test_a_dead_process_lets_go(engine: Engine, by_signal: bool) -> None:
    """The lock is held while its process lives and free as soon as it died, whatever it died of."""
    with holding_process(engine) as process:
        assert_held(engine)
        if by_signal:
            process.kill()
        else:
            process.communicate("\n")
        assert process.wait(20) == (-9 if by_signal else 3)
    take_within(engine, 10)


def test_a_lock_file_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    """Where the folder does not allow a lock file a person hears that, not of a traceback."""
    (tmp_path / "milesync.db.pair-1.lock").mkdir()
    engine = open_engine(f"sqlite:///{tmp_path / 'milesync.db'}")
    with pytest.raises(StoreError, match="lock"), pair_lock(engine, 1):
        pass


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_server_or_a_holder_that_is_cut_off_is_noticed(engine: Engine) -> None:
    """By both ends, long before the system would: or the lock of a lost machine stays for hours."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        bounds = driver.info.get_parameters()
    assert {"connect_timeout", "tcp_user_timeout", "keepalives_idle"} <= set(bounds)
    given = open_engine(f"{engine.url.render_as_string(hide_password=False)}&connect_timeout=3")
    with given.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.info.get_parameters()["connect_timeout"] == "3"
    given.dispose()
