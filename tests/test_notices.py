"""Notices: what is told when, and that it arrives."""

from __future__ import annotations

import json
import re
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread
from typing import Any
from unittest.mock import Mock, patch

import pytest
from aiosmtpd.controller import Controller
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.overview import overview
from mappings.problem import FieldProblem, Problem, ProblemKind
from mappings.rows import PairIdentity, Told
from mappings.runs import RunLog
from mappings.store import Store
from tests.support.clock import NOW, FakeClock
from worker.clients.notify import require_usable, send
from worker.errors import SettingsError
from worker.notices import MOST_LINES, Notice, decide, may_need_notice, told_after, topics_of
from worker.telling import FIRST_REST, Notices

GAP = timedelta(minutes=15)
EVERY_15 = "*/15 * * * *"
IDENTITY = PairIdentity("https://rail.example", 1, "https://ably.example", "proj_1")
KEYS = st.sets(st.sampled_from(["a", "b", "c"]))


class Inbox:
    """Collects notices; ``works`` says whether they can be sent, ``kept`` as in `topics_of`."""

    def __init__(self, store: Store, run_log: RunLog) -> None:
        self.works, self.kept = True, True
        self.got: list[Notice] = []
        self.clock = FakeClock()
        self._store = store
        self._notices = Notices(store, run_log, {"an address": self._send}, GAP, self.clock)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @now.setter
    def now(self, value: datetime) -> None:
        self.clock.start = value - timedelta(seconds=self.clock.passed)

    def _send(self, notice: Notice) -> bool:
        if self.works:
            self.got.append(notice)
        return self.works

    def look(self) -> list[Notice]:
        """What is told now."""
        before, pair = len(self.got), self._store.pair(IDENTITY)
        standing = overview(self._store.engine, [pair], brief=True)[pair.id]
        worth_it = may_need_notice(pair, standing, EVERY_15, self.now)
        about = topics_of(self._store, self._notices.runs, pair, self.now, EVERY_15, kept=self.kept)
        self._notices.look({IDENTITY: EVERY_15}, kept=self.kept)
        assert worth_it or not (about or self.got[before:]), "a sweep would have passed it by"
        return self.got[before:]


@pytest.fixture
def inbox(store: Store, run_log: RunLog) -> Inbox:
    return Inbox(store, run_log)


def troubled(store: Store, *ids: int) -> None:
    """Exactly these milestones need a person."""
    pair_id = store.pair(IDENTITY).id
    known = store.links(pair_id)
    for id_ in {*known, *ids}:
        link = known.get(id_, Link(id_, f"ms_{id_}", LinkState.LINKED, name=f"Release {id_}"))
        problem = Problem(ProblemKind.REFUSED, "No.") if id_ in ids else None
        store.save(pair_id, link.with_problem(problem, NOW), NOW)


# --- when


def test_what_begins_is_told_once_and_what_is_over_too(store: Store, inbox: Inbox) -> None:
    """Never the same twice, however often somebody looks."""
    assert inbox.look() == []
    troubled(store, 7)
    [begins] = inbox.look()
    assert (begins.event, begins.testrail_project) == ("needs_a_person", 1)
    assert "Release 7" in begins.text
    assert "milesync retry 7" in begins.text
    assert inbox.look() == []
    troubled(store)
    [over] = inbox.look()
    assert over.event == "over"
    assert inbox.look() == []


