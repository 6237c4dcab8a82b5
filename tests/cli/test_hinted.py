"""Webhook calls beside a timer that runs `milesync sync`: nobody else closes or deletes them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mappings.database import open_engine, read_time
from mappings.deliveries import Deliveries, Hint
from mappings.tables import deliveries
from tests.cli.conftest import Milesync
from worker.sandbox.faults import FaultKind
from worker.sandbox.server import Sandbox


@pytest.fixture
def kept(sandbox: Sandbox, milesync: Milesync, folder: Path) -> Deliveries:  # noqa: ARG001
    """The deliveries of a pair in step, of which one waits for a reading since long ago."""
    assert milesync("migrate", "--yes").code == 0
    (file,) = folder.glob("*.db")
    found = Deliveries(open_engine(f"sqlite:///{file}"))
    now = read_time(found.engine)
    assert found.record("old", "e", Hint(1, None, "old"), now - timedelta(days=8))
    return found


def rows(kept: Deliveries) -> int:
    with kept.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(deliveries)).scalar_one())


def test_a_sync_closes_what_waited_before_it_began_and_prune_deletes_it(
    milesync: Milesync, kept: Deliveries
) -> None:
    """A handled call is kept for a week: one that is sent again is known for so long."""
    assert milesync("plan").code == 0
    assert milesync("db", "prune").code == 0
    assert (kept.waiting(), rows(kept)) == (1, 1)
    assert milesync("sync").code == 0
    assert kept.waiting() == 0
    assert kept.record("new", "e", Hint(1, None, "new"), read_time(kept.engine))
    assert milesync("sync").code == 0
    assert (kept.waiting(), rows(kept)) == (0, 2)
    assert milesync("db", "prune").code == 0
    assert rows(kept) == 1


@pytest.mark.parametrize("why", ["a part", "a failure", "another project"])
def test_a_sync_that_read_not_all_of_it_closes_nothing(
    milesync: Milesync, sandbox: Sandbox, kept: Deliveries, why: str
) -> None:
    if why == "another project":
        kept.record("two", "e", Hint(2, None, "two"), read_time(kept.engine))
        assert milesync("sync").code == 0
    elif why == "a part":
        assert milesync("migrate", "--yes", "--only", "open").code == 0
    else:
        sandbox.testrail.faults.script(FaultKind.SERVER_ERROR, method="GET", times=99)
        assert milesync("sync").code == 1
    assert kept.waiting() == 1


def test_what_nobody_ever_read_goes_with_the_runs_of_its_time(
    milesync: Milesync, kept: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESYNC_RETENTION", "7d")
    assert milesync("db", "prune").code == 0
    assert rows(kept) == 0
