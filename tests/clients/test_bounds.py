"""R11: whatever a server sends, reading it ends, in bounded memory and with a reason."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import urllib.parse
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.clock import FakeClock
from tests.support.transports import Script, answer, transport
from worker.clients.bounds import MOST_OBJECTS, MOST_PROBLEMS, MOST_ROWS, MOST_VALUES
from worker.clients.decode import decode
from worker.clients.testably import Testably
from worker.clients.testrail import TestRail
from worker.errors import AnswerTooLarge, ApiError, UnreadableAnswer
from worker.sync.ports import SourceListing, TargetListing

Respond = Callable[[httpx.Request], httpx.Response]
MOST_MEMORY = 250
"""MB, of the process in all."""


def asked(request: httpx.Request) -> dict[str, int]:
    """The numbers in the query of either API."""
    pairs = urllib.parse.parse_qsl(request.url.query.decode())
    return {name: int(value) for name, value in pairs if value.isdigit()}


def source(respond: Respond, submilestones: Any = "list") -> tuple[TestRail, Script]:
    script = Script(respond)
    http = transport("TestRail", http=script, clock=FakeClock())
    return TestRail(http, submilestones), script


def target(respond: Respond) -> tuple[Testably, Script]:
    script = Script(respond)
    return Testably(transport(http=script, clock=FakeClock())), script


def row(number: int, **fields: object) -> dict[str, object]:
    return {"id": number, "name": f"Release {number}", **fields}


# --- endless lists ----------------------------------------------------------------------------


def endless_source(request: httpx.Request) -> httpx.Response:
    """A TestRail that always has another full page."""
    given = asked(request)
    first = given.get("offset", 0) + 1
    rows = [row(number) for number in range(first, first + 10 * given["limit"])]
    return answer({"_links": {"next": "/more"}, "milestones": rows})


def endless_target(request: httpx.Request) -> httpx.Response:
    """A Testably that always has another full page, and counts a row more than it has shown."""
    given = asked(request)
    size = 10 * given["per_page"]
    rows = [row(size * given["page"] + number) for number in range(size)]
    return answer({"data": rows, "meta": {"total": size * given["page"] + 1}})


def test_a_testrail_without_end_ends_the_run() -> None:
    """Nobody wants the first 125,000 of it in Testably."""
    testrail, script = source(endless_source)
    with pytest.raises(AnswerTooLarge, match=f"more than {MOST_ROWS:,} milestones"):
        testrail.read_project(1)
    assert len(script.asked) == MOST_ROWS // 2500 + 1


def test_a_testably_without_end_is_an_incomplete_list_and_read_once() -> None:
    testably, script = target(endless_target)
    found = testably.list_all("p")
    assert found.complete is False
    assert f"more than {MOST_ROWS:,} milestones" in found.incomplete_because
    assert MOST_ROWS // 1000 <= len(script.asked) <= MOST_ROWS // 1000 + 1


def test_a_milestone_that_comes_in_the_list_and_on_its_own_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A project at the bound is read whole although its roots are asked for one by one."""
    monkeypatch.setattr("worker.clients.source_rows.MOST_ROWS", 20)

    def respond(request: httpx.Request) -> httpx.Response:
        _, _, one = str(request.url).partition("get_milestone/")
        return answer(row(int(one)) if one else [row(number + 1) for number in range(20)])

    testrail, script = source(respond, "each")
    found = testrail.read_project(1)
    assert (len(found.milestones), found.complete, len(script.asked)) == (20, True, 21)


def test_a_page_that_repeats_itself_for_ever_is_asked_for_twice() -> None:
    testrail, script = source(lambda _: answer({"_links": {"next": "/x"}, "milestones": [row(1)]}))
    assert not testrail.read_project(1).complete
    assert len(script.asked) == 2


def test_many_records_that_cannot_be_read_are_an_incomplete_list() -> None:
    """Their reasons would fill the memory; so many mean that something else is wrong."""
    rows = [{"id": number + 1} for number in range(MOST_PROBLEMS + 1)]
    testrail, _ = source(lambda _: answer(rows))
    listing = testrail.read_project(1)
    assert (len(listing.problems), listing.complete) == (MOST_PROBLEMS, False)
    assert listing.incomplete_because == f"more than {MOST_PROBLEMS:,} records cannot be read"


# --- answers that are too large ---------------------------------------------------------------


