"""What people wrote, on a terminal and in a spreadsheet: it is shown, and does nothing."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import Milesync, Terminal
from worker.cli.output import visible_json
from worker.cli.report_file import csv_text
from worker.cli.screen import Console, Table
from worker.log import configure_logging
from worker.sandbox.server import Sandbox
from worker.say import printable

MOVING = ("Cc", "Cf", "Zl", "Zp", "Cs")
ODD = st.text(
    st.characters(categories=("Cc", "Cf", "Zl", "Zp", "Cs"))
    | st.sampled_from("\x1b\x9b\u202e\u2028\u200b=;\n\tab \u00e9")
)
TITLE = "\x1b]0;pwned\x07"
HOSTILE = f"{TITLE}\x1b[2J\x9b31mred\u202edesrever\u2028\u200b\ufeff\u3164\x7fend"


def moving(text: str) -> list[str]:
    """What moves the cursor or turns the text round, but for the ends of lines."""
    return [char for char in text if char != "\n" and unicodedata.category(char) in MOVING]


@given(ODD)
def test_a_printable_text_moves_nothing_and_stays_on_its_line(text: str) -> None:
    shown = printable(text)
    assert not moving(shown)
    assert "\n" not in shown
    assert printable(shown) == shown
    assert len(shown) == len(text)


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_what_can_be_seen_is_shown_as_it_stands(text: str) -> None:
    unseen = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    assert printable(text) == re.sub(f"[{unseen}]", "\ufffd", text)


@given(st.recursive(ODD, lambda inner: st.lists(inner) | st.dictionaries(ODD, inner)))
def test_a_document_is_the_same_and_moves_nothing(value: object) -> None:
    for plain in (True, False):
        text = visible_json(json.dumps(value, ensure_ascii=plain, indent=2))
        assert not moving(text)
        assert json.loads(text) == json.loads(json.dumps(value))


@given(ODD, st.lists(st.tuples(ODD, ODD), max_size=3))
def test_nothing_that_is_printed_moves_anything(text: str, rows: list[tuple[str, str]]) -> None:
    for stream in (io.StringIO(), Terminal()):
        out = Console(stream)
        out.print(text)
        out.print(Table(("one", "two"), rows))
        assert not moving(stream.getvalue())


@given(ODD)
def test_nothing_in_a_log_on_a_terminal_moves_anything(text: str) -> None:
    import structlog

    stream = io.StringIO()
    configure_logging("info", "console", stream=stream)
    structlog.get_logger("x").info(text, value=text, other=[text])
    assert not moving(stream.getvalue())


@pytest.fixture
def hostile(sandbox: Sandbox, milesync: Milesync) -> Sandbox:
    """A milestone with a hostile name, migrated."""
    sandbox.testrail.model.add(1, {"name": HOSTILE, "description": HOSTILE})
    assert milesync("migrate", "--yes").code in (0, 3)
    return sandbox


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    "words", [["mappings"], ["failures"], ["status"], ["verify"], ["plan"], ["history", "13"]]
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_hostile_name_does_nothing_in_any_command(
    milesync: Milesync, words: list[str], form: list[str]
) -> None:
    ended = milesync(*words, *form)
    assert not moving(ended.out + ended.err)
    if form and "pwned" in ended.out:
        assert json.dumps(HOSTILE)[1:-1] in json.dumps(ended.json)


class _Isolated(HTMLParser):
    """The texts of a page that would turn what stands beside them round."""

    ALONE: Final = {"bdi", "pre", "td", "title", "text"}
    """Each is read for itself; a line of a ``pre`` is, too."""

    def __init__(self) -> None:
        super().__init__()
        self.within: list[str] = []
        self.loose: list[str] = []

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.within and self.within.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "\u202e" in data and not self.ALONE & set(self.within):
            self.loose.append(f"{self.within}: {data}")


def loose(page: str) -> list[str]:
    reading = _Isolated()
    reading.feed(page)
    return reading.loose


def test_what_is_written_down_turns_nothing_round(milesync: Milesync, sandbox: Sandbox) -> None:
    """Names, values before and after, and reasons, in the plan and the report alike."""
    rail, ably = sandbox.testrail.model, sandbox.testably.model
    rail.add(1, {"name": HOSTILE})
    rail.add(1, {"name": "Short", "description": "Long", "refs": "R-1"})
    milesync("migrate", "--yes")
    rail.add(1, {"name": f"New {HOSTILE}"})
    rail.add(1, {"name": f"Twin {HOSTILE}"})
    ably.create("proj_abc123", {"name": f"Twin {HOSTILE}"})
    rail.update(13, {"name": f"Old \u202e{TITLE}"})
    rail.update(14, {"name": "\u202eShort", "description": f"{HOSTILE}\n\n\u202eLong"})
    assert milesync("plan", "--out", "plan.html", "--out", "plan.md").code == 0
    assert milesync("migrate", "--yes", "--report", "report.html").code == 3
    for name in ("plan.html", "report.html"):
        page = Path(name).read_text(encoding="utf-8")
        assert (page.count("\u202e") > 4, loose(page)) == (True, [])
    text = Path("plan.md").read_text(encoding="utf-8")
    assert ("Twin" in text, "Short" in text, moving(text)) == (True, True, [])


@pytest.mark.usefixtures("hostile")
def test_csv_is_data_in_a_pipe_and_harmless_on_a_terminal(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "pwned" in milesync("mappings", "--csv").out
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    from worker.cli import main

    assert main(["mappings", "--csv"]) == 0
    assert "pwned" in terminal.getvalue()
    assert not moving(terminal.getvalue())


# --- spreadsheets -----------------------------------------------------------------------------

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b"
SEPARATORS = ";,|\t\r\n"
DROPPED = ' "\u00a0\ufeff\u200b\u202e\u2060\x00\x0b'
CELLS = st.text(st.sampled_from(SIGNS + SEPARATORS + DROPPED + "a'1"))


def in_cell(value: str) -> str:
    """What a reader of the CSV finds in the cell."""
    [_, row] = csv.reader(io.StringIO(csv_text(["x"], [[value]]), newline=""))
    return row[0]


@given(CELLS)
def test_no_cell_begins_with_a_formula_whichever_separator_is_chosen(value: str) -> None:
    """Read as CSV, and also cut at any separator as a spreadsheet of another country would."""
    for text in (in_cell(value), csv_text(["x"], [[value]])):
        for piece in re.split(f"[{SEPARATORS}]", text):
            assert piece.lstrip(DROPPED)[:1] not in (*SIGNS,), (value, piece)


@given(CELLS)
def test_nothing_but_apostrophes_is_added(value: str) -> None:
    """And none where there is nothing to disarm; disarmed once, it stays as it is."""
    found = in_cell(value)
    assert found.replace("'", "") == value.replace("'", "")
    assert in_cell(found) == found
    if not set(value) & set(SIGNS + "\t\r"):
        assert found == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("foo;=cmd|' /C calc'!A0;bar", "foo;'=cmd|' /C calc'!A0;bar"),
        ("\uff1dcmd", "'\uff1dcmd"),
        ("\ufeff\u00a0=x", "\ufeff\u00a0'=x"),
        ("\tx", "'\tx"),
        ("Release 1 - 2", "Release 1 - 2"),
        ("a=b; c", "a=b; c"),
        ("\u20ac;-1", "\u20ac;'-1"),
        (-5, "-5"),
        (None, ""),
    ],
)
def test_cells(value: object, expected: str) -> None:
    [_, row] = csv.reader(io.StringIO(csv_text(["x", "y"], [[value, 1]]), newline=""))
    assert row == [expected, "1"]


def test_reports_and_mappings_are_disarmed(
    sandbox: Sandbox, milesync: Milesync, folder: Path
) -> None:
    sandbox.testrail.model.add(1, {"name": "x;=cmd|' /C calc'!A0"})
    milesync("migrate", "--yes", "--report", "run.csv")
    for text in ((folder / "run.csv").read_text(), milesync("mappings", "--csv").out):
        assert "x;'=cmd" in text
        assert ";=cmd" not in text
