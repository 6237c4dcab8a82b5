"""What a created milestone costs: CPU of the whole process, and bytes written to disk.

``python -m benchmarks.bench_create [--count N] [--rounds N] [--json FILE]``. Beside `milesync
migrate` on SQLite and PostgreSQL stand the floor (the journal's four statements and two commits in
bare sqlite3) and a script (a loop of POSTs that keeps no journal). From each the cost of the same
with no milestones is taken off, so that the start does not count; the servers are processes of
their own.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.servers import ROOT, postgres
from worker.sandbox.server import API_KEY, TOKEN, USER

HERE = "benchmarks.bench_create"
ROW = "x" * 900
"""About what a link keeps as JSON."""


@contextmanager
def servers(count: int) -> Iterator[tuple[str, str]]:
    """The URLs of both sandbox servers, TestRail with so many open milestones.

    So each takes one POST, as in the script: a completed one would take a PATCH as well.
    """
    words = (sys.executable, "-m", "benchmarks.sandbox_server", str(count), "plain")
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as one:
        try:
            assert one.stdout is not None
            testrail, testably = json.loads(one.stdout.readline())
            yield testrail, testably
        finally:
            one.terminate()


def used(words: tuple[str, ...], environ: dict[str, str], folder: Path) -> tuple[float, int]:
    """CPU seconds of a process, and the bytes that it had written to disk. Raises RuntimeError."""
    with (folder / "out.txt").open("w+") as out:
        process = subprocess.Popen(words, cwd=folder, env=environ, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            out.seek(0)
            raise RuntimeError(f"{' '.join(words)}: {out.read()}")
    return usage.ru_utime + usage.ru_stime, usage.ru_oublock * 512


def migrated(count: int, database: str | None) -> tuple[float, int]:
    """`milesync migrate` of so many milestones; on SQLite where no database is named."""
    with ExitStack() as stack:
        testrail, testably = stack.enter_context(servers(count))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="milesync-bench-")))
        url = database or f"sqlite:///{folder / 'milesync.db'}"
        plain = {k: v for k, v in os.environ.items() if not k.startswith("MILESYNC_")}
        environ = {
            **plain,
            "PYTHONPATH": str(ROOT),
            "MILESYNC_DATABASE_URL": url,
            "MILESYNC_TESTRAIL_URL": testrail,
            "MILESYNC_TESTRAIL_USER": USER,
            "MILESYNC_TESTRAIL_API_KEY": API_KEY,
            "MILESYNC_TESTABLY_URL": testably,
            "MILESYNC_TESTABLY_TOKEN": TOKEN,
            "MILESYNC_PROJECTS": "1=proj_abc123",
            "MILESYNC_TESTRAIL_RATE_LIMIT": "1000000/1s",
            "MILESYNC_TESTABLY_RATE_LIMIT": "1000000/1s",
            "MILESYNC_LOG_LEVEL": "error",
        }
        program = (sys.executable, "-m", "worker.cli", "migrate", "--yes", "--json", "--no-verify")
        return used(program, environ, folder)


def scripted(count: int) -> tuple[float, int]:
    """The loop of POSTs."""
    with servers(0) as (_, testably), tempfile.TemporaryDirectory() as folder:
        words = (sys.executable, "-m", HERE, "--script", testably, "--count", str(count))
        return used(words, {**os.environ, "PYTHONPATH": str(ROOT)}, Path(folder))


def floor(count: int) -> tuple[float, int]:
    """The journal in bare sqlite3."""
    with tempfile.TemporaryDirectory() as folder:
        words = (sys.executable, "-m", HERE, "--floor", "--count", str(count))
        return used(words, {**os.environ, "PYTHONPATH": str(ROOT)}, Path(folder))


def _journal(count: int) -> None:
    base = sqlite3.connect("floor.db", isolation_level=None)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("PRAGMA synchronous=NORMAL")
    base.execute("CREATE TABLE links (id INTEGER PRIMARY KEY, key INTEGER UNIQUE, state, row)")
    base.execute("CREATE TABLE changes (id INTEGER PRIMARY KEY, link INTEGER, state, row)")
    for key in range(count):
        base.execute("BEGIN")
        base.execute("INSERT INTO links VALUES (NULL, ?, 'creating', ?)", (key, ROW))
        base.execute("INSERT INTO changes VALUES (NULL, ?, 'intended', ?)", (key, ROW))
        base.execute("COMMIT")
        base.execute("BEGIN")
        base.execute("UPDATE links SET state = 'linked', row = ? WHERE key = ?", (ROW + ROW, key))
        base.execute("UPDATE changes SET state = 'done', row = ? WHERE id = ?", (ROW, key + 1))
        base.execute("COMMIT")
    base.close()


def _post(testably: str, count: int) -> None:
    address = f"{testably}/v1/projects/proj_abc123/milestones"
    with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        for number in range(count):
            body = {"name": f"Release {number}", "description": "x" * 200}
            client.post(address, json=body).raise_for_status().json()


def measure(count: int, rounds: int) -> list[dict[str, Any]]:
    """The median cost of one milestone in each way."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="milesync-bench-")))
        ways = {
            "floor: the journal in bare sqlite3": floor,
            "script without a journal": scripted,
            "milesync, SQLite": lambda n: migrated(n, None),
        }
        found = {name: [_each(way, count) for _ in range(rounds)] for name, way in ways.items()}
        found["milesync, PostgreSQL"] = []
        for number in range(rounds):
            base = folder / str(number)
            base.mkdir()
            with postgres(base) as empty:
                start = migrated(0, empty)
            with postgres(base) as again:
                whole = migrated(count, again)
            found["milesync, PostgreSQL"].append(_difference(start, whole, count))
    return [
        {
            "job": name,
            "cpu_ms_a_milestone": round(statistics.median(cpu for cpu, _ in costs), 2),
            "kb_written_a_milestone": round(statistics.median(kb for _, kb in costs), 1),
        }
        for name, costs in found.items()
    ]


def _each(way: Any, count: int) -> tuple[float, float]:
    return _difference(way(0), way(count), count)


def _difference(
    start: tuple[float, int], whole: tuple[float, int], count: int
) -> tuple[float, float]:
    cpu, written = whole[0] - start[0], whole[1] - start[1]
    return 1000 * cpu / count, written / count / 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--floor", action="store_true")
    parser.add_argument("--script")
    given = parser.parse_args()
    if given.floor:
        _journal(given.count)
    elif given.script:
        _post(given.script, given.count)
    else:
        rows = measure(given.count, given.rounds)
        for row in rows:
            print(
                f"{row['job']:36} {row['cpu_ms_a_milestone']:6.2f} ms CPU "
                f"{row['kb_written_a_milestone']:7.1f} KB written"
            )
        if given.json:
            given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