def heavy(most: int, size: int = 600) -> Respond:
    """A TestRail of ``size`` milestones whose pages are too large above ``most`` rows."""

    def respond(request: httpx.Request) -> httpx.Response:
        given = asked(request)
        first, limit = given.get("offset", 0) + 1, given["limit"]
        if limit > most:
            return httpx.Response(200, content=b" " * (9 * 1024 * 1024))
        rows = [row(number) for number in range(first, min(first + limit, size + 1))]
        more = "/next" if first + limit <= size else None
        return answer({"_links": {"next": more}, "limit": limit, "milestones": rows})

    return respond


@pytest.mark.parametrize(("most", "first_that_fits"), [(125, 125), (124, 62), (1, 1)])
def test_a_page_that_is_too_large_is_asked_for_with_half_the_limit(
    most: int, first_that_fits: int
) -> None:
    size = 40 if most == 1 else 600
    testrail, script = source(heavy(most, size))
    found = testrail.read_project(1)
    assert (len(found.milestones), found.complete) == (size, True)
    limits = [asked(request)["limit"] for request in script.asked]
    assert limits[-1] == first_that_fits
    assert limits == sorted(limits, reverse=True)


def test_where_halving_changes_nothing_the_reading_ends_and_says_so() -> None:
    testrail, script = source(heavy(0))
    with pytest.raises(AnswerTooLarge) as raised:
        testrail.read_project(1)
    limits = [asked(request)["limit"] for request in script.asked]
    assert limits == [250, 125, 62, 31, 15, 7, 3, 1]
    assert raised.value.message.endswith(
        "more than 8 MiB, although a single milestone was asked for"
    )


def test_a_testably_page_that_is_too_large_is_read_in_smaller_ones() -> None:
    """From the first page on, since all pages are counted anew."""

    def respond(request: httpx.Request) -> httpx.Response:
        page, size = asked(request)["page"], asked(request)["per_page"]
        if size > 30:
            return httpx.Response(200, content=b" " * (9 * 1024 * 1024))
        rows = [row(number) for number in range((page - 1) * size, min(page * size, 60))]
        return answer({"data": rows, "meta": {"total": 60}})

    testably, script = target(respond)
    found = testably.list_all("p")
    assert (len(found.milestones), found.complete) == (60, True)
    assert [asked(one)["per_page"] for one in script.asked] == [100, 50, 25, 25, 25]


def test_a_page_may_hold_ten_times_the_rows_that_were_asked_for() -> None:
    rows = [row(number + 1) for number in range(2501)]
    testrail, script = source(lambda _: answer({"milestones": rows, "limit": 3000}))
    with pytest.raises(AnswerTooLarge, match="2,501 milestones where 1 were asked for"):
        testrail.read_project(1)
    assert len(script.asked) == 8
    testably, _ = target(lambda _: answer({"data": rows}))
    with pytest.raises(AnswerTooLarge, match="2,501 milestones where 1 were asked for"):
        testably.list_all("p")


def test_a_server_that_ignores_how_many_are_asked_for_may_give_a_usual_page() -> None:
    """Where a single row would do, to see whether a project answers."""
    rows = [row(number + 1) for number in range(250)]
    assert (
        len(source(lambda _: answer({"milestones": rows}))[0].get_milestones(1, limit=1).rows)
        == 250
    )
    target(lambda _: answer({"data": rows[:100]}))[0].check_project("p")


def test_an_old_testrail_may_answer_everything_at_once() -> None:
    """A bare array is no page: such an instance ignores the limit."""
    rows = [row(number + 1) for number in range(3000)]
    testrail, _ = source(lambda _: answer(rows))
    found = testrail.read_project(1)
    assert (len(found.milestones), found.complete) == (3000, True)


# --- what stands in an answer -----------------------------------------------------------------

FEW = b"[" + b"{}," * (MOST_OBJECTS - 2) + b"{}]"


def test_the_bounds_on_objects_and_values_are_exact() -> None:
    assert len(decode(FEW)) == MOST_OBJECTS - 1  # type: ignore[arg-type]
    for much in (FEW[:-1] + b",{}]", b"[" + b"1," * (MOST_VALUES + 1) + b"1]"):
        with pytest.raises(ValueError, match="more than"):
            decode(much)


