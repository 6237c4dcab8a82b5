"""Real processes: those that die in the middle of a run, and two at once on one pair."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from mappings.footer import marked_id
from tests.proofs.over_http import PROJECT, http_context
from tests.proofs.world import MIGRATION
from tests.support.clock import SkippingClock
from tests.support.database import fresh_engine
from tests.support.mortal import Boundaries
from worker.sandbox.http_server import SandboxServer
from worker.sandbox.seed import seed
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.testably_app import TOKEN
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_app import API_KEY, USER
from worker.sandbox.testrail_model import TestRailModel
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.run import run_pair
from worker.sync.verify import verify

ROOT = Path(__file__).parents[2]
DIED = 86
A_MINUTE = 60.0


@dataclass
class Sides:
    """Both servers."""

    rail: SandboxServer[TestRailModel]
    ably: SandboxServer[TestablyModel]

    def marked(self) -> list[int]:
        """The TestRail ids in the markers of all targets, sorted."""
        rows = self.ably.model.everything(PROJECT)
        return sorted(marked_id(str(row["description"]), self.rail.url) or 0 for row in rows)

    def source_ids(self) -> list[int]:
        return sorted(int(str(row["id"])) for row in self.rail.model.everything(1))


@contextmanager
def serve(count: int) -> Iterator[Sides]:
    with serve_testrail() as rail, serve_testably(rate=None) as ably:
        rail.model.url = rail.url
        seed(rail.model, 1, count)
        yield Sides(rail, ably)


# --- dying ------------------------------------------------------------------------------------

MILESTONES = 40


@pytest.fixture(scope="module")
def boundaries(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many boundaries an undisturbed migration has."""
    engine = fresh_engine(tmp_path_factory.mktemp("undisturbed"))
    point = Boundaries()
    with (
        serve(MILESTONES) as sides,
        http_context(
            sides.rail.url, sides.ably.url, engine, SkippingClock(), point=point
        ) as context,
    ):
        assert run_pair(context, MIGRATION, Scope()).state is State.SUCCEEDED
    engine.dispose()
    return point.passed


@pytest.mark.parametrize(
    "share",
    [*(0.01, 0.2, 0.41, 0.61, 0.79, 0.98)]
    + [pytest.param(number / 60, marks=pytest.mark.soak) for number in range(1, 60)],
)
def test_a_process_that_dies_is_followed_by_one_that_finishes(
    share: float, boundaries: int, tmp_path: Path
) -> None:
    """After a process that ended in the middle, the next migration doubles and loses nothing."""
    boundary = max(1, round(boundaries * share))
    engine = fresh_engine(tmp_path)
    with serve(MILESTONES) as sides:
        _die_at(boundary, sides, engine)
        clock = SkippingClock()
        with http_context(sides.rail.url, sides.ably.url, engine, clock) as context:
            assert run_pair(context, MIGRATION, Scope()).state is State.SUCCEEDED
            assert verify(context).in_step
        assert sides.marked() == sides.source_ids()
    engine.dispose()


def _die_at(boundary: int, sides: Sides, engine: Engine) -> None:
    database = engine.url.render_as_string(hide_password=False)
    arguments = [sides.rail.url, sides.ably.url, database, str(boundary)]
    died = subprocess.run(
        [sys.executable, "-m", "tests.proofs.over_http", *arguments],
        cwd=ROOT,
        timeout=A_MINUTE,
        check=False,
    )
    assert died.returncode == DIED


# --- two at once ------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["reading", "writing"])
def test_one_runs_and_the_other_is_told_who(stage: str, engine: Engine, tmp_path: Path) -> None:
    """The second says at once who holds the pair; when that one is killed, the next one runs."""
    with serve(5) as sides:
        method = {"reading": "GET", "writing": "POST"}[stage]
        sides.ably.faults.script("timeout", method=method, delay=A_MINUTE)
        with _migrating(sides, engine, tmp_path) as holder:
            _until(lambda: sides.ably.count(method) == 1)
            second = _migrate(sides, engine, tmp_path)
            assert second.code == 1
            assert second.error["kind"] == "busy"
            assert f"process {holder.pid}." in second.error["message"]
            assert holder.poll() is None
            holder.send_signal(signal.SIGKILL)
            holder.wait()
        if stage == "reading":
            next_one = _migrate(sides, engine, tmp_path)
            assert (next_one.code, next_one.created) == (0, 5)
            assert sides.marked() == sides.source_ids()
        else:  # it starts at once as well, and then waits for what the dead one sent
            with _migrating(sides, engine, tmp_path):
                _until(lambda: sides.ably.count("POST") == 5)


@dataclass
class Ended:
    """How a `milesync migrate --json` ended."""

    code: int
    document: dict[str, Any]

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = self.document["projects"][0]["error"]
        return found

    @property
    def created(self) -> int:
        return int(self.document["projects"][0]["created"])


def _migrate(sides: Sides, engine: Engine, folder: Path) -> Ended:
    with _migrating(sides, engine, folder) as process:
        out, _ = process.communicate(timeout=A_MINUTE)
        return Ended(process.returncode, json.loads(out))


@contextmanager
def _migrating(sides: Sides, engine: Engine, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running `milesync migrate`; killed if it still runs at the end."""
    settings = {
        "MILESYNC_TESTRAIL_URL": sides.rail.url,
        "MILESYNC_TESTRAIL_USER": USER,
        "MILESYNC_TESTRAIL_API_KEY": API_KEY,
        "MILESYNC_TESTRAIL_RATE_LIMIT": "100000/60s",
        "MILESYNC_TESTABLY_URL": sides.ably.url,
        "MILESYNC_TESTABLY_TOKEN": TOKEN,
        "MILESYNC_TESTABLY_RATE_LIMIT": "100000/60s",
        "MILESYNC_PROJECTS": f"1={PROJECT}",
        "MILESYNC_DATABASE_URL": engine.url.render_as_string(hide_password=False),
    }
    others = {name: value for name, value in os.environ.items() if "MILESYNC" not in name}
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.cli", "migrate", "--yes", "--json"],
        cwd=folder,
        env={**others, **settings, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _until(happened: Callable[[], bool]) -> None:
    """Return when it has happened; another process does it."""
    deadline = time.monotonic() + A_MINUTE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
