"""Whatever comes to the web process: an answer of the contract, soon, and it goes on."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mappings.database import open_engine
from tests.service.stack import SECRET
from tests.service.test_connections import Web, web
from worker.settings import load_settings
from worker.web import create_app
from worker.web.edge import HEADERS

__all__ = ["web"]

ANSWERS: Final = {200, 202, 400, 401, 403, 404, 405, 408, 413, 421, 422, 503}
"""Every status that the web process may answer with; 503 where something is not set or away."""
SOON: Final = 10.0
PATHS: Final = ("/webhooks/testrail", "/healthz", "/readyz", "/metrics", "/", "/nowhere")
KNOWN: Final = (
    *(b"x-milesync-secret", b"x-testrail-delivery", b"host", b"content-length", b"content-type"),
    *(b"authorization", b"x-forwarded-for", b"transfer-encoding", b"expect", b"cookie", b"range"),
)
VALUES: Final = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([SECRET.encode(), b"localhost", b"127.0.0.1:1", b"Basic OnB3", b"Bearer x"]),
    st.sampled_from([b"0", b"-1", b"262145", b"9" * 30, b"chunked", b"100-continue"]),
)
RAW_HEADERS: Final = st.lists(
    st.tuples(st.sampled_from(KNOWN) | st.binary(min_size=1, max_size=12).map(bytes.lower), VALUES),
    max_size=8,
)
LEAVES: Final = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
BODIES: Final = st.one_of(
    st.binary(max_size=300),
    st.recursive(LEAVES, lambda one: st.lists(one) | st.dictionaries(st.text(max_size=4), one)).map(
        lambda value: json.dumps(value).encode()
    ),
    st.dictionaries(
        st.sampled_from(["project_id", "milestone_id", "event", "secret"]),
        LEAVES | st.just("1") | st.just(SECRET) | st.just("9" * 5000) | st.just("\ud800"),
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"[" * 100_000, b'{"project_id": 1e999}', b"\xff\xfe{\x00}\x00", b"NaN"]),
)


@st.composite
def messages(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What the server hands over of a body: in parts, too long, cut off, or never at an end."""
    body = draw(BODIES)
    cut = draw(st.integers(0, len(body)))
    parts = [{"type": "http.request", "body": part, "more_body": True} for part in (body[:cut],)]
    end = draw(st.sampled_from(["whole", "cut off", "stalled", "endless"]))
    if end == "whole":
        return [*parts, {"type": "http.request", "body": body[cut:], "more_body": False}]
    if end == "cut off":
        return [*parts, {"type": "http.disconnect"}]
    if end == "endless":
        return parts + [{"type": "http.request", "body": b"x" * 65536, "more_body": True}] * 6
    return parts


CALLS: Final = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "X-\xe9"]),
        "path": st.sampled_from(PATHS) | st.text(max_size=20).map(lambda text: f"/{text}"),
        "query_string": st.binary(max_size=40),
        "headers": RAW_HEADERS,
        "with_host": st.booleans(),
        "messages": messages(),
    }
)


