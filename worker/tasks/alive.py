"""``python -m worker.tasks.alive``: whether the beat has ticked of late, as an exit code."""

from __future__ import annotations

import sys
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from worker.errors import RedisAway
from worker.redis_causes import redis_words
from worker.say import say_error, starting
from worker.tasks import process_settings, redis_of, require_broker
from worker.tasks.beat import TICK_KEPT, TICK_KEY

OLDEST_BEAT: Final = 120.0
"""Seconds after which a beat that has not ticked counts as gone."""


def beat_age(redis: Redis | None) -> float | None:
    """Seconds since the beat last ticked; None if it has not of late, or what stands there is none.

    Raises RedisError where Redis does not answer.
    """
    if redis is None:
        return None
    left = int(redis.pttl(TICK_KEY)) / 1000
    return TICK_KEPT - left if 0 <= left <= TICK_KEPT else None


def beat_ticks(redis: Redis | None) -> bool:
    """Whether the beat has ticked of late. Raises RedisError where Redis does not answer."""
    age = beat_age(redis)
    return age is not None and age <= OLDEST_BEAT


def main() -> int:
    """0 if the beat ticks, 1 if it does not or Redis does not answer, 2 for wrong settings."""
    with starting():
        settings = process_settings()
        require_broker(settings)
    try:
        ticks = beat_ticks(redis_of(settings))
    except RedisError as error:
        said, hint = redis_words(error)
        say_error(RedisAway(f"Redis did not answer: {said}.", hint))
        return 1
    return 0 if ticks else 1


if __name__ == "__main__":
    sys.exit(main())
