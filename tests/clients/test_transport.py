"""The transport on a script: URLs, credentials, which status is which error, repeats, pauses."""

from __future__ import annotations

import gzip
import html
import json
import re
import traceback
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.transports import KEY, TOKEN, Reply, Script, answer, transport
from worker.clients.answers import retry_after
from worker.clients.credentials import basic_auth, bearer
from worker.clients.pauses import Pauses
from worker.clients.rate_limit import LocalRateLimiter, RateLimit
from worker.errors import (
    AccessDenied,
    AnswerTooLarge,
    ApiError,
    BudgetExhausted,
    ConnectionLost,
    CredentialsRefused,
    Done,
    EmptyAnswer,
    Maintenance,
    NotFound,
    RateLimited,
    Redirected,
    Refused,
    ServerTrouble,
    SettingsError,
    TimedOut,
    Transient,
    UnknownId,
    Unreachable,
    UnreadableAnswer,
)

OK = answer({"fine": True})
RAILS_PATH = "index.php?/api/v2/get_milestones/1&limit=250&offset=250"


def anything(value: object) -> object:
    return value


def get(*replies: Reply, api: str = "Testably", path: str = "v1/x", **given: Any) -> object:
    """What a GET gives after these replies, on a clock that passes by itself."""
    by_id = given.pop("by_id", False)
    given.setdefault("clock", FakeClock())
    with transport(api, http=Script(*replies), **given) as http:
        return http.get(path, anything, by_id=by_id)


def post_error(reply: Reply, api: str = "Testably", by_id: bool = False) -> ApiError:
    script = Script(reply)
    with (
        transport(api, http=script, clock=FakeClock()) as http,
        pytest.raises(ApiError) as raised,
    ):
        http.post("v1/x", {"name": "a"}, anything, by_id=by_id)
    assert len(script.asked) == 1, "a write is never repeated"
    return raised.value


@pytest.mark.parametrize("base", ["https://x.example", "https://x.example/sub/dir/"])
def test_the_url_is_sent_as_it_was_built(base: str) -> None:
    """The path that is a query string, and a sub-directory, arrive whole."""
    script = Script(OK)
    with transport("TestRail", base, http=script) as http:
        http.get(RAILS_PATH, anything)
    assert str(script.asked[0].url) == f"{base.rstrip('/')}/{RAILS_PATH}"


def test_testrail_gets_its_headers() -> None:
    script = Script(OK)
    with transport("TestRail", http=script) as http:
        http.get(RAILS_PATH, anything)
    sent = script.asked[0].headers
    assert sent["authorization"] == "Basic YW5uQGV4YW1wbGU6a2V5LXZlcnktc2VjcmV0"
    assert (sent["x-api-ident"], sent["content-type"]) == ("beta", "application/json")
    assert sent["accept"] == "application/json"


STATUSES: list[tuple[str, int, type[ApiError], Done]] = [
    ("Testably", 400, Refused, Done.NO),
    ("Testably", 401, CredentialsRefused, Done.NO),
    ("Testably", 403, AccessDenied, Done.NO),
    ("Testably", 404, NotFound, Done.NO),
    ("Testably", 405, Refused, Done.NO),
    ("Testably", 408, TimedOut, Done.MAYBE),
    ("Testably", 409, Maintenance, Done.NO),
    ("Testably", 413, Refused, Done.NO),
    ("Testably", 422, Refused, Done.NO),
    ("Testably", 429, RateLimited, Done.NO),
    ("Testably", 500, ServerTrouble, Done.MAYBE),
    ("Testably", 503, ServerTrouble, Done.MAYBE),
    ("TestRail", 400, Refused, Done.NO),
    ("TestRail", 409, Maintenance, Done.NO),
    ("TestRail", 502, ServerTrouble, Done.MAYBE),
]


@pytest.mark.parametrize(("api", "status", "kind", "done"), STATUSES)
def test_each_status_has_its_error(api: str, status: int, kind: type[ApiError], done: Done) -> None:
    """And a write knows whether it may have been carried out all the same."""
    error = post_error(answer({"error": "no such luck"}, status), api)
    assert (type(error), error.status, error.done) == (kind, status, done)
    assert error.message == f"{api} answered POST v1/x with {status}: no such luck"


