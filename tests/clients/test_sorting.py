"""Whether a write that failed may have been carried out, for everything that HTTP can raise (R2).

The classes are found by looking into the libraries, so that one that a later version adds is
tried as well.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
import socket
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpcore
import httpx
import pytest

from tests.support.transports import Handler, http, raw_server, transport
from worker.clock import SystemClock
from worker.errors import ApiError, ConnectionLost, Done, Redirected, TimedOut, Unreachable


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """A package and those of its modules that can be imported here."""
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        with contextlib.suppress(ImportError):
            yield importlib.import_module(found.name)


def raised_by(package: ModuleType) -> list[type[Exception]]:
    """Every exception class that a library defines."""
    found = {
        one
        for module in modules(package)
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, Exception) and not issubclass(one, Warning)
        if one.__module__.partition(".")[0] == package.__name__
    }
    return sorted(found, key=lambda one: f"{one.__module__}.{one.__name__}")


CLASSES = [*raised_by(httpx), *raised_by(httpcore), OSError]


def make(kind: type[Exception]) -> Exception:
    """One of this class, whatever its constructor wants."""
    if kind is OSError or "__init__" not in vars(kind):
        return kind("x")
    request = httpx.Request("POST", "https://api.example")
    given: dict[str, Any] = {"request": request, "response": httpx.Response(500), "message": "x"}
    names = inspect.signature(kind).parameters
    return kind(**{name: given[name] for name in names if name in given})


def anything(value: object) -> object:
    return value


def post_error(url: str, **given: Any) -> ApiError:
    with transport("Testably", url, **given) as client, pytest.raises(ApiError) as raised:
        client.post("v1/x", {"name": "a"}, anything)
    return raised.value


def test_the_libraries_classes_are_found() -> None:
    names = {f"{one.__module__.partition('.')[0]}.{one.__name__}" for one in CLASSES}
    assert {"httpx.InvalidURL", "httpx.StreamClosed", "httpcore.ConnectionNotAvailable"} < names
    assert len(names) >= 38


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_whatever_is_raised_before_the_first_byte_was_not_done(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise make(kind)

    monkeypatch.setattr(httpcore.ConnectionPool, "handle_request", fail)
    assert post_error("http://api.example").done is Done.NO


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_whatever_is_raised_after_the_first_byte_may_have_been_done(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pool: httpcore.ConnectionPool, request: httpcore.Request) -> None:
        port = request.url.port or 80
        stream = pool._network_backend.connect_tcp("127.0.0.1", port, 5.0)
        stream.write(b"P")
        stream.close()
        raise make(kind)

    monkeypatch.setattr(httpcore.ConnectionPool, "handle_request", fail)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert post_error(url).done is Done.MAYBE


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_a_read_that_fails_is_never_in_doubt(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking twice does no harm, so a GET is not done whatever became of it."""

    def fail(*_: object) -> None:
        raise make(kind)

    monkeypatch.setattr(httpcore.ConnectionPool, "handle_request", fail)
    with (
        transport("Testably", "http://api.example", on_wait=_no_more) as client,
        pytest.raises((ApiError, _NoMoreError)) as raised,
    ):
        client.get("v1/x", anything)
    assert getattr(raised.value, "done", Done.NO) is Done.NO


class _NoMoreError(Exception):
    """The first attempt is enough."""


def _no_more(_: float) -> None:
    raise _NoMoreError


LOCATIONS = [
    "https:login.html",
    "javascript:void(0)",
    "mailto:a@b.c",
    "urn:x",
    "//",
    "http://[",
    "",
]


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Here", "308 Here"]
)
def test_a_write_that_is_redirected_may_have_been_done(status: str, location: str) -> None:
    """Wherever it is sent on to: the server may have carried it out first."""

    def say(connection: socket.socket, _: bytes) -> None:
        connection.sendall(http(b"", status, f"Location: {location}"))

    with raw_server(say) as server:
        error = post_error(server.url)
    assert (type(error), error.done, len(server.requests)) == (Redirected, Done.MAYBE, 1)


class _LateClock(SystemClock):
    """A clock on which the deadline is over as soon as the connection stands."""

    def __init__(self, looks: int) -> None:
        self._looks = looks

    def monotonic(self) -> float:
        self._looks -= 1
        return 0.0 if self._looks > 0 else 1e9


def test_a_deadline_that_passes_before_the_first_byte_leaves_nothing_in_doubt() -> None:
    """Here the transport looks at its clock to start, to connect, and before it writes."""
    outcomes = set()
    for looks in range(1, 12):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            error = post_error(url, clock=_LateClock(looks), request_timeout=1.0)
        outcomes.add((type(error), error.done))
    assert {(Unreachable, Done.NO), (TimedOut, Done.NO), (TimedOut, Done.MAYBE)} >= outcomes
    assert (TimedOut, Done.NO) in outcomes


def _connect_then(data: bytes) -> Handler:
    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return answer


@pytest.mark.parametrize(
    "data",
    [
        http(b"", "407 Proxy Authentication Required"),
        http(b"", "502 Bad Gateway"),
        b"",
        http(b""),
    ],
    ids=["login", "bad gateway", "cut", "tunnel that is cut"],
)
def test_what_a_proxy_was_sent_for_the_tunnel_is_no_part_of_the_request(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(_connect_then(data)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        error = post_error("https://api.example")
    assert proxy.requests[0].startswith(b"CONNECT ")
    assert (isinstance(error, Unreachable | ConnectionLost), error.done) == (True, Done.NO)
