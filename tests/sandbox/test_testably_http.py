"""The Testably side as an HTTP client meets it."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import PROJECT, Ably
from tests.support.clock import FakeClock
from worker.sandbox.limit import ServerRate
from worker.sandbox.server import serve_testably


def test_create_read_update_and_list(ably: Ably) -> None:
    """201 for a new one; the list is data and meta; the detail has runs and sub-milestones."""
    created = ably.post({"name": "v2.0", "due_date": "2026-04-15T00:00:00Z"})
    assert created.status_code == 201
    milestone = created.json()["id"]
    changed = ably.patch(milestone, {"status": "completed"})
    assert (changed.status_code, changed.json()["progress"]) == (200, 100)
    listed = ably.get().json()
    assert listed == {"data": [changed.json()], "meta": {"page": 1, "per_page": 20, "total": 1}}
    detail = ably.get(f"/{milestone}").json()
    assert detail == changed.json() | {"linked_runs": [], "sub_milestones": []}


def test_pages_and_filters(ably: Ably) -> None:
    ids = [ably.made(f"m{n}") for n in range(5)]
    ably.patch(ids[0], {"status": "archived"})
    page = ably.get("?status=active&page=2&per_page=3").json()
    assert [row["id"] for row in page["data"]] == ids[4:]
    assert page["meta"] == {"page": 2, "per_page": 3, "total": 4}
    assert ably.get("?status=archived").json()["meta"]["total"] == 1


@pytest.mark.parametrize(
    "query",
    ["status=started", "page=0", "page=x", "page=-1", "per_page=0", "per_page=101", "limit=5"],
)
def test_bad_query_parameters_are_400(ably: Ably, query: str) -> None:
    """Unknown ones too: nobody shall believe that a filter worked which was never read."""
    assert ably.get(f"?{query}").status_code == 400


def test_bodies_have_to_be_json_objects(ably: Ably) -> None:
    bad: list[dict[str, Any]] = [
        {"data": {"name": "form"}},
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        {"content": b"", "headers": {"Content-Type": "application/json"}},
        {"json": ["name"]},
        {"json": {"name": "x", "status": "active"}},
    ]
    for request in bad:
        answer = ably.call("POST", **request)
        assert (answer.status_code, set(answer.json())) == (400, {"error"})
    assert ably.get().json()["data"] == []


def test_what_is_not_there_is_404_and_nothing_can_be_deleted(ably: Ably) -> None:
    """There is no DELETE, for the list or for one milestone."""
    milestone = ably.made()
    other = f"{ably.server.url}/v1/projects/proj_other/milestones"
    assert ably.get("/ms_unknown").status_code == 404
    assert ably.http.get(other).status_code == 404
    assert ably.http.get(f"{other}/{milestone}").status_code == 404
    assert ably.http.get(ably.server.url).status_code == 404
    deleted = ably.call("DELETE", f"/{milestone}")
    assert (deleted.status_code, ably.get(f"/{milestone}").status_code) == (405, 200)


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic sandbox-token", "Bearer"])
def test_wrong_tokens_are_401(ably: Ably, authorization: str) -> None:
    answer = ably.call("GET", headers={"Authorization": authorization})
    assert answer.status_code == 401


def get_with(url: str, token: str) -> httpx.Response:
    address = f"{url}/v1/projects/{PROJECT}/milestones"
    return httpx.get(address, headers={"Authorization": f"Bearer {token}"})


def test_a_token_may_be_limited_to_projects() -> None:
    tokens = {"all": None, "mine": {PROJECT}, "elsewhere": set[str]()}
    with serve_testably(tokens=tokens) as server:
        answers = [get_with(server.url, token).status_code for token in tokens]
    assert answers == [200, 200, 403]


@pytest.fixture
def limited(clock: FakeClock) -> Iterator[str]:
    with serve_testably(clock=clock, tokens={"a": None, "b": None}) as server:
        yield server.url


def test_sixty_requests_a_minute_for_each_token(limited: str, clock: FakeClock) -> None:
    """The documented limit; refusals are bare, as no Retry-After is documented."""
    for second in range(60):
        assert get_with(limited, "a").status_code == 200
        clock.sleep(0.5 if second < 59 else 0.0)
    refused = get_with(limited, "a")
    assert (refused.status_code, "retry-after" in refused.headers) == (429, False)
    assert get_with(limited, "b").status_code == 200
    clock.sleep(30.0)
    assert get_with(limited, "a").status_code == 429
    clock.sleep(0.5)
    assert [get_with(limited, "a").status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("style", ["seconds", "date", "none"])
def test_the_ways_to_say_when_to_come_back(clock: FakeClock, style: Any) -> None:
    rate = ServerRate(1, 10, retry_after=style)
    with serve_testably(clock=clock, tokens={"a": None}, rate=rate) as server:
        get_with(server.url, "a")
        said = get_with(server.url, "a").headers.get("retry-after")
        if style == "none":
            assert said is None
            return
        clock.sleep(float(said) if style == "seconds" else 0.0)
        if style == "date":
            clock.sleep((parsedate_to_datetime(said) - clock.now()).total_seconds())
        assert get_with(server.url, "a").status_code == 200
