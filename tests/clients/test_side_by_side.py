"""The pages of Testably's list side by side: requests and listing as of one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.support.clock import SkippingClock
from tests.support.transports import answer, plenty, transport
from worker.clients.testably import Testably
from worker.errors import ApiError, BudgetExhausted, ServerTrouble
from worker.sandbox.rules import Problem
from worker.sandbox.switches import TestablySwitches
from worker.sandbox.testably_model import TestablyModel
from worker.sync.lanes import Lanes
from worker.sync.ports import TargetListing

PROJECT = "proj_abc123"
SEVERAL = 4
Hook = Callable[[int], httpx.Response | None]


class Server(httpx.BaseTransport):
    """A model whose pages may be answered otherwise; ``pages`` are those asked for."""

    def __init__(self, rows: int, hook: Hook = lambda _: None, **switches: Any) -> None:
        self.model = TestablyModel(switches=TestablySwitches(**switches))
        for number in range(rows):
            self.model.create(PROJECT, {"name": f"M{number}"})
        self.hook = hook
        self.pages: list[int] = []
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        given = parse_qs(urlsplit(str(request.url)).query)
        page = int(given["page"][0])
        with self._lock:
            self.pages.append(page)
        other = self.hook(page)
        if other is not None:
            return _streamed(other)
        try:
            listing = self.model.listing(PROJECT, None, page, int(given["per_page"][0]))
        except Problem as problem:
            return _streamed(answer({"error": problem.message}, problem.status))
        return _streamed(answer(listing.body))


def _streamed(response: httpx.Response) -> httpx.Response:
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    stream = httpx.ByteStream(response.content)
    return httpx.Response(response.status_code, headers=headers, stream=stream)


def listed(server: Server, most: int, **how: Any) -> TargetListing:
    clock = SkippingClock()
    with transport(http=server, clock=clock, rate_limiter=plenty(clock), **how) as wire:
        return Testably(wire, partial(Lanes, most)).list_all(PROJECT)


@pytest.mark.parametrize("total", ["exact", "missing", "growing", "too_small"])
@pytest.mark.parametrize("most_per_page", [None, 30])
@pytest.mark.parametrize("rows", [0, 1, 60, 199, 200, 201, 605])
def test_the_same_pages_are_asked_for_and_told(
    rows: int, most_per_page: int | None, total: Any
) -> None:
    """Whatever the server says of its total, and however few rows it gives a page."""
    one, several = (Server(rows, total=total, most_per_page=most_per_page) for _ in range(2))
    alone, beside = listed(one, 1), listed(several, SEVERAL)
    assert sorted(several.pages) == sorted(one.pages)
    assert list(beside.milestones) == list(alone.milestones)
    assert (beside.complete, beside.incomplete_because) == (
        alone.complete,
        alone.incomplete_because,
    )


def test_a_server_that_ignores_the_page_is_asked_no_more_than_one_by_one() -> None:
    """The second page goes alone, and brings nothing new."""

    def first(_page: int) -> httpx.Response:
        return answer(server.model.listing(PROJECT, None, 1, 100).body)

    server = Server(900)
    server.hook = first
    assert not listed(server, SEVERAL).complete
    assert server.pages == [1, 2] * 3


def test_several_pages_are_under_way_and_told_in_their_order() -> None:
    """Pages 3 to 6 wait for each other, and the last of them is answered first."""
    meet = threading.Barrier(SEVERAL)
    last = threading.Event()

    def hook(page: int) -> None:
        if 3 <= page <= 6:
            meet.wait(30)
            if page == 6:
                last.set()
            else:
                assert last.wait(30)

    server = Server(600, hook)
    found = listed(server, SEVERAL)
    assert found.complete
    assert [one.name for one in found.milestones.values()] == [f"M{n}" for n in range(600)]


@pytest.mark.parametrize("most", [1, SEVERAL])
def test_a_page_that_is_missing_is_found(most: int) -> None:
    """The fifth shows what the fourth has shown: fewer came than are counted, three times."""

    def hook(page: int) -> httpx.Response | None:
        shown = server.model.listing(PROJECT, None, 4, 100).body
        return answer(shown) if page == 5 else None

    server = Server(700)
    server.hook = hook
    found = listed(server, most)
    assert not found.complete
    assert found.incomplete_because.startswith("400 of the 700")


def test_a_page_beyond_the_rate_is_asked_for_again() -> None:
    refused: set[int] = set()

    def hook(page: int) -> httpx.Response | None:
        if page in (4, 5) and page not in refused:
            refused.add(page)
            return answer({}, 429, **{"Retry-After": "7"})
        return None

    server = Server(800, hook)
    assert len(listed(server, SEVERAL).milestones) == 800
    assert sorted(server.pages) == [1, 2, 3, 4, 4, 5, 5, 6, 7, 8]


def test_an_outage_ends_the_listing_and_no_further_page_is_begun() -> None:
    """What is under way is tried as often as may be; nothing behind it is asked for."""
    server = Server(3000, lambda page: answer({}, 500) if page >= 4 else None)
    with pytest.raises(ServerTrouble):
        listed(server, SEVERAL)
    assert max(server.pages) <= 4 + SEVERAL


@pytest.mark.parametrize("most", [1, SEVERAL])
def test_who_may_ask_no_more_ends_with_what_is_under_way(most: int) -> None:
    """A signal, a stop, the end of a slice: raised before a request, and none is sent after it."""
    begun = 0

    def check() -> None:
        nonlocal begun
        begun += 1
        if begun > 5:
            raise BudgetExhausted("The slice is over.", 0.0)

    server = Server(2000)
    with pytest.raises(BudgetExhausted):
        listed(server, most, before_request=check)
    assert sorted(server.pages) == [1, 2, 3, 4, 5]


def test_what_grows_too_large_is_asked_for_in_smaller_pages() -> None:
    """One of several pages under way is too large: all of them are read anew, half as long."""

    def hook(page: int) -> httpx.Response | None:
        too_many = [{"id": f"x{n}", "name": "x"} for n in range(1001)]
        return answer({"data": too_many}) if page == 5 and not halved() else None

    def halved() -> bool:
        return server.pages.count(1) > 1

    server = Server(600)
    server.hook = hook
    assert len(listed(server, SEVERAL).milestones) == 600


def test_every_error_of_a_page_is_an_api_error() -> None:
    server = Server(900, lambda page: answer({"error": "no"}, 403) if page == 6 else None)
    with pytest.raises(ApiError, match="403"):
        listed(server, SEVERAL)
