"""Text and tables on a terminal or in a pipe, without anything that takes long to import.

On a terminal, lines are wrapped between words; an id or a time is one word and is never cut. What
is piped is not wrapped at all: each row of a table is one line, so that it can be searched.
"""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from worker.cli.streams import write
from worker.say import printable

_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_GAP: Final = 2
"""Blanks between two columns."""
_NARROWEST: Final = 12
"""A column of prose is not made narrower than this, even where its words are longer."""
_LONGEST_ID: Final = 40
"""A word of so many characters at most, with a digit in it, is an id or a time: never cut."""
_WORD: Final = re.compile(r"(\s*)(\S+)")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells below a heading each; every cell is one line of text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def lines(self, width: int | None, rule: str = "─") -> Iterator[str]:
        """The lines of the table, none longer than ``width`` where its words allow that."""
        rows = [[printable(cell) for cell in row] for row in self.rows]
        widths = _fitted(list(zip(self.columns, *rows, strict=True)), width)
        yield from _row(self.columns, widths)
        yield (" " * _GAP).join(rule * one for one in widths)
        for row in rows:
            yield from _row(row, widths)


class Console:
    """Prints on a stream; nothing in a text moves the cursor or turns the text round.

    ``width`` is None where nothing is to be wrapped.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        on_terminal = stream.isatty()
        self.width = shutil.get_terminal_size().columns if on_terminal else None
        self._styled = on_terminal and not os.environ.get("NO_COLOR")
        self._styled &= os.environ.get("TERM") != "dumb"
        self._rule = "─" if "utf" in (stream.encoding or "").lower() else "-"

    def print(self, what: str | Table = "", style: str = "", *, hang: int = 0) -> None:
        """Print a text of one line or several, or a table.

        Where a line is wrapped, what follows stands ``hang`` places further to the right.
        """
        if isinstance(what, Table):
            lines = list(what.lines(self.width, self._rule))
        else:
            shown = map(printable, what.split("\n"))
            lines = [part for line in shown for part in wrap(line, self.width, hang=hang)]
        code = _STYLES.get(style)
        if code and self._styled:
            lines = [f"\x1b[{code}m{line}\x1b[0m" for line in lines]
        write(self._stream, "".join(f"{line}\n" for line in lines))


def cells(text: str) -> int:
    """How many places on a terminal a text without control characters takes."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(char) for char in text)


def _cells_of(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrap(text: str, width: int | None, *, hang: int = 0, cut: bool = False) -> list[str]:
    """A line as lines of at most ``width`` places, wrapped between words, indented like it.

    All but the first stand ``hang`` places further to the right. A word that is longer stands
    whole on a line of its own, unless it may be ``cut``.
    """
    if width is None or cells(text) <= width:
        return [text.rstrip()]
    indent = text[: len(text) - len(text.lstrip(" "))][: width // 3]
    hanging = indent + " " * min(hang, width // 3)
    lines = [""]
    for gap, word in _WORD.findall(text.strip()):
        for piece in _pieces(word, width - len(hanging)) if cut else [word]:
            joined = f"{lines[-1]}{gap}{piece}" if lines[-1] else piece
            room = width - len(indent if len(lines) == 1 else hanging)
            if cells(joined) <= room or not lines[-1]:
                lines[-1] = joined
            else:
                lines.append(piece)
    return [indent + lines[0], *(hanging + line for line in lines[1:])]


def _pieces(word: str, room: int) -> Iterator[str]:
    """A word in pieces that fit; a piece has one character at least."""
    piece = ""
    for char in word:
        if piece and cells(piece + char) > room:
            yield piece
            piece = ""
        piece += char
    yield piece


def _row(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    wrapped = [wrap(cell, room, cut=True) for cell, room in zip(row, widths, strict=True)]
    for number in range(max(map(len, wrapped), default=0)):
        parts = [lines[number] if number < len(lines) else "" for lines in wrapped]
        filled = (
            part + " " * (room - cells(part)) for part, room in zip(parts, widths, strict=True)
        )
        yield (" " * _GAP).join(filled).rstrip()


def _fitted(columns: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """How wide each column is: the widest ones give way first, and no word is cut for it.

    Only where that is not enough, long words in columns of prose are.
    """
    widths = [max(map(cells, column)) for column in columns]
    if width is not None:
        room = width - _GAP * (len(columns) - 1)
        whole = [max(map(_longest_word, column)) for column in columns]
        _shrink(widths, whole, room)
        _shrink(widths, [_narrowest(column) for column in columns], room)
    return widths


def _narrowest(column: Sequence[str]) -> int:
    words = [word for cell in column for word in cell.split()]
    is_prose = any(" " in cell for cell in column[1:])
    kept = [word for word in words if not is_prose or _is_id(word)]
    return max([_NARROWEST if is_prose else 0, *map(cells, kept)])


def _is_id(word: str) -> bool:
    return len(word) <= _LONGEST_ID and any(map(str.isdigit, word))


def _longest_word(cell: str) -> int:
    return max(map(cells, cell.split()), default=0)


def _shrink(widths: list[int], least: Sequence[int], room: int) -> None:
    """Take from the widest that is wider than its ``least`` until all fit into the ``room``."""
    while sum(widths) > room:
        wider = [i for i, width in enumerate(widths) if width > least[i]]
        if not wider:
            return
        widths[max(wider, key=widths.__getitem__)] -= 1
