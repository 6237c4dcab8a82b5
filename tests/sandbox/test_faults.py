"""Every kind of fault as an httpx client sees it, and whether the request was carried out."""

from __future__ import annotations

import threading
from collections import Counter

import httpx
import pytest

from tests.sandbox.conftest import Ably, Rail
from worker.sandbox.faults import CARRIED_OUT, Fault, FaultKind, Faults

LATE = 30.0
ANSWERS = {
    "server_error": 500,
    "server_error_after": 500,
    "bad_gateway_html": 502,
    "html": 200,
    "rate_limited": 429,
    "rate_limited_bare": 429,
    "maintenance": 409,
    "redirect": 302,
}
BREAKS = {
    "reset": httpx.RemoteProtocolError,
    "reset_after": httpx.RemoteProtocolError,
    "cut_body": httpx.RemoteProtocolError,
    "timeout": httpx.ReadTimeout,
    "timeout_after": httpx.ReadTimeout,
    "late": httpx.ReadTimeout,
    "redirect_after": httpx.InvalidURL,
}


def names(ably: Ably) -> list[object]:
    return [row["name"] for row in ably.server.model.live("proj_abc123")]


def test_every_kind_is_tested_here() -> None:
    assert ANSWERS.keys() | BREAKS.keys() == set(FaultKind)


@pytest.mark.parametrize("kind", ANSWERS)
def test_faults_that_answer(ably: Ably, kind: str) -> None:
    """The status; and only those called `after` are carried out."""
    ably.server.faults.script(kind, method="POST", retry_after=7)
    answer = ably.post({"name": "one"})
    assert answer.status_code == ANSWERS[kind]
    assert names(ably) == (["one"] if kind in CARRIED_OUT else [])
    assert answer.headers.get("retry-after") == ("7" if kind == "rate_limited" else None)
    is_page = answer.headers.get("content-type", "").startswith("text/html")
    assert is_page == (kind in ("html", "bad_gateway_html"))
    assert ably.post({"name": "two"}).status_code == 201


def test_a_redirect_leads_to_another_host(ably: Ably) -> None:
    ably.server.faults.script("redirect")
    assert ably.get().next_request is not None
    ably.server.faults.script("redirect")
    target = ably.get().next_request
    assert target is not None
    assert target.url.host not in ably.server.url


@pytest.mark.parametrize("kind", BREAKS)
def test_faults_that_break_the_connection(ably: Ably, kind: str) -> None:
    """What the client raises; and afterwards the server serves on."""
    ably.server.faults.script(kind, delay=LATE)
    ably.http.timeout = httpx.Timeout(0.2)
    with pytest.raises(BREAKS[kind]):
        ably.post({"name": "one"})
    ably.http.timeout = httpx.Timeout(5)
    carried_out = kind in CARRIED_OUT and kind != "late"
    assert names(ably) == (["one"] if carried_out else [])
    assert ably.post({"name": "two"}).status_code == 201


def test_a_late_request_is_carried_out_after_its_caller_gave_up(ably: Ably) -> None:
    """Why an ambiguous create may only be settled after a while."""
    done = threading.Event()
    create = ably.server.model.create

    def create_and_tell(project_id: str, body: object) -> dict[str, object]:
        try:
            return create(project_id, body)
        finally:
            done.set()

    ably.server.model.create = create_and_tell  # type: ignore[method-assign]
    ably.server.faults.script("late", delay=0.2)
    with pytest.raises(httpx.ReadTimeout):
        ably.call("POST", json={"name": "one"}, timeout=0.05)
    assert names(ably) == []
    assert done.wait(5)
    assert names(ably) == ["one"]


@pytest.mark.parametrize("kind", ["timeout", "timeout_after", "late"])
def test_who_waits_long_enough_gets_a_late_answer(ably: Ably, kind: str) -> None:
    ably.server.faults.script(kind, delay=0.05)
    answer = ably.post({"name": "one"})
    assert answer.status_code == (504 if kind == "timeout" else 201)


def test_a_cut_body_stops_halfway(ably: Ably) -> None:
    """The head promises the whole length, and half of it comes."""
    ably.made()
    ably.server.faults.script("cut_body")
    url = f"{ably.server.url}/v1/projects/proj_abc123/milestones"
    with ably.http.stream("GET", url) as answer:
        promised = int(answer.headers["content-length"])
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    assert answer.num_bytes_downloaded == promised // 2 > 0


def test_an_empty_body_can_be_cut_too(rail: Rail) -> None:
    """delete_milestone answers nothing; its head then promises a byte that never comes."""
    milestone = rail.post("add_milestone/1", {"name": "x"}).json()["id"]
    rail.server.faults.script("cut_body", contains="delete_milestone")
    with pytest.raises(httpx.RemoteProtocolError):
        rail.post(f"delete_milestone/{milestone}")
    assert rail.rows("get_milestones/1") == []


def test_a_script_waits_for_its_request(rail: Rail) -> None:
    """By method and by text in the address, which for TestRail is in the query; so many times."""
    rail.server.faults.script("maintenance", method="GET", contains="get_milestones/1", times=2)
    calls = ["get_milestone/9", "get_milestones/1", "get_milestones/1", "get_milestones/1"]
    assert [rail.get(call).status_code for call in calls] == [400, 409, 409, 200]


def test_scripts_come_before_chance_and_can_be_cleared() -> None:
    faults = Faults({FaultKind.HTML: 1.0})
    faults.script("reset", delay=2.0)
    assert faults("GET", "/") == Fault(FaultKind.RESET, delay=2.0)
    assert faults("GET", "/") == Fault(FaultKind.HTML)
    faults.script("reset")
    faults.clear()
    assert faults("GET", "/") is None


def test_chance_keeps_to_its_rates_and_its_seed() -> None:
    """The same seed gives the same faults, about as often as asked."""
    rates = {FaultKind.RESET: 0.2, FaultKind.HTML: 0.1}
    one, again, other = (Faults(rates, seed=seed) for seed in (7, 7, 8))
    drawn = [one("GET", "/") for _ in range(2000)]
    assert drawn == [again("GET", "/") for _ in drawn]
    assert drawn != [other("GET", "/") for _ in drawn]
    seen = Counter(fault.kind for fault in drawn if fault)
    assert seen.keys() == rates.keys()
    assert 300 < seen[FaultKind.RESET] < 500
    assert 130 < seen[FaultKind.HTML] < 270


def test_an_unknown_kind_is_a_mistake_of_the_test() -> None:
    with pytest.raises(ValueError, match="explode"):
        Faults().script("explode")
