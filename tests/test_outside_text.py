"""Text from outside costs time in proportion to its length, whatever characters it is made of.

One pattern that goes back and forth over 60 KB of colons would stop the web process for a minute.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr

from mappings.dates import moment
from mappings.errors import MilesyncError
from mappings.footer import marked_id, split_footer
from mappings.milestone import same_value
from mappings.text import normal_text
from worker.cli.output import visible_json
from worker.cli.report_file import csv_text
from worker.clients.answers import Answer, _place, error_text, retry_after
from worker.clients.credentials import basic_auth
from worker.clients.words import shortened
from worker.log import LONGEST_TEXT, Redactor
from worker.say import printable
from worker.settings import amounts, explain, load_settings, values
from worker.settings.env_file import read_env_file, without_quotes
from worker.settings.files import SettingsFile
from worker.settings.network import host_of, hosts_or_any
from worker.settings.schedule import cron
from worker.web.hook import BadCall, check_length, delivery_name, read_call

SECRET: Final = SecretStr("hush-hush-hush")
UNBOUNDED: Final = Redactor([SECRET])._hidden
"""The patterns themselves: the bound on a text's length would hide a slow one."""

READERS: Final[dict[str, Callable[[str], object]]] = {
    "the log": Redactor([SECRET]).text,
    "the log's patterns": UNBOUNDED,
    "the log's keys": lambda text: Redactor([SECRET])(None, "", {"event": "x", text: text}),
    "credentials": basic_auth("me", SECRET).redacted,
    "footer": split_footer,
    "marker": lambda text: marked_id(text, "https://example.testrail.io"),
    "dates": moment,
    "values": lambda text: same_value("description", text, f"{text}b"),
    "equal text": normal_text,
    "terminal": printable,
    "a document": visible_json,
    "a cell of a spreadsheet": lambda text: csv_text(["x"], [[text]]),
    "a Host header": host_of,
    "names of hosts": hosts_or_any,
    "a variable in quotes": lambda text: without_quotes({"MILESYNC_X": f"'{text}'"}, "MILESYNC_"),
    "the .env": lambda text: read_env_file(SettingsFile(Path(".env"), text, False), "MILESYNC_"),
    "a SQLite file": lambda text: values.database_url(f"sqlite:///{text}/", Path("/")),
    "an error's text": lambda text: error_text(Answer(500, {}, text.encode())),
    "an error's text, shortened": shortened,
    "a redirect": lambda text: _place(text, "https://example.testrail.io"),
    "Retry-After": lambda text: retry_after(text, datetime(2026, 3, 1, tzinfo=UTC)),
    "delivery id": delivery_name,
    "announced length": check_length,
    "webhook body": lambda text: read_call(text.encode(), SECRET),
    "webhook's project": lambda text: read_call(f'{{"project_id": "{text}"}}'.encode(), None),
    "a shown setting": explain.shown,
    "a shown URL": lambda text: values.redacted(SecretStr(text)),
    "a database URL": lambda text: values.database_url(text, Path("/")),
    "a Redis URL": values.redis_url,
    "an address": values.source_url,
    "host and port": values.listen,
    "a length of time": amounts.span,
    "a rate": amounts.rate,
    "a token": values.token,
    "a project": values.target_project,
    "a source project": values.source_project,
    "a cron line": cron,
    "the secrets in a URL": lambda text: (
        load_settings(
            environ={"MILESYNC_DATABASE_URL": f"postgresql://{text}"}, cwd=Path("/")
        ).secrets
    ),
}
PIECES: Final = (
    *("a", "9", "é", "_", "-", ".", "%", "\\", "'", '"', "{", "[", "*", ","),
    *(":", "/", "@", "?", "&", "=", "://", "//:", "a://", "a:", ":a@", "?password=", "&password="),
    *("\u0316\u0301", "\U0001f600"),
    *(" ", "\t", "\n", "\r\n", "\0", "basic ", "basic\t", "bearer " + 15 * "a" + " ", "bearer "),
    *("\n\n---\n", "\n\n---\nTestRail: ", "\n\n---\nTestRail: a\nRefs: ", "redis://", "sqlite://"),
    *("?a=b&a=b", ";=", "; ", "MILESYNC_X=", "'", "MILESYNC_X='\n"),
)
TEXTS: Final = ("footer", "marker", "values", "equal text")
LAYERS: Final = (
    *("&amp;", "amp;", "&#45;", "&#1114112;", "&", ";", "\u2014", "-\u2014"),
    *("<", "<a ", "<a href='a' ", '<a href="', "<a x>", "</a>", "<http://a>", "[http://a", "]("),
    *("[www.a](www.a)", "[[www.a](www.a)](", "<a href='http://a'>http://a</a>", "a='' "),
    *("\n\u2014\nTestRail: a", "\n--\n\n", " -- TestRail: a", " Refs: a", "\nRefs: a", "\n\n"),
)
"""What a target may turn text into: entities, links, dash lines."""
SHORT, LONG, LONGEST = 10_000, 100_000, 1_000_000
QUICK: Final = 0.003
"""Seconds for the long text; were it quadratic, the longest would take a hundred times these."""


