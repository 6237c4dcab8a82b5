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
        return bool(self._redis.set(_queued(work), 1, nx=True, ex=QUEUED_FOR))

    def forget(self, work: str) -> None:
        """The queued work has been taken up."""
        self._redis.delete(_queued(work))

    def begin(self, work: str, longest: int) -> float:
        """0.0 if the work may begin now, else the seconds until it is worth trying again.

        ``longest`` is how many seconds it may be under way before somebody else may begin it.
        """
        if self._redis.set(_recent(work), 1, nx=True, ex=longest):
            self._redis.delete(_queued(work))
            return 0.0
        self._redis.expire(_queued(work), QUEUED_FOR)
        left = self._redis.pttl(_recent(work))
        return max(int(left) / 1000, 0.1)

    def end(self, work: str, quiet: int) -> None:
        """The work is over; it may begin again ``quiet`` seconds from now."""
        self._redis.set(_recent(work), 1, ex=quiet)


def _queued(work: str) -> str:
    return f"milesync:queued:{work}"


def _recent(work: str) -> str:
    return f"milesync:recent:{work}"
