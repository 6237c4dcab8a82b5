"""What goes where: results on stdout, everything else on stderr; and how a command ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TextIO

from mappings.errors import MilesyncError
from worker.cli.screen import Console
from worker.cli.streams import write
from worker.say import moves

if TYPE_CHECKING:
    from worker.sync.report import State

Human = Callable[[Console], None]


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
    told = {"kind": error.kind, "message": error.message, "hint": error.hint}
    return {"state": state, "error": told}


def show(document: Mapping[str, Any], human: Human, *, as_json: bool) -> None:
    """Print a result on stdout: the one JSON document, or what ``human`` prints."""
    if as_json:
        print_json(document)
    else:
        human(console(sys.stdout))


def print_json(document: Mapping[str, Any]) -> None:
    """Print the one document of a command on stdout."""
    plain = "utf" not in (sys.stdout.encoding or "").lower()
    print_text(visible_json(json.dumps(document, ensure_ascii=plain, indent=2)) + "\n")


def visible_json(text: str) -> str:
    """The same JSON document, in which nothing moves the cursor or turns the text round."""
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
