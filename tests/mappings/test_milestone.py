"""What a TestRail milestone becomes in Testably: footer, days, moments, lifecycle, sameness."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import product
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.milestone import (
    DATE_FIELDS,
    FIELDS,
    LOSS_LEDGER,
    OPEN_WORDS,
    Carried,
    Day,
    Footer,
    Lifecycle,
    MappingRules,
    SourceMilestone,
    TargetMilestone,
    calendar_day,
    has_lossy_date,
    lifecycle,
    marked_id,
    marker_url,
    moment,
    moment_of,
    same_value,
    split_footer,
    wanted_values,
    with_footer,
    written_status,
)

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
ONE_DAY = timedelta(days=1)
aware = st.datetimes(timezones=st.just(UTC)).filter(lambda at: 1 < at.year < 9999)
offsets = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda m: timezone(timedelta(minutes=m)))


def unix(year: int, month: int, day: int, hour: int = 0, zone: ZoneInfo | None = None) -> int:
    return int(datetime(year, month, day, hour, tzinfo=zone or UTC).timestamp())


# --- the footer


@given(text=texts, footer=footers)
def test_a_footer_comes_off_as_it_went_on(text: str, footer: Footer) -> None:
    """Whatever a description says, its text and its footer come back to the character."""
    assert split_footer(with_footer(text, footer)) == (text, footer)


@given(text=texts, quoted=footers, footer=footers)
def test_a_quoted_footer_is_text(text: str, quoted: Footer, footer: Footer) -> None:
    """Only the last block is the footer; a description may quote another one, or end with it."""
    quoting = with_footer(text, quoted)
    assert split_footer(with_footer(quoting, footer)) == (quoting, footer)


@given(text=texts, footer=footers)
def test_a_footer_survives_windows_line_ends(text: str, footer: Footer) -> None:
    """A target that stores CRLF keeps the footer readable, and the text the same but for them."""
    text = text.replace("\r", "")
    found, read = split_footer(with_footer(text, footer).replace("\n", "\r\n"))
    assert (found.replace("\r\n", "\n"), read) == (text, footer)


@given(text=texts, footer=footers, after=st.sampled_from(["", "\n", "\r\n", "  \n\n"]))
def test_a_footer_survives_trimming(text: str, footer: Footer, after: str) -> None:
    """A target that trims a description, or ends it with white space, keeps the footer readable."""
    whole = with_footer(text, footer)
    assert split_footer(whole + after) == (text, footer)
    assert split_footer(whole.strip())[1] == footer
    assert same_value("description", split_footer(whole.strip())[0], text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no footer",
        "---\nRefs: RF-1",
        "text\n---\nTestRail: no blank line above",
        f"{with_footer('text', Footer(marker_url(HOME, 1)))}\n\nwritten below by hand",
    ],
)
def test_what_is_not_the_last_block_is_no_footer(text: str | None) -> None:
    """A description without a footer at its very end comes back whole."""
    assert split_footer(text) == (text or "", None)


def test_a_footer_reads_like_this() -> None:
    """The documented form, to the character; lines without a value are left out."""
    footer = Footer(marker_url(HOME, 1), "RF-1, RF-2", None, "2014-01-17T14:16:24Z")
    assert with_footer("Text", footer) == (
        "Text\n\n---\nTestRail: https://example.testrail.io/index.php?/milestones/view/1\n"
        "Refs: RF-1, RF-2\nCompleted: 2014-01-17T14:16:24Z"
    )


# --- the marker


@given(st.integers(1, 10**18 - 1), texts, st.sampled_from([HOME, f"{HOME}/", f"{HOME}/testrail"]))
def test_a_marker_names_its_milestone(number: int, text: str, url: str) -> None:
    """The id that was written is the id that is read, below any text and in a sub-directory."""
    assert marked_id(with_footer(text, Footer(marker_url(url, number))), url) == number


@pytest.mark.parametrize(
    "address",
    [
        "https://other.testrail.io/index.php?/milestones/view/1",
        "http://example.testrail.io/index.php?/milestones/view/1",
        "https://example.testrail.io.evil.example/index.php?/milestones/view/1",
        "https://example.testrail.io/testrail/index.php?/milestones/view/1",
        "https://example.testrail.io/index.php?/milestones/view/",
        "https://example.testrail.io/index.php?/milestones/view/1/2",
        "https://example.testrail.io/index.php?/milestones/view/1&x=2",
        "https://example.testrail.io/index.php?/milestones/view/-1",
        "https://example.testrail.io/index.php?/milestones/view/+1",
        "https://example.testrail.io/index.php?/milestones/view/01",
        "https://example.testrail.io/index.php?/milestones/view/1_0",
        "https://example.testrail.io/index.php?/milestones/view/١",
        "https://example.testrail.io/index.php?/milestones/view/²",
        "https://example.testrail.io/index.php?/milestones/view/" + "1" * 5000,
        "https://example.testrail.io/index.php?/runs/view/1",
    ],
)
def test_any_other_address_marks_nothing(address: str) -> None:
    """Another host, scheme, directory or page, or an id that we never wrote: not our marker."""
    assert marked_id(with_footer("text", Footer(address)), HOME) is None


def test_an_id_is_read_whole() -> None:
    """Milestone 12 is not milestone 1."""
    assert marked_id(with_footer("", Footer(marker_url(HOME, 12))), HOME) == 12


@pytest.mark.parametrize("description", [None, "", f"see {marker_url(HOME, 1)}"])
def test_without_a_footer_there_is_no_marker(description: str | None) -> None:
    """An address somewhere in a text is not an identity."""
    assert marked_id(description, HOME) is None


# --- moments


@given(aware, offsets)
def test_the_same_moment_has_one_text(at: datetime, offset: timezone) -> None:
    """Whatever the offset an instant is written with, its canonical form is the same."""
    local = at.astimezone(offset)
    assert moment(local.isoformat()) == moment(at.isoformat())
    assert datetime.fromisoformat(moment(local.isoformat())) == at


@given(aware)
def test_a_moment_is_canonical_already(at: datetime) -> None:
    """Canonical forms stay as they are."""
    once = moment(at.isoformat())
    assert moment(once) == once


@given(aware, aware)
def test_different_moments_have_different_texts(one: datetime, other: datetime) -> None:
    """Two canonical forms are equal only for one and the same instant."""
    assert (moment(one.isoformat()) == moment(other.isoformat())) == (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01",
        "2026-03-01T00:00:00",
        "2026-03-01 00:00:00Z",
        " 2026-03-01T00:00:00.000Z\n",
        "2026-03-01T00:00:00+00:00",
        "2026-03-01T01:00:00+01:00",
        "20260301T000000Z",
    ],
)
def test_every_documented_form_is_read(text: str) -> None:
    """Dates, Z, fractions and offsets are forms of the same midnight."""
    assert moment(text) == "2026-03-01T00:00:00Z"


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-02-30", "1772323200", "0001-01-01T00:00:00+01:00", "2026-03-01T25Z"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Anything that is not an ISO 8601 date or date-time is a ValueError, never another error."""
    with pytest.raises(ValueError, match=r".+"):
        moment(text)


