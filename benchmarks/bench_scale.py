"""A pair of many milestones that is in step: what each command costs beside the floor.

``python -m benchmarks.bench_scale [--count N]… [--rounds N] [--json FILE]`` prints for each job
the CPU seconds of its whole process (start and imports included), their ratio to the floor, and
its peak memory. The floor is bare httpx and ``json.loads`` of the same pages, keeping nothing.
Every job and the server is a process of its own; a round measures all jobs one after the other,
so that the ratios are of one time; the figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.servers import ROOT, free_port

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "MILESYNC_LOG_LEVEL": "error"}
CLI = (str(Path(sys.executable).parent / "milesync"),)
JOBS = ("-m", "benchmarks.jobs")


@dataclass(frozen=True, slots=True)
class Job:
    """One process to measure, and the floor that it stands beside."""

    name: str
    words: tuple[str, ...]
    beside: str = "floor, both sides"


@dataclass(frozen=True, slots=True)
class Figures:
    """CPU seconds (user and system), wall seconds and peak memory of one process."""

    cpu: float
    wall: float
    mib: float


def jobs(folder: Path, port: int, count: int) -> list[Job]:
    """Everything that is measured, the floors first."""
    floor = (sys.executable, *JOBS, "floor", str(port), str(count))
    config = ("--config", str(folder / "milesync.toml"))
    return [
        Job("floor, both sides", floor),
        Job("floor, source only", (*floor, "source"), "floor, source only"),
        Job("sync, nothing changed", (*CLI, "sync", *config)),
        Job(
            "scheduled, source only",
            (sys.executable, *JOBS, "scheduled", str(folder / "milesync.toml")),
            "floor, source only",
        ),
        Job("plan", (*CLI, "plan", *config)),
        Job("plan, a first migration", (*CLI, "plan", "--config", str(folder / "new.toml"))),
        Job("verify", (*CLI, "verify", *config)),
        Job("mappings --json", (*CLI, "mappings", "--json", *config)),
        Job("failures", (*CLI, "failures", *config)),
        Job("status", (*CLI, "status", *config)),
        *_peers(port, count),
    ]


def _peers(port: int, count: int) -> list[Job]:
    """What others would read the source with: where PEERS is set, and they are installed."""
    names = ("testrail_api", "dlt") if os.environ.get("PEERS") else ()
    return [
        Job(name, (sys.executable, *JOBS, name, str(port), str(count)), "floor, source only")
        for name in names
        if find_spec(name) is not None
    ]


def measured(words: tuple[str, ...], folder: Path) -> Figures:
    """The figures of one process. Raises RuntimeError if it fails."""
    began = os.times().elapsed
    with (folder / "errors.txt").open("w+") as errors:
        process = subprocess.Popen(
            words, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(
                f"{' '.join(words)} ended with {process.returncode}: {errors.read()}"
            )
    elapsed = os.times().elapsed - began
    return Figures(usage.ru_utime + usage.ru_stime, elapsed, usage.ru_maxrss / 1024)


@contextmanager
def big_pair(count: int) -> Iterator[tuple[Path, int]]:
    """The folder and the port of a pair of so many milestones, whose pages are being served."""
    with tempfile.TemporaryDirectory(prefix="milesync-bench-") as name:
        folder, port = Path(name), free_port()
        facts = (str(folder), str(count), str(port))
        words = (sys.executable, "-m", "benchmarks.big_pair", *facts)
        subprocess.run(words, cwd=ROOT, env=ENVIRONMENT, check=True)
        with subprocess.Popen(
            (sys.executable, "-m", "benchmarks.page_server", str(folder), str(port)),
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
        ) as server:
            assert server.stdout is not None
            server.stdout.readline()
            try:
                yield folder, port
            finally:
                server.terminate()


def measure(count: int, rounds: int, only: str) -> list[dict[str, object]]:
    """The median figures of every job at this size."""
    with big_pair(count) as (folder, port):
        every = jobs(folder, port, count)
        _, _, sync, scheduled, *_ = every
        once = {
            "sync, which notes what agrees": measured(sync.words, folder),
            "sync, the first that finds nothing to do": measured(sync.words, folder),
            "scheduled, the first that finds nothing to do": measured(scheduled.words, folder),
        }
        seen: dict[str, list[Figures]] = {job.name: [] for job in every}
        chosen = [job for job in every if only in job.name or job.name.startswith("floor")]
        for _ in range(rounds):
            for job in chosen:
                seen[job.name].append(measured(job.words, folder))
    rows = [_row(count, job, seen) for job in chosen]
    return [*rows, *(_once(count, name, one, seen) for name, one in once.items())]


def _row(count: int, job: Job, seen: dict[str, list[Figures]]) -> dict[str, object]:
    mine, floors = seen[job.name], seen[job.beside]
    ratio = statistics.median(one.cpu / other.cpu for one, other in zip(mine, floors, strict=True))
    return {
        "milestones": count,
        "job": job.name,
        "cpu_seconds": round(statistics.median(one.cpu for one in mine), 2),
        "times_the_floor": round(ratio, 2),
        "peak_mib": round(max(one.mib for one in mine)),
        "wall_seconds": round(statistics.median(one.wall for one in mine), 2),
    }


def _once(
    count: int, name: str, first: Figures, seen: dict[str, list[Figures]]
) -> dict[str, object]:
    """A run that cannot be repeated: it notes what the ones after it need not look into."""
    beside = "floor, source only" if name.startswith("scheduled") else "floor, both sides"
    floor = statistics.median(one.cpu for one in seen[beside])
    return {
        "milestones": count,
        "job": f"{name} (once)",
        "cpu_seconds": round(first.cpu, 2),
        "times_the_floor": round(first.cpu / floor, 2),
        "peak_mib": round(first.mib),
        "wall_seconds": round(first.wall, 2),
    }


def table(rows: list[dict[str, object]]) -> str:
    """The figures as a Markdown table."""
    names = ("milestones", "job", "cpu_seconds", "times_the_floor", "peak_mib")
    lines = [
        f"| {' | '.join(name.replace('_', ' ') for name in names)} |",
        "|---:|---|---:|---:|---:|",
    ]
    lines += [f"| {' | '.join(str(row[name]) for name in names)} |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="measure only jobs whose names hold this")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for count in given.count or (10_000, 100_000):
        rows += measure(count, given.rounds, given.only)
    print(table(rows))
    print(f"\nLoad of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
