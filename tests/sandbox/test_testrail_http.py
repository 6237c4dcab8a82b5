"""The TestRail side as an HTTP client meets it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import Rail
from tests.support.clock import FakeClock
from worker.sandbox.limit import ServerRate
from worker.sandbox.server import serve_testrail
from worker.sandbox.testrail_app import API_KEY, USER


def fill(rail: Rail, count: int) -> list[int]:
    return [int(str(rail.server.model.add(1, {"name": f"m{n}"})["id"])) for n in range(count)]


def switch(rail: Rail, **switches: Any) -> None:
    rail.server.model.switches = replace(rail.server.model.switches, **switches)


def test_the_four_calls_and_the_list(rail: Rail) -> None:
    """Add, update, read and delete; a deletion answers 200 with nothing in it."""
    added = rail.post("add_milestone/1", {"name": "Release 2.0", "due_on": 1394596385})
    assert (added.status_code, added.json()["due_on"]) == (200, 1394596385)
    call = f"/{added.json()['id']}"
    changed = rail.post("update_milestone" + call, {"is_completed": True})
    assert changed.json() == rail.get("get_milestone" + call).json()
    deleted = rail.post("delete_milestone" + call)
    assert (deleted.status_code, deleted.content) == (200, b"")
    unknown = rail.get("get_milestone" + call)
    assert (unknown.status_code, set(unknown.json())) == (400, {"error"})
    assert rail.rows("get_milestones/1") == []


def test_wrong_credentials_are_refused(rail: Rail) -> None:
    url = f"{rail.server.url}/index.php?/api/v2/get_milestones/1"
    for auth in (None, (USER, "wrong"), ("wrong", API_KEY)):
        answer = httpx.get(url, auth=auth)
        assert (answer.status_code, "error" in answer.json()) == (401, True)


@pytest.mark.parametrize(
    "address",
    ["/", "/index.php", "/other.php?/api/v2/get_milestones/1", "/index.php?limit=250"],
)
def test_other_addresses_are_a_page_for_people(rail: Rail, address: str) -> None:
    answer = rail.http.get(rail.server.url + address)
    assert (answer.status_code, answer.headers["content-type"][:9]) == (404, "text/html")


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("GET", "get_milestons/1"),
        ("GET", "get_milestones%2F1"),
        ("GET", "add_milestone/1"),
        ("POST", "get_milestones/1"),
        ("DELETE", "delete_milestone/1"),
    ],
)
def test_unknown_methods_are_404(rail: Rail, method: str, call: str) -> None:
    """Also a path with percent-encoded slashes, as parameters of HTTP libraries make them."""
    answer = rail.call(method, call)
    assert (answer.status_code, "error" in answer.json()) == (404, True)


def test_parameters_that_replace_the_query_lose_the_call(rail: Rail) -> None:
    """The trap of httpx: `params` beside such an address replaces the whole call."""
    answer = rail.get("get_milestones/1", params={"limit": 1})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "call",
    [
        "get_milestones/2",
        "get_milestones/",
        "get_milestones/x",
        "get_milestone/99",
        "get_milestones/1&is_completed=yes",
        "get_milestones/1&limit=many",
        "get_milestones/1&offset=-1",
        "get_milestones/1&colour=red",
    ],
)
def test_bad_ids_and_parameters_are_400(rail: Rail, call: str) -> None:
    assert rail.get(call).status_code == 400


def test_bodies_have_to_be_json_objects(rail: Rail) -> None:
    """The right content type, JSON that can be read, and an object."""
    bad: list[dict[str, Any]] = [
        {"data": {"name": "form"}},
        {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        {"json": ["name"]},
    ]
    for request in bad:
        assert rail.call("POST", "add_milestone/1", **request).status_code == 400
    assert rail.rows("get_milestones/1") == []


def test_a_project_without_access_is_403(rail: Rail) -> None:
    rail.server.model.no_access.add(1)
    assert rail.get("get_milestones/1").status_code == 403


def test_the_envelope_leads_through_all_pages(rail: Rail) -> None:
    """250 rows at most; `next` and `prev` without host, script or sub-directory, with filters."""
    ids = fill(rail, 251)
    call = "get_milestones/1&is_completed=0"
    first = rail.get(call + "&limit=999").json()
    assert list(first) == ["offset", "limit", "size", "_links", "milestones"]
    assert (first["offset"], first["limit"], first["size"]) == (0, 250, 250)
    follow = f"/api/v2/{call}&limit=250&offset="
    assert first["_links"] == {"next": follow + "250", "prev": None}
    second = rail.get(call + "&limit=250&offset=250").json()
    assert (second["size"], second["_links"]) == (1, {"next": None, "prev": follow + "0"})
    assert [row["id"] for row in first["milestones"] + second["milestones"]] == ids


@pytest.mark.parametrize(
    ("shape", "at_start", "further_on"),
    [("array", 260, 260), ("array_paged", 250, 10), ("array_cut", 250, 250)],
)
def test_the_shapes_of_a_bare_array(rail: Rail, shape: str, at_start: int, further_on: int) -> None:
    """Everything whatever is asked, or pages, or the first 250 whatever is asked."""
    fill(rail, 260)
    switch(rail, list_shape=shape)
    first, second = (rail.get(f"get_milestones/1&offset={n}").json() for n in (0, 250))
    assert (len(first), len(second)) == (at_start, further_on)


def test_a_header_may_ask_for_the_envelope(rail: Rail) -> None:
    switch(rail, list_shape="beta_header")
    assert rail.get("get_milestones/1").json() == []
    asked = rail.get("get_milestones/1", headers={"x-api-ident": "beta"}).json()
    assert asked["milestones"] == []


@pytest.mark.parametrize("shape", ["nested", "flat", "roots_only"])
def test_the_ways_to_give_sub_milestones(rail: Rail, shape: str) -> None:
    switch(rail, sub_milestones=shape)
    root = rail.post("add_milestone/1", {"name": "root"}).json()["id"]
    sub = rail.post("add_milestone/1", {"name": "sub", "parent_id": root}).json()["id"]
    rows = rail.rows("get_milestones/1")
    assert len(rows) == (2 if shape == "flat" else 1)
    assert ("milestones" in rows[0]) == (shape == "nested")
    assert rail.get(f"get_milestone/{root}").json()["milestones"][0]["id"] == sub


def test_filters_over_http(rail: Rail) -> None:
    done, open_ = fill(rail, 2)
    rail.post(f"update_milestone/{done}", {"is_completed": True, "is_started": False})
    found = {
        flags: [row["id"] for row in rail.rows(f"get_milestones/1{flags}")]
        for flags in ("&is_completed=1", "&is_completed=0", "&is_started=1", "&is_started=0")
    }
    assert list(found.values()) == [[done], [open_], [open_], [done]]


def test_an_installation_in_a_sub_directory(clock: FakeClock) -> None:
    """Its address has the sub-directory; without it nothing is there."""
    with (
        serve_testrail(clock=clock, subdir="/testrail") as server,
        httpx.Client(auth=(USER, API_KEY)) as http,
    ):
        assert server.url.endswith("/testrail")
        assert Rail(server, http).get("get_milestones/1").status_code == 200
        elsewhere = server.url.removesuffix("/testrail") + "/index.php?/api/v2/get_milestones/1"
        assert http.get(elsewhere).status_code == 404


def test_the_instance_may_have_a_rate_limit(clock: FakeClock) -> None:
    rate = ServerRate(2, 60, retry_after="seconds")
    with (
        serve_testrail(clock=clock, rate=rate) as server,
        httpx.Client(auth=(USER, API_KEY)) as http,
    ):
        rail = Rail(server, http)
        answers = [rail.get("get_milestones/1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "60"