@pytest.mark.parametrize("api", ["TestRail", "Testably"])
@pytest.mark.parametrize("status", [400, 410, 422])
def test_a_question_that_is_refused_blames_no_milestone(api: str, status: int) -> None:
    with pytest.raises(Refused) as raised:
        get(answer({"error": "no"}, status), api=api)
    assert raised.value.hint == NotFound.default_hint
    assert post_error(answer({"error": "no"}, status), api).hint == Refused.default_hint


def test_a_time_out_of_the_server_is_none_of_ours() -> None:
    """Waiting longer for its answer does not help: it has answered."""
    error = post_error(answer({}, 408))
    assert (type(error), error.hint) == (TimedOut, Transient.default_hint)
    assert "MILESYNC_HTTP_TIMEOUT" in TimedOut.default_hint


def test_what_is_told_to_be_unchanged_was_answered_by_something_in_the_way() -> None:
    """Nothing is asked under a condition, and 304 names no other address."""
    error = post_error(httpx.Response(304))
    assert error.message == "Testably answered POST v1/x with 304"
    assert "cache" in error.hint


@pytest.mark.parametrize(
    ("body", "declared", "told"),
    [
        ('{"name": "Über"}'.encode("latin-1"), "; charset=ISO-8859-1", "not UTF-8, but ISO-8859-1"),
        ('{"name": "Über"}'.encode("latin-1"), "", "text that is not UTF-8"),
        ('{"name": "Über'.encode()[:11], "", "JSON that is cut off or broken"),
        (b'{"name": "', "; charset=ISO-8859-1", "JSON that is cut off or broken"),
    ],
    ids=["declared", "not declared", "cut in a character", "cut"],
)
def test_text_in_another_charset_is_called_that(body: bytes, declared: str, told: str) -> None:
    headers = {"content-type": f"application/json{declared}"}
    error = post_error(httpx.Response(200, content=body, headers=headers))
    assert type(error) is UnreadableAnswer
    assert told in error.message
    assert ("UTF-8" in error.hint) == ("UTF-8" in told)


def test_a_400_for_an_id_is_an_unknown_id() -> None:
    assert isinstance(post_error(answer({"error": "?"}, 400), "TestRail", by_id=True), UnknownId)


def test_a_400_of_a_proxy_proves_nothing() -> None:
    """An absence is proved only by TestRail's own words."""
    page = httpx.Response(400, html="<html>Bad Request</html>")
    assert type(post_error(page, "TestRail", by_id=True)) is Refused
    words = answer({"message": "Bad Request"}, 400)
    assert type(post_error(words, "TestRail", by_id=True)) is Refused


FAILURES: list[tuple[Reply, type[ApiError], Done]] = [
    (httpx.ConnectError("refused"), Unreachable, Done.NO),
    (httpx.ConnectTimeout("slow"), Unreachable, Done.NO),
    (httpx.PoolTimeout("full"), Unreachable, Done.NO),
    (httpx.ReadTimeout("slow"), TimedOut, Done.MAYBE),
    (httpx.WriteTimeout("slow"), TimedOut, Done.MAYBE),
    (httpx.ReadError("reset"), ConnectionLost, Done.MAYBE),
    (httpx.RemoteProtocolError("gone"), ConnectionLost, Done.MAYBE),
    (httpx.Response(200, html="<html>Log in</html>"), UnreadableAnswer, Done.MAYBE),
    (httpx.Response(200, content=b'{"id": "ms_'), UnreadableAnswer, Done.MAYBE),
    (httpx.Response(200, content=b""), EmptyAnswer, Done.MAYBE),
    (httpx.Response(302, headers={"location": "/login"}), Redirected, Done.MAYBE),
    (httpx.Response(303, headers={"location": "https:login.html"}), Redirected, Done.MAYBE),
    (httpx.Response(101), ServerTrouble, Done.MAYBE),
    (httpx.Response(304), ServerTrouble, Done.MAYBE),
    (httpx.Response(600), ServerTrouble, Done.MAYBE),
]


@pytest.mark.parametrize(("reply", "kind", "done"), FAILURES)
def test_each_failure_has_its_error(reply: Reply, kind: type[ApiError], done: Done) -> None:
    """Never connected is not done; anything after that may have been."""
    error = post_error(reply)
    assert (type(error), error.done) == (kind, done)


