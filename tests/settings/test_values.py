"""Good and bad values of each setting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from mappings.compare_and_set import LONGEST_LEASE
from worker.settings import Listen, Rate, amounts, redacted, values
from worker.settings.schedule import _FIELDS, cron
from worker.sync.apply.writer import GRACE, STALL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("180/60s", Rate(180, 60)),
        ("60/1m", Rate(60, 60)),
        ("60/2s", Rate(60, 2)),
        ("100/0.5s", Rate(100, 0.5)),
        (" 60 / 60 S ", Rate(60, 60)),
        ("1000/1h", Rate(1000, 3600)),
        ("60/60", Rate(60, 60)),
    ],
)
def test_rates(text: str, expected: Rate) -> None:
    assert amounts.rate(text) == expected
    assert amounts.rate(str(expected)) == expected
    assert amounts.rate(expected) is expected


@pytest.mark.parametrize(
    "wrong", ["60", "60/", "/60s", "60 per minute", "0/60s", "60/0s", "-1/60s", "6e1/60s", 60, True]
)
def test_wrong_rates(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"is not a rate|allows nothing"):
        amounts.rate(wrong)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1h", timedelta(hours=1)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2d", timedelta(days=2)),
        ("30", timedelta(seconds=30)),
        (30, timedelta(seconds=30)),
        (0.5, timedelta(seconds=0.5)),
        ("Always", "always"),
        ("never", "never"),
    ],
)
def test_drift_checks(value: object, expected: object) -> None:
    assert amounts.drift_check(value) == expected


@pytest.mark.parametrize("wrong", ["soon", "-1h", "1w", "1h30m", "inf", float("inf"), True, None])
def test_wrong_lengths_of_time(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a length of time"):
        amounts.drift_check(wrong)


@pytest.mark.parametrize(
    ("parse", "most", "more"),
    [
        (amounts.span, "36500d", "36500.1d"),
        (amounts.drift_check, "876000h", "9999999d"),
        (amounts.retention, "36500d", "999999999d"),
        (amounts.seconds, "600", "600.1s"),
        (amounts.seconds, "10m", "9999999d"),
        (amounts.rate, "1000000/1d", "1000001/1d"),
        (amounts.rate, "1/24h", "1/86401s"),
        (amounts.rate, "1/1s", "1/9999999d"),
    ],
)
def test_no_amount_is_beyond_all_reason(
    parse: Callable[[object], object], most: str, more: str
) -> None:
    """A moment so far away is in no calendar, and Redis keeps no key so long."""
    parse(most)
    with pytest.raises(ValueError, match="must be at most"):
        parse(more)


def test_the_longest_length_of_time_can_be_counted_back_and_on() -> None:
    now, longest = datetime.now(UTC), amounts.LONGEST
    assert now - longest < now < now + longest


def test_the_longest_request_is_over_before_the_longest_lease() -> None:
    """With all that a lease is longer, so that nobody else writes meanwhile (R8)."""
    longest = timedelta(seconds=amounts.LONGEST_REQUEST)
    assert longest + STALL + GRACE < LONGEST_LEASE


def test_a_timeout_is_more_than_nothing() -> None:
    assert amounts.seconds("0.5") == 0.5
    for wrong in ("0", 0, "0s"):
        with pytest.raises(ValueError, match="more than 0"):
            amounts.seconds(wrong)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.testrail.io", "https://example.testrail.io"),
        (" https://Example.TestRail.IO/ ", "https://example.testrail.io"),
        ("https://h/index.php?/projects/overview/1", "https://h"),
        ("https://h/index.php", "https://h"),
        ("https://h/Test/Rail//index.php?/a&b=1#c", "https://h/Test/Rail"),
        ("https://h/testrail/", "https://h/testrail"),
        ("https://h:443/x", "https://h/x"),
        ("http://h:80", "http://h"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("HTTPS://h", "https://h"),
    ],
)
def test_testrail_addresses(text: str, expected: str) -> None:
    assert values.source_url(text) == expected
    assert values.source_url(expected) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "example.testrail.io",
        "ftp://h",
        "https://",
        "https:///x",
        "https://user:key@h",
        "https://h/?x=1",
        "https://h/#x",
        "https://h:port",
        "https://h:99999",
        "https://h\n.evil.com",
        "https://h\\@evil.com",
        "https://[::1",
        "https://h\udcff.example",
        "https://h/\udcff",
        "",
        7,
    ],
)
def test_wrong_addresses(wrong: object) -> None:
    for parse in (values.source_url, values.target_url):
        with pytest.raises(ValueError, match=r"^(is not|does not|has)"):
            parse(wrong)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://api.testably.app/v1", "https://api.testably.app"),
        ("https://api.testably.app/v1/", "https://api.testably.app"),
        ("https://h/testably/v1", "https://h/testably"),
        ("https://h/v10", "https://h/v10"),
    ],
)
def test_testably_addresses(text: str, expected: str) -> None:
    assert values.target_url(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sqlite:///m.db", "sqlite:////base/m.db"),
        ("sqlite:///../m.db", "sqlite:////m.db"),
        ("sqlite:///data/m.db?timeout=5", "sqlite:////base/data/m.db?timeout=5"),
        ("sqlite:////var/m.db", "sqlite:////var/m.db"),
        ("sqlite+pysqlite:///m.db", "sqlite:////base/m.db"),
        ("sqlite:///a?b/m.db", "sqlite:////base/a%3Fb/m.db"),
        ("sqlite:///a?b/m.db?timeout=5", "sqlite:////base/a%3Fb/m.db?timeout=5"),
        ("sqlite:///a?b=c/m.db", "sqlite:////base/a%3Fb=c/m.db"),
        ("sqlite:///per%20cent/m.db", "sqlite:////base/per%2520cent/m.db"),
        ("sqlite:////m.db?timeout=5&cached_statements=1", None),
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u:p%40@h:5432/d?sslmode=require", None),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://[::1]:5432/d", "postgresql+psycopg://[::1]:5432/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql+psycopg:///d?host=/run/postgresql"),
    ],
)
def test_databases(text: str, expected: str | None) -> None:
    made = values.database_url(text, Path("/base"))
    url = made.get_secret_value()
    assert url == (expected or text.replace("postgresql://", "postgresql+psycopg://"))
    assert values.database_url(made, Path("/elsewhere")).get_secret_value() == url
    if "%" not in url:
        assert values.database_url(url, Path("/elsewhere")).get_secret_value() == url


@pytest.mark.parametrize(
    "wrong",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:m?mode=memory&uri=true",
        "sqlite:///~nobody-of-this-name/m.db",
        "sqlite:////dev/null",
        "sqlite:////usr",
        "mysql://u:p@h/d",
        "postgresql+asyncpg://u:p@h/d",
        "postgresql://u:p@ss@h/d",
        "postgresql://u:pa/ss@h/d",
        "postgresql://h:port/d",
        "milesync.db",
        7,
    ],
)
def test_wrong_databases(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^is n"):
        values.database_url(wrong, Path("/base"))


def test_redis_addresses() -> None:
    for text in (
        "redis://localhost",
        "redis://:pw@h:6379/0",
        "rediss://u:p@h/1?ssl_cert_reqs=required",
    ):
        assert values.redis_url(text).get_secret_value() == text
    wrongs = ("localhost:6379", "http://h", "redis://", "redis://h/x", "redis://h h")
    broken = ("redis://:6379", "redis://:p#w@h", "redis://:p?w@h", "redis://:[x@h", "redis://h:x")
    unknown = ("rediss://h?ssl=required", "redis://h?ssl_cert_reqs=none", "redis://h?db=x")
    for wrong in (*wrongs, *broken, *unknown):
        with pytest.raises(ValueError, match=r"is not a (Redis )?URL|has an option"):
            values.redis_url(wrong)


def test_a_shown_address_has_no_credentials() -> None:
    assert redacted(SecretStr("redis://u:p@ss@h:1/0?password=x")) == "redis://***@h:1/0"
    assert redacted(SecretStr("sqlite:////a/b.db")) == "sqlite:////a/b.db"


def test_where_to_listen() -> None:
    assert values.listen("127.0.0.1:8000") == Listen("127.0.0.1", 8000)
    assert values.listen("[::1]:0") == Listen("::1", 0)
    assert str(Listen("::1", 80)) == "[::1]:80"
    for wrong in ("8000", ":8000", "host", "host:x", "host:70000", "::1:80", "http://h:1", 8000):
        with pytest.raises(ValueError, match=r"is not (host:port|text)"):
            values.listen(wrong)


def test_time_zones() -> None:
    assert str(values.zone("Europe/Berlin")) == "Europe/Berlin"
    assert values.zone("none") is None
    for wrong in ("Mars/Base", "../etc/passwd", "Europe", "/etc/localtime", "x" * 300, "a\0b"):
        with pytest.raises(ValueError, match="is not an IANA time zone"):
            values.zone(wrong)


def test_flags() -> None:
    assert [values.flag(value) for value in (True, "true", "YES", "1", 1)] == [True] * 5
    assert [values.flag(value) for value in (False, "false", "No", "0", 0)] == [False] * 5
    for wrong in ("maybe", 2, None, "tru"):
        with pytest.raises(ValueError, match="neither true nor false"):
            values.flag(wrong)


def test_secrets_are_text_that_can_be_sent() -> None:
    assert values.token(" abc\n").get_secret_value() == "abc"
    assert values.secret("pässword one").get_secret_value() == "pässword one"
    for wrong in ("a b", "tökén", "a\nb"):
        with pytest.raises(ValueError, match=r"^has a"):
            values.token(wrong)
    for number in (7, True, ["x"]):
        with pytest.raises(ValueError, match="is not text"):
            values.secret(number)


# --- cron -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["*/15 * * * *", "0 4 1,15 * mon-fri", "0-30/5 22-2 * jan-mar 0", "0 0 29 feb *", "5  4 * * *"],
)
def test_schedules_are_what_celery_understands(text: str) -> None:
    minute, hour, day, month, weekday = cron(text).split()
    found = crontab(minute, hour, weekday, day, month)
    expanded = [field.expand(part) for field, part in zip(_FIELDS, cron(text).split(), strict=True)]
    assert expanded == [
        found.minute,
        found.hour,
        found.day_of_month,
        found.month_of_year,
        found.day_of_week,
    ]


@given(
    first=st.integers(0, 59), last=st.integers(0, 59), step=st.integers(1, 59), star=st.booleans()
)
def test_every_range_expands_as_celery_s(first: int, last: int, step: int, star: bool) -> None:
    text = f"*/{step}" if star else f"{first}-{last}/{step}"
    assert _FIELDS[0].expand(text) == crontab(minute=text).minute


@pytest.mark.parametrize(
    "wrong",
    [
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "*/0 * * * *",
        "*/60 * * * *",
        "5/10 * * * *",
        "1,,2 * * * *",
        "1x * * * *",
        "mon * * * *",
        "-1 * * * *",
        "0 0 30 2 *",
        "0 0 31 apr,jun *",
        "@daily",
        "? * * * *",
        "٣ * * * *",
        15,
    ],
)
def test_wrong_schedules(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^(has a|is not|names a)"):
        cron(wrong)


@pytest.mark.parametrize(
    ("text", "expected"), [("auto", "auto"), (" AUTO ", "auto"), ("1", 1), (32, 32)]
)
def test_a_number_of_requests_in_flight(text: object, expected: object) -> None:
    assert amounts.concurrency(text) == expected


@pytest.mark.parametrize("wrong", ["", "0", "33", "-1", "1.5", "many", "1e1", "٣", True])
def test_what_is_no_number_of_requests_in_flight(wrong: object) -> None:
    with pytest.raises(ValueError, match="auto, or a number from 1 to 32"):
        amounts.concurrency(wrong)
