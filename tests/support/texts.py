"""Strategies and builders that the tests of the field mapping share."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st

from mappings.footer import Footer, marker_url

HOME = "https://example.testrail.io"
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = sorted(available_timezones())

lines = st.text("ab :-/", min_size=1).map(str.strip).filter(bool)
footers = st.builds(
    Footer,
    st.integers(1, 999).map(lambda number: marker_url(HOME, number)),
    *[st.none() | lines] * 3,
)
pieces = st.sampled_from(
    ["\n", "\r\n", "\r", "---", "TestRail: x", "Refs: y", "Started: z", "Completed: z", " ", "a"]
)
texts = st.text() | st.lists(pieces).map("".join)
"""Any text, and texts that look much like a footer."""

words = st.text(st.characters(exclude_characters="<>[]()\"'"), min_size=1)
written = st.lists(
    words | st.sampled_from(["\n", "\n\n", " ", "-", "--", "---", "&lt;", "https://a.example/b-c"])
).map("".join)
"""What a person may write, without marks that a link could be broken by."""

_URL: Final = re.compile(r"https://[^\s&\x00-\x1f]+")
Storing = Callable[[str], str]


def _numbered(text: str) -> str:
    """Every visible character as a numbered entity."""
    hidden = ("Cc", "Cs")
    return "".join(c if unicodedata.category(c) in hidden else f"&#{ord(c)};" for c in text)


STORINGS: Final[dict[str, Storing]] = {
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "composed": lambda text: unicodedata.normalize("NFC", text),
    "dashes set": lambda text: text.replace("---", "\u2014").replace("--", "\u2013"),
    "longer dashes": lambda text: text.replace("-", "\u2013"),
    "trimmed": str.strip,
    "blank lines left out": lambda text: re.sub(r"\n\s*\n", "\n", text),
    "line ends doubled": lambda text: text.replace("\n", "\n\n"),
    "Windows line ends": lambda text: re.sub(r"\r?\n", "\r\n", text),
    "on one line": lambda text: " ".join(text.split()),
    "numbered": _numbered,
    "escaped": html.escape,
}
"""What a target may do to a text without losing any of it, in the order in which it would."""

LINKINGS: Final[dict[str, Storing]] = {
    "no links": lambda text: text,
    "HTML links": lambda text: _URL.sub(r'<a href="\g<0>" rel="noopener">\g<0></a>', text),
    "Markdown links": lambda text: _URL.sub(r"[\g<0>](\g<0>)", text),
    "angle brackets": lambda text: _URL.sub(r"<\g<0>>", text),
}
"""The one of these that it may do after that."""


@st.composite
def storings(draw: st.DrawFn) -> Storing:
    """Several ways of storing in one."""
    chosen = draw(st.sets(st.sampled_from(list(STORINGS)), max_size=4))
    link = LINKINGS[draw(st.sampled_from(list(LINKINGS)))]

    def store(text: str) -> str:
        for name in STORINGS:
            text = STORINGS[name](text) if name in chosen else text
        return link(text)

    return store


stamps = st.integers(-(2**31), 2**33)
"""Unix seconds."""
aware = st.datetimes(timezones=st.just(UTC)).filter(lambda at: 1 < at.year < 9999)


def unix(year: int, month: int, day: int, hour: int = 0, zone: ZoneInfo | None = None) -> int:
    """The Unix seconds of an hour in a zone, or in UTC."""
    return int(datetime(year, month, day, hour, tzinfo=zone or UTC).timestamp())