def test_a_page_for_people_is_called_one() -> None:
    error = post_error(httpx.Response(200, html="<html>Log in</html>"))
    assert "HTML page" in error.message


def test_a_shape_nobody_knows_is_unreadable() -> None:
    def refuse(_: object) -> object:
        raise ValueError("there is no list")

    with (
        transport(http=Script(OK), clock=FakeClock()) as http,
        pytest.raises(UnreadableAnswer, match="there is no list"),
    ):
        http.get("v1/x", refuse)


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, content=b'\xef\xbb\xbf{"fine": true}'),
        httpx.Response(200, content=b'{"fine": true}', headers={"content-type": "text/html"}),
        httpx.Response(
            200, content=gzip.compress(b'{"fine": true}'), headers={"content-encoding": "gzip"}
        ),
    ],
)
def test_json_is_json_however_it_is_wrapped(reply: httpx.Response) -> None:
    """With a byte order mark, under another type, or compressed."""
    script = Script(lambda _: _raw(reply))
    with transport(http=script) as http:
        assert http.get("v1/x", anything) == {"fine": True}


def _raw(reply: httpx.Response) -> httpx.Response:
    """The reply with its body as given: httpx.Response would already have unpacked it."""
    body = gzip.compress(reply.content) if "content-encoding" in reply.headers else reply.content
    return httpx.Response(200, headers=reply.headers, stream=httpx.ByteStream(body))


def packed(*members: bytes, after: bytes = b"") -> Reply:
    body = b"".join(map(gzip.compress, members)) + after
    headers = {"content-encoding": "gzip"}
    return lambda _: httpx.Response(200, headers=headers, stream=httpx.ByteStream(body))


MANY = json.dumps({"fine": True, "more": list(range(20_000))}).encode()


@pytest.mark.parametrize(
    "reply",
    [
        packed(b'{"fine"', b": true}"),
        packed(b"", b'{"fine": true}', b""),
        packed(b'{"fine": true}', after=b"\0" * 8),
        packed(*(MANY[at : at + 4] for at in range(0, len(MANY), 4))),
    ],
    ids=["two", "empty ones", "padded", "very many"],
)
def test_all_members_of_a_gzip_are_read(reply: Reply) -> None:
    """As RFC 1952 has it: what they hold belongs together."""
    found = get(reply)
    assert isinstance(found, dict)
    assert found["fine"] is True


@pytest.mark.parametrize(
    ("after", "told"),
    [(gzip.compress(b"}")[:-3], "cut off"), (gzip.compress(b"}")[:-8] + b"x" * 8, "broken")],
    ids=["cut", "broken"],
)
def test_a_gzip_whose_second_member_is_not_whole_is_unreadable(after: bytes, told: str) -> None:
    with pytest.raises(UnreadableAnswer, match=told):
        get(packed(b'{"fine": true', after=after))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-encoding": "br"}, b"xx"),
        ({"content-encoding": "gzip"}, b"not gzip"),
        ({"content-encoding": "gzip"}, gzip.compress(b"{}" * 999)[:-9]),
    ],
    ids=["unknown", "broken", "cut"],
)
def test_broken_compression_is_unreadable(headers: dict[str, str], body: bytes) -> None:
    script = Script(lambda _: httpx.Response(200, headers=headers, stream=httpx.ByteStream(body)))
    with transport(http=script) as http, pytest.raises(UnreadableAnswer):
        http.post("v1/x", {}, anything)


def test_a_small_answer_that_unpacks_to_a_huge_one_is_bounded() -> None:
    blanks = b" " * (9 * 1024 * 1024)
    for bomb in (packed(blanks * 2), packed(blanks, blanks)):
        with pytest.raises(AnswerTooLarge):
            get(bomb)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://other.example/login?token=abc", "https://other.example/login"),
        ("https://ann:pw@other.example:8443/x#y", "https://other.example:8443/x"),
        ("/login", "https://api.example/login"),
        ("", "an address that it did not name"),
        ("https://[bad/", "an address that cannot be read"),
    ],
)
def test_a_redirect_is_named_and_not_followed(location: str, shown: str) -> None:
    script = Script(httpx.Response(301, headers={"location": location}))
    with transport(http=script) as http, pytest.raises(Redirected) as raised:
        http.get("v1/x", anything)
    assert raised.value.message == f"Testably sent GET v1/x on to {shown}"
    assert len(script.asked) == 1