@given(stamps)
def test_unix_seconds_are_exact(stamp: int) -> None:
    """A timestamp and its canonical form are the same instant."""
    assert datetime.fromisoformat(moment_of(stamp)).timestamp() == stamp


# --- calendar days


def assert_day_is_kept(day: date, zone: ZoneInfo) -> None:
    for fold in (0, 1):
        start = int(datetime.combine(day, time(fold=fold), zone).timestamp())
        if datetime.fromtimestamp(start, zone).date() == day:
            assert calendar_day(start, zone) == Day(day, exact=True), (day, zone, fold)


@given(st.dates(date(1970, 1, 2), date(2100, 1, 1)), st.sampled_from(ZONES))
def test_the_day_that_people_see_is_kept(day: date, zone: str) -> None:
    """A day's midnight in the zone, or its first moment where midnight is skipped, is that day."""
    assert_day_is_kept(day, ZoneInfo(zone))


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/Sao_Paulo", date(2018, 11, 4)),  # midnight is skipped
        ("Asia/Beirut", date(2026, 3, 29)),  # midnight is skipped
        ("America/St_Johns", date(2010, 11, 7)),  # midnight comes twice
        ("America/Havana", date(2026, 3, 8)),  # midnight is skipped
        ("Pacific/Apia", date(2011, 12, 31)),  # the day before it never was
        ("Africa/Monrovia", date(1971, 6, 1)),  # an offset with seconds
    ],
)
def test_odd_midnights_keep_their_day(zone: str, day: date) -> None:
    """Where the clocks change around midnight the day stays the day."""
    assert_day_is_kept(day, ZoneInfo(zone))


