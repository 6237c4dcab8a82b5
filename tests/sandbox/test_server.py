"""Starting, stopping and watching the servers."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit

import httpx
import pytest

from tests.sandbox.conftest import Ably, Rail
from tests.support.clock import FakeClock
from worker.sandbox.server import run_sandbox, serve_testably, serve_testrail


def test_every_request_is_logged(ably: Ably, clock: FakeClock) -> None:
    """Method, address with query, status, body and time, in the order of arrival."""
    milestone = ably.made("one")
    clock.sleep(5)
    ably.get("?status=active")
    ably.server.faults.script("reset")
    with pytest.raises(httpx.RemoteProtocolError):
        ably.patch(milestone, {"name": "two"})
    post, listing, patch = ably.server.requests
    assert (post.method, post.status, post.json) == ("POST", 201, {"name": "one"})
    assert listing.path == "/v1/projects/proj_abc123/milestones?status=active"
    assert (listing.at - post.at, listing.json) == (5, None)
    assert (patch.method, patch.status, patch.json) == ("PATCH", None, {"name": "two"})
    assert post.headers["content-type"] == "application/json"


def test_requests_can_be_counted(rail: Rail) -> None:
    rail.post("add_milestone/1", {"name": "x"})
    rail.get("get_milestones/1")
    rail.get("get_milestone/99")
    server = rail.server
    assert (server.count(), server.count("GET"), server.count(status=400)) == (3, 2, 1)
    assert server.count("GET", "get_milestones/") == 1


def test_a_server_stops_at_once_though_somebody_waits(clock: FakeClock) -> None:
    """Clients that wait for an answer are cut off; the port is free again."""
    with serve_testrail(clock=clock) as server:
        server.faults.script("timeout", delay=60)
        server.faults.script("late", delay=60)
        callers = [threading.Thread(target=call, args=(server.url,)) for _ in range(2)]
        for caller in callers:
            caller.start()
        while len(server.requests) < 2:
            threading.Event().wait(0.005)
    for caller in callers:
        caller.join(5)
        assert not caller.is_alive()
    with serve_testrail(server.model, clock=clock, port=urlsplit(server.url).port or 0) as again:
        assert again.url == server.url


def call(url: str) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/index.php?/api/v2/get_milestones/1", timeout=30)


def test_a_taken_port_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve_testably(port=taken.getsockname()[1]).__enter__()


def test_a_server_for_all_interfaces_is_reached_as_localhost() -> None:
    """As in a container; its address can be opened."""
    with serve_testrail(host="0.0.0.0") as server:
        assert urlsplit(server.url).hostname == "localhost"
        assert httpx.get(server.url).status_code == 404


def test_the_pair_is_seeded_and_says_how_to_reach_it() -> None:
    """TestRail has the milestones, with addresses of this very server; Testably has none."""
    with run_sandbox(count=12) as sandbox:
        rows = sandbox.testrail.model.everything(1)
        assert (len(rows), sandbox.testably.model.everything("proj_abc123")) == (12, [])
        assert str(rows[0]["url"]).startswith(sandbox.settings["MILESYNC_TESTRAIL_URL"])
        token = sandbox.settings["MILESYNC_TESTABLY_TOKEN"]
        project = sandbox.settings["MILESYNC_PROJECTS"].removeprefix("1=")
        url = f"{sandbox.settings['MILESYNC_TESTABLY_URL']}/v1/projects/{project}/milestones"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200


def test_the_pair_may_misbehave_by_chance() -> None:
    with run_sandbox(count=1, faults={"server_error": 1.0}) as sandbox:
        for server in (sandbox.testrail, sandbox.testably):
            assert httpx.get(server.url).status_code == 500


def test_the_pair_keeps_no_log_if_it_is_told_so_and_closes_both() -> None:
    with run_sandbox(count=3, log=False) as sandbox:
        for server in (sandbox.testrail, sandbox.testably):
            assert httpx.get(server.url).status_code == 404
            assert server.requests == []
    for server in (sandbox.testrail, sandbox.testably):
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url)


def test_models_take_many_callers_at_once(ably: Ably) -> None:
    """No milestone is lost or doubled when several threads create."""
    model = ably.server.model

    def create() -> None:
        for _ in range(50):
            model.create("proj_abc123", {"name": "x"})

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row["id"] for row in model.everything("proj_abc123")}) == 200
