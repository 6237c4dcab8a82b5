"""The real web process with few open files, and callers that hold on to their connections."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.service.stack import ENDED, ROOT, SECRET, eventually, free_port
from worker.web.connections import Wait
from worker.web.intake import BODY_DEADLINE

OPEN_FILES = 128
HEAD = b"POST /webhooks/testrail HTTP/1.1\r\nHost: localhost\r\n"


@dataclass
class Web:
    """A web process of its own; ``log`` is what it wrote."""

    port: int
    file: Path
    pid: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.file.read_text()

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def connect(self, sent: bytes) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        made.sendall(sent)
        return made


@contextmanager
def web_process(folder: Path) -> Iterator[Web]:
    """A web process that answers."""
    made = Web(free_port(), folder / "web.log")
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MILESYNC_")}
    settings = {
        "MILESYNC_LISTEN": f"127.0.0.1:{made.port}",
        "MILESYNC_DATABASE_URL": f"sqlite:///{folder}/milesync.db",
        "MILESYNC_TESTRAIL_URL": "https://example.testrail.io",
        "MILESYNC_PROJECTS": "1=proj_a",
        "MILESYNC_WEBHOOK_SECRET": SECRET,
        "MILESYNC_LOG_FORMAT": "json",
        "PYTHONPATH": str(ROOT),
    }
    command = f"ulimit -n {OPEN_FILES}; exec {shlex.quote(sys.executable)} -m worker.web"
    with made.file.open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", command], cwd=folder, env={**plain, **settings}, stdout=log, stderr=log
        )
        made.pid = process.pid
    try:
        eventually(made.answers, 30, lambda: made.log)
        yield made
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(ENDED)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web_process(tmp_path_factory.mktemp("web")) as made:
        yield made


def rest(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionError:
        pass
    return found


HELD = {
    "nothing": b"",
    "half the headers": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
    "a body": HEAD + b"Content-Length: 200000\r\n\r\nx",
    "a body of one who knows": HEAD
    + b"Content-Length: 200000\r\nX-Milesync-Secret: "
    + SECRET.encode()
    + b"\r\n\r\n",
    "a body for GET": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n",
}


def test_callers_that_hold_on_shut_nobody_out_and_are_let_go(tmp_path: Path) -> None:
    """More of them than the process has files: it answers others, and its log stays short.

    Most of this is waiting, so each kind has a process of its own, and all wait at once.
    """
    with ThreadPoolExecutor(len(HELD)) as pool:
        found = {kind: pool.submit(_hold_on, tmp_path / kind, HELD[kind]) for kind in HELD}
    for done in found.values():
        done.result()


def _hold_on(folder: Path, held: bytes) -> None:
    folder.mkdir()
    with web_process(folder) as web, ExitStack() as stack:
        held_open = [stack.enter_context(web.connect(held)) for _ in range(OPEN_FILES + 40)]
        assert web.answers(), held
        before = time.monotonic()
        for connection in held_open:
            connection.settimeout(max(Wait.REQUEST.value, BODY_DEADLINE) + 20)
            rest(connection)  # it raises TimeoutError where nothing closes it
            assert time.monotonic() - before < max(Wait.REQUEST.value, BODY_DEADLINE) + 20, held
        assert web.answers(), held
        assert "Too many open files" not in web.log, held
        assert len(web.log) < 50_000, held


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        HEAD + b"Content-Length: 20000\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["headers", "body", "chunked body"],
)
def test_one_byte_at_a_time_is_408_at_the_deadline(web: Web, sent: bytes) -> None:
    """The deadline is for the whole, so a trickle does not put it off."""
    piece = b"1\r\na\r\n" if b"chunked" in sent else b"a"
    with web.connect(sent) as connection:
        connection.settimeout(0.5)
        deadline = time.monotonic() + max(Wait.REQUEST.value, BODY_DEADLINE) + 20
        answer = b""
        while not answer:
            assert time.monotonic() < deadline
            connection.sendall(piece)
            try:
                answer = connection.recv(4096)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 262145\r\nX-Milesync-Secret: wrong", 413),
        (b"Content-Length: 99999999999999999999", 413),
        (b"Content-Length: 00000000000000262145", 413),
        (b"Content-Length: 262144\r\nX-Milesync-Secret: wrong", 401),
        (b"Transfer-Encoding: chunked\r\nX-Milesync-Secret: wrong", 401),
        (b"Content-Length: 262144\r\nX-Milesync-Secret:", 401),
    ],
)
def test_what_the_headers_decide_is_answered_before_the_body(
    web: Web, headers: bytes, status: int
) -> None:
    """No byte of the body is ever sent."""
    with web.connect(HEAD + headers + b"\r\n\r\n") as connection:
        connection.settimeout(BODY_DEADLINE - 2)  # nothing is waited for
        assert connection.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_query_string_costs_nothing_and_is_in_no_log(web: Web) -> None:
    """60 KB of colons held the process for 38 s, and its log held them."""
    query = b":" * 60_000 + b"&secret=in-the-query"
    sent = b"GET /healthz?a://" + query + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with web.connect(sent) as connection:
        connection.settimeout(20)
        assert connection.recv(4096).startswith(b"HTTP/1.1 ")
    assert web.answers()
    assert ":::" not in web.log
    assert "in-the-query" not in web.log
    assert "/healthz" not in web.log
