"""Who gets an answer of the web process, and what every answer carries."""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from starlette.routing import Route
from starlette.testclient import TestClient

from mappings.runs import RunLog
from mappings.store import Store
from tests.service.stack import Stack, eventually, free_port
from tests.service.test_intake import HEADER, client
from worker.settings import Settings, WebSettings, load_settings
from worker.settings.network import host_of
from worker.sync.report import State
from worker.web import create_app
from worker.web.edge import HEADERS, OPEN_PATHS, refusal

TOKEN = "a-token-of-the-pages"
CLOSED = ("/", "/metrics", "/readyz", "/nowhere", "/healthz/", "/healthz\n", "//", "")


def scope(
    path: str = "/",
    *,
    host: str | None = "localhost:8000",
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
    server: tuple[str, int] | None = ("127.0.0.1", 8000),
    headers: Mapping[str, str] | None = None,
    root: str = "",
) -> dict[str, Any]:
    """A call as an ASGI server describes it."""
    named = [] if host is None else [("host", host)]
    raw = [(k.encode(), v.encode()) for k, v in [*named, *(headers or {}).items()]]
    kind = {"type": "http", "method": "GET", "path": root + path, "root_path": root}
    return {**kind, "headers": raw, "client": client, "server": server}


def status(web: WebSettings, **call: Any) -> int:
    """What a call is refused with; 200 where an endpoint gets it."""
    refused = refusal(scope(**call), web)
    return 200 if refused is None else refused.status_code


def settings(**variables: str) -> Settings:
    environ = {f"MILESYNC_{name}": text for name, text in variables.items()}
    return load_settings(environ=environ, cwd=Path("/"))


def web_settings(**variables: str) -> WebSettings:
    return settings(**variables).web


