"""How a person is told of an error on stderr: what happened, and below it what to do next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mappings.errors import MilesyncError

CANNOT_START = 2
"""The exit code of wrong settings, of a command and of a process of the service alike."""
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
_CONTROLS |= {ord(blank): " " for blank in "\t\r\n"}


def say_error(error: MilesyncError) -> None:
    """Tell a person on stderr what happened and what to do next."""
    lines = [f"milesync: {error.message}", *([f"  {error.hint}"] if error.hint else [])]
    shown = "\n".join("\n".join(map(printable, line.splitlines())) for line in lines)
    sys.stderr.write(f"{shown}\n")


def printable(text: str | None) -> str:
    """Text from elsewhere for a terminal: on one line, without control characters."""
    return (text or "").translate(_CONTROLS)


@contextmanager
def starting() -> Iterator[None]:
    """A process of the service starts inside: an error ends it with two lines and code 2."""
    try:
        yield
    except MilesyncError as error:
        say_error(error)
        raise SystemExit(CANNOT_START) from None
