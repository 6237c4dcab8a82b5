"""A pair of many milestones that is in step: what a run costs against only reading the pages.

``python benchmarks/bench_scale.py [COUNT]`` (100,000 by default) prints the seconds and the peak
memory of a process that fetches and decodes both sides' pages, and of one that makes a whole
run over the same servers. The servers and the first migration live in other processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT, TARGET = 1, "proj_abc123"
CHILD = "--child"


def main() -> None:
    """Start the servers with COUNT milestones in step, then measure each job on its own."""
    from worker.sandbox.server import serve_testably, serve_testrail

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/bench.db"
        source, target = _in_step(count, database)
        with (
            serve_testrail(source, log=False) as testrail,
            serve_testably(target, log=False, rate=None) as testably,
        ):
            for job in ("read", "run", "read", "run"):
                _measure(job, database, testrail.url, testably.url)


def _in_step(count: int, database: str):  # type: ignore[no-untyped-def]
    """Both models and the database after a migration in memory."""
    from mappings.database import ensure_ready, open_engine
    from mappings.milestone import MappingRules
    from mappings.rows import PairIdentity
    from mappings.runs import RunLog
    from mappings.store import Store
    from worker.clock import SystemClock
    from worker.sandbox.in_memory import InMemorySource, InMemoryTarget
    from worker.sandbox.seed import seed
    from worker.sandbox.testably_model import TestablyModel
    from worker.sandbox.testrail_model import TestRailModel
    from worker.sync.context import PairContext
    from worker.sync.options import Options, Policy, Trigger
    from worker.sync.run import run_pair

    source, target = TestRailModel([PROJECT]), TestablyModel([TARGET])
    seed(source, PROJECT, count)
    engine = open_engine(database)
    ensure_ready(engine)
    identity = PairIdentity("http://source.test", PROJECT, "http://target.test", TARGET)
    context = PairContext(
        identity,
        MappingRules(identity.testrail_url),
        Policy(),
        InMemorySource(source),
        InMemoryTarget(target),
        Store(engine),
        RunLog(engine),
        SystemClock(),
        "benchmark",
    )
    report = run_pair(context, Options(trigger=Trigger.MIGRATION))
    print(f"migrated {report.counts['created']:,} in memory")
    return source, target


def _measure(job: str, database: str, testrail: str, testably: str) -> None:
    words = [sys.executable, __file__, CHILD, job, database, testrail, testably]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run(words, check=True, env=environment)


def child(job: str, database: str, testrail: str, testably: str) -> None:
    """One job in a process of its own; prints its seconds and peak memory."""
    from pydantic import SecretStr

    from mappings.database import open_engine
    from mappings.milestone import MappingRules
    from mappings.rows import PairIdentity
    from mappings.runs import RunLog
    from mappings.store import Store
    from worker.clients.credentials import basic_auth, bearer
    from worker.clients.rate_limit import LocalRateLimiter, RateLimit
    from worker.clients.testably import Testably
    from worker.clients.testrail import HEADERS, TestRail
    from worker.clients.transport import Transport
    from worker.clock import SystemClock
    from worker.sandbox.testably_app import TOKEN
    from worker.sandbox.testrail_app import API_KEY, USER
    from worker.sync.context import PairContext
    from worker.sync.options import Options, Policy
    from worker.sync.run import run_pair

    clock = SystemClock()
    limiter = LocalRateLimiter(RateLimit(1_000_000, 1), clock)
    key = basic_auth(USER, SecretStr(API_KEY))
    source = TestRail(
        Transport("TestRail", testrail, key, rate_limiter=limiter, clock=clock, headers=HEADERS)
    )
    target = Testably(
        Transport("Testably", testably, bearer(SecretStr(TOKEN)), rate_limiter=limiter, clock=clock)
    )
    start = time.perf_counter()
    if job == "read":
        found = (source.read_project(PROJECT), target.list_all(TARGET))
        note = f"{len(found[0].milestones):,} and {len(found[1].milestones):,} milestones"
    else:
        engine = open_engine(database)
        identity = PairIdentity("http://source.test", PROJECT, "http://target.test", TARGET)
        rules = MappingRules(identity.testrail_url)
        store, runs = Store(engine), RunLog(engine)
        context = PairContext(
            identity, rules, Policy(), source, target, store, runs, clock, "bench"
        )
        report = run_pair(context, Options())
        note = f"{report.state}, {dict(report.counts)}"
    seconds = time.perf_counter() - start
    peak = _peak_kib() / 1024
    print(f"{job:5} {seconds:6.2f} s  peak {peak:4.0f} MiB  {note}", flush=True)


def _peak_kib() -> int:
    """This process's own peak; getrusage would tell that of the parent it was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    if CHILD in sys.argv:
        child(*sys.argv[2:])
    else:
        sys.path.insert(0, str(Path(__file__).parent.parent))
        main()