def test_a_notice_says_each_thing_once_and_names_its_project(store: Store, run_log: RunLog) -> None:
    """What is the matter, then the command, which does the right thing among several pairs."""
    pair = store.pair(IDENTITY)
    said = "Testably has a milestone of this name already (ms_9)."
    conflict = Link(9, name="Release 9").with_problem(Problem(ProblemKind.NAME_CONFLICT, said), NOW)
    nameless = Link(12, name="  ").with_problem(Problem(ProblemKind.BAD_RECORD, "Blank."), NOW)
    held = Link(13, name="Release 13").held(NOW)
    store.save_many(pair.id, [conflict, nameless, held], NOW)
    send = Mock(return_value=True)
    notices = Notices(store, run_log, {"an address": send}, GAP, FakeClock(), several=True)
    notices.look({IDENTITY: EVERY_15}, kept=True)
    [(notice,)] = [call.args for call in send.call_args_list]
    text = notice.text
    assert "milesync migrate --adopt-by-name --project 1`" in text
    assert "milesync accept 13 --project 1`" in text
    assert "`milesync failures --project 1` lists" in text
    assert "12 (no name) https://rail.example/index.php?/milestones/view/12: Blank." in text
    for line in notice.lines:
        sentences = [one.strip() for one in line.split(". ")]
        assert len(sentences) == len(set(sentences))
        assert line.count("took") <= 1


def test_a_milestone_with_two_problems_is_one_thing(store: Store, inbox: Inbox) -> None:
    """With both of them below each other; as new while one of them is."""
    pair_id = store.pair(IDENTITY).id

    def rejects(*names: str) -> None:
        found = {
            name: FieldProblem(ProblemKind.REJECTED, None, "x", f"No {name}.", "2026-03-01")
            for name in names
        }
        link = store.links(pair_id).get(7, Link(7, "ms_7", LinkState.LINKED, name="Release 7"))
        store.save(pair_id, link.with_field_problems(found), NOW)

    rejects("due_date")
    [first] = inbox.look()
    assert first.title.endswith("one thing needs a person.")
    rejects("due_date", "start_date")
    inbox.now += GAP
    [second] = inbox.look()
    assert second.title.endswith("one thing needs a person.")
    assert [line.count("Release 7") for line in second.lines] == [2, 0]
    assert "Still" not in second.text


def test_what_is_about_no_milestone_is_told_as_well(
    store: Store, run_log: RunLog, inbox: Inbox
) -> None:
    """As `failures` lists it: a record without an id, for as long as the last run found it."""
    pair_id = store.pair(IDENTITY).id
    for problems in ([{"testrail_id": None, "kind": "bad_record", "reason": "No id."}], []):
        run = run_log.begin(pair_id, "schedule", "test", inbox.now)
        ended = {"state": "partial" if problems else "succeeded", "finished_at": inbox.now}
        run_log.change(run.id, problems=problems, **ended)
        inbox.now += GAP
        [notice] = inbox.look()
        assert ("No id." in notice.text) is (notice.event == "needs_a_person") is bool(problems)


def test_what_is_as_it_was_is_told_as_such(store: Store, inbox: Inbox) -> None:
    """Behind what is new; a notice of runs alone does not point at `failures`."""
    pair_id = store.pair(IDENTITY).id
    store.update_pair(pair_id, paused_because="TestRail refuses the credentials.")
    [paused] = inbox.look()
    assert "milesync failures" not in paused.text
    assert "`milesync status`" in paused.lines[-1]
    troubled(store, 7)
    inbox.now += GAP
    [later] = inbox.look()
    assert later.lines[0].startswith("- 7 Release 7: No.")
    assert later.lines[1].startswith("- Still: The pair is paused")


def test_what_begins_soon_after_waits_for_the_gap(store: Store, inbox: Inbox) -> None:
    """Then it is told, with what still is as it was."""
    troubled(store, 7)
    inbox.look()
    troubled(store, 7, 8)
    assert inbox.look() == []
    inbox.now += GAP
    [later] = inbox.look()
    assert "Release 8" in later.lines[0]
    assert "Release 7" in later.lines[1]


def test_what_is_over_never_waits(store: Store, inbox: Inbox) -> None:
    """Also right after it was told."""
    troubled(store, 7)
    inbox.look()
    troubled(store)
    assert [notice.event for notice in inbox.look()] == ["over"]