@pytest.fixture
def app(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The application on a database, without a broker; a body has little time."""
    monkeypatch.setattr("worker.web.intake.BODY_DEADLINE", 0.05)
    path = tmp_path / "fuzz.db"
    path.write_bytes(sqlite_template.read_bytes())
    environ = {
        "MILESYNC_DATABASE_URL": f"sqlite:///{path}",
        "MILESYNC_TESTRAIL_URL": "https://example.testrail.io",
        "MILESYNC_PROJECTS": "1=proj_a",
        "MILESYNC_WEBHOOK_SECRET": SECRET,
    }
    made = load_settings(environ=environ, cwd=Path("/"))
    found = create_app(lambda: made)
    yield found
    found.state.service.close()
    open_engine(f"sqlite:///{path}").dispose()


async def _answer(app: Any, call: dict[str, Any]) -> tuple[int, dict[bytes, bytes]]:
    """The status and headers of the answer; a body that is never at an end is waited for."""
    left = list(call["messages"])
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        if left:
            found: MutableMapping[str, Any] = left.pop(0)
            return found
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    host = [(b"host", b"localhost")] if call["with_host"] else []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": call["method"],
        "path": call["path"],
        "raw_path": call["path"].encode("utf-8", "surrogatepass"),
        "root_path": "",
        "query_string": call["query_string"],
        "headers": [*host, *call["headers"]],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    async with asyncio.timeout(SOON):
        await app(scope, receive, send)
    [start] = [message for message in sent if message["type"] == "http.response.start"]
    return start["status"], dict(start["headers"])


PAGE_WITH_A_BAD_QUERY: Final = {
    "method": "GET",
    "path": "/",
    "query_string": b"\x80",
    "headers": [],
    "with_host": True,
    "messages": [{"type": "http.request", "body": b"", "more_body": False}],
}


def test_any_call_gets_an_answer_of_the_contract(app: Any) -> None:
    """An error of the application would be raised here."""

    @example(PAGE_WITH_A_BAD_QUERY)
    @given(CALLS)
    @settings(max_examples=300)
    def fuzz(call: dict[str, Any]) -> None:
        status, headers = asyncio.run(_answer(app, call))
        assert status in ANSWERS
        assert all(name.encode() in headers for name in HEADERS)

    fuzz()
    whole = {"type": "http.request", "body": b'{"project_id": 1}', "more_body": False}
    good = {"method": "POST", "path": PATHS[0], "query_string": b"", "with_host": True}
    secret = [(b"x-milesync-secret", SECRET.encode())]
    after = asyncio.run(_answer(app, {**good, "headers": secret, "messages": [whole]}))
    assert after[0] == 202


# --- bytes on a connection --------------------------------------------------------------------

LINES: Final = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            *(b"POST /webhooks/testrail HTTP/1.1", b"GET / HTTP/1.1", b"GET /healthz HTTP/1.0"),
            *(b"GET http://evil.example/ HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"PRI * HTTP/2.0"),
            *(b"GET /%00%ff%0a HTTP/1.1", b"GET //../.. HTTP/1.1", b"OPTIONS * HTTP/1.1"),
            *(b"Host: localhost", b"Host: evil.example", b"Host:", b"Content-Length: 5"),
            *(b"Content-Length: 5, 5", b"Content-Length: -1", b"Transfer-Encoding: chunked"),
            *(b"Transfer-Encoding: gzip, chunked", b"Expect: 100-continue", b"Upgrade: websocket"),
            *(b"Connection: upgrade", b"5", b"hello", b"0", b"", b" folded", b"X: \xff\x00"),
            b"X-Milesync-Secret: " + SECRET.encode(),
            b'{"project_id": "1"}',
        ]
    ),
)
ENDS: Final = st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\n\r\n"])
BYTES: Final = st.lists(st.tuples(LINES, ENDS), max_size=12).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


def test_any_bytes_are_answered_or_closed_and_the_process_goes_on(web: Web) -> None:
    """No 500, nobody who waits, and no line of the log that says something went wrong."""

    @given(BYTES)
    @settings(max_examples=300)
    def fuzz(sent: bytes) -> None:
        with web.connect(sent) as connection:
            connection.shutdown(socket.SHUT_WR)
            answer = _rest(connection)
        for line in answer.split(b"\r\n"):
            if line.startswith(b"HTTP/1.1 "):
                assert int(line.split()[1]) in {*ANSWERS, 100}, (sent, answer)

    fuzz()
    assert web.answers()
    assert "Traceback" not in web.log


def _rest(connection: socket.socket) -> bytes:
    connection.settimeout(SOON * 2)
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionError:
        pass
    return found


def test_many_large_bodies_do_not_fill_the_memory(web: Web) -> None:
    """Forty bodies of four megabytes, from one who knows the secret; each is cut at its limit."""
    head = (
        b"POST /webhooks/testrail HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"X-Milesync-Secret: " + SECRET.encode() + b"\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    for _ in range(40):
        with web.connect(head) as connection:
            connection.settimeout(SOON)
            try:
                for _ in range(64):
                    connection.sendall(chunk)
                assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
            except ConnectionError:
                continue
    assert web.answers()
    file = Path(f"/proc/{web.pid}/status")
    if not file.exists():
        pytest.skip("this system does not tell how much memory a process had")
    found = re.search(r"VmHWM:\s+(\d+) kB", file.read_text())
    assert found is not None
    assert int(found[1]) < 250 * 1024
