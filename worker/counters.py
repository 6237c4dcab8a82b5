"""Counters that all processes share, kept in Redis and read when somebody asks for `/metrics`.

They start again from zero with an emptied Redis, which is what Prometheus expects of a counter.
Counting never disturbs the work: where Redis does not answer, the counts are lost, and for a few
seconds it is not asked again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from worker.silence import Silence

KEY: Final = "milesync:counters"
_SEPARATOR: Final = "\x1f"


class Counters:
    """Adds to named counters; each has labels, in a fixed order.

    ``silence`` is that of all who ask this Redis, where there are others.
    """

    def __init__(self, redis: Redis | None, silence: Silence | None = None) -> None:
        self._redis, self._silence = redis, silence or Silence()

    def add(self, name: str, *labels: str, amount: float = 1) -> None:
        """Add to one counter; what stands there and is no number is replaced."""
        if self._redis is None or not amount or self._silence.lasts:
            return
        try:
            self._add(self._redis, _SEPARATOR.join((name, *labels)), amount)
        except ResponseError:  # it answers, and refuses
            return
        except RedisError:
            self._silence.begin()

    def _add(self, redis: Redis, field: str, amount: float) -> None:
        try:
            redis.hincrbyfloat(KEY, field, amount)
        except ResponseError:
            if redis.type(KEY) != b"hash":
                redis.delete(KEY)
            redis.hset(KEY, field, str(amount))

    def add_all(self, name: str, labels: tuple[str, ...], amounts: Mapping[str, float]) -> None:
        """Add to a counter of each further label."""
        for last, amount in amounts.items():
            self.add(name, *labels, last, amount=amount)

    def read(self) -> dict[tuple[str, ...], float]:
        """Every counter, by its name and labels. Raises RedisError where Redis does not answer."""
        if self._redis is None:
            return {}
        try:
            found: dict[bytes, bytes] = self._redis.hgetall(KEY)  # type: ignore[assignment]
        except ResponseError:  # something else stands there; the next count replaces it
            return {}
        counts: dict[tuple[str, ...], float] = {}
        for key, text in found.items():
            with suppress(ValueError):  # no text, or no number
                number = float(text)
                if math.isfinite(number):
                    counts[tuple(key.decode().split(_SEPARATOR))] = number
        return counts
