"""Counters that all processes share, kept in Redis and read when somebody asks for `/metrics`.

They start again from zero with an emptied Redis, which is what Prometheus expects of a counter.
Counting never disturbs the work: where Redis does not answer, the count is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

KEY: Final = "milesync:counters"
_SEPARATOR: Final = "\x1f"


class Counters:
    """Adds to named counters; each has labels, in a fixed order."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis

    def add(self, name: str, *labels: str, amount: float = 1) -> None:
        """Add to one counter."""
        if self._redis is not None and amount:
            with suppress(RedisError):
                self._redis.hincrbyfloat(KEY, _SEPARATOR.join((name, *labels)), amount)

    def add_all(self, name: str, labels: tuple[str, ...], amounts: Mapping[str, float]) -> None:
        """Add to a counter of each further label."""
        for last, amount in amounts.items():
            self.add(name, *labels, last, amount=amount)

    def read(self) -> dict[tuple[str, ...], float]:
        """Every counter, by its name and labels. Raises RedisError."""
        if self._redis is None:
            return {}
        found: dict[bytes, bytes] = self._redis.hgetall(KEY)  # type: ignore[assignment]
        return {tuple(key.decode().split(_SEPARATOR)): float(n) for key, n in found.items()}
