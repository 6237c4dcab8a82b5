"""How many webhook calls a second one web process accepts, and how soon it answers.

``python -m benchmarks.bench_intake [CALLS]`` (5,000 by default) prints calls a second and the
median, 99th percentile and longest answer time, with PostgreSQL and Redis: those of
MILESYNC_TEST_POSTGRES_URL and MILESYNC_TEST_REDIS_URL, or of the wheels in the dev group. Each
call is a delivery of its own; they hint at 50 milestones in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from sqlalchemy import text

from benchmarks.servers import ROOT, cpu_seconds, postgres, redis_server, until
from mappings.database import open_engine

PORT = 18432
CONNECTIONS = 8
SECRET = "bench-webhook-secret"


def main() -> None:
    """Start everything, call, and count what was kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("calls", type=int, nargs="?", default=5000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measure(given.calls)
    print(json.dumps(found, indent=2))
    if given.json:
        given.json.write_text(json.dumps([found], indent=2) + "\n")


def measure(calls: int) -> dict[str, object]:
    """Calls a second, the times of their answers, and the CPU of the web process for each."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(postgres(folder))
        redis = stack.enter_context(redis_server(folder))
        process = stack.enter_context(web(database, redis, folder))
        asyncio.run(_call_all(200))  # warm
        began, before = time.perf_counter(), cpu_seconds(process)
        waits = sorted(asyncio.run(_call_all(calls)))
        seconds, used = time.perf_counter() - began, cpu_seconds(process) - before
        engine = open_engine(database)
        with engine.connect() as connection:
            kept = connection.execute(text("SELECT count(*) FROM deliveries")).scalar_one()
        engine.dispose()
    return {
        "calls": calls,
        "connections": CONNECTIONS,
        "a_second": round(calls / seconds),
        "median_ms": round(statistics.median(waits) * 1000, 1),
        "99_percent_within_ms": round(waits[int(len(waits) * 0.99)] * 1000, 1),
        "longest_ms": round(waits[-1] * 1000, 1),
        "web_cpu_ms_a_call": round(used / calls * 1000, 2),
        "kept": kept - 200,
    }


async def _call_all(calls: int) -> list[float]:
    share = calls // CONNECTIONS
    found = await asyncio.gather(*(_call(share) for _ in range(CONNECTIONS)))
    return [wait for waits in found for wait in waits]


async def _call(calls: int) -> list[float]:
    """Calls one after the other on one connection; the seconds that each took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    waits = []
    for number in range(calls):
        body = json.dumps({"project_id": "1", "milestone_id": str(number % 50 + 1)}).encode()
        head = (
            f"POST /webhooks/testrail HTTP/1.1\r\nHost: localhost\r\n"
            f"X-Milesync-Secret: {SECRET}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"}")
        waits.append(time.perf_counter() - began)
        if b" 202 " not in answer:
            raise RuntimeError(answer.decode())
    writer.close()
    return waits


@contextmanager
def web(database: str, redis: str, folder: Path) -> Iterator[int]:
    """The web process, as deployed; its id."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MILESYNC_DATABASE_URL": database,
        "MILESYNC_REDIS_URL": redis,
        "MILESYNC_TESTRAIL_URL": "http://127.0.0.1:1",
        "MILESYNC_PROJECTS": "1=proj_abc123",
        "MILESYNC_WEBHOOK_SECRET": SECRET,
        "MILESYNC_LISTEN": f"127.0.0.1:{PORT}",
        "MILESYNC_LOG_FORMAT": "json",
    }
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.web"], env=environment, cwd=folder, stderr=log
        )
        try:
            until(lambda: httpx.get(f"http://127.0.0.1:{PORT}/healthz").is_success)
            yield process.pid
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
