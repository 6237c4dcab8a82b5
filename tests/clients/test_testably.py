"""Testably's client: lists known to be complete, and writes that are sent once and exactly."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from math import ceil
from typing import Any

import httpx
import pytest

from mappings.milestone import TargetMilestone
from tests.support.clock import FakeClock
from tests.support.transports import Reply, Script, answer, transport
from worker.clients.testably import Testably
from worker.errors import (
    Done,
    NotFound,
    RateLimited,
    Refused,
    ServerTrouble,
    TimedOut,
    Transient,
    UnreadableAnswer,
)
from worker.sync.ports import OfOne, TargetListing, newest_of
from worker.sync.streak import Streak

VALUES = {
    "name": "v2.0",
    "description": None,
    "start_date": None,
    "due_date": "2026-04-15T00:00:00Z",
    "status": "completed",
}


def row(number: int, **fields: object) -> dict[str, object]:
    return {"id": f"ms_{number}", "name": f"Release {number}", **fields}


def page(rows: list[Any], **meta: object) -> httpx.Response:
    return answer({"data": rows, "meta": meta})


def client(*replies: Reply) -> tuple[Testably, Script]:
    script = Script(*replies)
    return Testably(transport(http=script, clock=FakeClock())), script


def listed(*replies: Reply) -> tuple[TargetListing, Script]:
    testably, script = client(*replies)
    return testably.list_all("proj_1"), script


def server(
    rows: list[Any], clamp: int = 100, **meta: object
) -> Callable[[httpx.Request], httpx.Response]:
    """A list that heeds page and per_page, up to ``clamp``."""

    def reply(request: httpx.Request) -> httpx.Response:
        asked = dict(urllib.parse.parse_qsl(request.url.query.decode()))
        size, number = min(int(asked["per_page"]), clamp), int(asked["page"])
        shown = {"page": number, "per_page": size, "total": len(rows), **meta}
        return page(rows[(number - 1) * size : number * size], **shown)

    return reply


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 350])
def test_a_list_takes_one_request_per_page(count: int) -> None:
    """Exactly as many as there are pages of 100, and at least one."""
    found, script = listed(server([row(number) for number in range(count)]))
    assert (len(found.milestones), found.complete) == (count, True)
    assert len(script.asked) == max(1, ceil(count / 100))
    assert script.lines()[0] == "GET /v1/projects/proj_1/milestones?page=1&per_page=100"


def test_a_server_may_give_smaller_pages() -> None:
    found, script = listed(server([row(number) for number in range(45)], clamp=20))
    assert (len(found.milestones), found.complete, len(script.asked)) == (45, True, 3)


@pytest.mark.parametrize("status", [400, 404, 416, 422])
@pytest.mark.parametrize(("count", "meta", "whole"), [(40, {}, True), (40, {"total": None}, False)])
def test_a_page_that_is_not_there_ends_the_list(
    count: int, meta: dict[str, object], whole: bool, status: int
) -> None:
    """As some frameworks answer to a page after the last; all is read if the total says so."""
    pages = server([row(number) for number in range(count)], clamp=20, **meta)

    def reply(request: httpx.Request) -> httpx.Response:
        asked = dict(urllib.parse.parse_qsl(request.url.query.decode()))
        missing = int(asked["page"]) > count // 20
        return answer({"detail": "Invalid page."}, status) if missing else pages(request)

    found, _ = listed(reply)
    assert (len(found.milestones), found.complete) == (count, whole)
    assert whole or found.incomplete_because == "page 3 of the list is not there"


def test_the_list_can_be_asked_for_one_status() -> None:
    testably, script = client(page([], total=0))
    assert testably.list_all("proj_1", "archived").complete
    assert script.lines()[0].endswith("?page=1&per_page=100&status=archived")


def test_a_list_that_falls_short_is_tried_three_times() -> None:
    """After that it serves for what it holds and for nothing else."""
    found, script = listed(server([row(1), row(2)], total=3))
    assert (sorted(found.milestones), found.complete) == (["ms_1", "ms_2"], False)
    assert len(script.asked) == 3 * 2


def test_a_list_that_changed_meanwhile_is_complete_in_the_end() -> None:
    """A row that repeats on the second page hides another one."""
    moved = [page([row(1), row(2)], total=3), page([row(2)], total=3)]
    settled = [page([row(1), row(2)], total=3), page([row(3)], total=3)]
    found, _ = listed(*moved, *settled)
    assert (sorted(found.milestones), found.complete) == (["ms_1", "ms_2", "ms_3"], True)


def test_the_last_total_counts() -> None:
    found, _ = listed(page([row(1), row(2)], total=3), page([row(3), row(4)], total=4))
    assert (len(found.milestones), found.complete) == (4, True)


def test_a_total_that_is_too_small_does_not_end_the_list() -> None:
    """What came is more than it says, so a further page decides."""
    found, script = listed(page([row(1), row(2)], total=1), page([row(3)], total=1), page([]))
    assert (len(found.milestones), found.complete, len(script.asked)) == (3, True, 3)


NO_TOTAL = [{}, {"total": "3"}, {"total": -1}, {"total": True}, {"total": None}]


@pytest.mark.parametrize("meta", NO_TOTAL)
@pytest.mark.parametrize("last", [[], [row(100)]], ids=["empty", "nothing new"])
def test_without_a_total_a_further_page_without_anything_new_ends_the_list(
    meta: dict[str, object], last: list[object]
) -> None:
    """Never a short one: a server may give fewer rows a page than were asked for."""
    full = [row(number) for number in range(100)]
    found, script = listed(page(full, **meta), page([row(100)], **meta), page(last, **meta))
    assert (len(found.milestones), found.complete, len(script.asked)) == (101, True, 3)


@pytest.mark.parametrize("meta", [[], {}, None, "none"])
def test_a_list_without_meta_is_a_list(meta: object) -> None:
    found, _ = listed(answer({"data": [row(1)], "meta": meta}), answer({"data": []}))
    assert (list(found.milestones), found.complete) == (["ms_1"], True)


def test_an_empty_list_without_a_total_is_complete() -> None:
    found, script = listed(answer({"data": []}))
    assert (found.milestones, found.complete, len(script.asked)) == ({}, True, 1)


def test_a_total_that_is_never_reached_says_how_many_came() -> None:
    found, _ = listed(server([row(1), row(2)], total=3))
    assert found.incomplete_because == "2 of the 3 milestones that it counts came"


def test_a_listing_tells_the_newest_creation_that_it_showed() -> None:
    """As moments, in whichever form they came: half a second is later than none."""
    times = ["2026-03-01T00:00:00.5Z", "2026-03-01T00:00:00Z", "2026-03-01T02:00:00+02:00", None]
    found, _ = listed(page([row(n, created_at=at) for n, at in enumerate(times)], total=4))
    assert newest_of(found.milestones.values()) == "2026-03-01T00:00:00.500000Z"
    assert newest_of(()) is None


def test_a_bad_record_with_an_id_is_a_problem_and_counts() -> None:
    found, _ = listed(page([row(1), row(2, due_date="soon")], total=2))
    assert (list(found.milestones), found.complete) == (["ms_1"], True)
    assert [(bad.id, bad.path) for bad in found.problems] == [("ms_2", "data[1].due_date")]


def test_a_record_without_a_readable_id_makes_the_listing_incomplete() -> None:
    found, _ = listed(page([row(1), {"name": "x"}], total=1))
    assert (found.complete, len(found.problems)) == (False, 1)


@pytest.mark.parametrize("body", [[], {}, {"data": None}, {"data": {}}, "x"])
def test_another_answer_than_a_list_is_unreadable(body: object) -> None:
    testably, _ = client(answer(body))
    with pytest.raises(UnreadableAnswer):
        testably.list_page("proj_1")


def test_a_page_tells_its_meta() -> None:
    testably, _ = client(page([row(1)], total=7, per_page=20))
    found = testably.list_page("proj_1")
    assert (found.total, found.per_page, found.milestones[0].id) == (7, 20, "ms_1")


# --- one milestone ----------------------------------------------------------------------------


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_detail_has_sub_milestones_and_runs(wrapped: bool) -> None:
    """Also where an answer is wrapped as the list is."""
    detail = row(
        1,
        sub_milestones=[{"id": "ms_2", "name": "API", "status": "completed"}],
        linked_runs=[{"id": "run_1", "name": "Smoke", "status": "completed"}],
    )
    testably, script = client(answer({"data": detail} if wrapped else detail))
    found = testably.get("proj_1", "ms_1")
    assert [sub.id for sub in found.sub_milestones] == ["ms_2"]
    assert [run.id for run in found.linked_runs] == ["run_1"]
    assert script.lines() == ["GET /v1/projects/proj_1/milestones/ms_1"]


def test_a_milestone_that_is_not_there_is_not_found() -> None:
    testably, _ = client(answer({"message": "Milestone not found"}, 404))
    with pytest.raises(NotFound, match="Milestone not found"):
        testably.get("proj_1", "ms_1")


@pytest.mark.parametrize(
    ("given", "sent"), [("a/b c?d", "a%2Fb%20c%3Fd"), ("..", "%2E%2E"), ("ü", "%C3%BC")]
)
def test_an_id_stays_one_step_of_the_path(given: str, sent: str) -> None:
    testably, script = client(answer({"id": given, "name": "x"}))
    testably.get(given, given)
    assert script.lines() == [f"GET /v1/projects/{sent}/milestones/{sent}"]


def test_creating_sends_no_null_and_no_status() -> None:
    testably, script = client(answer(row(3), 201))
    assert testably.create("proj_1", VALUES, "ms_1").id == "ms_3"
    assert script.lines() == ["POST /v1/projects/proj_1/milestones"]
    assert script.body() == {
        "name": "v2.0",
        "due_date": "2026-04-15T00:00:00Z",
        "parent_id": "ms_1",
    }


def test_updating_sends_exactly_the_values() -> None:
    """A None is sent as null, to clear the field."""
    testably, script = client(answer(row(3)))
    testably.update("proj_1", "ms_3", {"status": "archived", "due_date": None})
    assert script.lines() == ["PATCH /v1/projects/proj_1/milestones/ms_3"]
    assert script.body() == {"status": "archived", "due_date": None}


def test_writes_take_no_turn_of_their_own() -> None:
    """The caller waited before its claim, so that the claim outlives the request."""
    clock = FakeClock()
    script = Script(answer(row(3)))
    http = transport(http=script, clock=clock)
    testably = Testably(http)
    http._rate_limiter.pause(100)
    testably.create("proj_1", VALUES, None)
    testably.update("proj_1", "ms_3", {"name": "x"})
    assert clock.slept == []
    testably.wait_for_permit()
    assert sum(clock.slept) == pytest.approx(100)


BROKEN: list[object] = [{}, {"success": True}, [], None, row(3, due_date="soon")]


@pytest.mark.parametrize("body", BROKEN)
def test_a_write_that_is_not_answered_with_its_milestone_may_be_done(body: object) -> None:
    testably, script = client(answer(body, 201))
    with pytest.raises(UnreadableAnswer) as raised:
        testably.create("proj_1", VALUES, None)
    assert (raised.value.done, len(script.asked)) == (Done.MAYBE, 1)


def test_where_the_project_is_refused_a_404_tells_nothing_of_a_milestone() -> None:
    """Neither that it is gone (R4), nor that what was written to it was refused."""
    testably, _ = client(answer({}, 404), answer({}, 410))
    with pytest.raises(Transient) as raised:
        testably.update("proj_1", "ms_3", {"status": "archived"})
    assert raised.value.status == 410


@pytest.mark.parametrize("status", [200, 202, 204])
def test_what_came_of_an_update_that_is_answered_with_nothing_is_read(status: int) -> None:
    """Many APIs answer 204: the write is not repeated for that."""
    nothing = httpx.Response(status, content=b"")
    testably, script = client(nothing, answer({"id": "ms_1", "name": "B", "status": "active"}))
    assert testably.update("proj_1", "ms_1", {"name": "B"}).name == "B"
    assert [line.split()[0] for line in script.lines()] == ["PATCH", "GET"]


def test_an_update_of_which_nothing_can_be_read_may_have_been_done() -> None:
    testably, _ = client(httpx.Response(204), answer({}, 403))
    with pytest.raises(UnreadableAnswer) as raised:
        testably.update("proj_1", "ms_1", {"name": "B"})
    assert raised.value.done is Done.MAYBE


def test_an_update_answered_with_another_milestone_is_unreadable() -> None:
    testably, _ = client(answer(row(4)))
    with pytest.raises(UnreadableAnswer) as raised:
        testably.update("proj_1", "ms_3", {"name": "x"})
    assert raised.value.done is Done.MAYBE


@pytest.mark.parametrize(
    ("reply", "kind", "done"),
    [
        (answer({"message": "no"}, 422), Refused, Done.NO),
        (httpx.ReadTimeout("x"), TimedOut, Done.MAYBE),
    ],
)
def test_a_failed_create_is_not_repeated(reply: Reply, kind: type[Exception], done: Done) -> None:
    testably, script = client(reply)
    with pytest.raises(kind) as raised:
        testably.create("proj_1", VALUES, None)
    assert getattr(raised.value, "done", None) is done
    assert (len(script.asked), testably.requests) == (1, 1)


def test_the_request_timeout_is_known() -> None:
    assert Testably(transport(http=Script(answer({})), request_timeout=12)).request_timeout == 12


def test_a_server_that_answers_for_no_milestone_is_not_asked_for_each() -> None:
    """Two are asked for as often as any; eight more once; the rest are told why they are not."""
    testably, script = client(answer({}, 500))
    came: dict[int, TargetMilestone | OfOne] = {}
    streak = Streak()
    for ids in (range(15), range(15, 30)):  # by two calls of one reading
        testably.get_each("proj_1", {n: f"ms_{n}" for n in ids}, came.__setitem__, streak)
    assert len(script.asked) == 2 * 6 + 8
    assert len(came) == 30
    assert isinstance(came[29], Transient)
    assert "10 others failed in a row" in came[29].message


def test_one_that_is_answered_ends_the_row_of_failures() -> None:
    """So a few that always fail leave no other unread."""
    bad = [answer({}, 500)] * 12
    testably, script = client(*bad, answer({"id": "ms_2", "name": "A"}), *bad[:6], answer({}, 404))
    came: dict[int, TargetMilestone | OfOne] = {}
    testably.get_each("proj_1", {n: f"ms_{n}" for n in range(5)}, came.__setitem__)
    kinds = [type(came[number]) for number in range(5)]
    assert kinds == [ServerTrouble, ServerTrouble, TargetMilestone, ServerTrouble, NotFound]
    assert len(script.asked) == 6 + 6 + 1 + 6 + 1


def test_a_rate_limit_that_stays_used_up_ends_the_reading_of_many() -> None:
    """It is no milestone's: the others would wait just as long."""
    testably, script = client(answer({}, 429))
    came: dict[int, TargetMilestone | OfOne] = {}
    with pytest.raises(RateLimited):
        testably.get_each("proj_1", {n: f"ms_{n}" for n in range(30)}, came.__setitem__)
    assert came == {}
    assert len(set(script.lines())) == 1