# --- secrets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("api", ["TestRail", "Testably"])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 500])
def test_no_secret_is_ever_shown(api: str, status: int) -> None:
    """Not in the message, the traceback or the log, even if the server echoes the header."""

    def echo(request: httpx.Request) -> httpx.Response:
        sent = request.headers["authorization"]
        parts = f"{sent} {KEY} {TOKEN}"
        return httpx.Response(status, json=parts, headers={"location": f"/{parts}"})

    script = Script(echo)
    client = transport(api, http=script, clock=FakeClock())

    def refuse(_: object) -> object:
        raise ValueError("no")

    with capture_logs() as logs, client, pytest.raises(ApiError) as raised:
        client.get("v1/x", refuse)
    texts = [*traceback.format_exception(raised.value), repr(logs), repr(client), raised.value.hint]
    packed = "YW5uQGV4YW1wbGU6a2V5LXZlcnktc2VjcmV0"
    assert not re.search(f"{packed}|{KEY if api == 'TestRail' else TOKEN}", "".join(texts))


def test_credentials_do_not_show_themselves() -> None:
    both = (basic_auth("ann", SecretStr(KEY)), bearer(SecretStr(TOKEN)))
    assert not re.search(f"{KEY}|{TOKEN}", repr(both))


@pytest.mark.parametrize("token", ["tok\nX-Evil: 1", "tök"])
def test_a_token_that_no_header_can_hold_is_a_wrong_setting(token: str) -> None:
    with pytest.raises(SettingsError) as raised:
        bearer(SecretStr(token))
    assert token not in str(raised.value)


def test_credentials_in_the_url_are_refused() -> None:
    """They would silently be sent in place of the configured ones."""
    with pytest.raises(SettingsError) as raised:
        transport("Testably", "https://ann:hunter2@api.example")
    assert "hunter2" not in str(raised.value)


def test_the_servers_words_are_shortened_to_one_line() -> None:
    error = post_error(answer({"message": "bad\x1b[31m\n" + "x" * 999}, 422))
    assert "\x1b" not in error.message
    assert "\n" not in error.message
    assert len(error.message) < 280


@pytest.mark.parametrize(
    "body",
    [
        {"error": "why"},
        {"message": "why"},
        {"error": {"code": 1, "message": "why"}},
        {"errors": ["why"]},
        {"errors": [{"detail": "why"}, {"detail": "and this"}]},
        {"error": [{"error": {"message": "why"}}]},
        {"error": {"reason": "why"}},
    ],
)
def test_the_servers_own_reason_is_found(body: object) -> None:
    """Also where it comes with 200, in place of what was asked for."""
    for error in (post_error(answer(body, 400)), shape_error(body)):
        assert error.message.partition(": ")[2].strip('{"reason: ').startswith("why")


def refused_shape(_: object) -> object:
    raise ValueError("no milestone")


def shape_error(body: object, api: str = "TestRail") -> ApiError:
    with (
        transport(api, http=Script(answer(body)), clock=FakeClock()) as http,
        pytest.raises(UnreadableAnswer) as raised,
    ):
        http.get("v1/x", refused_shape)
    return raised.value


def test_the_words_of_an_error_that_comes_with_200_are_shown_safely() -> None:
    """Bounded, on one line and without our secrets, with a hint that blames no proxy."""
    echo = f"key {KEY} is \x1b[2J\u202ebad\n" + "x" * 5_000_000
    error = shape_error({"error": echo})
    assert error.message.startswith("TestRail answered GET v1/x with an error: key *** is [2J bad")
    assert len(error.message) < 260
    assert error.hint.startswith("The server says so itself")


def test_an_api_that_is_switched_off_may_say_so_with_200() -> None:
    assert "Site Settings > API" in shape_error({"error": "The API is disabled."}).hint


def test_words_beside_another_shape_do_not_hide_it() -> None:
    error = shape_error({"message": "created", "id": 7}, "Testably")
    assert error.message.endswith("another shape than documented (no milestone): created")


def test_an_answer_of_another_shape_without_words_says_which() -> None:
    assert shape_error([]).message.endswith("with another shape than documented (no milestone)")


