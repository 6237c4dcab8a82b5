"""Text and tables on a terminal of any width, and in a pipe."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.screen import Console, Table, cells, wrap

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=30)
PROSE = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z", "N")), max_size=30),
    max_size=12,
).map(" ".join)
LINES = st.lists(WORDS, max_size=12).map(" ".join)
WIDTHS = st.integers(1, 100)


class FakeTerminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def shown(table: Table, width: int | None) -> list[str]:
    return list(table.lines(width))


@given(LINES, WIDTHS)
def test_wrapping_keeps_every_word_and_its_order(line: str, width: int) -> None:
    assert " ".join(wrap(line, width)).split() == line.split()


@given(LINES, WIDTHS)
def test_only_a_word_that_is_longer_than_a_line_stands_out(line: str, width: int) -> None:
    for one in wrap(line, width):
        assert cells(one) <= width or " " not in one.strip()


@given(LINES, st.integers(2, 100))
def test_where_words_may_be_cut_nothing_stands_out_and_nothing_is_lost(
    line: str, width: int
) -> None:
    lines = wrap(line, width, cut=True)
    assert all(cells(one) <= width for one in lines)
    assert "".join("".join(lines).split()) == "".join(line.split())


@given(st.lists(st.tuples(LINES, LINES), max_size=5))
def test_in_a_pipe_each_row_is_one_line(rows: list[tuple[str, str]]) -> None:
    heading, rule, *lines = shown(Table(("One", "Other"), rows), None)
    assert (heading.split(), set(rule)) == (["One", "Other"], {"─", " "})
    assert len(lines) == len(rows)
    for (one, other), line in zip(rows, lines, strict=True):
        assert line.startswith(one.rstrip())
        assert line.endswith(other.rstrip())


@given(st.lists(st.tuples(PROSE, PROSE), max_size=5), st.integers(30, 100))
def test_on_a_terminal_no_line_is_too_long_if_there_is_prose_to_wrap(
    rows: list[tuple[str, str]], width: int
) -> None:
    table = Table(
        ("Id", "Why"), [(f"id-{i}", f"because of {' '.join(r)}") for i, r in enumerate(rows)]
    )
    for line in shown(table, width):
        assert cells(line) <= width


def test_an_id_is_never_cut_and_prose_gives_way() -> None:
    ids = ("20261121-204512-3fa9", "2026-11-21T20:45:12Z")
    row = (*ids, "a name of several words that is much longer than what is left for it here")
    lines = shown(Table(("Run", "Began", "Name"), [row]), 80)
    assert all(id_ in lines[2] for id_ in ids)
    assert all(len(line) <= 80 for line in lines)


def test_wide_characters_take_two_places() -> None:
    assert cells("東京") == 4
    assert cells("e\N{COMBINING ACUTE ACCENT}") == 1
    heading, _, one, other = shown(Table(("Name", "N"), [("東京", "1"), ("ab", "2")]), 80)
    assert (heading, one, other) == ("Name  N", "東京  1", "ab    2")


@pytest.mark.parametrize(("no_color", "styled"), [("", True), ("1", False)])
def test_styles_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, no_color: str, styled: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    out = FakeTerminal()
    Console(out).print("done", style="bold")
    assert out.getvalue() == ("\x1b[1mdone\x1b[0m\n" if styled else "done\n")


def test_text_in_a_pipe_is_printed_as_it_stands() -> None:
    out = io.StringIO()
    console = Console(out)
    console.print("a b " * 100, style="red")
    console.print("two\nlines")
    assert out.getvalue() == ("a b " * 100).rstrip() + "\ntwo\nlines\n"


def test_an_indented_line_stays_indented() -> None:
    assert wrap("    one two three", 12) == ["    one two", "    three"]


def test_blanks_between_words_are_kept_where_a_line_is_not_broken() -> None:
    assert wrap("ok     one two three four", 21, hang=7) == ["ok     one two three", "       four"]


def test_a_word_with_a_digit_is_never_cut() -> None:
    """Ids and times stay whole where names of one long word have to be cut."""
    row = (
        "2026-10-28T00:00:00Z",
        "ms_0123456789abcdef0123456789abcdef",
        "Überwachungsgröße im Test",
    )
    lines = shown(Table(("Began", "Id", "Name"), [row]), 72)
    assert all(id_ in lines[2] for id_ in row[:2])
    assert all(cells(line) <= 72 for line in lines)
