"""How a person is told of an error on stderr: what happened, and below it what to do next."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mappings.errors import MilesyncError

CANNOT_START = 2
"""The exit code of wrong settings, of a command and of a process of the service alike."""
_SHOWN_AS: Final = "\N{REPLACEMENT CHARACTER}"
_MOVES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of what moves the cursor, ends a line, turns the text round or is not seen."""
_UNSEEN: Final = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]")
"""What is empty on the screen though Unicode calls it a letter or a mark."""


def say_error(error: MilesyncError) -> None:
    """Tell a person on stderr what happened and what to do next."""
    lines = [f"milesync: {error.message}", *([f"  {error.hint}"] if error.hint else [])]
    shown = "\n".join("\n".join(map(printable, line.splitlines())) for line in lines)
    with suppress(OSError):  # closed or full: there is nobody else to tell
        sys.stderr.write(f"{shown}\n")


def printable(text: str | None) -> str:
    """Text from elsewhere for a terminal: on one line, and all of it can be seen as it stands."""
    plain = _UNSEEN.sub(_SHOWN_AS, text or "")
    return plain if plain.isprintable() else "".join(map(_shown, plain))


def _shown(char: str) -> str:
    if char in "\t\r\n":
        return " "
    return _SHOWN_AS if moves(char) else char


def moves(char: str) -> bool:
    """Whether a character moves the cursor, turns the text round, or cannot be seen."""
    return unicodedata.category(char) in _MOVES


@contextmanager
def starting() -> Iterator[None]:
    """A process of the service starts inside: an error ends it with two lines and code 2."""
    try:
        yield
    except MilesyncError as error:
        say_error(error)
        raise SystemExit(CANNOT_START) from None
