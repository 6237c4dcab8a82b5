"""The lists of projects at both sides, in every shape, and bounded."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.support.clock import FakeClock
from tests.support.transports import Script, answer, plenty, transport
from worker.clients.credentials import Credentials, basic_auth, bearer
from worker.clients.projects import Project, same_name
from worker.clients.testably import Testably
from worker.clients.testrail import HEADERS, TestRail
from worker.clients.transport import Transport
from worker.clock import SystemClock
from worker.errors import AnswerTooLarge, NotFound, Refused, UnreadableAnswer
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.switches import TestRailSwitches
from worker.sandbox.testably_app import TOKEN
from worker.sandbox.testrail_app import API_KEY, USER

COUNTS = [0, 1, 99, 100, 101, 249, 250, 251, 620]


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"Name {number}"} for number in range(1, count + 1)]


def source_client(reply: Callable[[httpx.Request], httpx.Response]) -> tuple[TestRail, Script]:
    script = Script(reply)
    return TestRail(transport("TestRail", http=script, clock=FakeClock())), script


def target_client(reply: Callable[[httpx.Request], httpx.Response]) -> tuple[Testably, Script]:
    script = Script(reply)
    return Testably(transport(http=script, clock=FakeClock())), script


def asked(request: httpx.Request) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(request.url.query.decode()))


def paged(every: list[Any], *, links: bool = True) -> Callable[[httpx.Request], httpx.Response]:
    """An envelope that heeds limit and offset."""

    def reply(request: httpx.Request) -> httpx.Response:
        limit, offset = 250, int(asked(request).get("offset", 0))
        more = "/api/v2/next" if offset + limit < len(every) else None
        promise = {"_links": {"next": more}} if links else {}
        return answer({"projects": every[offset : offset + limit], **promise})

    return reply


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("count", COUNTS)
def test_every_page_of_testrails_envelope_is_read(count: int, links: bool) -> None:
    client, script = source_client(paged(rows(count), links=links))
    assert [one.id for one in client.get_projects()] == [str(n) for n in range(1, count + 1)]
    first, *more = [one.url.raw_path for one in script.asked]
    assert first.endswith(b"/api/v2/get_projects")
    assert all(b"/api/v2/get_projects&offset=" in path for path in more)


@pytest.mark.parametrize("count", COUNTS)
def test_a_bare_array_is_the_whole_list_whatever_was_asked_for(count: int) -> None:
    client, _ = source_client(lambda _: answer(rows(count)))
    assert len(client.get_projects()) == count


@pytest.mark.parametrize("total", [True, False])
@pytest.mark.parametrize("count", COUNTS)
def test_every_page_of_testably_is_read(count: int, total: bool) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        size, number = int(asked(request)["per_page"]), int(asked(request)["page"])
        meta = {"total": count} if total else {}
        every = rows(count)
        return answer({"data": every[(number - 1) * size : number * size], "meta": meta})

    client, _ = target_client(reply)
    assert len(client.list_projects()) == count


def test_a_server_that_repeats_itself_is_asked_twice() -> None:
    client, script = target_client(lambda _: answer({"data": rows(100), "meta": {}}))
    assert len(client.list_projects()) == 100
    assert len(script.asked) == 2


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_page_that_is_not_there_ends_the_list(status: int) -> None:
    """As some servers answer to a page after the last; the first one has to be there."""
    refusal = answer({"message": "Invalid page."}, status)
    client, _ = target_client(
        lambda one: answer({"data": rows(100)}) if asked(one)["page"] == "1" else refusal
    )
    assert len(client.list_projects()) == 100
    client, _ = target_client(lambda _: refusal)
    with pytest.raises((NotFound, Refused)):
        client.list_projects()


def test_names_that_no_database_can_hold_are_made_ones_that_it_can() -> None:
    """NUL and half a character: R11."""
    given = [{"id": "a\0b", "name": "half \ud800"}]
    body = json.dumps({"data": given, "meta": {"total": 1}}).encode()
    client, _ = target_client(lambda _: httpx.Response(200, content=body))
    assert client.list_projects() == [Project("a\ufffdb", "half ?")]


def test_what_is_no_project_is_left_out() -> None:
    given: list[Any] = [None, 7, {}, {"id": True}, {"id": ""}, {"id": 2}, {"id": 3, "name": 4}]
    client, _ = source_client(lambda _: answer(given))
    assert client.get_projects() == [Project("2", ""), Project("3", "")]


@pytest.mark.parametrize("value", [{"projects": 7}, {}, "text", {"data": []}])
def test_what_is_no_list_of_projects_is_refused(value: object) -> None:
    client, _ = source_client(lambda _: answer(value))
    with pytest.raises(UnreadableAnswer):
        client.get_projects()


def test_a_page_of_far_more_than_was_asked_for_is_not_taken() -> None:
    client, _ = source_client(lambda _: answer(rows(5000)))
    with pytest.raises(AnswerTooLarge):
        client.get_projects()


@pytest.mark.parametrize("shape", ["array", "envelope", "beta_header"])
def test_the_sandboxes_list_their_projects(shape: Any) -> None:
    with (
        serve_testrail(switches=TestRailSwitches(list_shape=shape)) as source,
        serve_testably() as target,
    ):
        source.model.projects |= {2, 3}
        source.model.no_access.add(3)
        source.model.project_names[2] = "Webshop"
        with (
            to_sandbox("TestRail", source.url, basic_auth(USER, SecretStr(API_KEY))) as rail,
            to_sandbox("Testably", target.url, bearer(SecretStr(TOKEN))) as ably,
        ):
            found = TestRail(rail).get_projects()
            assert [(one.id, one.name) for one in found] == [("1", "Project 1"), ("2", "Webshop")]
            assert [one.id for one in Testably(ably).list_projects()] == ["proj_abc123"]


def to_sandbox(api: str, url: str, credentials: Credentials) -> Transport:
    clock = SystemClock()
    headers = HEADERS if api == "TestRail" else None
    return Transport(
        api, url, credentials, rate_limiter=plenty(clock), clock=clock, headers=headers
    )


@given(st.text(max_size=20))
def test_a_name_is_the_same_in_any_case_and_spacing_and_no_name_is_nobodys(name: str) -> None:
    assert same_name(name, f"  {name.swapcase().swapcase()} ") == bool(name.split())
    assert not same_name(name, f"{name} 2")