def test_what_could_not_be_sent_is_sent_later(store: Store, inbox: Inbox) -> None:
    """Nothing counts as told that no address took."""
    troubled(store, 7)
    inbox.works = False
    assert inbox.look() == []
    inbox.works = True
    inbox.now += FIRST_REST
    assert len(inbox.look()) == 1


def test_a_paused_pair_and_a_guard_are_told(store: Store, run_log: RunLog, inbox: Inbox) -> None:
    """Nobody watched the run that stopped itself."""
    pair_id = store.pair(IDENTITY).id
    store.update_pair(pair_id, paused_because="TestRail refuses the credentials.")
    run = run_log.begin(pair_id, "schedule", "a worker", NOW)
    error = {"kind": "guard", "message": "It would archive 12 milestones.", "hint": "Look."}
    run_log.change(run.id, state="aborted", finished_at=NOW, error=error)
    [notice] = inbox.look()
    assert "refuses the credentials" in notice.text
    assert "archive 12" in notice.text
    store.update_pair(pair_id, paused_because=None)
    later = run_log.begin(pair_id, "schedule", "a worker", NOW + GAP)
    run_log.change(later.id, state="failed", finished_at=NOW + GAP, error={"kind": "unreachable"})
    assert inbox.look() == []  # a failure is no sign that what stopped a run is over
    by_hand = run_log.begin(pair_id, "migration", "Ann", NOW + GAP)
    run_log.change(by_hand.id, state="aborted", finished_at=NOW + GAP, error=error)
    assert inbox.look() == []  # nor is a person who looked at it


def test_what_a_person_stopped_is_not_told(store: Store, run_log: RunLog, inbox: Inbox) -> None:
    """Who stops a run, or answers an undo with no, knows it."""
    pair_id = store.pair(IDENTITY).id
    error = {"kind": "guard", "message": "The run was stopped.", "hint": ""}
    stopped = run_log.begin(pair_id, "schedule", "a worker", NOW)
    run_log.change(stopped.id, stop_requested=True)
    declined = run_log.begin(pair_id, "manual", "Ann", NOW, {"undoes": stopped.id})
    for run in (stopped, declined):
        run_log.change(run.id, state="aborted", finished_at=NOW, error=error)
    assert inbox.look() == []


def test_refused_credentials_are_told_without_a_service(
    store: Store, run_log: RunLog, inbox: Inbox
) -> None:
    """A sync by a timer pauses no pair; another failure after it is no sign that all is well."""
    pair_id = store.pair(IDENTITY).id

    def ended(state: str, kind: str | None = None) -> list[Notice]:
        run = run_log.begin(pair_id, "manual", "a timer", inbox.now)
        error = kind and {"kind": kind, "message": "Answered with 401.", "hint": "Check the key."}
        run_log.change(run.id, state=state, finished_at=inbox.now, error=error)
        inbox.now += timedelta(minutes=20)
        return inbox.look()

    [begins] = ended("failed", "credentials")
    assert "Credentials were refused: Answered with 401. Check the key." in begins.text
    assert ended("failed", "credentials") == []
    assert ended("failed", "unreachable") == []
    assert [notice.event for notice in ended("succeeded")] == ["over"]


def test_a_pair_whose_syncs_fail_for_days_is_stale(
    store: Store, run_log: RunLog, inbox: Inbox
) -> None:
    """Told once, however many fail, with the reason of the last; over when one ends well."""
    pair_id = store.pair(IDENTITY).id
    inbox.kept = False  # it is told by whoever tries, too

    def ended(state: str, kind: str | None) -> list[Notice]:
        run = run_log.begin(pair_id, "manual", "a timer", inbox.now)
        error = kind and {"kind": kind, "message": "TestRail is away.", "hint": ""}
        run_log.change(run.id, state=state, finished_at=inbox.now, error=error)
        told = inbox.look()
        inbox.now += timedelta(minutes=15)
        return told

    assert ended("succeeded", None) == []
    told = [notice for _ in range(60) for notice in ended("failed", "unreachable")]
    [stale] = told
    assert "stale" in stale.text
    assert "2026-03-01 12:00 UTC" in stale.text
    assert "TestRail is away." in stale.text
    assert [notice.event for notice in ended("succeeded", None)] == ["over"]