def test_no_clock_change_moves_a_day() -> None:
    """On each day of 2026 on which some zone changes its clocks, the day stays the day."""
    days = [date(2026, 1, 1) + count * ONE_DAY for count in range(364)]
    for zone in map(ZoneInfo, ZONES):
        offsets = [datetime.combine(day, time(), zone).utcoffset() for day in days]
        for day, next_day, before, after in zip(days, days[1:], offsets, offsets[1:], strict=False):
            if before != after:
                assert_day_is_kept(day, zone)
                assert_day_is_kept(next_day, zone)


@given(st.dates(date(1970, 1, 2), date(2100, 1, 1)), st.sampled_from(ZONES))
def test_a_utc_midnight_is_the_utc_day(day: date, name: str) -> None:
    """TestRail's own dates are midnight in UTC, and mean that day in every zone."""
    zone = ZoneInfo(name)
    stamp = int(datetime.combine(day, time(), UTC).timestamp())
    local = datetime.fromtimestamp(stamp, zone)
    starts_a_day = datetime.combine(local.date(), time(), zone).timestamp() == stamp
    expected = local.date() if local.time() == time() or starts_a_day else day
    assert calendar_day(stamp, zone) == Day(expected, exact=True)


@given(stamps, st.sampled_from(ZONES))
def test_any_other_moment_is_the_local_day(stamp: int, name: str) -> None:
    """A day that is not exact is the day on the zone's calendar."""
    found = calendar_day(stamp, ZoneInfo(name))
    assert found.exact or found.day == datetime.fromtimestamp(stamp, ZoneInfo(name)).date()


def test_a_time_of_day_is_counted_as_lost() -> None:
    """Noon in Berlin is that day, and not exact."""
    noon = unix(2026, 3, 1, 12, BERLIN)
    assert calendar_day(noon, BERLIN) == Day(date(2026, 3, 1), exact=False)


# --- the lifecycle

flags = list(product((False, True), (False, True), (None, unix(2026, 3, 1), unix(2026, 3, 1, 9))))


@pytest.mark.parametrize(("is_started", "is_completed", "due_on"), flags)
@given(now=aware, name=st.none() | st.sampled_from(ZONES))
def test_the_lifecycle_knows_every_case(
    is_started: bool, is_completed: bool, due_on: int | None, now: datetime, name: str | None
) -> None:
    """Completed by the flag; else past due after the due day; else started by the flag."""
    source = SourceMilestone(
        1, "R", due_on=due_on, is_started=is_started, is_completed=is_completed
    )
    found = lifecycle(source, now, ZoneInfo(name) if name else None)
    by_flag = Lifecycle.STARTED if is_started else Lifecycle.UPCOMING
    allowed = {by_flag} if due_on is None else {by_flag, Lifecycle.PAST_DUE}
    assert found in ({Lifecycle.COMPLETED} if is_completed else allowed)


@given(
    now=aware,
    later=st.timedeltas(timedelta(), timedelta(days=4000)),
    due=stamps,
    started=st.booleans(),
    name=st.none() | st.sampled_from(ZONES),
)
def test_what_is_past_due_stays_past_due(
    now: datetime, later: timedelta, due: int, started: bool, name: str | None
) -> None:
    """Time alone moves a milestone only from its flag to past due, and never back."""
    source = SourceMilestone(1, "R", due_on=due, is_started=started)
    zone = ZoneInfo(name) if name else None
    before = lifecycle(source, now, zone)
    after = lifecycle(source, min(now + later, datetime.max.replace(tzinfo=UTC)), zone)
    assert after in (before, Lifecycle.PAST_DUE)


