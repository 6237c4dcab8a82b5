"""A real terminal: a process behind a pty, and a person who reads and types."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0
"""Seconds after which what is waited for is not expected any more."""
_STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """What a process shows; ``shown`` is all of it so far, without styles."""

    def __init__(self, handle: int, process: subprocess.Popen[bytes]) -> None:
        self._handle = handle
        self._process = process
        self._raw = b""
        self._read = 0

    @property
    def shown(self) -> str:
        text = self._raw.decode("utf-8", errors="replace")
        return _STYLES.sub("", text).replace("\r\n", "\n")

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until the pattern stands in what was not expected yet."""
        end = time.monotonic() + PATIENCE
        while True:
            found = re.compile(pattern).search(self.shown, self._read)
            if found is not None:
                self._read = found.end()
                return found
            left = end - time.monotonic()
            assert left > 0, f"{pattern!r} was not shown after: {self.shown[self._read :]!r}"
            assert self._take(left), f"{pattern!r} was not shown before the end: {self.shown!r}"

    def type(self, text: str) -> None:
        """Type a line."""
        self.press(f"{text}\n")

    def press(self, keys: str | bytes) -> None:
        """Press keys, such as those that interrupt or end the input; bytes may be no text."""
        os.write(self._handle, keys.encode() if isinstance(keys, str) else keys)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, which ends its line, and type the answer."""
        self.expect(question + r"[^\n]*[:?] $")
        self.type(text)

    def end(self) -> int:
        """Read to the end: the exit code."""
        while self._take(PATIENCE):
            pass
        return self._process.wait(PATIENCE)

    def _take(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._handle], [], [], max(seconds, 0))
        if not ready:
            return False
        try:
            some = os.read(self._handle, 65536)
        except OSError:  # Linux says so that the other end is closed
            return False
        self._raw += some
        return bool(some)


@contextmanager
def terminal(
    command: Sequence[str],
    *,
    folder: Path,
    environ: Mapping[str, str],
    columns: int = 80,
) -> Iterator[Terminal]:
    """Run a command in a terminal of its own; killed at the end if it still runs."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**environ, "TERM": "xterm", "COLUMNS": str(columns)},
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(inner)
    try:
        yield Terminal(outer, process)
    finally:
        process.kill()
        process.wait()
        os.close(outer)


def _take_terminal() -> None:
    """Make the terminal the session's own, so that what is typed hidden is read from it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def milesync(*args: str) -> list[str]:
    """The command as this Python runs it."""
    return [sys.executable, "-m", "worker.cli", *args]
