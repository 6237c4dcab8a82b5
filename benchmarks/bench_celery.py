"""Many pairs on one schedule through real Celery: a beat, a worker of four, Redis and PostgreSQL.

``python -m benchmarks.bench_celery [--pairs N] [--milestones N] [--workers N] [--minutes N]``.
Nothing changes at either side, whose pages are rendered beforehand. It prints how evenly the pairs
were run, how long the queue grew and whether it was empty again before the next moment, and the
CPU and memory of the beat, the workers and Redis. ``--json FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from redis import Redis
from sqlalchemy import Engine, select

from benchmarks.big_pair import make_pairs
from benchmarks.servers import ROOT, cpu_seconds, free_port, postgres, redis_server, until
from mappings.database import open_engine
from mappings.tables import runs

EVERY = 2.0
"""Seconds between two looks."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment: messages that wait, MiB, and CPU seconds since the start."""

    at: float
    queue: int
    redis_mib: float
    mib: dict[str, float]
    cpu: dict[str, float]


def watch(
    redis: Redis, processes: dict[str, subprocess.Popen[bytes]], minutes: float
) -> list[Look]:
    """One look every two seconds."""
    began, seen = time.monotonic(), []
    while time.monotonic() - began < minutes * 60:
        used = {name: _used(process.pid) for name, process in processes.items()}
        seen.append(
            Look(
                time.monotonic() - began,
                int(redis.llen("sync")),
                int(redis.info("memory")["used_memory"]) / 2**20,
                {name: mib for name, (_, mib) in used.items()},
                {name: cpu for name, (cpu, _) in used.items()},
            )
        )
        time.sleep(EVERY)
    return seen


def _used(process: int) -> tuple[float, float]:
    """CPU seconds, and MiB that are its own or shared, of a process with its children."""
    cpu = mib = 0.0
    for one in [process, *_children(process)]:
        cpu += cpu_seconds(one)
        mib += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * _PAGE / 2**20
    return cpu, mib


def _children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in found]


def summary(engine: Engine, looks: list[Look], given: argparse.Namespace) -> dict[str, Any]:
    """The figures of the whole time."""
    ended = _ends(engine)
    gaps = [
        (later - earlier).total_seconds()
        for times in ended.values()
        for earlier, later in itertools.pairwise(times)
    ]
    middle, last = looks[len(looks) // 2], looks[-1]
    counts = [len(times) for times in ended.values()]
    total = sum(counts)
    return {
        "pairs": given.pairs,
        "milestones_a_pair": given.milestones,
        "workers": given.workers,
        "minutes": given.minutes,
        "schedule": given.schedule,
        "runs": total,
        "pairs_that_ran": len(ended),
        "runs_a_pair_least_and_most": [min(counts), max(counts)],
        "longest_gap_between_two_runs_of_a_pair": round(max(gaps, default=0.0), 1),
        "longest_queue": max(look.queue for look in looks),
        "looks_at_an_empty_queue": sum(look.queue == 0 for look in looks),
        "looks": len(looks),
        "redis_mib_middle_and_end": [round(middle.redis_mib, 1), round(last.redis_mib, 1)],
        "mib_middle_and_end": {
            name: [round(middle.mib[name]), round(last.mib[name])] for name in last.mib
        },
        "worker_cpu_ms_a_run": round(1000 * last.cpu["worker"] / total, 1),
        "beat_cpu_ms_a_message": round(1000 * last.cpu["beat"] / total, 1),
    }


def _ends(engine: Engine) -> dict[int, list[datetime]]:
    """When each pair's runs ended, in order."""
    found: dict[int, list[datetime]] = defaultdict(list)
    query = select(runs.c.pair_id, runs.c.finished_at).where(runs.c.state == "succeeded")
    with engine.connect() as connection:
        for pair, at in connection.execute(query.order_by(runs.c.finished_at)):
            found[pair].append(at)
    return found


def _settings(given: argparse.Namespace, database: str, redis: str, port: int) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MILESYNC_")}
    pairs = ",".join(f"{one}=proj_{one}" for one in range(1, given.pairs + 1))
    return {
        **plain,
        "PYTHONPATH": str(ROOT),
        "MILESYNC_DATABASE_URL": database,
        "MILESYNC_REDIS_URL": redis,
        "MILESYNC_TESTRAIL_URL": f"http://127.0.0.1:{port}",
        "MILESYNC_TESTRAIL_USER": "ada@example.com",
        "MILESYNC_TESTRAIL_API_KEY": "key",
        "MILESYNC_TESTABLY_URL": f"http://127.0.0.1:{port}",
        "MILESYNC_TESTABLY_TOKEN": "testably_sandbox",
        "MILESYNC_TESTRAIL_RATE_LIMIT": "1000000/60s",
        "MILESYNC_TESTABLY_RATE_LIMIT": "1000000/60s",
        "MILESYNC_SCHEDULE": given.schedule,
        "MILESYNC_PROJECTS": pairs,
        "MILESYNC_LOG_FORMAT": "json",
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Start everything, look on, and end it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="milesync-bench-")))
        database = stack.enter_context(postgres(folder))
        redis = stack.enter_context(redis_server(folder))
        port, engine = free_port(), open_engine(database)
        stack.callback(engine.dispose)
        projects = {one: f"proj_{one}" for one in range(1, given.pairs + 1)}
        make_pairs(folder, engine, projects, given.milestones, port)
        environment = _settings(given, database, redis, port)

        def start(name: str, *words: str) -> subprocess.Popen[bytes]:
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            command = (sys.executable, "-m", *words)
            process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        start("pages", "benchmarks.page_server", str(folder), str(port))
        until(lambda: b"ready" in (folder / "pages.log").read_bytes())
        celery = ("celery", "-A", "worker.tasks")
        worker = start("worker", *celery, "worker", "-c", str(given.workers))
        until(lambda: b"ready." in (folder / "worker.log").read_bytes())
        beat = start("beat", *celery, "beat", "-s", str(folder / "unused"))
        seen = watch(Redis.from_url(redis), {"worker": worker, "beat": beat}, given.minutes)
        return summary(engine, seen, given)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, usual in (("pairs", 1000), ("milestones", 50), ("workers", 4), ("minutes", 9)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--schedule", default="*/2 * * * *")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = json.dumps([measure(given)], indent=2)
    print(found)
    if given.json:
        given.json.write_text(found + "\n")


if __name__ == "__main__":
    main()
