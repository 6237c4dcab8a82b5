"""How well many processes share one token: four workers and a command, a strict server.

Prints the requests the server granted and refused, and the share of the allowed rate that was
used. The server counts a strict sliding window of 60 requests in 2 seconds.

    python -m benchmarks.bench_rate_limiter --redis redis://localhost:6379/0 --seconds 20

Without ``--redis`` it starts the Redis of the dev group.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from redis import Redis

from benchmarks.servers import redis_server
from worker.clients.credentials import bearer
from worker.clients.rate_limit import Priority, RateLimit, rate_limiter_key
from worker.clients.redis_limiter import RedisRateLimiter
from worker.clients.transport import Transport
from worker.clock import SystemClock
from worker.sandbox import limit as sandbox
from worker.sandbox.server import serve_testably
from worker.sandbox.testably_app import TOKEN

LIMIT, WINDOW = 180, 6.0
PROCESSES = 5


class SkewedClock(SystemClock):
    """A clock that is wrong by so many seconds."""

    def __init__(self, skew: float) -> None:
        self._skew = skew

    def monotonic(self) -> float:
        return super().monotonic() + self._skew


@dataclass(frozen=True, slots=True)
class Figures:
    """What the server saw; ``used`` is the share of what it would have granted."""

    granted: int
    refused: int
    used: float


def measure(redis_url: str, seconds: float, skew: float) -> Figures:
    """Let five processes ask as fast as the limiter lets them; one has a skewed clock."""
    with serve_testably(rate=sandbox.ServerRate(LIMIT, WINDOW)) as server:
        begin = time.time() + 2.0  # so that all have started
        callers = [
            subprocess.Popen(
                [
                    *(sys.executable, __file__, "--call", server.url, "--redis", redis_url),
                    *("--begin", str(begin), "--seconds", str(seconds)),
                    *("--skew", str(skew if number == 0 else 0.0)),
                ],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            )
            for number in range(PROCESSES)
        ]
        codes = [caller.wait(seconds + 60) for caller in callers]
        if any(codes):
            raise RuntimeError(f"a caller failed: {codes}")
        granted, refused = server.count(status=200), server.count(status=429)
        times = [seen.at for seen in server.requests]
    allowed = LIMIT * (max(times) - min(times)) / WINDOW
    return Figures(granted, refused, granted / allowed)


def call(url: str, redis_url: str, begin: float, seconds: float, skew: float) -> None:
    """One of the processes."""
    clock = SkewedClock(skew)
    limiter = RedisRateLimiter(
        Redis.from_url(redis_url), rate_limiter_key("testably", TOKEN), RateLimit(LIMIT, WINDOW)
    )
    with Transport(
        "Testably",
        url,
        bearer(SecretStr(TOKEN)),
        rate_limiter=limiter,
        clock=clock,
        priority=Priority.BACKGROUND,
    ) as transport:
        time.sleep(max(begin - time.time(), 0.0))
        end = time.time() + seconds  # a machine that is busy may have started it late
        while time.time() < end:
            transport.get("v1/projects/proj_abc123/milestones?page=1", lambda answer: answer)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--redis")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--call")
    parser.add_argument("--begin", type=float, default=0.0)
    parser.add_argument("--skew", type=float, default=0.0)
    given = parser.parse_args()
    if given.call:
        call(given.call, given.redis, given.begin, given.seconds, given.skew)
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = given.redis or stack.enter_context(redis_server(folder))
        rows = [_told(measure(url, given.seconds, skew), skew) for skew in (0.0, 0.25)]
    print(json.dumps(rows, indent=2))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


def _told(found: Figures, skew: float) -> dict[str, object]:
    return {
        "processes": PROCESSES,
        "allowed": f"{LIMIT} in {WINDOW:g} s",
        "one_clock_off_by_seconds": skew,
        "granted": found.granted,
        "refused": found.refused,
        "used": round(found.used, 3),
    }


if __name__ == "__main__":
    main()
