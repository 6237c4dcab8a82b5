"""Questions to a person at a terminal: one line each, which ends in ``:`` or ``?``.

Enter takes what stands in brackets. What cannot be taken is asked for again, with the reason.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import Final, TypeVar

from mappings.errors import MilesyncError
from worker.cli.output import console
from worker.cli.signals import ending
from worker.errors import UsageError
from worker.say import printable

T = TypeVar("T")
_NO_TEXT: Final = "  What was typed is no text."


def say(text: str = "", style: str = "") -> None:
    """Tell a person something on stderr, where the questions are."""
    console(sys.stderr).print("\n".join(map(printable, text.split("\n"))), style=style)


def say_refused(error: MilesyncError) -> None:
    """Tell a person why an answer was not taken."""
    say(
        "\n".join(f"  {line}" for line in (*error.message.split("\n"), error.hint) if line),
        "yellow",
    )


def is_interactive() -> bool:
    """Whether there is a person to ask: a terminal to read from, and one to ask on."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask(question: str, take: Callable[[str], T], default: str | None = None) -> T:
    """What ``take`` makes of the answer; where it raises ValueError the person is asked again.

    The text of the ValueError completes the sentence "What was typed …", which does not repeat the
    answer: a key may have been pasted along. Raises UsageError where the input ends.
    """
    shown = "" if default is None else f" [{default}]"
    while True:
        answer = _read(f"{question}{shown}: ").strip() or default
        if answer is None:
            continue
        try:
            return take(answer)
        except ValueError as error:
            say(f"  What was typed {error}.", "yellow")


def ask_hidden(question: str, take: Callable[[str], T]) -> T:
    """`ask` for a secret, which is not shown while it is typed, and not repeated."""
    while True:
        with ending.waiting():
            try:
                answer = getpass.getpass(f"{question}: ", stream=sys.stderr).strip()
            except EOFError:
                raise _ended() from None
            except UnicodeDecodeError:
                say(_NO_TEXT, "yellow")
                continue
        if not answer:
            continue
        try:
            return take(answer)
        except ValueError as error:
            say(f"  What was typed {error}.", "yellow")


def confirm(question: str, *, default: bool) -> bool:
    """A yes or a no."""
    usual = "y" if default else "n"
    while True:
        answer = _read(f"{question}, y/n [{usual}]? ").strip().lower() or usual
        if answer in ("y", "yes", "n", "no"):
            return answer[0] == "y"
        say("  Please answer with y or n.", "yellow")


def _read(prompt: str) -> str:
    """The line that is typed; what is no text is asked for again."""
    while True:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        try:
            with ending.waiting():
                line = sys.stdin.readline()
            line.encode()
        except UnicodeError:
            say(_NO_TEXT, "yellow")
            continue
        if not line:
            raise _ended()
        return line


def _ended() -> UsageError:
    sys.stderr.write("\n")
    return UsageError("The input ended before everything was asked; nothing was written.")
