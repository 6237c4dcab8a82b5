"""What goes where: results on stdout, everything else on stderr; and how a command ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, Final, TextIO

from mappings.errors import MilesyncError
from worker.cli.screen import Console
from worker.cli.streams import not_kept, write
from worker.say import moves

if TYPE_CHECKING:
    from worker.sync.report import State

_BLOCK = 1024 * 1024
"""Characters of a document that are held in memory."""
_PARTS = 1000
"""Of a document, such as a name or a comma, that are written at once."""
Human = Callable[[Console], None]


class OneDocument:
    """Whether this process has printed the one document of its command on stdout."""

    def __init__(self) -> None:
        self.is_printed = False


one_document: Final = OneDocument()
"""Standard output belongs to the process, so there is one of these."""


class Exit(IntEnum):
    """The exit codes of a command that no signal ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3


def exit_of(state: State) -> Exit:
    """The exit code of a run, or of several together, that ended in this state."""
    from worker.sync.report import State

    return {State.SUCCEEDED: Exit.OK, State.PARTIAL: Exit.PARTIAL}.get(state, Exit.FAILED)


def failure(error: MilesyncError, state: str = "failed") -> dict[str, Any]:
    """The document of a command that could not do its work."""
    described = {"kind": error.kind, "message": error.message, "hint": error.hint}
    return {"state": state, "error": described}


def show(document: Mapping[str, Any], human: Human, *, as_json: bool) -> None:
    """Print a result on stdout: the one JSON document, or what ``human`` prints."""
    if as_json:
        print_json(document)
    else:
        human(console(sys.stdout))


class Streamed(list[Any]):
    """A list of a document whose items are made anew whenever they are looked at, one by one."""

    def __init__(self, items: Callable[[], Iterator[Any]]) -> None:
        super().__init__()
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return self._items()

    def __bool__(self) -> bool:
        return any(True for _ in self)


def print_json(document: Mapping[str, Any]) -> None:
    """Print the one document of a command on stdout; nothing of it if it cannot be made whole.

    A long one is kept in a file until then. Raises OutputLost.
    """
    plain = "utf" not in (sys.stdout.encoding or "").lower()
    encoder = json.JSONEncoder(ensure_ascii=plain, indent=2)
    how: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogatepass", "newline": ""}
    with SpooledTemporaryFile(_BLOCK, "w+", **how) as kept, not_kept():
        parts = encoder.iterencode(document)
        while some := tuple(islice(parts, _PARTS)):
            kept.write("".join(some))
        kept.write("\n")
        kept.seek(0)
        one_document.is_printed = True
        while block := kept.read(_BLOCK):
            print_text(visible_json(block))


def visible_json(text: str) -> str:
    """The same JSON document, in which nothing moves the cursor or turns the text round."""
    if text.replace("\n", "").isprintable():
        return text
    return "\n".join(
        line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n")
    )


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if moves(char) else char


def print_text(text: str) -> None:
    """Print text on stdout. Raises OutputLost."""
    write(sys.stdout, text)


def console(stream: TextIO) -> Console:
    """What prints text as it stands on a stream."""
    return Console(stream)
