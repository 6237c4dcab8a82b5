"""TestRail's client: every shape of the list, read whole, with no request more than needed."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import httpx
import pytest

from tests.support.clock import FakeClock
from tests.support.transports import Reply, Script, answer, transport
from worker.clients.bounds import LARGEST_ANSWER
from worker.clients.source_pages import PAGE
from worker.clients.testrail import Submilestones, TestRail
from worker.errors import (
    AccessDenied,
    ApiError,
    CredentialsRefused,
    Done,
    Maintenance,
    NotFound,
    ServerTrouble,
    UnknownId,
    UnreadableAnswer,
)
from worker.sync.ports import SourceListing

LIST = "GET /index.php?/api/v2/get_milestones/1&limit=250"


def row(number: int, **fields: object) -> dict[str, object]:
    return {"id": number, "name": f"Release {number}", **fields}


def envelope(rows: list[Any], more: bool = False, **fields: object) -> httpx.Response:
    links = {"next": "http://elsewhere.invalid/next" if more else None, "prev": None}
    return answer({"offset": 0, "limit": 250, "_links": links, "milestones": rows, **fields})


def client(*replies: Reply, submilestones: Submilestones = "auto") -> tuple[TestRail, Script]:
    script = Script(*replies)
    return TestRail(transport("TestRail", http=script, clock=FakeClock()), submilestones), script


def read(*replies: Reply, submilestones: Submilestones = "list") -> tuple[SourceListing, list[str]]:
    """What a project of these answers is, and the requests that it took."""
    testrail, script = client(*replies, submilestones=submilestones)
    return testrail.read_project(1), script.lines()


def server(rows: list[Any], shape: str = "envelope") -> Callable[[httpx.Request], httpx.Response]:
    """A list that heeds the offset, as an envelope or as an array."""

    def reply(request: httpx.Request) -> httpx.Response:
        _, _, given = request.url.raw_path.decode().partition("&offset=")
        offset = int(given or 0)
        page = rows[offset : offset + PAGE]
        if shape == "array":
            return answer(page)
        return envelope(page, more=offset + PAGE < len(rows))

    return reply


@pytest.mark.parametrize("count", [0, 1, 249, 250, 251, 500, 1001])
def test_an_envelope_takes_one_request_per_page(count: int) -> None:
    """Exactly as many as there are pages of 250, and at least one."""
    found, lines = read(server([row(number + 1) for number in range(count)]))
    assert (len(found.milestones), found.complete) == (count, True)
    assert lines == [
        f"{LIST}&offset={page * 250}" if page else LIST for page in range(max(1, ceil(count / 250)))
    ]


@pytest.mark.parametrize("count", [0, 249, 250, 251, 700])
def test_an_array_that_heeds_the_offset_is_read_whole(count: int) -> None:
    """After 250 rows or more it goes on until a page brings nothing new."""
    found, _ = read(server([row(number + 1) for number in range(count)], "array"))
    assert (len(found.milestones), found.complete) == (count, True)


def test_an_array_that_holds_everything_is_read_whole() -> None:
    """An old instance ignores the offset and answers the same rows again."""
    found, lines = read(answer([row(number + 1) for number in range(300)]))
    assert (len(found.milestones), found.complete, len(lines)) == (300, True, 2)


def test_an_array_that_is_cut_at_250_is_incomplete() -> None:
    """Whether more would follow cannot be told, and nobody may conclude from an absence."""
    found, _ = read(answer([row(number + 1) for number in range(250)]))
    assert (len(found.milestones), found.complete) == (250, False)


@pytest.mark.parametrize("then", [[1, *range(2, 250), 1], [999, *range(1, 250)]])
def test_such_an_array_is_incomplete_though_an_id_repeats_or_the_list_has_grown(
    then: list[int],
) -> None:
    """The rows that come again are those that came first, not the end of the list."""
    first = [*range(1, 250), then[-1] + 1 if then[0] == 999 else 1]
    found, lines = read(*(answer([row(id_) for id_ in ids]) for ids in (first, then)))
    assert (found.complete, len(lines) <= 3) == (False, True)
    assert "ignores the offset" in found.incomplete_because


def test_an_array_whose_last_page_comes_again_is_read_whole() -> None:
    """An instance that takes an offset beyond the end for that of its last page."""
    pages = [[row(id_) for id_ in range(n, n + 250)] for n in (1, 251, 251)]
    found, lines = read(*map(answer, pages))
    assert (len(found.milestones), found.complete, len(lines)) == (500, True, 3)


@pytest.mark.parametrize("status", [400, 404])
def test_a_page_after_the_first_that_is_denied_makes_the_list_incomplete(status: int) -> None:
    """An old instance may know no offset: what it listed is used, and no absence concluded."""
    full = answer([row(id_ + 1) for id_ in range(250)])
    found, lines = read(full, answer({"error": "Field :offset is unknown."}, status))
    assert (len(found.milestones), found.complete, len(lines)) == (250, False, 2)
    assert "Field :offset is unknown." in found.incomplete_because


@pytest.mark.parametrize("mode", ["auto", "each"])
@pytest.mark.parametrize(
    "odd",
    [
        {"parent_id": ""},
        {"parent_id": 0},
        {"parent_id": "x"},
        {"parent_id": False},
        {"milestones": None},
        {"milestones": ""},
    ],
)
@pytest.mark.parametrize("every", [True, False], ids=["every row", "one row"])
def test_what_cannot_be_read_in_a_row_hides_no_sub_milestones(
    mode: Submilestones, odd: dict[str, Any], every: bool
) -> None:
    """Only a parent that is one, or a list, says that the list shows them."""
    listed = envelope([row(1, **(odd if every else {})), row(3, **odd)])

    def reply(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        if "get_milestones" in path:
            return listed
        subs = [row(2, parent_id=1)] if path.endswith("/1") else []
        return answer(row(int(path.rpartition("/")[2]), milestones=subs))

    found, _ = read(reply, submilestones=mode)
    assert 2 in found.milestones


@pytest.mark.parametrize("body", [{"error": "The API is disabled."}, {}])
def test_an_error_in_place_of_records_is_not_asked_for_with_every_root(body: object) -> None:
    """Three in a row end the reading, with TestRail's own words where it has some."""

    def reply(request: httpx.Request) -> httpx.Response:
        is_list = "get_milestones" in request.url.raw_path.decode()
        return envelope([row(id_ + 1) for id_ in range(200)]) if is_list else answer(body)

    testrail, script = client(reply)
    with pytest.raises(UnreadableAnswer) as raised:
        testrail.read_project(1)
    assert len(script.asked) < 30
    assert "The API is disabled." in raised.value.message or not body


