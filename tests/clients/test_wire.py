"""The transport on real sockets: deadlines, cut answers, bounds, hosts that it must not visit."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.transports import TOKEN, Handler, http, raw_server, transport
from worker.clients.deadline import BoundedBackend, Deadline
from worker.clients.transport import Transport
from worker.clock import SystemClock
from worker.errors import (
    AnswerTooLarge,
    ApiError,
    ConnectionLost,
    CredentialsRefused,
    Done,
    Redirected,
    SettingsError,
    TimedOut,
    Unreachable,
    UnreadableAnswer,
)

SHORT = 0.3
"""Seconds; every server below would take far longer than that."""


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def anything(value: object) -> object:
    return value


def send(url: str, timeout: float = 5.0) -> object:
    with transport("Testably", url, request_timeout=timeout) as client:
        return client.post("v1/x", {"name": "a"}, anything)


def failing(handler: Handler, timeout: float = 5.0) -> ApiError:
    with raw_server(handler) as server, pytest.raises(ApiError) as raised:
        send(server.url, timeout)
    assert len(server.requests) == 1, "a write is never repeated"
    return raised.value


def drip(connection: socket.socket, data: bytes) -> None:
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def say(data: bytes) -> Handler:
    return lambda connection, _: connection.sendall(data)


def silent(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)


def dripping_body(connection: socket.socket, _: bytes) -> None:
    connection.sendall(http(b"", length=500))
    drip(connection, b"1" * 500)


SLOW: list[Handler] = [
    silent,
    lambda connection, _: drip(connection, http(b"{}", "200 OK", "X-Long: " + "x" * 500)),
    lambda connection, _: drip(connection, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 99),
    dripping_body,
]


@pytest.mark.parametrize("handler", SLOW, ids=["silent", "headers", "hints", "body"])
def test_the_deadline_holds_for_the_request_as_a_whole(handler: Handler) -> None:
    """Whatever comes byte by byte: each byte in time makes no request in time."""
    started = time.monotonic()
    error = failing(handler, SHORT)
    assert time.monotonic() - started < SHORT * 5
    assert (type(error), error.done) == (TimedOut, Done.MAYBE)


def test_an_error_whose_body_drips_is_still_that_error() -> None:
    def handler(connection: socket.socket, _: bytes) -> None:
        connection.sendall(http(b"", "401 Unauthorized", length=500))
        drip(connection, b"x" * 500)

    assert type(failing(handler, SHORT)) is CredentialsRefused


def test_a_server_that_takes_nothing_is_timed_out() -> None:
    """The body is written within the deadline as well."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with (
            transport("Testably", url, request_timeout=SHORT) as client,
            pytest.raises(TimedOut) as raised,
        ):
            client.post("v1/x", {"description": "x" * 30_000_000}, anything)
    assert raised.value.done is Done.MAYBE


def hang_up(connection: socket.socket, data: bytes = b"") -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket, _: bytes) -> None:
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


CUT: list[Handler] = [
    lambda connection, _: hang_up(connection),
    lambda connection, _: hang_up(connection, b"HTTP/1.1 200 OK\r\nContent-"),
    lambda connection, _: hang_up(connection, http(b'{"id": 1', length=100)),
    lambda connection, _: hang_up(connection, b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    reset,
]


@pytest.mark.parametrize("handler", CUT, ids=["nothing", "head", "body", "no http", "reset"])
def test_an_answer_that_is_cut_may_have_been_done(handler: Handler) -> None:
    error = failing(handler)
    assert (type(error), error.done) == (ConnectionLost, Done.MAYBE)


def test_nobody_listening_is_unreachable_and_not_done() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Unreachable) as raised:
        send(f"http://127.0.0.1:{port}")
    assert raised.value.done is Done.NO
    assert f"127.0.0.1:{port}" in raised.value.message


def test_a_host_without_a_name_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        send("http://nobody.invalid")


