"""Several requests of one run are on their way to a real server at the same time."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.proofs.over_http import PROJECT, http_context
from tests.proofs.world import MIGRATION
from tests.support.clock import SkippingClock
from tests.support.database import fresh_engine
from tests.support.mortal import Boundaries
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.testably_model import TestablyModel
from worker.sync.context import PairContext
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.run import run_pair
from worker.sync.undo import undo

MOST = 3


class Meeting(Boundaries):
    """Lets requests go when as many of them have met as may be in flight.

    They are those that ``which`` matches, with what they have in common as its group; the first
    of all of these goes alone.
    """

    def __init__(self, which: str) -> None:
        super().__init__()
        self.came: Counter[str] = Counter()
        self._which = re.compile(f"before {which}")
        self._meet = threading.Barrier(MOST)

    def __call__(self, what: str) -> None:
        found = self._which.fullmatch(what)
        if found is None:
            return
        self.came[found[1]] += 1
        if self.came[found[1]] > 1:
            self._meet.wait(30)


@contextmanager
def ten_milestones(
    point: Boundaries, tmp_path: Path, *below: int
) -> Iterator[tuple[PairContext, TestablyModel]]:
    """A pair with ten milestones in TestRail, of which those of ``below`` hang below the first."""
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
            parent = 1 if number in below else None
            rail.model.add(1, {"name": f"Release {number}", "parent_id": parent})
        yield context, ably.model
    engine.dispose()


def test_as_many_creates_as_may_be_meet_on_their_way(tmp_path: Path) -> None:
    """Nine of ten creates go three by three: were they one after another, none would go on."""
    with ten_milestones(Meeting("(POST) .*"), tmp_path, 7, 8, 9) as (context, model):
        report = run_pair(context, MIGRATION, Scope())
        made = len({str(row["name"]) for row in model.everything(PROJECT)})
    assert (report.state, report.counts["created"], made) == (State.SUCCEEDED, 10, 10)


def test_an_undo_reads_and_writes_as_many_at_once(tmp_path: Path) -> None:
    """Nine of ten readings go three by three, and so do nine of ten writes."""
    meeting = Meeting("(GET|PATCH) .*/milestones/[^/?]+")
    with ten_milestones(meeting, tmp_path) as (context, model):
        migrated = run_pair(context, MIGRATION, Scope())
        assert migrated.run is not None
        assert meeting.came == {}
        report = undo(context, migrated.run)
        left = model.live(PROJECT)
    assert (report.state, report.counts["archived"], left) == (State.SUCCEEDED, 10, [])
    assert meeting.came == {"GET": 10, "PATCH": 10}
