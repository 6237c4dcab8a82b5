"""Many hints, little work: of each piece of work at most one is queued and one is under way.

Two marks in Redis for each piece: ``queued`` from the hint until the work begins, and ``recent``
from the beginning until a quiet time after the end. They are an economy, nothing more: the
deliveries are in the database, and the sweep asks again for what a lost mark or message left.
"""

from __future__ import annotations

from typing import Final

from redis import Redis

QUEUED_FOR: Final = 120
"""Seconds after which a queued message that never arrived is asked for again."""


class Hints:
    """The marks. Raises RedisError where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def ask(self, work: str) -> bool:
        """Whether the caller has to enqueue the work; False if it is queued already."""
        return self._mark(_queued(work), QUEUED_FOR) == 0.0

    def forget(self, work: str) -> None:
        """The queued work has been taken up."""
        self._redis.delete(_queued(work))

    def begin(self, work: str, longest: int) -> float:
        """0.0 if the work may begin now, else the seconds until it is worth trying again.

        ``longest`` is how many seconds it may be under way before somebody else may begin it.
        """
        left = self._mark(_recent(work), longest)
        if left == 0.0:
            self._redis.delete(_queued(work))
            return 0.0
        self._redis.expire(_queued(work), QUEUED_FOR)
        return left

    def _mark(self, key: str, longest: int) -> float:
        """0.0 if the mark is set now, for ``longest`` seconds; else how long it will still stand.

        One that never ends, or later than any of ours, is not ours and is replaced.
        """
        if self._redis.set(key, 1, nx=True, ex=longest):
            return 0.0
        left = int(self._redis.pttl(key)) / 1000
        if left < 0 or left > longest:
            self._redis.set(key, 1, ex=longest)
            return 0.0
        return max(left, 0.1)

    def end(self, work: str, quiet: int) -> None:
        """The work is over; it may begin again ``quiet`` seconds from now."""
        self._redis.set(_recent(work), 1, ex=quiet)


def _queued(work: str) -> str:
    return f"milesync:queued:{work}"


def _recent(work: str) -> str:
    return f"milesync:recent:{work}"