def test_a_pair_that_never_ended_well_is_stale_too(
    store: Store, run_log: RunLog, inbox: Inbox
) -> None:
    """Counted from its first try."""
    pair_id = store.pair(IDENTITY).id
    for _ in range(6):
        run = run_log.begin(pair_id, "manual", "a timer", inbox.now)
        error = {"kind": "unreachable", "message": "Away.", "hint": ""}
        run_log.change(run.id, state="failed", finished_at=inbox.now, error=error)
        inbox.look()
        inbox.now += timedelta(minutes=15)
    [notice] = inbox.got
    assert "No run has ever ended well; the first began on 2026-03-01 12:00 UTC." in notice.text


def test_who_keeps_no_schedule_is_not_told_of_one(
    store: Store, run_log: RunLog, inbox: Inbox
) -> None:
    """A plan a week after a migration that ended well says nothing; who keeps to it is told."""
    run = run_log.begin(store.pair(IDENTITY).id, "migration", "Ann", NOW)
    run_log.change(run.id, state="succeeded", finished_at=NOW)
    inbox.now += timedelta(days=7)
    inbox.kept = False
    assert inbox.look() == []
    inbox.kept = True
    assert "stale" in inbox.look()[0].text
    inbox.kept = False
    assert inbox.look() == []  # and it is not over because somebody else looks


def test_a_digest_is_not_endless(store: Store, inbox: Inbox) -> None:
    """It says how many more there are."""
    troubled(store, *range(1, MOST_LINES + 6))
    [notice] = inbox.look()
    assert len(notice.lines) == MOST_LINES + 2
    assert "5 more" in notice.lines[-2]


def test_one_problem_in_place_of_another_waits_for_the_gap_and_ends_aloud(
    store: Store, inbox: Inbox
) -> None:
    """What came soon after is told once the gap is over, and is over at once if it ends before."""
    for ends_soon in (True, False):
        troubled(store, 7)
        inbox.now += GAP
        assert [one.event for one in inbox.look()] == ["needs_a_person"]
        troubled(store, 8)
        for _ in range(3):
            inbox.now += GAP / 4
            assert inbox.look() == []
        if not ends_soon:
            inbox.now += GAP / 4
            [second] = inbox.look()
            assert "Release 8" in second.text
        troubled(store)
        assert [one.event for one in inbox.look()] == ["over"]


def test_what_comes_and_goes_is_not_told_each_time(store: Store, inbox: Inbox) -> None:
    """Every minute for two gaps: two beginnings, each with its end."""
    for _ in range(30):
        troubled(store, 7)
        inbox.look()
        inbox.now += timedelta(seconds=30)
        troubled(store)
        inbox.look()
        inbox.now += timedelta(seconds=30)
    assert [one.event for one in inbox.got] == ["needs_a_person", "over"] * 2


def test_a_clock_that_was_set_back_holds_nothing_back(store: Store, inbox: Inbox) -> None:
    """The last notice is then two days in the future."""
    troubled(store, 7)
    inbox.look()
    inbox.now -= timedelta(days=2)
    troubled(store, 7, 8)
    assert len(inbox.look()) == 1


