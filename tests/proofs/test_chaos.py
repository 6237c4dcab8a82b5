"""A fifth of all requests on both sides go wrong, in every way: nothing is lost, nothing doubled.

Real HTTP clients talk to the sandbox servers. Whoever sleeps only sets the clock forward; what
times out does so really, but soon.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.footer import marked_id
from tests.proofs.over_http import PROJECT, http_context
from tests.proofs.world import MIGRATION
from tests.support.clock import SkippingClock
from tests.support.database import fresh_engine
from worker.sandbox.faults import FaultKind, Faults
from worker.sandbox.limit import ServerRate
from worker.sandbox.seed import seed
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.switches import TestRailSwitches
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.run import run_pair
from worker.sync.verify import verify

KINDS = (
    FaultKind.SERVER_ERROR,
    FaultKind.SERVER_ERROR_AFTER,
    FaultKind.BAD_GATEWAY_HTML,
    FaultKind.HTML,
    FaultKind.RATE_LIMITED,
    FaultKind.RATE_LIMITED_BARE,
    FaultKind.RESET,
    FaultKind.RESET_AFTER,
    FaultKind.CUT_BODY,
    FaultKind.TIMEOUT,
    FaultKind.TIMEOUT_AFTER,
)
RATES = dict.fromkeys(KINDS, 0.2 / len(KINDS))
TIMEOUT = 0.3
ASKED_SINGLY = TestRailSwitches(sub_milestones="roots_only")
"""So that TestRail is asked often enough for things to go wrong there too."""
RUNS = 8
"""After so many runs at most, everything must have arrived."""


@pytest.mark.parametrize("most_in_flight", [1, 8])
@pytest.mark.parametrize(
    "count", [120, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_chaos_loses_nothing_and_doubles_nothing(
    count: int, most_in_flight: int, tmp_path: Path
) -> None:
    """With a fifth of the requests failing, a few runs bring every milestone over, each once."""
    clock = SkippingClock()
    engine = fresh_engine(tmp_path)
    with (
        serve_testrail(switches=ASKED_SINGLY, clock=clock, faults=Faults(RATES, seed=1)) as rail,
        serve_testably(
            clock=clock, faults=Faults(RATES, seed=2), rate=ServerRate(3000, 60.0)
        ) as ably,
        http_context(
            rail.url,
            ably.url,
            engine,
            clock,
            request_timeout=TIMEOUT,
            most_in_flight=most_in_flight,
        ) as context,
    ):
        rail.model.url = rail.url
        seed(rail.model, 1, count)
        states: list[State] = []
        while len(states) < RUNS and State.SUCCEEDED not in states:
            states.append(run_pair(context, MIGRATION, Scope()).state)
            clock.sleep(60)
        assert states[-1] is State.SUCCEEDED, states
        for server in (rail, ably):
            assert server.count() > count // 2
            assert server.count(status=500) > 0
        rail.faults.clear()
        ably.faults.clear()
        verdict = verify(context)
        assert verdict.in_step, verdict
        rows = ably.model.everything(PROJECT)
        marked = sorted(marked_id(str(row["description"]), rail.url) or 0 for row in rows)
        assert marked == sorted(int(str(row["id"])) for row in rail.model.everything(1))
    engine.dispose()