@pytest.mark.parametrize("body", [b'{"error":' * 900 + b"1" + b"}" * 900, b"[" * 90_000])
def test_words_that_nest_without_end_are_no_fault(body: bytes) -> None:
    reply = httpx.Response(400, content=body)
    assert type(post_error(reply)) is Refused


# --- repeats and pauses -----------------------------------------------------------------------


def test_a_get_is_repeated_until_it_succeeds() -> None:
    """Six attempts in all, with growing delays."""
    clock = FakeClock()
    replies: list[Reply] = [
        httpx.ReadTimeout("x"),
        answer({}, 503),
        httpx.ConnectError("x"),
        answer({}, 500),
    ]
    assert get(*replies, httpx.Response(200, content=b"{"), OK, clock=clock) == {"fine": True}
    bounds = [0.5, 1, 2, 4, 8]
    assert all(0.7 * b <= s <= 1.3 * b for s, b in zip(clock.slept, bounds, strict=True))


def test_a_get_gives_up_after_six_attempts() -> None:
    script = Script(answer({}, 500))
    with transport(http=script, clock=FakeClock()) as http, pytest.raises(ServerTrouble):
        http.get("v1/x", anything)
    assert (len(script.asked), http.requests) == (6, 6)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404])
def test_what_would_not_change_is_not_repeated(status: int) -> None:
    script = Script(answer({}, status))
    with transport(http=script, clock=FakeClock()) as http, pytest.raises(ApiError):
        http.get("v1/x", anything)
    assert len(script.asked) == 1


def test_a_429_pauses_for_as_long_as_it_says() -> None:
    """With one line when the pause begins and one when it ends."""
    clock = FakeClock()
    limited = answer({}, 429, **{"retry-after": "30"})
    with capture_logs() as logs:
        assert get(limited, OK, clock=clock) == {"fine": True}
    assert sum(clock.slept) == pytest.approx(30)
    assert [line["event"] for line in logs] == [
        "rate limited by Testably, pausing 30 s",
        "Testably is asked again",
    ]


def test_a_429_without_a_time_backs_off() -> None:
    """A second, then the double each time; these are no failed attempts."""
    clock = FakeClock()
    limited = answer({}, 429)
    assert get(*[limited] * 7, OK, clock=clock) == {"fine": True}
    assert sum(clock.slept) == pytest.approx(1 + 2 + 4 + 8 + 16 + 32 + 60)


def test_a_server_that_always_says_429_is_given_up() -> None:
    script = Script(answer({}, 429))
    with transport(http=script, clock=FakeClock()) as http, pytest.raises(RateLimited):
        http.get("v1/x", anything)
    assert len(script.asked) == 20


def test_the_429s_of_all_calls_are_counted_together_until_one_is_answered() -> None:
    """What no call gets an answer to, another is not sent twenty times for."""
    limited = answer({}, 429)
    script = Script(*[limited] * 21, OK, limited, OK)
    with transport(http=script, clock=FakeClock()) as http:
        for sent in (20, 21):
            with pytest.raises(RateLimited) as raised:
                http.get("v1/x", anything)
            assert (len(script.asked), raised.value.stays) == (sent, True)
        assert "used up" in raised.value.hint
        for sent in (22, 24):
            assert http.get("v1/x", anything) == {"fine": True}
            assert len(script.asked) == sent


@pytest.mark.parametrize(("seconds", "sent"), [(7200, 2), (3600, 2), (1800, 3), (60, 20)])
def test_a_long_pause_is_heeded_and_after_an_hour_of_them_it_is_given_up(
    seconds: int, sent: int
) -> None:
    clock = FakeClock()
    script = Script(answer({}, 429, **{"retry-after": str(seconds)}))
    with transport(http=script, clock=clock) as http, pytest.raises(RateLimited):
        http.get("v1/x", anything)
    assert len(script.asked) == sent
    assert sum(clock.slept) == pytest.approx((sent - 1) * min(seconds, 3600))


def test_of_429s_to_requests_that_were_under_way_together_one_counts() -> None:
    limiter = LocalRateLimiter(RateLimit(60, 60), FakeClock())
    pauses = Pauses("Testably", limiter)
    for _ in range(32):
        error = RateLimited("Testably", "429")
        pauses.begin(error, 0)
        assert (error.retry_after, error.stays, pauses.in_a_row) == (1.0, False, 1)
    assert limiter.paused_for() == pytest.approx(1)


