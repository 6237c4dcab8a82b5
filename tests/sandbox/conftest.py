"""A clock that tests turn, both servers with it, and plain httpx clients for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.support.clock import FakeClock
from worker.sandbox.http_server import SandboxServer
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.testably_app import TOKEN
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_app import API_KEY, USER
from worker.sandbox.testrail_model import TestRailModel

PROJECT = "proj_abc123"


@dataclass
class Rail:
    """The TestRail server and an httpx client that calls it."""

    server: SandboxServer[TestRailModel]
    http: httpx.Client

    def call(self, method: str, call: str, **request: object) -> httpx.Response:
        url = f"{self.server.url}/index.php?/api/v2/{call}"
        return self.http.request(method, url, **request)  # type: ignore[arg-type]

    def get(self, call: str, **request: object) -> httpx.Response:
        return self.call("GET", call, **request)

    def post(self, call: str, json: object = None) -> httpx.Response:
        return self.call("POST", call, json={} if json is None else json)

    def rows(self, call: str) -> list[dict[str, object]]:
        """The rows of a list call, whichever shape it has."""
        found = self.get(call).json()
        rows: list[dict[str, object]] = found if isinstance(found, list) else found["milestones"]
        return rows


@dataclass
class Ably:
    """The Testably server and an httpx client that calls it."""

    server: SandboxServer[TestablyModel]
    http: httpx.Client

    def call(self, method: str, tail: str = "", **request: object) -> httpx.Response:
        url = f"{self.server.url}/v1/projects/{PROJECT}/milestones{tail}"
        return self.http.request(method, url, **request)  # type: ignore[arg-type]

    def get(self, tail: str = "") -> httpx.Response:
        return self.call("GET", tail)

    def post(self, json: object) -> httpx.Response:
        return self.call("POST", json=json)

    def patch(self, milestone_id: str, json: object) -> httpx.Response:
        return self.call("PATCH", f"/{milestone_id}", json=json)

    def made(self, name: str = "Release", **fields: object) -> str:
        """The id of a new milestone."""
        answer = self.post({"name": name, **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rail(clock: FakeClock) -> Iterator[Rail]:
    with (
        serve_testrail(clock=clock) as server,
        httpx.Client(auth=(USER, API_KEY), timeout=5) as http,
    ):
        yield Rail(server, http)


@pytest.fixture
def ably(clock: FakeClock) -> Iterator[Ably]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        serve_testably(clock=clock, rate=None) as server,
        httpx.Client(headers=headers, timeout=5) as http,
    ):
        yield Ably(server, http)
