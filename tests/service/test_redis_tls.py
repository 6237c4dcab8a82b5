"""``rediss://``: every process speaks TLS with Redis, checks who it is, and says no word before."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kombu.connection import Connection
from redis import Redis

from tests.clients.certificates import AUTHORITY, KEY, OTHER_HOST, SERVER
from tests.service.stack import Stack, eventually
from worker.tasks.redis_address import broker, redbeat

PASSWORD = "a-password-of-redis"


@contextmanager
def redis_with_tls(redis_url: str, folder: Path, certificate: str) -> Iterator[str]:
    """TLS in front of a Redis; its URL, with the authority that it is to be checked by."""
    for name, text in (("ca.pem", AUTHORITY), ("server.pem", certificate + KEY)):
        (folder / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    parts = urlsplit(redis_url)
    behind = (parts.hostname or "", parts.port or 6379)

    def serve(plain: socket.socket) -> None:
        with (
            suppress(OSError),
            context.wrap_socket(plain, server_side=True) as front,
            socket.create_connection(behind) as back,
        ):
            threading.Thread(target=_pump, args=(back, front), daemon=True).start()
            _pump(front, back)

    with _serving(serve) as port:
        yield f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={folder / 'ca.pem'}"


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while part := source.recv(65536):
            target.sendall(part)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def _serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port whose connections are each served in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_every_process_works_over_tls(stack: Stack, clean_redis: str, tmp_path: Path) -> None:
    """The web process asks, a worker does it, the beat ticks, and `check` finds it reachable."""
    with redis_with_tls(clean_redis, tmp_path, SERVER) as url:
        stack.redis_url = url
        stack.testrail.model.add(1, {"name": "over TLS"})
        stack.worker()
        web = stack.web()
        stack.start("beat", "celery", "-A", "worker.tasks", "beat")
        assert stack.hook(web, "first", project_id="1").status_code == 202
        logs = stack.logs("worker", "web", "beat")
        eventually(lambda: stack.names() == ["over TLS"], 40, logs)
        with Redis.from_url(url) as redis:
            eventually(lambda: redis.exists("milesync:beat:ticked"), 30, logs)
        assert "redis: Reachable." in stack.command("check").stdout
        stack.close()


@pytest.mark.parametrize("command", [("check",), ("migrate", "--background", "--yes")])
def test_another_server_s_certificate_is_refused(
    stack: Stack, clean_redis: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Before the password is sent; said with what to do."""
    with redis_with_tls(clean_redis, tmp_path, OTHER_HOST) as url:
        stack.redis_url = url
        ended = stack.command(*command)
        assert ended.returncode == 1
        assert "certificate verify failed" in ended.stdout
        assert "rediss://" in ended.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("celery", "-A", "worker.tasks", "worker"),
        ("celery", "-A", "worker.tasks", "beat"),
        ("celery", "-A", "worker.tasks", "inspect", "ping"),
        ("worker.tasks.alive",),
        ("worker.cli", "migrate", "--background", "--yes"),
        ("worker.cli", "check"),
    ],
    ids=lambda words: " ".join(words[-2:]),
)
def test_the_first_bytes_of_every_process_are_tls(stack: Stack, command: tuple[str, ...]) -> None:
    """A listener that is no Redis gets nothing that it could read."""
    seen: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            with suppress(OSError):
                seen.append(connection.recv(4096))

    with _serving(listen) as port:
        stack.redis_url = f"rediss://:{PASSWORD}@127.0.0.1:{port}/0"
        process = stack.start("process", *command)
        eventually(lambda: len(seen) > 0, 40, stack.logs("process"))
        stack.kill(process)
    assert {bytes(one[:1]) for one in seen if one} == {b"\x16"}
    assert PASSWORD.encode() not in b"".join(seen)


URLS = (
    "redis://h",
    "redis://h:1/3",
    "redis://[::1]:1/0",
    "redis://u%40x:p%2Fw%40@h:1/0?socket_timeout=9&db=4",
    "redis://h/0?password=a%20b&username=u",
    "redis://:p@h/0?password=other",
    "rediss://:p@h:1/2",
    "rediss://h/2?ssl_cert_reqs=none",
    "rediss://h/2?ssl_check_hostname=false&ssl_certfile=/c&ssl_keyfile=/k",
)
SAME = ("host", "port", "db", "username", "password")


@pytest.mark.parametrize("url", URLS)
def test_celery_redbeat_and_redis_py_read_the_same_url(url: str) -> None:
    """Host, account, database and whether and how TLS is spoken."""
    expected = Redis.from_url(url).connection_pool
    want = {"host": "localhost", "port": 6379, "db": 0} | expected.connection_kwargs
    made = redbeat(url)
    ours = Redis.from_url(
        made["redbeat_redis_url"], **made["redbeat_redis_options"]
    ).connection_pool
    assert ours.connection_class is expected.connection_class
    asked = _of_kombu(url)
    for name in SAME:
        assert ours.connection_kwargs.get(name) == expected.connection_kwargs.get(name), name
        assert asked.get(name) == want.get(name), name
    is_tls = expected.connection_class.__name__ == "SSLConnection"
    assert ("SSLConnection" in str(asked["connection_class"])) == is_tls
    for name, value in expected.connection_kwargs.items():
        if name.startswith("ssl_"):
            assert asked[name] == value
    if is_tls and "ssl_cert_reqs" not in url:
        assert asked["ssl_cert_reqs"] in ("required", ssl.CERT_REQUIRED)


def _of_kombu(url: str) -> dict[str, Any]:
    """What kombu would connect with."""
    found = broker(url)
    with Connection(  # type: ignore[no-untyped-call]
        found["broker_url"], ssl=found["broker_use_ssl"], transport=found["broker_transport"]
    ) as connection:
        channel_class = connection.get_transport_cls().Channel
        channel = channel_class.__new__(channel_class)
        channel.connection = type("Held", (), {"client": connection})()
        channel._registered = False
        return dict(channel._connparams())
