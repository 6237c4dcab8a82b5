"""Strategies and builders that the tests of the field mapping share."""

from __future__ import annotations

from datetime import UTC, datetime
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

stamps = st.integers(-(2**31), 2**33)
"""Unix seconds."""
aware = st.datetimes(timezones=st.just(UTC)).filter(lambda at: 1 < at.year < 9999)


def unix(year: int, month: int, day: int, hour: int = 0, zone: ZoneInfo | None = None) -> int:
    """The Unix seconds of an hour in a zone, or in UTC."""
    return int(datetime(year, month, day, hour, tzinfo=zone or UTC).timestamp())