@given(st.lists(st.tuples(KEYS, st.integers(0, 20)), max_size=12))
def test_an_address_hears_of_all_that_lasts_and_never_too_often(
    moments: list[tuple[set[str], int]],
) -> None:
    """Whatever comes and goes, a minute or twenty apart: these laws hold at each look."""
    told, now, at, open_ = Told(), NOW, None, False
    for keys, minutes in moments:
        topics = dict.fromkeys(keys, "")
        now += timedelta(minutes=minutes)
        soon = at is not None and now - at < GAP
        event = decide(topics, told, now, GAP)
        if open_ and not topics:
            assert event == "over", "what is over is told at once, and once"
        elif keys - set(told.topics or ()) and not soon:
            assert event == "needs_a_person", "what is new is told once the gap is over"
        else:
            assert event is None
        told = told_after(event, topics, told, now)
        assert set(told.topics or ()) <= keys, "what has ended is told anew when it comes again"
        if event is not None:
            at, open_ = now, event != "over"
            assert set(told.topics or ()) == keys


@pytest.mark.parametrize("kind", ["redis", "database"])
def test_a_stale_pair_does_not_tell_others_where_a_server_of_ours_is(
    store: Store, run_log: RunLog, inbox: Inbox, kind: str
) -> None:
    """The words of such an error hold an address, and the pages hide them as well."""
    run = run_log.begin(store.pair(IDENTITY).id, "schedule", "", NOW)
    error = {"kind": kind, "message": "Connecting to inner.example:6379.", "hint": ""}
    run_log.change(run.id, state="failed", finished_at=NOW, error=error)
    inbox.now += timedelta(days=1)
    [notice] = inbox.look()
    assert "did not answer; the log says why." in notice.text
    assert "inner.example" not in notice.text


# --- that it arrives


