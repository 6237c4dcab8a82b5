"""The broker of `milesync up`: who may use it, and how a command finds it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis

from mappings.errors import Busy
from worker.embedded_broker import announced, embedded_broker, find_broker


@pytest.fixture
def url() -> Iterator[SecretStr]:
    with embedded_broker() as served:
        yield served


def _password(url: SecretStr) -> str:
    return url.get_secret_value().partition("redis://:")[2].partition("@")[0]


def _answer(url: SecretStr, *pieces: bytes) -> bytes:
    """What the broker says to these bytes, sent piece by piece, until it hangs up or answers."""
    port = int(url.get_secret_value().rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        return connection.recv(1024)


@pytest.mark.parametrize("protocol", [2, 3])
def test_who_knows_the_password_is_served(url: SecretStr, protocol: int) -> None:
    with Redis.from_url(url.get_secret_value(), protocol=protocol) as client:
        client.rpush("sync", "a", "b")
        assert client.lrange("sync", 0, -1) == [b"a", b"b"]


def test_a_password_in_pieces_is_waited_for(url: SecretStr) -> None:
    password = _password(url).encode()
    whole = b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n" % (len(password), password)
    assert _answer(url, *(whole[at : at + 7] for at in range(0, len(whole), 7))) == b"+OK\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"*1\r\n$4\r\nPING\r\n",
        b"PING\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"*2\r\n$4\r\nAUTH\r\n$0\r\n\r\n",
        b"*1\r\n$4\r\nAUTH\r\n",
        b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
        b"*4\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n",
        b"*99999\r\n",
        b"\x00" * 5000,
    ],
)
def test_everybody_else_is_refused(url: SecretStr, sent: bytes) -> None:
    # a reset, where what was sent beyond the first command was not read
    with contextlib.suppress(ConnectionResetError):
        assert _answer(url, sent) in (b"-NOAUTH Authentication required.\r\n", b"")


def test_the_first_command_alone_decides(url: SecretStr) -> None:
    """A command before the password is not carried out."""
    password = _password(url).encode()
    late = b"*1\r\n$8\r\nFLUSHALL\r\n*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n" % (len(password), password)
    with Redis.from_url(url.get_secret_value()) as client:
        client.set("kept", "1")
        assert _answer(url, late).startswith(b"-NOAUTH")
        assert client.get("kept") == b"1"


# --- being found ------------------------------------------------------------------------------


def test_it_is_found_while_it_is_announced(url: SecretStr, tmp_path: Path) -> None:
    file = tmp_path / "milesync.db.broker"
    assert find_broker(file) is None
    with announced(file, url):
        assert find_broker(file) == url
        assert file.stat().st_mode & 0o777 == 0o600
        assert _password(url) not in repr(find_broker(file))
    assert not file.exists()


def test_the_file_of_a_later_one_is_left(url: SecretStr, tmp_path: Path) -> None:
    file = tmp_path / "milesync.db.broker"
    with announced(file, url):
        file.write_text("another's")
    assert file.read_text() == "another's"


def test_only_one_is_announced(url: SecretStr, tmp_path: Path) -> None:
    """Also of two that start at the same moment; what one that was killed has left is replaced."""
    file = tmp_path / "milesync.db.broker"
    with announced(file, url), pytest.raises(Busy, match="already"), announced(file, url):
        pass
    file.write_text("redis://:gone@127.0.0.1:1/0")
    with announced(file, url):
        assert find_broker(file) == url


@pytest.mark.parametrize(
    "text",
    [
        "redis://:gone@127.0.0.1:1/0",
        "redis://:password@elsewhere.example:6379/0",
        "",
        "{}",
    ],
)
def test_what_does_not_answer_here_counts_as_gone(text: str, tmp_path: Path) -> None:
    file = tmp_path / "milesync.db.broker"
    file.write_text(text)
    assert find_broker(file) is None


def test_one_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """Its process was stopped, say: a command goes on within a moment."""
    file = tmp_path / "milesync.db.broker"
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        file.write_text(f"redis://:secret@127.0.0.1:{hanging.getsockname()[1]}/0")
        before = time.monotonic()
        assert find_broker(file) is None
        assert time.monotonic() - before < 3
