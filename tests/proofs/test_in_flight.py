"""Several requests of one run are on their way to a real server at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.proofs.over_http import PROJECT, http_context
from tests.proofs.world import MIGRATION
from tests.support.clock import SkippingClock
from tests.support.database import fresh_engine
from tests.support.mortal import Boundaries
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sync.read.scope import Scope
from worker.sync.report import RunReport, State
from worker.sync.run import run_pair

MOST = 3


class Meeting(Boundaries):
    """Lets a POST go when as many have met as may be in flight; the first of all goes alone."""

    def __init__(self) -> None:
        super().__init__()
        self.posts = 0
        self._meet = threading.Barrier(MOST)

    def __call__(self, what: str) -> None:
        if what.startswith("before POST"):
            self.posts += 1
            if self.posts > 1:
                self._meet.wait(30)


def migrate(point: Boundaries, tmp_path: Path) -> tuple[RunReport, int]:
    """Migrate ten milestones, below one of which hang three of them; the report and the targets."""
    clock, engine = SkippingClock(), fresh_engine(tmp_path)
    with (
        serve_testrail(clock=clock) as rail,
        serve_testably(clock=clock, rate=None) as ably,
        http_context(
            rail.url, ably.url, engine, clock, point=point, most_in_flight=MOST
        ) as context,
    ):
        rail.model.url = rail.url
        for number in range(10):
            parent = 1 if number in (7, 8, 9) else None
            rail.model.add(1, {"name": f"Release {number}", "parent_id": parent})
        report = run_pair(context, MIGRATION, Scope())
        rows = ably.model.everything(PROJECT)
    engine.dispose()
    return report, len({str(row["name"]) for row in rows})


def test_as_many_creates_as_may_be_meet_on_their_way(tmp_path: Path) -> None:
    """Nine of ten creates go three by three: were they one after another, none would go on."""
    report, made = migrate(Meeting(), tmp_path)
    assert (report.state, report.counts["created"], made) == (State.SUCCEEDED, 10, 10)