def cost(read: Callable[[str], object], text: str) -> float:
    """Seconds of this thread's own time, without the garbage of other tests."""
    gc.disable()
    started = time.thread_time()
    try:
        with suppress(ValueError, BadCall, MilesyncError):
            read(text)
        return time.thread_time() - started
    finally:
        gc.enable()


@pytest.mark.parametrize("name", READERS)
def test_ten_times_the_text_takes_about_ten_times_the_time(name: str) -> None:
    """A quadratic pattern would take a hundred times as long; forty leaves room for noise.

    The longest text is read where the step before it looks like more than ten times.
    """
    read = READERS[name]
    openings = [(opening, piece) for piece in PIECES for opening in ("", "a://")]
    layers = [("", piece) for piece in LAYERS if name in TEXTS]

    def taken(opening: str, piece: str, size: int) -> float:
        return cost(read, opening + piece * (size // len(piece)))

    for opening, piece in (*openings, *layers):
        text = (opening, piece)
        short, long = taken(*text, SHORT), taken(*text, LONG)
        if long > max(QUICK, 15 * short):
            long = min(long, taken(*text, LONG))
            longest = taken(*text, LONGEST)
            assert longest < 40 * max(long, 0.005), (text, short, long, longest)


@pytest.mark.parametrize("name", sorted(READERS.keys() - {"the .env"}))
def test_a_text_of_a_million_characters_is_read(name: str) -> None:
    """Every class of character in turn, in one text.

    Without the operator's own .env: python-dotenv looks for each quote's end in the whole rest.
    """
    read = READERS[name]
    before = cost(read, _all_pieces(LONG))
    assert cost(read, _all_pieces(LONGEST)) < 40 * max(before, 0.005)


def _all_pieces(size: int) -> str:
    each = size // len(PIECES)
    return "".join(piece * (each // len(piece)) for piece in PIECES)


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    text = Redactor([SECRET]).text("a" * 1_000_000)
    assert text.startswith("aaa")
    assert text.endswith("… (1000000 characters)")
    assert LONGEST_TEXT - 1000 < len(text) < LONGEST_TEXT
    assert Redactor([SECRET]).text("a" * LONGEST_TEXT) == "a" * LONGEST_TEXT


@pytest.mark.parametrize("secret", ["hush-hush-hush", "hush" * 200])
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(secret: str) -> None:
    """Wherever in the secret the cut falls, and also where others before it were taken out."""
    hide = Redactor([SecretStr(secret)]).text
    for before in range(0, len(secret) + 1, 3):
        for opening in ("", secret * 20):
            text = opening.ljust(LONGEST_TEXT - before, "a") + secret + "b" * 10
            assert "hush" not in hide(text)
    password = "x" * (LONGEST_TEXT - 20) + " redis://me:hush-hush@h:6379/0"
    assert "hush" not in Redactor().text(password)
