"""The server's own words: what an answer says is wrong, and any text on one line and bounded."""

from __future__ import annotations

import json
from typing import Final

from worker.clients.bounds import DEEPEST
from worker.clients.clean import clean
from worker.clients.decode import decode

_WORDS: Final = ("error", "message", "detail", "errors")
"""Where answers say what is wrong: TestRail's, and those of other APIs."""
_MOST_SAID: Final = 3
_MOST_READ: Final = 64 * 1024
_LONGEST_TEXT: Final = 200


def words_in(body: bytes) -> str:
    """What the JSON of an answer says is wrong; empty if it is none, or says nothing."""
    try:
        return words_of(decode(body))
    except ValueError:
        return ""


def words_of(value: object) -> str:
    """What a decoded answer says is wrong, in whichever of the usual forms; empty if nothing."""
    return next(map(_said, _told(value)), "")[:_MOST_READ]


def has_error(body: bytes) -> bool:
    """Whether the body is JSON and names an error as TestRail does."""
    try:
        return is_error(decode(body))
    except ValueError:
        return False


def is_error(value: object) -> bool:
    """Whether a decoded answer says that something went wrong, whatever else it holds."""
    return isinstance(value, dict) and bool(value.get("error") or value.get("errors"))


def require_no_error(value: object) -> None:
    """Raises ValueError for what says that something went wrong: it proves nothing (R4)."""
    if is_error(value):
        raise ValueError("milestones should come without an error")


def _told(value: object) -> list[object]:
    found = value if isinstance(value, dict) else {}
    return [found[name] for name in _WORDS if found.get(name)]


def _said(found: object, depth: int = 0) -> str:
    if isinstance(found, list) and found and depth < DEEPEST:
        return "; ".join(_said(one, depth + 1) for one in found[:_MOST_SAID])
    if depth < DEEPEST and (inner := _told(found)):
        return _said(inner[0], depth + 1)
    return found if isinstance(found, str) else json.dumps(clean(found), ensure_ascii=False)


def one_line(text: str) -> str:
    """The text without control characters, and single blanks for white space."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())


def shortened(text: str) -> str:
    """At most 200 characters of ``text``, on one line."""
    line = one_line(text)
    return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"
