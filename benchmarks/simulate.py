"""Many pairs on a virtual clock: how long they wait, and how much of the allowances they use.

``python -m benchmarks.simulate PAIRS [--tokens N] [--instances N] [--workers N] [--minutes N]
[--schedule CRON] [--cold]`` prints one row of the table in docs/scale.md. ``--cold``: no target was
ever listed, as after an hour of rest. What is simulated and what is real: `tests.support.fleet`.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog

from tests.support.fleet import Size, simulate
from tests.support.outside import Seen


def figures(size: Size, minutes: float) -> dict[str, Any]:
    """What a run of the simulation shows."""
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="milesync-bench-") as folder:
        seen = simulate(size, minutes * 60, Path(folder))
    waits = seen.waits.values()
    runs = seen.runs["ended"]
    return {
        "pairs": size.pairs,
        "tokens": size.tokens,
        "instances": size.instances,
        "workers": size.workers,
        "minutes": minutes,
        "runs": runs,
        "longest_wait_in_periods": round(max(waits), 2),
        "median_of_the_pairs_longest": round(statistics.median(waits), 2),
        "longest_queue": seen.longest_queue,
        "testrail_used": _used(seen, "testrail", size.testrail, minutes),
        "testably_used": _used(seen, "testably", size.testably, minutes),
        "refused_by_the_vendors": seen.refused.total(),
        "changes_carried": len(seen.carried),
        "longest_until_carried_minutes": round(max(seen.carried, default=0.0) / 60, 1),
        "cpu_ms_a_run": round(1000 * (time.process_time() - began) / runs, 1),
    }


def _used(seen: Seen, api: str, allowed: int, minutes: float) -> float:
    """The share of what was allowed that the busiest account has used."""
    most = max(number for owner, number in seen.requests.items() if owner.startswith(api))
    return round(most / (allowed * minutes), 2)


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=int)
    for name, usual in (("tokens", 1), ("instances", 1), ("workers", 4), ("minutes", 61)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--schedule", action="append")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    size = Size(
        given.pairs,
        given.tokens,
        given.instances,
        given.workers,
        schedules=tuple(given.schedule or ("*/15 * * * *",)),
        listed=not given.cold,
    )
    found = json.dumps([figures(size, given.minutes)], indent=2)
    print(found)
    if given.json:
        given.json.write_text(found + "\n")


if __name__ == "__main__":
    main()