# --- hosts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost:80", "localhost.", "127.0.0.1:8000", "[::1]:8000", "[0:0::1]"),
        *("hooks.example.com", "HOOKS.example.com.:443"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/healthz", "/webhooks/testrail"])
def test_a_host_that_is_named_is_answered_however_it_is_written(host: str, path: str) -> None:
    web = web_settings(WEB_HOSTS="localhost, 127.0.0.1,[::1], Hooks.Example.COM.")
    assert status(web, path=path, host=host, headers={}) in (200, 403)


@pytest.mark.parametrize(
    "host",
    [
        *(None, "", "rebind.example", "localhost.rebind.example", "127.0.0.1.nip.example"),
        *("localhost:x", "localhost:1:2", "localhost/", "me@localhost", " localhost", "[::1"),
        *("localhost, rebind.example", "::1", "localhost..", "0.0.0.0", "127.0.0.2"),
        *("[fe80::1%25eth0]", "\u2113ocalhost"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/healthz", "/webhooks/testrail"])
def test_any_other_host_is_421_on_every_path(host: str | None, path: str) -> None:
    assert status(web_settings(), path=path, host=host) == 421


def test_two_hosts_are_as_bad_as_none() -> None:
    twice = scope()
    twice["headers"] = [(b"host", b"localhost"), (b"host", b"localhost")]
    refused = refusal(twice, web_settings())
    assert refused is not None
    assert refused.status_code == 421


@pytest.mark.parametrize("host", [None, "", "whatever.example", "[::1", "\x00"])
def test_a_star_answers_any_host(host: str | None) -> None:
    assert status(web_settings(WEB_HOSTS="*"), path="/healthz", host=host) == 200


@given(st.text())
def test_any_host_header_is_read_or_not_but_never_an_error(text: str) -> None:
    """What is read is the same when it is read again."""
    found = host_of(text)
    if found is not None:
        assert host_of(f"[{found}]" if ":" in found else found) == found


# --- the token --------------------------------------------------------------------------------


def _basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "said",
    [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", _basic(f":{TOKEN}"), _basic(f"anybody:{TOKEN}")],
)
@pytest.mark.parametrize("path", CLOSED)
def test_the_token_opens_everything(path: str, said: str) -> None:
    web = web_settings(WEB_TOKEN=TOKEN)
    headers = {"authorization": said}
    far = ("203.0.113.9", 50000)
    assert status(web, path=path, client=far, headers=headers) == 200


@pytest.mark.parametrize(
    "said",
    [
        *(None, "", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x", f"Digest {TOKEN}"),
        *(TOKEN, "Basic", "Basic ****", _basic(TOKEN), _basic(f"{TOKEN}:"), _basic(f"x:y:{TOKEN}")),
        *(f"Basic {TOKEN}", "Basic \u00ff", f"Bearer\t{TOKEN}"),
    ],
)
@pytest.mark.parametrize("path", CLOSED)
def test_without_the_token_everything_but_two_paths_is_401(path: str, said: str | None) -> None:
    """Also on a loopback address, and with how to give it."""
    headers = {} if said is None else {"authorization": said}
    refused = refusal(scope(path, headers=headers), web_settings(WEB_TOKEN=TOKEN))
    assert refused is not None
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")
    assert TOKEN not in bytes(refused.body).decode()


def test_a_token_given_twice_is_none() -> None:
    twice = scope()
    twice["headers"] += [(b"authorization", f"Bearer {TOKEN}".encode())] * 2
    refused = refusal(twice, web_settings(WEB_TOKEN=TOKEN))
    assert refused is not None
    assert refused.status_code == 401


@pytest.mark.parametrize("token", ["", TOKEN])
@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
@pytest.mark.parametrize("root", ["", "/milesync"])
def test_the_webhook_and_healthz_ask_for_no_token(path: str, token: str, root: str) -> None:
    web = web_settings(WEB_TOKEN=token)
    assert status(web, path=path, root=root, client=("203.0.113.9", 1)) == 200


def test_every_route_that_there_is_asks_for_it_but_two() -> None:
    app = create_app(lambda: settings(WEB_TOKEN=TOKEN))
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    assert paths > OPEN_PATHS
    for path in paths - OPEN_PATHS:
        assert status(web_settings(WEB_TOKEN=TOKEN), path=path) == 401


@pytest.mark.parametrize(
    "call",
    [
        {"client": ("203.0.113.9", 50000)},
        {"server": ("203.0.113.1", 8000)},
        {"client": None},
        {"server": None},
        {"server": ("/run/milesync.sock", None)},
        {"host": "hooks.example.com"},
        {"host": None},
        {"headers": {"x-forwarded-for": "127.0.0.1"}},
        {"headers": {"x-forwarded-host": "localhost"}},
        {"headers": {"forwarded": "for=127.0.0.1"}},
        {"headers": {"x-real-ip": "127.0.0.1"}},
        {"headers": {"via": "1.1 proxy"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", CLOSED)
def test_without_a_token_set_only_this_machine_is_answered(path: str, call: dict[str, Any]) -> None:
    """Not who comes from elsewhere, nor who comes through a proxy on this machine."""
    web = web_settings(WEB_HOSTS="*")
    assert status(web, path=path) == 200
    assert status(web, path=path, **call) == 403


@pytest.mark.parametrize("end", [("::1", 1), ("::ffff:127.0.0.1", 1), ("127.8.9.10", 1)])
def test_each_loopback_address_is_this_machine(end: tuple[str, int]) -> None:
    assert status(web_settings(), client=end, server=end) == 200


# --- the headers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("GET", "/healthz", {}, 200),
        ("GET", "/", {}, 200),
        ("GET", "/readyz", {}, 200),
        ("GET", "/metrics", {}, 200),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/healthz/", {}, 404),
        ("GET", "/webhooks/testrail", {}, 405),
        ("GET", "/healthz", {"Host": "rebind.example"}, 421),
        ("GET", "/", {"Via": "1.1 proxy"}, 403),
        ("POST", "/webhooks/testrail", {}, 401),
        ("POST", "/webhooks/testrail", {"Content-Length": "999999"}, 413),
        ("POST", "/webhooks/testrail", HEADER, 422),
    ],
)
def test_every_answer_carries_the_security_headers(
    engine: Engine, method: str, path: str, headers: dict[str, Any], expected: int
) -> None:
    with client(engine) as web:
        answer = web.request(method, path, headers=headers, follow_redirects=False)
    assert answer.status_code == expected
    _must_be_secured(answer)


def test_an_error_of_the_application_carries_them_too(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 500, with nothing of the error in it."""
    monkeypatch.setattr("worker.web.metrics._text", lambda _: 1 / 0)
    with client(engine) as web:
        safe = TestClient(web.app, "http://localhost", False, client=("127.0.0.1", 1))
        answer = safe.get("/metrics")
    assert answer.status_code == 500
    assert "division" not in answer.text
    _must_be_secured(answer)


def test_a_401_carries_them_too(engine: Engine) -> None:
    with client(engine, MILESYNC_WEB_TOKEN=TOKEN) as web:
        _must_be_secured(web.get("/"))
        assert web.get("/", auth=("me", TOKEN)).status_code == 200


def _must_be_secured(answer: httpx.Response) -> None:
    policy = answer.headers["content-security-policy"]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    for closed in ("default-src", "base-uri", "frame-ancestors"):
        assert allowed[closed] == "'none'"
    assert allowed["form-action"] in ("'none'", "'self'")
    for words in allowed.values():
        assert words in ("'none'", "'self'") or words.startswith("'sha256-")
    for name, value in HEADERS.items():
        assert name in answer.headers
        assert answer.headers[name] == value or name == "content-security-policy"
    assert "server" not in answer.headers


def test_the_page_holds_nothing_that_its_policy_forbids(engine: Engine) -> None:
    """One style, allowed by its hash; the one script is our own; nothing from elsewhere."""
    from hashlib import sha256

    with client(engine) as web:
        page = web.get("/")
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]
    assert "body { margin" in style
    rest = page.text.replace(style, "")
    assert rest.count("<script") == rest.count('<script src="/live.js" defer></script>') == 1
    for forbidden in (" style=", "<img", "<iframe", " onload", " onclick"):
        assert forbidden not in rest


# --- what is shown ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/readyz", "/metrics"])
def test_the_database_s_address_is_not_shown(path: str) -> None:
    """Neither the server's name nor its port, user or database."""
    url = "postgresql://secretuser:pw@127.0.0.1:1/secretname"
    there = settings(DATABASE_URL=url, TESTRAIL_URL="https://t.example", PROJECTS="1=p")
    app = create_app(lambda: there)
    text = TestClient(app, "http://localhost", client=("127.0.0.1", 1)).get(path).text
    for shown in ("secretuser", "secretname", "127.0.0.1", "port 1"):
        assert shown not in text


def test_the_page_shows_no_address_that_a_run_s_error_holds(
    engine: Engine, store: Store, run_log: RunLog
) -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 3, 1, tzinfo=UTC)
    with client(engine) as web:
        here = web.app.state.service.deployment  # type: ignore[attr-defined]
        pair = store.pair(here.identity(here.settings.projects[0]))
        run = run_log.begin(pair.id, "schedule", "test", now)
        error = {"kind": "database", "message": "connection to 10.9.8.7 failed", "hint": ""}
        run_log.change(run.id, state=State.FAILED.value, finished_at=now, error=error)
        page = web.get(f"/runs/{run.id}").text
    assert "The database did not answer" in page
    assert "10.9.8.7" not in page


# --- with a real server -----------------------------------------------------------------------


def _own_address() -> str:
    """An address of this machine that is not loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has a loopback address only")
        return str(probe.getsockname()[0])


def test_a_stranger_gets_nothing_of_a_server_that_listens_everywhere(stack: Stack) -> None:
    """By uvicorn's own command, which knows nothing of MILESYNC_LISTEN."""
    far, port = _own_address(), free_port()
    stack.extra["MILESYNC_WEB_HOSTS"] = f"localhost,127.0.0.1,{far}"
    command = ("uvicorn", "worker.web:app", "--host", "0.0.0.0", "--port", str(port))
    bounded = ("--http", "worker.web.connections:BoundedProtocol", "--ws", "none")
    stack.start("web", *command, *bounded, "--no-server-header", "--forwarded-allow-ips", "*")
    near = f"http://127.0.0.1:{port}"
    eventually(lambda: _status(f"{near}/healthz") == 200, 20, stack.logs("web"))
    for path in ("/", "/metrics", "/readyz"):
        assert _status(f"{near}{path}") in (200, 503)
        for headers in ({}, {"Host": "localhost"}, {"X-Forwarded-For": "127.0.0.1"}):
            assert _status(f"http://{far}:{port}{path}", headers) == 403
    assert _status(f"http://{far}:{port}/healthz") == 200
    assert _status(f"{near}/healthz", {"Host": "rebind.example"}) == 421
    _must_be_secured(httpx.get(near))
    for sent in (b"no http\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
        answer = _raw(port, sent)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert all(name.encode() in answer for name in HEADERS)
        assert b"uvicorn" not in answer


def _status(url: str, headers: dict[str, str] | None = None) -> int:
    try:
        return httpx.get(url, headers=headers, timeout=5).status_code
    except httpx.HTTPError:
        return 0


def _raw(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        return connection.recv(4096)