def test_plain_http_where_tls_is_expected_is_unreachable() -> None:
    """The connection was never made, so nothing was done."""
    with (
        raw_server(say(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server,
        pytest.raises(Unreachable) as raised,
    ):
        send(server.url.replace("http://", "https://"), SHORT)
    assert raised.value.done is Done.NO


def test_the_deadline_is_shared_by_all_addresses_of_a_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One address that swallows everything leaves time for the next."""
    with raw_server(say(http(b"{}"))) as server:
        port = int(server.url.rsplit(":", 1)[1])
        full = socket.create_server(("127.0.0.2", port), backlog=0)
        others = [_knock(full) for _ in range(4)]
        found = [(2, 1, 6, "", (ip, port)) for ip in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        clock = SystemClock()
        deadline = Deadline(clock)
        started = clock.monotonic()
        with deadline.within(1.0):
            BoundedBackend(deadline).connect_tcp("two.example", port, 1.0).close()
        assert clock.monotonic() - started < 1.0
        for other in others:
            other.close()
        full.close()


def _knock(full: socket.socket) -> socket.socket:
    """One more connection in the queue of a server that accepts none."""
    other = socket.socket()
    other.setblocking(False)
    other.connect_ex(full.getsockname())
    return other


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_is_bounded(packed: bool) -> None:
    """Also one that is small on the wire."""
    body = b" " * (17 * 1024 * 1024)
    headers = ["Content-Encoding: gzip"] if packed else []
    data = http(gzip.compress(body, 1) if packed else body, "200 OK", *headers)
    error = failing(say(data))
    assert (type(error), error.done) == (AnswerTooLarge, Done.MAYBE)


def test_credentials_stay_on_their_host() -> None:
    """A redirect to another host is named; nobody goes there."""
    with raw_server(say(http(b"{}"))) as other:
        location = f"Location: {other.url}/login?next=secret"
        error = failing(say(http(b"", "302 Found", location)))
    assert type(error) is Redirected
    assert error.message.endswith(f"on to {other.url}/login")
    assert (error.done, other.requests) == (Done.MAYBE, [])


def test_a_login_page_instead_of_json_is_recognised() -> None:
    page = http(b"\n<!DOCTYPE html><title>Log in</title>", "200 OK", "Content-Type: text/html")
    error = failing(say(page))
    assert type(error) is UnreadableAnswer
    assert "login page" in error.message


def test_connections_are_reused_and_calls_may_run_side_by_side() -> None:
    """Each thread has its own deadline."""
    with (
        raw_server(say(http(b'{"fine": true}'))) as server,
        transport("Testably", server.url) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        answers = list(pool.map(lambda _: client.get("v1/x", anything), range(40)))
        assert answers == [{"fine": True}] * 40
        assert client.requests == len(server.requests) == 40


def test_a_quick_thread_is_not_held_by_a_slow_ones_deadline() -> None:
    ready = threading.Event()

    def handler(connection: socket.socket, request: bytes) -> None:
        if b"/slow" in request:
            ready.set()
            drip(connection, http(b"{}"))
        connection.sendall(http(b"{}"))

    with (
        raw_server(handler) as server,
        transport("Testably", server.url, request_timeout=SHORT) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(lambda: client.post("slow", {}, anything))
        ready.wait(5)
        assert client.post("quick", {}, anything) == {}
        with pytest.raises(TimedOut):
            slow.result()


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """With our own credentials, whatever ~/.netrc may hold."""
    with raw_server(say(http(b"{}"))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert send("http://api.example/sub") == {}
    assert proxy.requests[0].startswith(b"POST http://api.example/sub/v1/x HTTP/1.1")
    assert f"Bearer {TOKEN}".encode() in proxy.requests[0]


def test_no_proxy_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(say(http(b"{}"))) as server:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert send(server.url) == {}


def test_a_proxy_that_is_not_supported_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(SettingsError):
        send("http://api.example")


def test_the_path_reaches_the_wire_unchanged() -> None:
    """httpx is free to normalise a URL; this one must not be."""
    paths: list[str] = [
        "index.php?/api/v2/get_milestones/1&limit=250&offset=250",
        "v1/projects/a%2Fb%20c/milestones/%2E%2E?page=1",
    ]
    with raw_server(say(http(b"{}"))) as server, transport("Testably", server.url) as client:
        for path in paths:
            _get(client)(path)
    lines = [request.split(b"\r\n")[0].decode() for request in server.requests]
    assert lines == [f"GET /{path} HTTP/1.1" for path in paths]


def _get(client: Transport) -> Callable[[str], object]:
    return lambda path: client.get(path, anything)


@pytest.mark.parametrize(
    "left",
    [
        http(b"{}", "429 Too Many Requests"),
        http(b"{}", "400 Bad Request"),
        http(b'{"id": "ms_99", "name": "Other"}', "201 Created"),
    ],
    ids=["429", "400", "201"],
)
def test_an_answer_that_was_there_before_the_request_is_none_to_it(left: bytes) -> None:
    """As from a proxy that sends two at once: whether the write was done is in doubt (R2)."""

    def handler(connection: socket.socket, _: bytes) -> None:
        connection.sendall(http(b'{"id": "ms_1", "name": "One"}', "201 Created") + left)

    with raw_server(handler) as server, transport("Testably", server.url) as client:
        client.post("v1/x", {"name": "a"}, anything)
        with pytest.raises(ConnectionLost) as raised:
            client.post("v1/x", {"name": "b"}, anything)
        assert raised.value.done is Done.MAYBE
        assert client.post("v1/x", {"name": "c"}, anything) == {"id": "ms_1", "name": "One"}


def test_a_question_that_meets_such_an_answer_is_asked_again() -> None:
    def handler(connection: socket.socket, request: bytes) -> None:
        fine = http(b'{"fine": true}')
        connection.sendall(fine + http(b"{}", "404 Not Found") if b"first" in request else fine)

    with raw_server(handler) as server, transport("Testably", server.url) as client:
        assert client.get("v1/first", anything) == {"fine": True}
        assert client.get("v1/second", anything) == {"fine": True}
