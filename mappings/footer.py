"""The last block of a target description: the marker, and what Testably has no field for. Pure.

It is written in one form, and read in every form in which a target may store it without loss (rule
R3): with any dash line, with blank lines left out or doubled, with its address turned into a link,
with lines whose labels only a later version knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mappings.text import is_dash_line, plain_text, same_text

LABELS: Final = {
    "TestRail": "url",
    "Refs": "refs",
    "Started": "started",
    "Completed": "completed",
    "Start": "start",
    "Due": "due",
    "Planned start": "planned_start",
}
"""The label of each line, in the order in which they are written, with its field of `Footer`."""

Lines = tuple[tuple[str, str], ...]
"""The label and the value of each line of a footer."""


@dataclass(frozen=True, slots=True)
class Footer:
    """What a footer says, as text. Dates are as `mappings.dates` writes them.

    ``start`` and ``due`` are the own dates of a milestone whose target may show those of its
    sub-milestones, ``planned_start`` a planned start that is not the start date. ``others`` are
    lines with labels that this version does not know.
    """

    url: str
    refs: str | None = None
    started: str | None = None
    completed: str | None = None
    start: str | None = None
    due: str | None = None
    planned_start: str | None = None
    others: Lines = ()

    @property
    def lines(self) -> Lines:
        """The lines that have a value, in the order in which they are written."""
        known = ((label, getattr(self, name)) for label, name in LABELS.items())
        return (*((label, value) for label, value in known if value), *self.others)


def with_footer(text: str | None, footer: Footer) -> str:
    """A description with its footer below it; `split_footer` takes it apart again."""
    block = "\n".join(["---", *(f"{label}: {value}" for label, value in footer.lines)])
    return f"{text}\n\n{block}" if text else block


def split_footer(description: str | None) -> tuple[str, Footer | None]:
    """The text and the footer of a description; only its very last block can be a footer.

    Both come as `mappings.text.plain_text` gives them.
    """
    plain = plain_text(description)
    text, lines = _below_a_dash_line(plain) or _on_one_line(plain) or (plain, ())
    footer = _footer(lines)
    return (plain, None) if footer is None else (text, footer)


def same_description(one: str | None, other: str | None) -> bool:
    """Whether two descriptions are equal without loss; footers are compared as their lines."""
    if same_text(one, other):
        return True
    text, footer = split_footer(one)
    if footer is None:
        return False
    other_text, other_footer = split_footer(other)
    if other_footer is None or not same_text(text, other_text):
        return False
    return _same_lines(footer.lines, other_footer.lines)


def _same_lines(one: Lines, other: Lines) -> bool:
    if [label for label, _ in one] != [label for label, _ in other]:
        return False
    return all(same_text(mine, its) for (_, mine), (_, its) in zip(one, other, strict=True))


# --- the marker

_ID: Final = re.compile(r"[1-9][0-9]{0,18}")


def marker_url(testrail_url: str, milestone_id: int) -> str:
    """The address of a milestone in TestRail: its identity in the target."""
    return f"{testrail_url.rstrip('/')}/index.php?/milestones/view/{milestone_id}"


def marked_id(description: str | None, testrail_url: str) -> int | None:
    """The TestRail id that a description's marker names, if it is a marker of this TestRail."""
    _, footer = split_footer(description)
    prefix = plain_text(marker_url(testrail_url, 0))[:-1]
    if footer is None or not footer.url.startswith(prefix):
        return None
    number = _ID.fullmatch(footer.url.removeprefix(prefix))
    return int(number[0]) if number else None


# --- reading

_LINE: Final = re.compile(r"(?P<label>[^\W\d_][\w ]{0,40}):\s+(?P<value>.*\S)")
_ON_ONE_LINE: Final = re.compile(r"(?:^| )(?P<dashes>[^\w\s]+) (?P<lines>TestRail: )")
_NEXT_LABEL: Final = re.compile(rf" (?=(?:{'|'.join(LABELS)}): )")


def _below_a_dash_line(plain: str) -> tuple[str, Lines] | None:
    """The text above the last dash line and the lines below it, if all of these have labels."""
    every = plain.rstrip().splitlines(keepends=True)
    for index in range(len(every) - 1, -1, -1):
        line = every[index].strip()
        if is_dash_line(line):
            return _without_blank_line("".join(every[:index])), _block(every[index + 1 :])
        if line and not _LINE.fullmatch(line):
            return None
    return None


def _without_blank_line(text: str) -> str:
    """The text without the one blank line, or line end, that parts it from what is below."""
    endings = ("\r\n\r\n", "\n\n", "\r\n", "\n")
    found = next((ending for ending in endings if text.endswith(ending)), "")
    return text.removesuffix(found)


def _block(below: Sequence[str]) -> Lines:
    """The labelled lines below the dashes, if a blank line parts none of them, or all."""
    is_blank = [not line.strip() for line in below]
    first = is_blank.index(False) if False in is_blank else len(below)
    doubled = first > 0 and all(one or other for one, other in pairwise(is_blank[first:]))
    if any(is_blank[first:]) and not doubled:
        return ()
    return _labelled([line.strip() for line in below if line.strip()])


def _on_one_line(plain: str) -> tuple[str, Lines] | None:
    """The text and the lines of a description whose line ends were all turned into spaces.

    Where it says so more than once, nobody can tell which is the footer: none is.
    """
    if len(plain.strip().splitlines()) != 1:
        return None
    words = " ".join(plain.split())
    found = [begin for begin in _ON_ONE_LINE.finditer(words) if is_dash_line(begin["dashes"])]
    if len(found) != 1:
        return None
    return words[: found[0].start()], _labelled(_NEXT_LABEL.split(words[found[0].start("lines") :]))


def _labelled(lines: Sequence[str]) -> Lines:
    found = [_LINE.fullmatch(line) for line in lines]
    return tuple((line["label"], line["value"]) for line in found if line)


def _footer(lines: Lines) -> Footer | None:
    """The footer that the lines make; its first line is the marker, an address and nothing else."""
    if not lines or lines[0][0] != "TestRail" or len(lines[0][1].split()) != 1:
        return None
    known: dict[str, str] = {}
    others = []
    for label, value in lines:
        if label in LABELS and LABELS[label] not in known:
            known[LABELS[label]] = value
        else:
            others.append((label, value))
    return Footer(**known, others=tuple(others))
