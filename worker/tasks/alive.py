"""``python -m worker.tasks.alive``: whether the beat has ticked of late, as an exit code."""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from typing import Any, Final

from redis import Redis
from redis.exceptions import ResponseError

from worker.tasks import process_settings, redis_of
from worker.tasks.beat import TICK_KEY

OLDEST_BEAT: Final = 120.0
"""Seconds after which a beat that has not ticked counts as gone."""


def beat_age(redis: Redis | None) -> float | None:
    """Seconds since the beat last ticked; None if it never did, or if what stands there is no time.

    Raises RedisError where Redis does not answer.
    """
    if redis is None:
        return None
    with suppress(ResponseError, ValueError, TypeError):  # no text, no number, nothing
        found: Any = redis.get(TICK_KEY)
        ticked = float(found)
        return max(time.time() - ticked, 0.0) if math.isfinite(ticked) else None
    return None


if __name__ == "__main__":
    age = beat_age(redis_of(process_settings()))
    sys.exit(0 if age is not None and age <= OLDEST_BEAT else 1)
