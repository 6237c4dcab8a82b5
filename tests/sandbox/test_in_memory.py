"""The ports without HTTP: the same values, errors and counts as over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.sandbox.conftest import PROJECT
from tests.support.clock import FakeClock
from tests.support.in_memory import InMemorySource, InMemoryTarget
from worker.errors import (
    AccessDenied,
    ApiError,
    ConnectionLost,
    Done,
    Maintenance,
    NotFound,
    RateLimited,
    Redirected,
    Refused,
    ServerTrouble,
    TimedOut,
    UnknownId,
    UnreadableAnswer,
)
from worker.sandbox.faults import CARRIED_OUT, FaultKind, Faults
from worker.sandbox.seed import seed
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_model import TestRailModel
from worker.sync.ports import Source, Target

RAISED = {
    "server_error": (ServerTrouble, Done.MAYBE),
    "server_error_after": (ServerTrouble, Done.MAYBE),
    "bad_gateway_html": (ServerTrouble, Done.MAYBE),
    "html": (UnreadableAnswer, Done.MAYBE),
    "rate_limited": (RateLimited, Done.NO),
    "rate_limited_bare": (RateLimited, Done.NO),
    "reset": (ConnectionLost, Done.MAYBE),
    "reset_after": (ConnectionLost, Done.MAYBE),
    "cut_body": (ConnectionLost, Done.MAYBE),
    "timeout": (TimedOut, Done.MAYBE),
    "timeout_after": (TimedOut, Done.MAYBE),
    "late": (TimedOut, Done.MAYBE),
    "maintenance": (Maintenance, Done.NO),
    "redirect": (Redirected, Done.MAYBE),
    "redirect_after": (Redirected, Done.MAYBE),
}


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def rail(clock: FakeClock) -> TestRailModel:
    return TestRailModel(clock=clock)


@pytest.fixture
def source(rail: TestRailModel, faults: Faults) -> InMemorySource:
    return InMemorySource(rail, faults)


@pytest.fixture
def target(clock: FakeClock, faults: Faults) -> InMemoryTarget:
    return InMemoryTarget(TestablyModel(clock=clock), clock, faults, request_timeout=20, pace=1)


def test_they_are_the_ports(source: InMemorySource, target: InMemoryTarget) -> None:
    """Checked by mypy; here for the reader."""
    ports: tuple[Source, Target] = (source, target)
    assert [port.requests for port in ports] == [0, 0]


@pytest.mark.parametrize("shape", ["nested", "flat", "roots_only"])
def test_the_source_reads_every_milestone(
    rail: TestRailModel, source: InMemorySource, shape: str
) -> None:
    """Each id once, in any way of giving sub-milestones, with the requests that HTTP would take."""
    rail.switches = replace(rail.switches, sub_milestones=shape)  # type: ignore[arg-type]
    ids = seed(rail, 1, 400)
    roots = sum(row["parent_id"] is None for row in rail.everything(1))
    found = source.read_project(1)
    assert (sorted(found.milestones), found.problems, found.complete) == (ids, (), True)
    pages = 2 if max(roots, len(ids) if shape == "flat" else 0) > 250 else 1
    assert source.requests == pages + (roots if shape == "roots_only" else 0)


def test_bad_records_are_reported_beside_the_good_ones(
    rail: TestRailModel, source: InMemorySource
) -> None:
    rail.plant({"id": "7", "name": "text id"})
    good = rail.add(1, {"name": "good"})["id"]
    found = source.read_project(1)
    assert list(found.milestones) == [good]
    assert [bad.path for bad in found.problems] == ["milestones[0].id"]


def test_one_source_milestone_brings_its_sub_milestones(
    rail: TestRailModel, source: InMemorySource
) -> None:
    root = rail.add(1, {"name": "root"})["id"]
    sub = rail.add(1, {"name": "sub", "parent_id": root})["id"]
    assert isinstance(root, int)
    assert set(source.get_milestone(root).milestones) == {root, sub}


def test_the_targets_values_make_the_round_trip(target: InMemoryTarget) -> None:
    """A create never sends a status; an update sends exactly what it is given."""
    values = {
        "name": "v2.0",
        "description": None,
        "start_date": "2026-03-01T00:00:00Z",
        "due_date": None,
        "status": "completed",
    }
    created = target.create(PROJECT, values, None)
    assert created.values == values | {"status": "active"}
    sub = target.create(PROJECT, {"name": "sub"}, created.id)
    assert sub.parent_id == created.id
    done = target.update(PROJECT, sub.id, {"status": "completed"})
    assert target.get(PROJECT, sub.id) == done
    assert [one.id for one in target.get(PROJECT, created.id).sub_milestones] == [sub.id]
    assert target.requests == 5


def test_the_list_is_complete_and_counts_its_pages(target: InMemoryTarget) -> None:
    ids = {str(target.model.create(PROJECT, {"name": "x"})["id"]) for _ in range(201)}
    listing = target.list_all(PROJECT)
    assert (set(listing.milestones), listing.complete, target.requests) == (ids, True, 3)
    assert target.list_all(PROJECT, "completed").milestones == {}
    assert target.requests == 4


def test_a_planted_bad_record_does_not_hide_the_others(target: InMemoryTarget) -> None:
    target.model.plant(PROJECT, {"id": "ms_bad", "name": "x", "due_date": "soon"})
    good = target.create(PROJECT, {"name": "good"}, None)
    listing = target.list_all(PROJECT)
    assert (list(listing.milestones), len(listing.problems)) == ([good.id], 1)
    assert listing.complete
    with pytest.raises(UnreadableAnswer):
        target.get(PROJECT, "ms_bad")


def test_a_record_without_an_id_makes_the_list_incomplete(target: InMemoryTarget) -> None:
    """Nobody can say which milestone it was; the list is tried three times."""
    target.model.plant(PROJECT, {"name": "who?"})
    assert not target.list_all(PROJECT).complete
    assert target.requests == 3


def test_refusals_are_the_errors_of_a_client(
    rail: TestRailModel, source: InMemorySource, target: InMemoryTarget
) -> None:
    """Of the class that a client raises for the status, and not done."""
    unknown = "ms_unknown"
    wrong: list[tuple[type[ApiError], Callable[[], object]]] = [
        (UnknownId, lambda: source.get_milestone(99)),
        (NotFound, lambda: source.read_project(2)),
        (NotFound, lambda: target.get(PROJECT, unknown)),
        (NotFound, lambda: target.list_all("proj_other")),
        (NotFound, lambda: target.update(PROJECT, unknown, {"name": "x"})),
        (Refused, lambda: target.create(PROJECT, {"name": "x"}, unknown)),
    ]
    for kind, attempt in wrong:
        with pytest.raises(kind) as error:
            attempt()
        assert error.value.done is Done.NO
    rail.no_access.add(1)
    target.model.no_access.add(PROJECT)
    for attempt in (lambda: source.read_project(1), lambda: target.list_all(PROJECT)):
        with pytest.raises(AccessDenied):
            attempt()


@pytest.mark.parametrize("kind", FaultKind)
def test_faults_are_the_errors_of_a_client(
    target: InMemoryTarget, faults: Faults, kind: FaultKind
) -> None:
    """What is raised, what it says about the write, and whether it was carried out."""
    expected, done = RAISED[kind]
    faults.script(kind, method="POST", retry_after=7)
    with pytest.raises(expected) as error:
        target.create(PROJECT, {"name": "x"}, None)
    assert error.value.done is done
    assert error.value.retry_after == (7 if kind == "rate_limited" else None)
    carried_out = kind in CARRIED_OUT and kind != "late"
    assert len(target.model.everything(PROJECT)) == carried_out
    faults.script(kind, method="GET")
    with pytest.raises(expected) as reading:
        target.list_all(PROJECT)
    assert reading.value.done is Done.NO


def test_maintenance_is_testrails(source: InMemorySource, faults: Faults) -> None:
    faults.script("maintenance", contains="get_milestones/1")
    with pytest.raises(Maintenance):
        source.read_project(1)


def test_late_writes_arrive_when_the_test_says_so(target: InMemoryTarget, faults: Faults) -> None:
    """Also those that the server then refuses."""
    for name in ("one", ""):
        faults.script("late")
        with pytest.raises(TimedOut):
            target.create(PROJECT, {"name": name}, None)
    assert target.list_all(PROJECT).milestones == {}
    target.arrive()
    target.arrive()
    assert [one.name for one in target.list_all(PROJECT).milestones.values()] == ["one"]


def test_time_passes_on_the_clock(target: InMemoryTarget, faults: Faults, clock: FakeClock) -> None:
    """A second for a turn, the whole deadline for a timeout."""
    target.wait_for_permit()
    assert (target.permits, clock.passed) == (1, 1)
    faults.script("timeout")
    with pytest.raises(TimedOut):
        target.create(PROJECT, {"name": "x"}, None)
    assert clock.passed == 21
