"""Many hints, little work: of each piece of work at most one is queued and one is under way.

Two marks in Redis for each piece: ``queued`` from the hint until the work begins, also while it is
put off, and ``recent`` from the beginning until a quiet time after the end. They are an economy,
nothing more: the deliveries are in the database, and the sweep asks again for what a lost mark or
message left. A third counts how often a piece of work has begun since it last came to its end.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from redis import Redis
from redis.exceptions import ResponseError

QUEUED_FOR: Final = 30
"""Seconds after which a queued message that never arrived is asked for again."""
QUEUED_BEHIND_OTHERS: Final = 120
"""The same where others were in the queue before it."""
_COUNTED_FOR: Final = 3600


class Hints:
    """The marks. Raises RedisError where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def ask(self, work: str, queue: str) -> bool:
        """Whether the caller has to enqueue the work; False if it is queued already."""
        longest = QUEUED_BEHIND_OTHERS if self.length(queue) else QUEUED_FOR
        return self._mark(_queued(work), longest, QUEUED_BEHIND_OTHERS) == 0.0

    def length(self, queue: str) -> int:
        """How many messages are in a queue."""
        try:
            return int(self._redis.llen(queue))
        except ResponseError:  # a key of its name that is none: a worker moves it away
            return 0

    def put_off(self, work: str) -> None:
        """For a while nobody has to enqueue the work."""
        self._redis.set(_queued(work), 1, ex=QUEUED_FOR)

    def forget(self, work: str) -> None:
        """The queued work has been taken up."""
        self._redis.delete(_queued(work))

    def begin(self, work: str, longest: int) -> float:
        """0.0 if the work may begin now, else the seconds until it is worth trying again.

        ``longest`` is how many seconds it may be under way before somebody else may begin it.
        """
        left = self._mark(_recent(work), longest, longest)
        if left == 0.0:
            self._redis.delete(_queued(work))
        else:
            self.put_off(work)
        return left

    def times_begun(self, work: str) -> int:
        """How often work that begins now has begun in a row, within an hour.

        Each time but this one its process died, or it would have come to its end.
        """
        key = _begun(work)
        left, before = int(self._redis.ttl(key)), 0
        with suppress(ResponseError, ValueError):  # a value that is not ours
            before = int(self._redis.get(key) or 0) if left > 0 else 0
        self._redis.set(key, before + 1, ex=left if before > 0 else _COUNTED_FOR)
        return before + 1

    def _mark(self, key: str, longest: int, most: int) -> float:
        """0.0 if the mark is set now, for ``longest`` seconds; else how long it will still stand.

        One that never ends, or stands for more than ``most`` seconds, is not ours and is replaced.
        """
        if self._redis.set(key, 1, nx=True, ex=longest):
            return 0.0
        left = int(self._redis.pttl(key)) / 1000
        if left < 0 or left > most:
            self._redis.set(key, 1, ex=longest)
            return 0.0
        return max(left, 0.1)

    def end(self, work: str, quiet: int) -> None:
        """The work is over; it may begin again ``quiet`` seconds from now."""
        self._redis.set(_recent(work), 1, ex=quiet)
        self._redis.delete(_begun(work))

    def put_back(self, work: str) -> None:
        """The work could not be done, and is queued again."""
        self._redis.delete(_recent(work))
        self.put_off(work)


def _queued(work: str) -> str:
    return f"milesync:queued:{work}"


def _begun(work: str) -> str:
    return f"milesync:begun:{work}"


def _recent(work: str) -> str:
    return f"milesync:recent:{work}"
