"""What the store's tests share: a time, identities, and many threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from mappings.rows import Change, PairIdentity
from tests.support.clock import NOW

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

Result = TypeVar("Result")


def identity(number: int = 1) -> PairIdentity:
    """The identity of the pair with this TestRail project."""
    return PairIdentity(
        "https://example.testrail.io", number, "https://api.testably.app", f"proj_{number}"
    )


def change(run_id: str, testrail_id: int = 1, testably_id: str | None = None) -> Change:
    """An update to journal."""
    return Change(run_id, testrail_id, testably_id, "update", {"name": "old"}, {"name": "new"}, NOW)


def at_once(call: Callable[[int], Result], threads: int = 8) -> list[Result]:
    """What ``call(0)``, ``call(1)``, ... return when they all begin at the same moment."""
    ready = threading.Barrier(threads, timeout=60)

    def begin(number: int) -> Result:
        ready.wait()
        return call(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))
