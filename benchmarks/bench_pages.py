"""The pages, the metrics and the status of two thousand pairs: CPU seconds and size of each.

``python -m benchmarks.bench_pages [--pairs N] [--milestones N] [--days N] [--postgres]``. Each pair
has 50 milestones and the runs of one day by default. The first page is shown twice: once as the
process starts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

from sqlalchemy import text  # noqa: E402

from benchmarks.servers import ROOT, postgres  # noqa: E402
from mappings.database import open_engine, upgrade  # noqa: E402
from tests.service.test_intake import client  # noqa: E402
from tests.web.test_many_pairs import WAITS, fill  # noqa: E402


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """What each page and the command cost."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="milesync-bench-")))
        url = f"sqlite:///{folder / 'milesync.db'}"
        if given.postgres:
            url = stack.enter_context(postgres(folder))
        engine = open_engine(url)
        stack.callback(engine.dispose)
        upgrade(engine)
        fill(engine, given.pairs, given.milestones, given.days)
        with engine.begin() as connection:
            connection.execute(text("ANALYZE"))
        projects = ",".join(f"{id_}=proj_{id_}" for id_ in range(1, given.pairs + 1))
        with client(engine, MILESYNC_PROJECTS=projects) as web:
            found = [_page(web, path) for path in _paths(given.pairs)]
        return [*found, _status(url, projects, folder)]


def _paths(pairs: int) -> tuple[str, ...]:
    last = f"/pairs/{WAITS}/proj_{WAITS}"
    return (
        *("/", "/", f"/?page={pairs // 50}", "/?q=product+7", "/needs-you"),
        *(last, f"{last}/milestones/{WAITS}", "/metrics", "/metrics"),
    )


def _page(web: Any, path: str) -> dict[str, Any]:
    began, at = time.process_time(), time.perf_counter()
    answer = web.get(path)
    return {
        "what": path,
        "answer": answer.status_code,
        "cpu_seconds": round(time.process_time() - began, 3),
        "seconds": round(time.perf_counter() - at, 3),
        "kilobytes": round(len(answer.content) / 1000, 1),
    }


def _status(url: str, projects: str, folder: Path) -> dict[str, Any]:
    """The command, a process of its own, its start included."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MILESYNC_")}
    environment = {
        **plain,
        "PYTHONPATH": str(ROOT),
        "MILESYNC_DATABASE_URL": url,
        "MILESYNC_PROJECTS": projects,
        "MILESYNC_TESTRAIL_URL": "https://example.testrail.io",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    at = time.perf_counter()
    words = (sys.executable, "-m", "worker.cli", "status", "--json")
    shown = subprocess.run(words, env=environment, cwd=folder, check=True, capture_output=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {
        "what": "milesync status --json",
        "answer": shown.returncode,
        "cpu_seconds": round(cpu, 3),
        "seconds": round(time.perf_counter() - at, 3),
        "kilobytes": round(len(shown.stdout) / 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, usual in (("pairs", 2000), ("milestones", 50), ("days", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = measure(given)
    for row in rows:
        print(
            f"{row['what']:32} {row['answer']} {row['cpu_seconds']:6.3f} s CPU "
            f"{row['seconds']:6.3f} s {row['kilobytes']:7.1f} KB"
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