def test_a_caller_that_may_not_wait_long_does_not_wait_for_one_429_after_the_other() -> None:
    """Such as a slice in the background, which gives up its turn: 20 s and 20 s are 40."""
    clock = FakeClock()
    limited = answer({}, 429, **{"retry-after": "20"})
    with (
        transport(http=Script(limited), clock=clock, max_wait=45.0) as http,
        pytest.raises(BudgetExhausted) as raised,
    ):
        http.get("v1/x", anything)
    assert sum(clock.slept) == pytest.approx(40)
    assert raised.value.wait == pytest.approx(20)


def test_a_429_stops_everybody_on_the_rate_limiter() -> None:
    clock = FakeClock()
    limiter = LocalRateLimiter(RateLimit(60, 60), clock)
    script = Script(answer({}, 429, **{"retry-after": "9"}))
    with (
        transport(clock=clock, rate_limiter=limiter, http=script) as http,
        pytest.raises(RateLimited) as raised,
    ):
        http.post("v1/x", {}, anything)
    assert raised.value.retry_after == pytest.approx(9)
    assert limiter.paused_for() == pytest.approx(9)


NOW = FakeClock().now()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        (" 1.5 ", 1.5),
        ("Sun, 01 Mar 2026 12:00:20 GMT", 20),
        ("86400", 3600),
        ("1e999", 3600),
        ("0", None),
        ("-5", None),
        ("Sun, 01 Mar 2020 00:00:00 GMT", None),
        ("soon", None),
        ("nan", None),
        ("²", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """At most an hour; nonsense and the past are as good as nothing."""
    assert retry_after(header, NOW) == seconds


def test_every_get_takes_its_own_turn() -> None:
    """Repeats are requests too."""
    clock = FakeClock()
    limiter = LocalRateLimiter(RateLimit(60, 60), clock)
    get(answer({}, 500), OK, clock=clock, rate_limiter=limiter)
    assert len(limiter._grants) == 2


def test_a_wait_that_is_too_long_is_not_begun() -> None:
    clock = FakeClock()
    limiter = LocalRateLimiter(RateLimit(60, 60), clock)
    limiter.pause(100)
    with pytest.raises(BudgetExhausted):
        get(OK, clock=clock, rate_limiter=limiter, max_wait=10)


def test_whoever_is_told_of_a_wait_may_end_it() -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt(f"{seconds:.0f}")

    with pytest.raises(KeyboardInterrupt):
        get(answer({}, 500), OK, on_wait=stop)


def test_each_request_is_observed() -> None:
    seen: list[tuple[str, str, str]] = []
    replies: list[Reply] = [httpx.ReadTimeout("x"), answer({}, 500), OK]
    get(*replies, observer=lambda api, method, outcome, _: seen.append((api, method, outcome)))
    outcomes = ["timeout", "500", "200"]
    assert seen == [("Testably", "GET", outcome) for outcome in outcomes]


def test_a_request_that_never_left_is_not_counted() -> None:
    with transport(http=Script(httpx.ConnectError("x"), OK), clock=FakeClock()) as http:
        http.get("v1/x", anything)
        assert http.requests == 1


@pytest.mark.parametrize(
    "echo",
    [
        "{}",
        "key={}&x",
        "a {} b",
    ],
)
@pytest.mark.parametrize("secret", ["key+with/odd=ü&<'\"", "tok en\\x", "plain-secret-1234"])
def test_a_secret_is_hidden_in_every_form_that_a_server_may_echo(secret: str, echo: str) -> None:
    credentials = basic_auth("ann@example", SecretStr(secret))
    packed = credentials.header.get_secret_value().removeprefix("Basic ")
    forms = [secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]]
    forms += [
        html.escape(secret),
        packed,
        f"{packed[:9]}\n  {packed[9:]}",
        f"{secret[:4]}\n{secret[4:]}",
    ]
    for form in forms:
        shown = credentials.redacted(echo.format(form))
        assert shown == echo.format("***")


def test_credentials_without_a_secret_hide_nothing() -> None:
    assert basic_auth("", SecretStr("")).redacted("a b") == "a b"