@pytest.mark.parametrize(
    ("due_on", "zone", "last_good"),
    [
        (unix(2026, 3, 1), None, unix(2026, 3, 2) - 1),
        (unix(2026, 3, 1, 9), None, unix(2026, 3, 1, 9) - 1),
        (unix(2026, 3, 1, 0, BERLIN), BERLIN, unix(2026, 3, 2, 0, BERLIN) - 1),
        (unix(2026, 3, 1), BERLIN, unix(2026, 3, 2, 0, BERLIN) - 1),
        (unix(2026, 3, 29, 0, BERLIN), BERLIN, unix(2026, 3, 30, 0, BERLIN) - 1),
    ],
)
def test_a_due_day_lasts_until_it_is_over(
    due_on: int, zone: ZoneInfo | None, last_good: int
) -> None:
    """A due day counts to its end in the zone, a due moment to the second."""
    source = SourceMilestone(1, "R", due_on=due_on)
    end = datetime.fromtimestamp(last_good, UTC)
    assert lifecycle(source, end, zone) == Lifecycle.UPCOMING
    assert lifecycle(source, end + timedelta(seconds=1), zone) == Lifecycle.PAST_DUE


# --- the wanted values

FULL = SourceMilestone(
    id=7,
    name="Release 1.5",
    project_id=1,
    description="Text",
    start_on=unix(2026, 3, 1),
    started_on=unix(2026, 3, 2, 9),
    due_on=unix(2026, 4, 1),
    completed_on=unix(2026, 3, 30, 17),
    is_started=True,
    is_completed=True,
    parent_id=3,
    refs="RF-1,\n RF-2",
    url="http://example/testrail/index.php?/milestones/view/7",
)
RULES = MappingRules(HOME)


def test_the_wanted_values_of_a_full_record() -> None:
    """Every field goes where the mapping table says."""
    assert wanted_values(FULL, RULES) == {
        "name": "Release 1.5",
        "description": "Text\n\n---\n"
        "TestRail: https://example.testrail.io/index.php?/milestones/view/7\n"
        "Refs: RF-1, RF-2\nStarted: 2026-03-02T09:00:00Z\nCompleted: 2026-03-30T17:00:00Z",
        "start_date": "2026-03-01T00:00:00Z",
        "due_date": "2026-04-01T00:00:00Z",
        "status": "completed",
    }


def test_the_wanted_values_of_an_empty_record() -> None:
    """A record of only an id and a name wants its marker, no dates and an open status."""
    assert wanted_values(SourceMilestone(7, "R"), RULES) == {
        "name": "R",
        "description": f"---\nTestRail: {marker_url(HOME, 7)}",
        "start_date": None,
        "due_date": None,
        "status": "active",
    }


@pytest.mark.parametrize(("text", "wanted"), [("Text", "Text"), ("", None), (None, None)])
def test_without_the_footer_the_description_is_the_description(
    text: str | None, wanted: str | None
) -> None:
    """Switched off, the footer leaves nothing behind; an empty description is none."""
    found = wanted_values(replace(FULL, description=text), MappingRules(HOME, footer=False))
    assert found["description"] == wanted


def test_the_start_falls_back_to_when_it_was_started() -> None:
    """Without a planned start the real one is the start date."""
    found = wanted_values(replace(FULL, start_on=None), RULES)
    assert found["start_date"] == "2026-03-02T09:00:00Z"


def test_with_a_time_zone_dates_are_its_days() -> None:
    """Both tools show the same day: midnight in the zone becomes midnight UTC of that day."""
    local = replace(FULL, start_on=None, due_on=unix(2026, 4, 1, 0, BERLIN))
    found = wanted_values(local, MappingRules(HOME, BERLIN))
    assert found["due_date"] == "2026-04-01T00:00:00Z"
    assert found["start_date"] == "2026-03-02T00:00:00Z"


