"""``python -m worker.tasks.alive``: whether the beat has ticked of late, as an exit code."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

from redis import Redis

from worker.tasks import process_settings, redis_of
from worker.tasks.beat import TICK_KEY

OLDEST_BEAT: Final = 120.0
"""Seconds after which a beat that has not ticked counts as gone."""


def beat_age(redis: Redis | None) -> float | None:
    """Seconds since the beat last ticked; None if it never did. Raises RedisError."""
    found: Any = None if redis is None else redis.get(TICK_KEY)
    return None if found is None else max(time.time() - float(found), 0.0)


if __name__ == "__main__":
    age = beat_age(redis_of(process_settings()))
    sys.exit(0 if age is not None and age <= OLDEST_BEAT else 1)