def test_without_links_a_short_page_is_the_last() -> None:
    full = answer({"milestones": [row(number + 1) for number in range(250)]})
    found, lines = read(full, answer({"milestones": [row(251)]}))
    assert (len(found.milestones), found.complete, len(lines)) == (251, True, 2)


def test_a_server_may_give_smaller_pages() -> None:
    """The offset counts the rows that came, not those that were asked for."""
    found, lines = read(envelope([row(1), row(2)], more=True, limit=2), envelope([row(3)]))
    assert sorted(found.milestones) == [1, 2, 3]
    assert lines[1] == f"{LIST}&offset=2"


@pytest.mark.parametrize("links", [{"next": ""}, {"next": False}, {"next": None}, {}, [], None])
def test_no_further_page_in_whatever_form_ends_the_list(links: object) -> None:
    """A short page without a promise is the last, and PHP writes an empty object as a list."""
    found, lines = read(envelope([row(1)], _links=links))
    assert (len(found.milestones), found.complete, lines) == (1, True, [LIST])


def test_php_s_empty_array_is_an_empty_list_though_it_is_written_as_an_object() -> None:
    found, lines = read(answer({"milestones": {}, "_links": {"next": None}}))
    assert (len(found.milestones), found.complete, lines) == (0, True, [LIST])


@pytest.mark.parametrize("last", [envelope([]), envelope([row(1)]), envelope([], more=True)])
def test_a_promised_page_that_brings_nothing_new_is_incomplete(last: httpx.Response) -> None:
    """And it ends: no list can hold the reader for ever."""
    found, lines = read(envelope([row(1)], more=True), last)
    assert (found.complete, len(lines)) == (False, 2)
    assert "nothing new" in found.incomplete_because


