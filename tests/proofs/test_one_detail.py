"""Whatever is answered of one milestone, at either side, is that milestone's matter alone (R6).

Real HTTP clients talk to the sandbox servers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from mappings.problem import ProblemKind
from tests.proofs.over_http import PROJECT
from tests.proofs.slicing import Make, Pair, migrated
from worker.clients.bounds import LARGEST_ANSWER
from worker.errors import NotFound
from worker.sandbox.rules import Problem, Record
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import Options, Trigger
from worker.sync.report import RunReport, State
from worker.sync.verify import verify

TOO_LARGE: Final = 0
"""In place of a status: an answer that is larger than any that is read."""
ANSWERS = pytest.mark.parametrize("status", [400, 403, 410, 422, 451, TOO_LARGE])
MANUAL = Options(Trigger.MANUAL)
START = 1_772_323_200


def in_step(make: Make) -> tuple[Pair, list[int]]:
    pair = make()
    ids = [int(str(pair.rail.model.add(1, body(n))["id"])) for n in range(3)]
    migrated(pair)
    return pair, ids


def body(number: int) -> dict[str, object]:
    return {"name": f"Release {number}", "start_on": START}


def answered(work: Callable[..., Record], bad: object, status: int) -> Callable[..., Record]:
    """The method of a server that answers so for one milestone, and as before for all others."""

    def answer(*given: object, **named: object) -> Record:
        if bad not in (*given, *named.values()):
            return work(*given, **named)
        if status != TOO_LARGE:
            raise Problem(status, "No")
        return {**work(*given, **named), "more": "x" * LARGEST_ANSWER}

    return answer


def spoil_detail(pair: Pair, testrail_id: int, status: int) -> None:
    model, bad = pair.ably.model, pair.target_of(testrail_id)
    model.get = answered(model.get, bad, status)  # type: ignore[method-assign]


def kinds(report: RunReport) -> list[object]:
    return [problem["kind"] for problem in report.problems]


@ANSWERS
def test_a_target_that_cannot_be_read_is_not_archived_and_stops_no_other(
    make: Make, status: int
) -> None:
    pair, ids = in_step(make)
    spoil_detail(pair, ids[0], status)
    pair.rail.model.delete(ids[0])
    pair.rail.model.update(ids[1], {"name": "New"})
    report = pair.in_one_go(MANUAL)
    assert (report.state, report.counts["updated"], report.counts["archived"]) == (
        State.PARTIAL,
        1,
        0,
    )
    assert kinds(report) == [ProblemKind.UNREAD]


@ANSWERS
def test_a_source_that_cannot_be_asked_for_is_not_gone_and_stops_no_other(
    make: Make, status: int
) -> None:
    pair, ids = in_step(make)
    model = pair.rail.model
    model.delete(ids[0])
    if status == 400:  # not TestRail's own: a proxy's
        status = 418
    read = model.get
    large: Record = {"id": ids[0], "name": "Release 0", "refs": "x" * LARGEST_ANSWER}

    def get(milestone_id: int) -> Record:
        if milestone_id != ids[0]:
            return read(milestone_id)
        if status != TOO_LARGE:
            raise Problem(status, "No")
        return large

    model.get = get  # type: ignore[method-assign]
    model.update(ids[1], {"name": "New"})
    report = pair.in_one_go(MANUAL)
    assert (report.state, report.counts["updated"], report.counts["archived"]) == (
        State.PARTIAL,
        1,
        0,
    )
    assert kinds(report) == [ProblemKind.ABSENCE_UNPROVED]


def test_a_write_whose_answer_is_too_large_stops_no_other_and_is_seen_by_the_next_run(
    make: Make,
) -> None:
    pair, ids = in_step(make)
    model, bad = pair.ably.model, pair.target_of(ids[0])
    model.update = answered(model.update, bad, TOO_LARGE)  # type: ignore[method-assign]
    for id_ in ids[:2]:
        pair.rail.model.update(id_, {"name": f"New {id_}"})
    report = pair.in_one_go(MANUAL)
    assert (report.state, report.counts["updated"], kinds(report)) == (
        State.PARTIAL,
        1,
        [ProblemKind.TOO_LARGE],
    )
    assert pair.in_one_go(MANUAL).state is State.SUCCEEDED
    assert len(pair.writes()) == 2


@ANSWERS
def test_what_cannot_be_read_a_second_time_is_compared_as_it_was_listed(
    make: Make, status: int
) -> None:
    pair, ids = in_step(make)
    spoil_detail(pair, ids[0], status)
    pair.ably.model.update(PROJECT, pair.target_of(ids[0]), {"name": "A person's"})
    with pair.process() as context:
        found = verify(context)
    assert [(one.testrail_id, one.field) for one in found.differences] == [(ids[0], "name")]


def test_what_goes_with_its_project_is_not_told_as_missing(make: Make) -> None:
    """A 404 proves an absence only while the project answers (R4)."""
    pair, ids = in_step(make)
    model, bad = pair.ably.model, pair.target_of(ids[0])
    model.update(PROJECT, bad, {"name": "A person's"})

    def gone(*_: object, **__: object) -> Record:
        model.listing = gone  # type: ignore[method-assign, assignment]
        raise Problem(404, "No such project")

    model.get = gone  # type: ignore[method-assign]
    with pair.process() as context, pytest.raises(NotFound):
        verify(context)


def test_where_no_detail_can_be_read_the_rest_are_left_and_the_writes_go_on(make: Make) -> None:
    """The lists answer well; what may hang below so many parents is left for the next run."""
    pair = make(ably=TestablySwitches(list_holds_subs=False))
    rail = pair.rail.model
    parents = [int(str(rail.add(1, body(n))["id"])) for n in range(30)]
    migrated(pair)
    for above in parents:
        rail.add(1, {"name": "Child", "start_on": START, "parent_id": above})
    rail.update(parents[-1], {"name": "New"})
    pair.ably.faults.script("server_error", method="GET", contains="milestones/", times=1000)
    report = pair.in_one_go(MANUAL)
    assert (report.state, report.counts["updated"], report.counts["created"]) == (
        State.PARTIAL,
        30,
        0,
    )
    details = pair.ably.count("GET", "milestones/")
    assert details == 2 * 6 + 8
    assert set(kinds(report)) == {ProblemKind.UNREAD}
    pair.ably.faults.clear()
    assert pair.in_one_go(MANUAL).counts["created"] == 30