@pytest.mark.parametrize("mark", ["[ ] ", "{", ", "])
def test_marks_in_texts_are_no_objects_and_no_values(mark: str) -> None:
    """A description may hold any number of them, after a quote in it as well."""
    text = 'He said "' + mark * (MOST_VALUES + 1)
    assert decode(json.dumps({"text": text}).encode()) == {"text": text}
    assert decode(json.dumps([text, 7]).encode()) == [text, 7]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'["' + b'[\\"' * 1_000_000, "Unterminated string"),
        (FEW[:-1] + b',{},{}, "' + b"{" * MOST_OBJECTS, "more than"),
        (FEW.decode().replace("}]", '},{},"\u2222]').encode("utf-16"), "more than"),
    ],
    ids=["quotes that end nothing", "too much before it", "UTF-16"],
)
def test_a_text_without_an_end_hides_nothing_and_costs_its_length(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode(body)


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"[" * 400_000, AnswerTooLarge, "more than 150,000 objects"),
        (b"[" * 100_000, AnswerTooLarge, "nested too deep"),
        (b"[" * 5_000 + b"]" * 5_000, AnswerTooLarge, "nested too deep"),
        (b"[" + b"{}," * 1_400_000 + b"{}]", AnswerTooLarge, "more than 150,000 objects"),
        (
            b'{"milestones": [' + b"1," * 700_000 + b"1]}",
            AnswerTooLarge,
            "more than 600,000 values",
        ),
        (b'{"milestones": [{"id": 1', UnreadableAnswer, "cut off or broken"),
    ],
    ids=["brackets", "fewer brackets", "closed brackets", "objects", "values", "cut"],
)
@pytest.mark.parametrize("side", ["TestRail", "Testably"])
def test_an_answer_of_too_much_is_refused_with_its_reason(
    body: bytes, kind: type[ApiError], words: str, side: str
) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body)

    with pytest.raises(kind, match=words):
        read(side, respond)


def read(side: str, respond: Respond) -> SourceListing | TargetListing:
    if side == "TestRail":
        return source(respond)[0].read_project(1)
    return target(respond)[0].list_all("p")


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "9" * 5000, "1e400", "NaN", "-Infinity"])
def test_a_number_of_any_size_concerns_its_record_only(number: str) -> None:
    """Whether in a field that is read or in one that is not."""
    rows = (
        f'[{{"id": 1, "name": "a", "due_on": {number}}}, {{"id": 2, "name": "b", "x": {number}}}]'
    )
    testrail, _ = source(lambda _: httpx.Response(200, content=rows.encode()))
    found = testrail.read_project(1)
    assert (list(found.milestones), [bad.id for bad in found.problems]) == ([2], [1])
    assert found.complete
    json.dumps([dict(found.milestones[2].raw), found.problems[0].raw], allow_nan=False)
    data = f'{{"data": {rows.replace("due_on", "due_date")}}}'
    listed = target(lambda _: httpx.Response(200, content=data.encode()))[0].list_all("p")
    assert (list(listed.milestones), [bad.id for bad in listed.problems]) == (["2"], [1])


# --- memory -----------------------------------------------------------------------------------

_PROGRAM = """
    import resource, sys
    import httpx
    from tests.clients import test_bounds as t

    side, attack = sys.argv[1:]
    emoji = "\\U0001f680".encode()

    def objects(_):
        return httpx.Response(200, content=b"[" + b"{}," * 1_400_000 + b"{}]")

    def brackets(_):
        return httpx.Response(200, content=b"[" * 400_000)

    def text(_):
        body = b'{"data": [], "milestones": [], "x": "' + emoji + b"x" * (8 * 2**20 - 50) + b'"}'
        return httpx.Response(200, content=body)

    def bad(request):
        rows = b",".join([b'{"name": 5, "a": "' + b"x" * 3000 + b'"}'] * 2500)
        return httpx.Response(200, content=b"[" + rows + b"]")

    attacks = {
        "endless": t.endless_source if side == "TestRail" else t.endless_target,
        "objects": objects, "brackets": brackets, "text": text, "bad": bad,
    }
    try:
        print(t.read(side, attacks[attack]).complete)
    except t.ApiError as error:
        print(error.kind)
    # not ru_maxrss, which a process inherits from the one that started it
    status = open("/proc/self/status").read()
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.parametrize("side", ["TestRail", "Testably"])
@pytest.mark.parametrize(
    ("attack", "outcome"),
    [
        ("endless", ["too_large", "False"]),
        ("objects", ["too_large"]),
        ("brackets", ["too_large"]),
        ("text", ["True"]),
        ("bad", ["False", "unreadable"]),
    ],
)
def test_the_process_stays_small_whatever_is_sent(
    side: str, attack: str, outcome: list[str]
) -> None:
    program = [sys.executable, "-c", textwrap.dedent(_PROGRAM), side, attack]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said, memory = done.stdout.split()[-2:]
    assert said in outcome
    assert int(memory) < MOST_MEMORY
