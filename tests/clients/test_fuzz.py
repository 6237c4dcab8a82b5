"""Whatever a server answers, both clients give a value or one of our errors, and come to an end."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.clock import FakeClock
from tests.support.transports import KEY, TOKEN, Script, raw_server, transport
from worker.clients.testably import Testably
from worker.clients.testrail import TestRail
from worker.errors import ApiError, Done


def _as_json(value: object) -> bytes:
    """The bytes of a value; a number of thousands of digits among them, which Python refuses."""
    return json.dumps(value).replace('"LONG"', "9" * 5000).encode()


VALUES = {"name": "a", "description": None, "start_date": None, "due_date": None}
PAGES_FOR_NOTHING = 3 * 8 * 7
"""Tries of a list, halvings of a page, attempts of a request and one to spare: the most requests
that answers which bring nothing new can cost."""

ODD_TEXTS = [
    "",
    "a",
    "1",
    "ms_1",
    "\0",
    "\ud800",
    "2026-03-01",
    "0001-01-01T00:00:00+09:00",
    "\u202ex",
    "LONG",
]
NUMBERS = [0, 1, -1, 7.5, 2**63, 10**25, -(2**63) - 1, 1e308, float("inf"), float("nan")]
LEAVES: st.SearchStrategy[object] = st.sampled_from(
    [None, True, False, [], {}, *ODD_TEXTS, *NUMBERS]
)
JSON = LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(st.sampled_from(ODD_TEXTS), LEAVES)
FIELDS = [
    *("name", "description", "start_on", "due_on", "is_started", "parent_id", "milestones"),
    *("start_date", "due_date", "status", "parent_milestone_id", "date_mode", "progress"),
    *("created_at", "linked_runs", "sub_milestones", "project_id", "refs", "url"),
]
FLAT = st.builds(
    lambda id_, named, fields: {"id": id_, **named, **fields},
    st.integers(1, 9) | LEAVES,
    st.just({"name": "a"}) | st.just({}),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
)
RECORDS = FLAT | st.builds(
    lambda record, name, inner: {**record, name: inner},
    FLAT,
    st.sampled_from(["milestones", "sub_milestones", "linked_runs"]),
    st.lists(FLAT, max_size=3),
)
LISTS = st.lists(RECORDS | LEAVES, max_size=4)
PARTS = {
    "milestones": LISTS | JSON,
    "data": LISTS | RECORDS | JSON,
    "_links": st.builds(dict, next=LEAVES) | LEAVES,
    "meta": st.builds(dict, total=LEAVES, per_page=LEAVES) | LEAVES,
    "limit": LEAVES,
    "error": JSON,
}
ENVELOPES = st.fixed_dictionaries({}, optional=PARTS)
BODIES = st.one_of(
    st.binary(max_size=64),
    (JSON | RECORDS | LISTS | ENVELOPES).map(_as_json),
    st.sampled_from([b"", b"<html>Log in</html>", b'{"data": [', b"\xef\xbb\xbf[]", b"[[[["]),
)
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "content-encoding", "retry-after", "location", "x-a"]),
    st.sampled_from(
        [
            "gzip",
            "identity",
            "none",
            "br",
            "text/html",
            "1",
            "-1",
            "1e999",
            "https:x",
            "\xff",
            "//[",
        ]
    ),
    max_size=3,
)
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 302, 400, 404, 429, 500]) | st.integers(
    100, 999
)


@st.composite
def answers(draw: st.DrawFn) -> tuple[int, dict[str, str], bytes]:
    """A status, headers and a body, which may be packed as the headers say, or not."""
    headers, body = draw(HEADERS), draw(BODIES)
    if headers.get("content-encoding") == "gzip" and draw(st.booleans()):
        body = gzip.compress(body)
    return draw(STATUSES), headers, body


def client(api: str, given: list[tuple[int, dict[str, str], bytes]]) -> tuple[Any, Script]:
    def reply(answer: tuple[int, dict[str, str], bytes]) -> Callable[..., httpx.Response]:
        status, headers, body = answer
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return lambda _: httpx.Response(status, headers=pairs, stream=httpx.ByteStream(body))

    script = Script(*map(reply, given))
    http = transport(api, http=script, clock=FakeClock())
    return (TestRail(http) if api == "TestRail" else Testably(http)), script


def outcome(attempt: Callable[[], object]) -> object:
    """What came of an attempt: a value, or an error that says nothing secret."""
    try:
        return attempt()
    except ApiError as raised:
        error = raised
    assert KEY not in f"{error.message}{error.hint}"
    assert TOKEN not in f"{error.message}{error.hint}"
    assert error.message.isprintable()
    assert len(error.message) < 700
    return error


FUZZ = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@FUZZ
@given(st.lists(answers(), min_size=1, max_size=4))
def test_reading_a_project_gives_a_listing_or_an_error(
    replies: list[tuple[int, dict[str, str], bytes]],
) -> None:
    """In as many requests as the repetitions of the same answer can cost, or fewer."""
    for api in ("TestRail", "Testably"):
        side, script = client(api, replies)
        found = outcome(
            partial(side.read_project, 1) if api == "TestRail" else partial(side.list_all, "p")
        )
        assert len(script.asked) <= PAGES_FOR_NOTHING + 20
        if isinstance(found, ApiError):
            assert found.done is Done.NO
        else:
            stored = [dict(bad.raw) for bad in found.problems]  # type: ignore[attr-defined]
            stored += [dict(one.raw) for one in found.milestones.values() if api == "TestRail"]  # type: ignore[attr-defined]
            json.dumps(stored, allow_nan=False, ensure_ascii=False).encode()
            assert found.complete or found.incomplete_because  # type: ignore[attr-defined]


@FUZZ
@given(answers())
def test_reading_one_milestone_gives_it_or_an_error(
    reply: tuple[int, dict[str, str], bytes],
) -> None:
    rail, script = client("TestRail", [reply])
    outcome(lambda: rail.get_milestone(1))
    ably, other = client("Testably", [reply])
    outcome(lambda: ably.get("p", "ms_1"))
    assert max(len(script.asked), len(other.asked)) <= 20


@FUZZ
@given(answers())
def test_a_write_is_sent_once_and_says_whether_it_may_be_done(
    reply: tuple[int, dict[str, str], bytes],
) -> None:
    """Only a 4xx was certainly not carried out, and not even a 408."""
    status = reply[0]
    for method, given_ in (
        ("create", ("p", VALUES, None)),
        ("update", ("p", "ms_1", {"name": "a"})),
    ):
        side, script = client("Testably", [reply])
        found = outcome(partial(getattr(side, method), *given_))
        sent = [one.method for one in script.asked if one.method != "GET"]
        assert len(sent) == 1
        if isinstance(found, ApiError):
            certain = 400 <= status < 500 and status != 408
            assert found.done is (Done.NO if certain else Done.MAYBE)
        else:
            assert 200 <= status < 300


RAW = st.one_of(
    st.binary(min_size=1, max_size=200),
    st.builds(
        lambda status, headers, body: b"HTTP/1.1 %d x\r\n%s\r\n%s" % (status, headers, body),
        st.integers(0, 9999),
        st.sampled_from(
            [
                *(b"", b"Content-Length: 2\r\n", b"Content-Length: -1\r\n", b": x\r\n"),
                *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 1\r\nContent-Length: 2\r\n"),
                *(b"Location: https:login.html\r\n", b"X: \xff\xfe\r\n", b"Set-Cookie: =\r\n"),
            ]
        ),
        st.binary(max_size=40) | st.just(b"{}") | st.just(b"5\r\nab"),
    ),
)


@pytest.fixture(scope="module", autouse=True)
def no_proxies() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        yield


@settings(suppress_health_check=list(HealthCheck))
@given(RAW)
def test_any_bytes_in_answer_to_a_write_leave_it_in_doubt_or_are_an_answer(data: bytes) -> None:
    """Whatever the library raises for them: by then the request had left."""

    def say(connection: socket.socket, _: bytes) -> None:
        connection.sendall(data)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    with raw_server(say) as server, transport("Testably", server.url, request_timeout=5) as http:
        found = outcome(lambda: http.post("v1/x", {}, lambda value: value))
    assert len(server.requests) == 1
    if isinstance(found, ApiError):
        refused = found.status is not None and 400 <= found.status < 500 and found.status != 408
        assert found.done is (Done.NO if refused else Done.MAYBE)
