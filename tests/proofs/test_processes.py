"""Real processes: those that die in the middle of a run, and two at once on one pair."""

from __future__ import annotations

import json
import os
import shutil
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

from mappings.database import open_engine
from mappings.milestone import marked_id
from tests.proofs.over_http import PROJECT, SkippingClock, http_mirror
from tests.proofs.world import MIGRATION, Boundaries, fresh_engine
from worker.sandbox.http_server import SandboxServer
from worker.sandbox.seed import seed
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.testably_app import TOKEN
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_app import API_KEY, USER
from worker.sandbox.testrail_model import TestRailModel
from worker.sync.gather import Scope
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


def _boundaries(folder: Path, count: int) -> int:
    with serve(count) as sides:
        engine = fresh_engine(folder, "undisturbed")
        point = Boundaries()
        clock = SkippingClock()
        with http_mirror(sides.rail.url, sides.ably.url, engine, clock, point=point) as mirror:
            assert run_pair(mirror, MIGRATION, Scope()).state is State.SUCCEEDED
        engine.dispose()
        return point.passed


def _die_at(boundary: int, sides: Sides, engine: Engine) -> None:
    program = [sys.executable, "-m", "tests.proofs.over_http"]
    addresses = [sides.rail.url, sides.ably.url, engine.url.render_as_string(hide_password=False)]
    died = subprocess.run([*program, *addresses, str(boundary)], cwd=ROOT, timeout=A_MINUTE)
    assert died.returncode == DIED


@pytest.mark.parametrize(
    "sample",
    [3, *(pytest.param(number, marks=pytest.mark.soak) for number in range(4, 40))],
)
def test_processes_that_die_one_after_the_other_lose_and_double_nothing(
    sample: int, tmp_path: Path
) -> None:
    """Each of several processes dies a little later in the work; the last one finishes it."""
    count = 12
    boundaries = _boundaries(tmp_path, count)
    with serve(count) as sides:
        engine = fresh_engine(tmp_path)
        for boundary in (sample, sample + 7):
            _die_at(boundary, sides, engine)
        clock = SkippingClock()
        with http_mirror(sides.rail.url, sides.ably.url, engine, clock) as mirror:
            assert run_pair(mirror, MIGRATION, Scope()).state is State.SUCCEEDED
            assert verify(mirror).in_step
        assert sides.marked() == sides.source_ids()
        engine.dispose()
    assert boundaries > sample + 7