@contextmanager
def json_sink(status: int = 204) -> Iterator[tuple[str, list[Any]]]:
    """A server that keeps what is posted to it."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?key=1", got
    finally:
        server.shutdown()
        server.server_close()


NOTICE = Notice("needs_a_person", "One thing needs a person.", ("- 7: No.",), 1, "proj_1")


def sent_to(address: str) -> bool:
    return send(SecretStr(address), NOTICE.title, NOTICE.text, NOTICE.as_json())


def test_a_plain_webhook_gets_json() -> None:
    """It names the pair and what needs a person."""
    with json_sink() as (address, got):
        assert sent_to(address)
    assert got == [NOTICE.as_json()]


def test_an_address_that_fails_is_logged_without_its_secret() -> None:
    """That it did not take the notice is said with its host."""
    with json_sink(500) as (broken, _), capture_logs() as logged:
        assert not sent_to(broken)
    assert [line["to"] for line in logged] == ["http://127.0.0.1"]
    assert "key=1" not in str(logged)


@pytest.mark.parametrize("address", ["pbul://a-token", "tgram://1:a-token/2", "no-such://a-token"])
def test_where_the_host_is_a_token_it_is_not_logged(address: str) -> None:
    """What apprise logs itself is hidden by the settings' secrets."""
    with patch("apprise.Apprise.notify", return_value=False), capture_logs() as logged:
        assert not sent_to(address)
    [line] = logged
    assert line["to"] == f"{address.partition(':')[0]}://…"


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        (["https://a.example/x", "slak://tok-1/tok-2"], "no. 2 begins with slak://"),
        (["slak://tok-1"], "did you mean slack://?"),
        (["zzzzzz://tok-1"], "zzzzzz://, which apprise does not know."),
        (["x" * 5000 + "://tok-1"], "no. 1 begins with xxx"),
        (["https://"], "names no host"),
        (["https:///tok-1"], "names no host"),
        (["slack://tok-1"], "is not all that apprise needs for slack://"),
    ],
)
def test_an_address_that_nothing_can_be_sent_to_is_a_wrong_setting(
    addresses: list[str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named by its place and its scheme; apprise itself would log parts of the secret."""
    with pytest.raises(SettingsError, match=re.escape(words)) as raised:
        require_usable([SecretStr(one) for one in addresses])
    assert "tok-" not in f"{raised.value.message}{caplog.text}"
    assert len(raised.value.message) < 200


@pytest.mark.parametrize(
    "address",
    ["http://localhost:1/x", "MAILTO://a:b@example.com", "tgram://123456789:abcdefg_hijklmnop/1"],
)
def test_an_address_that_may_be_right_is_taken(address: str) -> None:
    """Nobody is asked."""
    require_usable([SecretStr(address)])


@contextmanager
def hostile_server(answer: bytes, then: bytes, pause: float) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each call with ``answer`` and then ``then``, for ever."""
    asked: list[bytes] = []
    over = Event()

    def serve() -> None:
        while not over.is_set():
            with suppress(OSError), listener.accept()[0] as caller:
                asked.append(caller.recv(65_536))
                caller.sendall(answer)
                while not over.wait(pause):
                    caller.sendall(then)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=serve, daemon=True).start()
        try:
            yield f"http://who:pass%21@127.0.0.1:{listener.getsockname()[1]}/hook", asked
        finally:
            over.set()


BEGUN = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "then", "pause", "error"),
    [
        (BEGUN + b"\r\n", b"x" * 1_048_576, 0, "AnswerTooLarge"),
        (BEGUN + b"Content-Length: 9999\r\n\r\n", b" ", 0.1, "TimedOut"),
        (BEGUN, b"X-A: b\r\n", 0.1, "TimedOut"),
    ],
)
def test_an_answer_without_end_is_read_to_a_bound(
    answer: bytes, then: bytes, pause: float, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither memory nor time is the receiver's to take."""
    monkeypatch.setattr("worker.clients.notify.TIMEOUT", 2.0)
    with hostile_server(answer, then, pause) as (address, asked), capture_logs() as logged:
        assert not sent_to(address)
    assert [line["error"] for line in logged] == [error]
    assert b"authorization: basic " + b64encode(b"who:pass!") in asked[0].replace(
        b"Authorization: Basic", b"authorization: basic"
    )
    assert "pass" not in str(logged)


def test_a_library_that_does_not_end_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apprise waits for each part of an answer for some seconds, and for no whole one."""
    monkeypatch.setattr("worker.clients.notify.TIMEOUT", 0.5)
    endless = hostile_server(BEGUN + b"Content-Length: 9999\r\n\r\n", b" ", 0.1)
    with endless as (address, asked), capture_logs() as logged:
        assert not sent_to(address.replace("http://", "json://"))
    assert [line["error"] for line in logged] == ["TimeoutError"]
    assert len(asked) == 1


def test_a_notice_is_not_sent_on_to_another_address() -> None:
    """A redirect is an answer that did not take it."""
    with json_sink(307) as (address, got):
        assert not sent_to(address)
    assert len(got) == 1


def test_mail_arrives_at_a_real_server() -> None:
    """By apprise, from an address alone."""
    letters: list[bytes] = []

    class Keep:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
            letters.append(envelope.content)
            return "250 OK"

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(Keep(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        mail = (
            f"mailto://127.0.0.1:{port}?from=milesync@example.com&to=ann@example.com&mode=insecure"
        )
        assert sent_to(mail)
    finally:
        server.stop()
    assert b"One thing needs a person." in letters[0]


def test_a_pair_in_step_is_passed_by_until_it_is_stale(
    store: Store, run_log: RunLog, inbox: Inbox
) -> None:
    """A sweep of thousands of pairs asks no more about it than about all of them together."""
    pair = store.pair(IDENTITY)
    run = run_log.begin(pair.id, "schedule", "", NOW)
    run_log.change(run.id, state="succeeded", finished_at=NOW)
    standing = overview(store.engine, [pair], brief=True)[pair.id]
    assert not may_need_notice(pair, standing, EVERY_15, NOW + timedelta(minutes=30))
    assert may_need_notice(pair, standing, EVERY_15, NOW + timedelta(hours=3))
    inbox.now = NOW + timedelta(hours=3)
    assert len(inbox.look()) == 1