@given(
    st.builds(
        SourceMilestone,
        id=st.integers(1, 10**9),
        name=st.text(min_size=1),
        description=st.none() | texts,
        start_on=st.none() | stamps,
        started_on=st.none() | stamps,
        due_on=st.none() | stamps,
        completed_on=st.none() | stamps,
        is_completed=st.booleans(),
        refs=st.none() | st.text(),
    ),
    st.none() | st.sampled_from(ZONES),
)
def test_every_record_has_wanted_values(source: SourceMilestone, name: str | None) -> None:
    """Any record maps to the five fields, its marker names it, and its dates are canonical."""
    wanted = wanted_values(source, MappingRules(HOME, ZoneInfo(name) if name else None))
    assert tuple(wanted) == FIELDS
    assert marked_id(wanted["description"], HOME) == source.id
    assert split_footer(wanted["description"])[0] == (source.description or "")
    for date_field in DATE_FIELDS:
        text = wanted[date_field]
        assert text is None or moment(text) == text


def test_a_dropped_time_of_day_is_reported() -> None:
    """Dates are lossy only where a zone is configured and a time of day was there."""
    at_nine = replace(FULL, due_on=unix(2026, 4, 1, 9))
    assert has_lossy_date(at_nine, MappingRules(HOME, BERLIN))
    assert not has_lossy_date(at_nine, RULES)
    assert not has_lossy_date(FULL, MappingRules(HOME, BERLIN))
    assert not has_lossy_date(SourceMilestone(1, "R"), MappingRules(HOME, BERLIN))


def test_rules_that_map_alike_have_one_fingerprint() -> None:
    """Another zone or footer is another mapping; another address is not."""
    assert RULES.fingerprint == MappingRules("https://moved.example").fingerprint
    others = {RULES, MappingRules(HOME, BERLIN), MappingRules(HOME, footer=False)}
    assert len({rules.fingerprint for rules in others}) == 3


# --- statuses and sameness


@pytest.mark.parametrize("word", sorted(OPEN_WORDS | {" Past_Due ", "ACTIVE"}))
def test_open_words_are_written_active(word: str) -> None:
    """Both vocabularies have one written word for what is open."""
    assert written_status(word) == "active"


@pytest.mark.parametrize("word", ["completed", "archived", "Archived", "something_new"])
def test_other_words_stay(word: str) -> None:
    """Closed words, and words that we do not know, are kept."""
    assert written_status(word) == word.lower()


def test_a_target_shows_its_values_in_the_written_words() -> None:
    """What the target has is compared in the vocabulary that is written."""
    target = TargetMilestone("ms_1", "R", "Text", None, "2026-03-01T00:00:00Z", "past_due")
    assert target.values == {
        "name": "R",
        "description": "Text",
        "start_date": None,
        "due_date": "2026-03-01T00:00:00Z",
        "status": "active",
    }


values = st.none() | texts


@given(st.sampled_from(FIELDS), values, values)
def test_sameness_is_an_equivalence(name: str, one: str | None, other: str | None) -> None:
    """A value is the same as itself, and sameness has no direction."""
    assert same_value(name, one, one)
    assert same_value(name, one, other) == same_value(name, other, one)


@given(st.sampled_from(["name", "description"]), texts)
def test_form_alone_is_no_difference(name: str, text: str) -> None:
    """A text that the target trimmed or gave other line ends is still the same text."""
    text = text.replace("\r", "")
    assert same_value(name, text, text.strip())
    assert same_value(name, text, text.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("name", "Zo\u00eb", "Zoe\u0308", True),
        ("description", None, "", True),
        ("description", None, " \n", True),
        ("name", "Release", "release", False),
        ("name", "a b", "a  b", False),
        ("due_date", None, "", False),
        ("due_date", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", True),
        ("due_date", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", False),
        ("status", "active", "completed", False),
    ],
)
def test_sameness_by_example(name: str, one: str | None, other: str | None, same: bool) -> None:
    """Composed letters and empty texts are form; case, inner spaces, dates and status are not."""
    assert same_value(name, one, other) is same


# --- the loss ledger


def test_the_loss_ledger_names_every_documented_field() -> None:
    """Exactly the fields of TestRail's page, each with how it arrives and where."""
    assert set(LOSS_LEDGER) == {
        "completed_on",
        "description",
        "due_on",
        "id",
        "is_completed",
        "is_started",
        "milestones",
        "name",
        "parent_id",
        "project_id",
        "refs",
        "start_on",
        "started_on",
        "url",
    }
    assert all(isinstance(how, Carried) and where for how, where in LOSS_LEDGER.values())