def test_the_link_to_the_next_page_is_never_followed() -> None:
    """The credentials would go with it."""
    testrail, script = client(envelope([row(1)], more=True), envelope([row(2)]))
    testrail.read_project(1)
    assert {one.url.host for one in script.asked} == {"api.example"}


def test_rows_that_repeat_count_once() -> None:
    """The list may change between two pages."""
    found, _ = read(envelope([row(1), row(2)], more=True), envelope([row(2), row(3)]))
    assert (sorted(found.milestones), found.complete) == ([1, 2, 3], True)


def test_a_record_without_a_readable_id_makes_the_listing_incomplete() -> None:
    """It might be any of those that are missing."""
    found, _ = read(envelope([row(1), {"id": "2", "name": "x"}]))
    assert (found.complete, len(found.problems)) == (False, 1)
    assert found.incomplete_because == "a record has no readable id"


def test_a_bad_record_with_an_id_is_a_problem_and_nothing_more() -> None:
    found, _ = read(envelope([row(1), row(2, due_on="soon")]))
    assert (found.complete, [bad.id for bad in found.problems]) == (True, [2])


# --- where the sub-milestones are -------------------------------------------------------------

NESTED = envelope([row(1, milestones=[row(2)]), row(3, milestones=[])])
FLAT = envelope([row(1, parent_id=None), row(2, parent_id=1), row(3)])
ROOTS = envelope([row(1), row(3)])


@pytest.mark.parametrize("listed", [NESTED, FLAT], ids=["nested", "flat"])
def test_a_list_that_shows_sub_milestones_is_trusted(listed: httpx.Response) -> None:
    found, lines = read(listed, submilestones="auto")
    assert {key: one.parent_id for key, one in found.milestones.items()} == {1: None, 2: 1, 3: None}
    assert lines == [LIST]


def test_where_the_list_shows_none_every_root_is_asked() -> None:
    found, lines = read(
        ROOTS, answer(row(1, milestones=[row(2)])), answer(row(3)), submilestones="auto"
    )
    assert {key: one.parent_id for key, one in found.milestones.items()} == {1: None, 2: 1, 3: None}
    assert lines[1:] == [f"GET /index.php?/api/v2/get_milestone/{number}" for number in (1, 3)]


def test_the_setting_overrides_the_guess() -> None:
    assert len(read(ROOTS, submilestones="list")[1]) == 1
    details = [answer(row(1, milestones=[row(2)])), answer(row(3))]
    found, lines = read(FLAT, *details, submilestones="each")
    assert (sorted(found.milestones), len(lines)) == ([1, 2, 3], 3)


def test_a_root_that_is_gone_by_now_is_left_out_and_proves_nothing() -> None:
    """The list shows it, so nothing is gone (R4), nor what may hang below it."""
    gone = answer({"error": "Field :milestone_id is not a valid milestone."}, 400)
    found, _ = read(ROOTS, gone, answer(row(3)), submilestones="auto")
    assert (sorted(found.milestones), found.complete) == ([3], False)
    assert found.incomplete_because == (
        "TestRail lists milestone 1 and answers that it does not exist"
    )


TOO_LARGE = answer(row(1, refs="x" * LARGEST_ANSWER))


@pytest.mark.parametrize(
    "first",
    [*(answer({}, status) for status in (400, 403, 410, 422, 451)), TOO_LARGE],
    ids=["400", "403", "410", "422", "451", "too_large"],
)
def test_a_root_that_cannot_be_read_makes_the_listing_incomplete(first: httpx.Response) -> None:
    found, _ = read(ROOTS, first, answer(row(3)), submilestones="auto")
    assert (sorted(found.milestones), found.complete) == ([1, 3], False)
    assert "sub-milestones of 1" in found.incomplete_because


