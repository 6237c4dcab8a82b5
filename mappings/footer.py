"""The last block of a target description: the marker, and what Testably has no field for. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FOOTER = re.compile(
    r"(?:^|\n\n|\r\n\r\n)---\r?\n"
    r"TestRail: (?P<url>[^\r\n]+)"
    r"(?:\r?\nRefs: (?P<refs>[^\r\n]+))?"
    r"(?:\r?\nStarted: (?P<started>[^\r\n]+))?"
    r"(?:\r?\nCompleted: (?P<completed>[^\r\n]+))?"
    r"\Z"
)
_FOOTER_STARTS: Final = ("\n\n---\nTestRail: ", "\r\n\r\n---\r\nTestRail: ")
_ID: Final = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Footer:
    """The last block of a target description: the marker and what has no field of its own."""

    url: str
    refs: str | None = None
    started: str | None = None
    completed: str | None = None


def with_footer(text: str | None, footer: Footer) -> str:
    """A description with its footer below it; `split_footer` takes it apart again."""
    lines = [
        f"{label}: {value}"
        for label, value in (
            ("TestRail", footer.url),
            ("Refs", footer.refs),
            ("Started", footer.started),
            ("Completed", footer.completed),
        )
        if value
    ]
    block = "\n".join(["---", *lines])
    return f"{text}\n\n{block}" if text else block


def split_footer(description: str | None) -> tuple[str, Footer | None]:
    """The text and the footer of a description; only its very last block can be a footer.

    Line ends and white space around the whole may have been normalised by the target.
    """
    text = (description or "").rstrip()
    start = max(0, *(text.rfind(opening) for opening in _FOOTER_STARTS))
    found = _FOOTER.match(text, start)
    if not found:
        return description or "", None
    return text[:start], Footer(**found.groupdict())


def marker_url(testrail_url: str, milestone_id: int) -> str:
    """The address of a milestone in TestRail: its identity in the target."""
    return f"{testrail_url.rstrip('/')}/index.php?/milestones/view/{milestone_id}"


def marked_id(description: str | None, testrail_url: str) -> int | None:
    """The TestRail id that a description's marker names, if it is a marker of this TestRail."""
    _, footer = split_footer(description)
    prefix = marker_url(testrail_url, 0)[:-1]
    if footer is None or not footer.url.startswith(prefix):
        return None
    number = _ID.fullmatch(footer.url.removeprefix(prefix))
    return int(number[0]) if number else None
