"""Many pairs on one token and one schedule: what did not change costs nothing at the target."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.stack import Stack
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_model import TestRailModel
from worker.sync.options import Trigger
from worker.tasks.slices import Job, work


@pytest.mark.parametrize("pairs", [25, pytest.param(1000, marks=pytest.mark.soak)])
def test_unchanged_pairs_need_no_request_at_the_target(
    pairs: int, clean_postgres: str, clean_redis: str, tmp_path: Path
) -> None:
    """The second tick: one PATCH for each changed milestone, one GET at TestRail for each pair."""
    numbers = range(1, pairs + 1)
    source = TestRailModel(projects=list(numbers))
    target = TestablyModel(projects=[f"proj_{n}" for n in numbers])
    ids = [int(str(source.add(n, {"name": f"Release {n}"})["id"])) for n in numbers]
    with serve_testrail(source) as testrail, serve_testably(target, rate=None) as testably:
        stack = Stack(testrail, testably, clean_postgres, clean_redis, tmp_path)
        stack.extra["MILESYNC_PROJECTS"] = ",".join(f"{n}=proj_{n}" for n in numbers)
        with stack.deployment as here:

            def tick() -> None:
                for pair in here.settings.projects:
                    assert work(here, Job(pair, Trigger.SCHEDULE), lambda: False) is None

            tick()
            assert testably.count("POST") == pairs
            changed = ids[::10]
            for id_ in changed:
                source.update(id_, {"name": "renamed"})
            before = (len(testrail.requests), len(testably.requests))
            tick()
            after = (len(testrail.requests), len(testably.requests))
    told = f"{pairs} pairs, {len(changed)} changes: {after[1] - before[1]} requests at the target"
    print(told)  # noqa: T201
    assert after[0] - before[0] == pairs
    assert after[1] - before[1] == len(changed)