@pytest.mark.parametrize(
    ("status", "kind"), [(401, CredentialsRefused), (409, Maintenance), (404, ApiError)]
)
def test_what_concerns_the_whole_instance_is_raised(status: int, kind: type[ApiError]) -> None:
    with pytest.raises(kind):
        read(ROOTS, answer({}, status), submilestones="auto")


def test_a_server_that_is_down_is_not_asked_for_every_root() -> None:
    many = envelope([row(number + 1) for number in range(200)])
    testrail, script = client(many, answer({}, 500))
    with pytest.raises(ServerTrouble):
        testrail.read_project(1)
    assert len(script.asked) == 1 + 3 * 6


# --- the documented methods -------------------------------------------------------------------


def test_one_milestone_comes_with_its_sub_milestones() -> None:
    testrail, script = client(answer(row(7, milestones=[row(8)])))
    found = testrail.get_milestone(7)
    assert {key: one.parent_id for key, one in found.milestones.items()} == {7: None, 8: 7}
    assert script.lines() == ["GET /index.php?/api/v2/get_milestone/7"]


def test_an_id_that_testrail_does_not_know_is_an_unknown_id() -> None:
    testrail, _ = client(answer({"error": "Field :milestone_id is not valid."}, 400))
    with pytest.raises(UnknownId):
        testrail.get_milestone(7)


def test_a_project_that_testrail_does_not_know_is_not_found() -> None:
    """Not an unknown id: that would prove a milestone's absence."""
    testrail, _ = client(answer({"error": "Field :project_id is not valid."}, 400))
    with pytest.raises(NotFound):
        testrail.read_project(1)


def test_no_access_proves_no_absence() -> None:
    testrail, _ = client(answer({"error": "no access"}, 403))
    with pytest.raises(AccessDenied):
        testrail.get_milestone(7)


@pytest.mark.parametrize("body", [[], "x", None, {"id": 8, "name": "another"}])
def test_another_answer_than_the_milestone_is_unreadable(body: object) -> None:
    testrail, _ = client(answer(body))
    with pytest.raises(UnreadableAnswer):
        testrail.get_milestone(7)


@pytest.mark.parametrize("body", [{}, {"milestones": None}, "x", {"error": "?"}])
def test_another_answer_than_a_list_is_unreadable(body: object) -> None:
    testrail, _ = client(answer(body))
    with pytest.raises(UnreadableAnswer):
        testrail.get_milestones(1)


def test_filters_are_appended_to_the_path() -> None:
    testrail, script = client(answer([]))
    testrail.get_milestones(1, is_completed=False, is_started=True, limit=5, offset=10)
    assert script.lines() == [
        "GET /index.php?/api/v2/get_milestones/1&is_completed=0&is_started=1&limit=5&offset=10"
    ]


def test_adding_sends_what_is_given() -> None:
    testrail, script = client(answer(row(7, due_on=5)))
    assert testrail.add_milestone(1, "Release 2.0", due_on=5, parent_id=3).id == 7
    assert script.lines() == ["POST /index.php?/api/v2/add_milestone/1"]
    assert script.body() == {"name": "Release 2.0", "due_on": 5, "parent_id": 3}


def test_updating_sends_only_what_is_given() -> None:
    testrail, script = client(answer(row(7, is_completed=True)))
    assert testrail.update_milestone(7, is_completed=True).is_completed
    assert script.body() == {"is_completed": True}


def test_deleting_is_answered_with_nothing() -> None:
    testrail, script = client(httpx.Response(200))
    testrail.delete_milestone(7)
    assert script.lines() == ["POST /index.php?/api/v2/delete_milestone/7"]


def test_a_page_for_people_in_answer_to_a_delete_is_no_success() -> None:
    testrail, _ = client(httpx.Response(200, html="<html>Log in</html>"))
    with pytest.raises(UnreadableAnswer) as raised:
        testrail.delete_milestone(7)
    assert raised.value.done is Done.MAYBE


def test_a_write_whose_answer_cannot_be_read_may_be_done() -> None:
    testrail, script = client(answer({"name": "no id"}))
    with pytest.raises(UnreadableAnswer) as raised:
        testrail.add_milestone(1, "a")
    assert (raised.value.done, len(script.asked)) == (Done.MAYBE, 1)
