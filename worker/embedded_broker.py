"""The broker that `milesync up` brings along, and how commands beside it find it.

It is fakeredis behind a socket on the loopback address, and keeps nothing. Its address, with a
password of its own, is left in a file beside the SQLite database that only its owner can read: who
can read the database shares its rate limiter.
"""

from __future__ import annotations

import os
import re
import secrets
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from pydantic import SecretStr
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from mappings.errors import Busy

_ADDRESS: Final = re.compile(r"redis://:[\w-]+@127\.0\.0\.1:\d+/0")
_SOON: Final = 0.5
"""Seconds that a broker on this very machine has to answer; else it counts as gone."""
_GREETING: Final = 5.0
"""Seconds that a connection has to say its password."""
_LONGEST_GREETING: Final = 1024
_REFUSED: Final = b"-NOAUTH Authentication required.\r\n"


# --- serving it -------------------------------------------------------------------------------


@contextmanager
def embedded_broker() -> Iterator[SecretStr]:
    """A Redis-like server in this process; its URL, which holds its password."""
    from fakeredis import TcpFakeServer

    password = secrets.token_urlsafe(24)

    class Server(TcpFakeServer):
        daemon_threads = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            if _knows(request, password.encode()):
                super().finish_request(request, client_address)

    server = Server(("127.0.0.1", 0))
    # With Nagle's algorithm each answer would take thirty times as long.
    handler: type = server.RequestHandlerClass  # type: ignore[assignment]
    server.RequestHandlerClass = type("Handler", (handler,), {"disable_nagle_algorithm": True})
    server.daemon_threads = True  # the library's constructor has taken it back
    server.fake_server.config[b"requirepass"] = password.encode()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield SecretStr(f"redis://:{password}@127.0.0.1:{server.server_address[1]}/0")
    finally:
        server.shutdown()
        server.server_close()


def _knows(connection: socket.socket, password: bytes) -> bool:
    """Whether the first command of a connection holds the password; refuses it otherwise.

    fakeredis checks a password and asks for none. The command is only looked at: it is still
    there for fakeredis to answer.
    """
    deadline = time.monotonic() + _GREETING
    seen = b""
    with suppress(OSError):
        while len(seen) < _LONGEST_GREETING and (left := deadline - time.monotonic()) > 0:
            select.select([connection], [], [], left)
            before, seen = seen, connection.recv(_LONGEST_GREETING, socket.MSG_PEEK)
            if (words := _first_command(seen)) is not None:
                if _says(words, password):
                    return True
                break
            if seen == before:
                if not seen:
                    break  # it has gone
                time.sleep(0.01)  # the rest of it is under way
        connection.sendall(_REFUSED)
    return False


def _first_command(data: bytes) -> list[bytes] | None:
    """The words of the first command; None while it is not whole. A list in Redis's protocol."""
    head, end, rest = data.partition(b"\r\n")
    if not end:
        return None
    if not re.fullmatch(rb"\*[1-9]", head):
        return []
    words = []
    for _ in range(int(head[1:])):
        size, end, rest = rest.partition(b"\r\n")
        if not end:
            return None
        if not re.fullmatch(rb"\$\d{1,3}", size):
            return []
        length = int(size[1:])
        if len(rest) < length + 2:
            return None
        words.append(rest[:length])
        rest = rest[length + 2 :]
    return words


def _says(words: list[bytes], password: bytes) -> bool:
    """``AUTH password``, ``AUTH default password`` or ``HELLO 3 AUTH default password …``."""
    upper = [word.upper() for word in words]
    if upper[:1] == [b"HELLO"] and upper[2:3] == [b"AUTH"]:
        said = words[3:5]
    elif upper[:1] == [b"AUTH"]:
        said = [b"default", *words[1:]][-2:]
    else:
        return False
    return said[:1] == [b"default"] and secrets.compare_digest(said[-1], password)


# --- being found ------------------------------------------------------------------------------


@contextmanager
def announced(file: Path, url: SecretStr) -> Iterator[None]:
    """Leave the broker's address in ``file`` while inside, for its owner only.

    Raises Busy if another process has done so and lives.
    """
    mine = file.with_name(f"{file.name}.{os.getpid()}")
    text = url.get_secret_value()
    with _alone(file):
        handle = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as out:
            out.write(text)
        mine.replace(file)
        try:
            yield
        finally:
            with suppress(OSError):
                if file.read_text() == text:
                    file.unlink()


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold what only one process can; the system lets go of it when that one dies."""
    lock = FileLock(f"{file}.lock", timeout=0, thread_local=False, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise Busy("`milesync up` runs on this database already.", "End that one first.") from None
    try:
        yield
    finally:
        lock.release()


def find_broker(file: Path) -> SecretStr | None:
    """The URL of the broker that ``file`` tells of, if there is one and it answers soon."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError):
        return None
    if not _ADDRESS.fullmatch(text):
        return None
    url = SecretStr(text)
    try:
        with connect_to(url) as client:
            client.ping()
    except RedisError:  # what a `milesync up` that was killed has left
        return None
    return url


def connect_to(url: SecretStr) -> Redis:
    """A connection to a broker on this machine, which gives up at once."""
    return Redis.from_url(
        url.get_secret_value(),
        socket_timeout=_SOON,
        socket_connect_timeout=_SOON,
        retry=Retry(NoBackoff(), 0),
    )
