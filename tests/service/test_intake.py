"""POST /webhooks/testrail: the order of its checks, what is kept, and that nothing is a 500."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from sqlalchemy import Engine, event, select, text
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from mappings.deliveries import Deliveries, Hint
from mappings.tables import deliveries
from worker.settings import Settings, load_settings
from worker.sparing import Sparing
from worker.web import create_app
from worker.web.hook import delivery_name

SECRET = "a long pässword of ours"
HEADER = {"X-Milesync-Secret": SECRET.encode()}
URL = "/webhooks/testrail"
NOWHERE = "postgresql+psycopg://milesync@127.0.0.1:1/milesync"


@contextmanager
def client(engine: Engine, **more: str) -> Iterator[TestClient]:
    """The web application on this database, without a broker."""
    environ = {
        "MILESYNC_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "MILESYNC_TESTRAIL_URL": "https://example.testrail.io",
        "MILESYNC_PROJECTS": "1=proj_a,2=proj_b",
        "MILESYNC_WEBHOOK_SECRET": SECRET,
        **more,
    }
    settings = load_settings(environ=environ, cwd=Path("/"))
    app = create_app(lambda: settings)
    yield TestClient(app, "http://localhost", client=("127.0.0.1", 50000))
    app.state.service.close()


@pytest.fixture
def web(engine: Engine) -> Iterator[TestClient]:
    with client(engine) as made:
        yield made


def rows(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = connection.execute(select(deliveries).order_by(deliveries.c.id)).mappings()
        return [dict(row) for row in found]


def body(**values: Any) -> bytes:
    return json.dumps({"event": "run_closed", "project_id": "1", **values}).encode()


def test_without_a_configured_secret_every_call_is_503(engine: Engine) -> None:
    """Before anything is read, and with the setting's name."""
    with client(engine, MILESYNC_WEBHOOK_SECRET="") as web:
        answer = web.post(URL, content=b"x" * 300_000)
    assert answer.status_code == 503
    assert "MILESYNC_WEBHOOK_SECRET" in answer.json()["reason"]


def test_what_every_caller_can_cause_is_logged_once_in_a_while(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a secret, and with a database that is away: not one line for each call."""
    for broken in ({"MILESYNC_WEBHOOK_SECRET": ""}, {"MILESYNC_DATABASE_URL": NOWHERE}):
        monkeypatch.setattr("worker.web.intake._sparing", Sparing())
        with client(engine, **broken) as web, capture_logs() as lines:
            codes = {web.post(URL, content=body(), headers=HEADER).status_code for _ in range(20)}
        assert codes == {503}
        assert [line["log_level"] for line in lines] == ["error"]


def test_a_broker_that_does_not_answer_is_left_alone_for_a_while(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By all of the intake: each time may last for seconds. All calls are kept for the sweep."""
    asked: list[str] = []

    def away(_redis: Redis, _settings: Settings, hint: Hint) -> None:
        asked.append(hint.correlation)
        raise ConnectionError("away")

    monkeypatch.setattr("worker.web.intake.ask", away)
    monkeypatch.setattr("worker.web.intake._sparing", Sparing())
    with client(engine, MILESYNC_REDIS_URL="redis://127.0.0.1:1") as web, capture_logs() as lines:
        service = web.app.state.service  # type: ignore[attr-defined]
        monkeypatch.setattr(service.counters, "add", lambda *_: None)
        for number in range(3):
            headers = {**HEADER, "X-TestRail-Delivery": f"call {number}".encode()}
            assert web.post(URL, content=body(), headers=headers).status_code == 202
        assert asked == ["call 0"]
        [said] = [line for line in lines if line["log_level"] == "warning"]
        assert "wait for the sweep" in str(said["event"])
        assert service.silence.lasts
        assert service.deliveries.waiting() == 3


def test_every_answer_is_counted_by_its_status(
    engine: Engine, clean_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the metrics show it: also what is repeated, ignored, refused, or cannot be recorded."""
    monkeypatch.setattr("worker.web.intake.ask", lambda *_: None)
    named = {**HEADER, "X-TestRail-Delivery": b"one"}
    with client(engine, MILESYNC_REDIS_URL=clean_redis) as web:
        for _ in range(2):
            assert web.post(URL, content=body(), headers=named).status_code == 202
        assert web.post(URL, content=body(project_id=9), headers=HEADER).status_code == 202
        assert web.post(URL, content=body(), headers={}).status_code == 401
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE deliveries RENAME TO away"))
        try:
            assert web.post(URL, content=body(), headers=HEADER).status_code == 503
        finally:
            with engine.begin() as connection:
                connection.execute(text("ALTER TABLE away RENAME TO deliveries"))
        shown = web.get("/metrics").text
    counted = dict(re.findall(r'^milesync_deliveries_total{status="(\d+)"} (\S+)', shown, re.M))
    assert counted == {"202": "3.0", "401": "1.0", "503": "1.0"}


@pytest.mark.parametrize("chunked", [False, True])
def test_too_long_a_body_is_413_before_its_secret_is_looked_at(
    web: TestClient, chunked: bool
) -> None:
    content: Any = iter([b"x" * 65536] * 5) if chunked else b"x" * (256 * 1024 + 1)
    assert web.post(URL, content=content).status_code == 413


def test_exactly_256_kib_are_taken(web: TestClient) -> None:
    padded = body().ljust(256 * 1024)
    assert web.post(URL, content=padded, headers=HEADER).status_code == 202


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (body(), HEADER, 202),
        (body(secret=SECRET), {}, 202),
        (body(), {}, 401),
        (body(secret=""), {}, 401),
        (body(secret=7), {}, 401),
        (body(secret="\ud800"), {}, 401),
        (body(), {"X-Milesync-Secret": "wrong"}, 401),
        (body(secret=SECRET), {"X-Milesync-Secret": "wrong"}, 401),
        (body(), [*HEADER.items(), ("X-Milesync-Secret", "wrong")], 401),
        (body(), [("X-Milesync-Secret", "wrong"), *HEADER.items()], 401),
        (body(secret=SECRET), [*HEADER.items(), *HEADER.items()], 401),
        (b"no json", {}, 401),
        (b"no json", HEADER, 422),
        (b"", HEADER, 422),
        (b"[1]", HEADER, 422),
        (b"\xff\xfe\xfa", HEADER, 422),
        (b"[" * 200_000, HEADER, 422),
        (b'{"project_id":' + b"9" * 5000 + b"}", HEADER, 422),
        (body(project_id=""), HEADER, 422),
        (body(project_id=None), HEADER, 422),
        (body(project_id=True), HEADER, 422),
        (body(project_id="%project_id%"), HEADER, 422),
        (body(project_id=1.5), HEADER, 422),
        (body(project_id=float("inf")), HEADER, 422),
        (b"{}", HEADER, 422),
    ],
)
def test_status(web: TestClient, content: bytes, headers: dict[str, Any], status: int) -> None:
    """The answer to each kind of call."""
    assert web.post(URL, content=content, headers=headers).status_code == status


@pytest.mark.parametrize("project", [9, "9", 0, -1, 10**30, "0"])
def test_an_unknown_project_is_ignored(web: TestClient, engine: Engine, project: Any) -> None:
    answer = web.post(URL, content=body(project_id=project), headers=HEADER)
    assert (answer.status_code, answer.json()) == (202, {"status": "ignored"})
    assert rows(engine) == []


@pytest.mark.parametrize(
    ("milestone", "kept"),
    [
        (5, 5),
        ("5", 5),
        (" 5 ", 5),
        (5.0, 5),
        (5.5, None),
        ("", None),
        (None, None),
        ("%milestone_id%", None),
        (2**70, None),
    ],
)
def test_ids_are_numbers_or_text_and_an_empty_one_means_the_pair(
    web: TestClient, engine: Engine, milestone: Any, kept: int | None
) -> None:
    for project in (1, "1", 1.0):
        content = body(project_id=project, milestone_id=milestone)
        assert web.post(URL, content=content, headers=HEADER).status_code == 202
    for row in rows(engine):
        assert (row["testrail_project"], row["testrail_id"], row["state"]) == (1, kept, "waiting")
    assert len(rows(engine)) == 3


def test_a_repeated_delivery_is_202_and_kept_once(web: TestClient, engine: Engine) -> None:
    headers = {**HEADER, "x-testrail-delivery": "d-1"}
    answers = [web.post(URL, content=body(), headers=headers).json() for _ in range(3)]
    assert [answer["status"] for answer in answers] == ["accepted", "repeated", "repeated"]
    (row,) = rows(engine)
    assert (row["delivery"], row["correlation"], row["event"]) == ("d-1", "d-1", "run_closed")


def test_no_secret_is_kept(web: TestClient, engine: Engine) -> None:
    """Neither of the header nor of the body."""
    web.post(URL, content=body(secret=SECRET), headers=HEADER)
    assert SECRET not in str(rows(engine))


def test_only_post_is_taken(web: TestClient) -> None:
    assert web.get(URL).status_code == 405


_ids = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=30), st.floats(), st.just("1")
)
_calls = st.dictionaries(
    st.sampled_from(["project_id", "milestone_id", "event", "secret", "x"]),
    st.one_of(_ids, st.lists(_ids, max_size=3), st.dictionaries(st.text(max_size=3), _ids)),
)


@given(st.text())
def test_any_delivery_id_becomes_one_that_a_database_takes(text: str) -> None:
    """Short, printable, and another one for another header; None only for a blank one."""
    name = delivery_name(text)
    assert (name is None) == (not text.strip())
    assert name is None or (name.isascii() and name.isprintable() and len(name) <= 120)


def test_no_body_whatever_is_a_500(tmp_path: Path, sqlite_template: Path) -> None:
    """Any bytes, any JSON, any delivery id: a status of the contract, and the next one works."""
    from mappings.database import open_engine

    path = tmp_path / "fuzz.db"
    path.write_bytes(sqlite_template.read_bytes())
    engine = open_engine(f"sqlite:///{path}")

    @given(
        content=st.one_of(
            st.binary(max_size=200),
            _calls.map(lambda value: json.dumps(value).encode()),
            _calls.map(lambda value: json.dumps(value).encode("utf-16")),
            st.text(max_size=50).map(lambda text: f'{{"project_id": 1, "event": "{text}"'.encode()),
        ),
        delivery=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200),
    )
    def fuzz(content: bytes, delivery: str) -> None:
        headers: dict[str, Any] = {**HEADER, "x-testrail-delivery": delivery}
        assert fuzzed.post(URL, content=content, headers=headers).status_code in (202, 422)

    with client(engine) as fuzzed:  # hides nothing: an error of the application is raised here
        fuzz()
    engine.dispose()


def test_a_delivery_waits_until_it_is_handled(engine: Engine) -> None:
    """What is late is found again, each hint once; what is handled and old is forgotten."""
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 3, 1, tzinfo=UTC)
    kept = Deliveries(engine)
    for number in range(3):
        assert kept.record(f"d{number}", "", Hint(1, 7, f"d{number}"), now)
    assert kept.record("other", "", Hint(1, None, "other"), now + timedelta(seconds=80))
    late = timedelta(seconds=30)
    assert kept.forgotten(now + timedelta(minutes=1, seconds=30), late) == [Hint(1, 7, "d2")]
    back = kept.forgotten(now - timedelta(hours=2), late)  # the clock was set back
    assert {hint.milestone for hint in back} == {7, None}
    newest = kept.newest(1, 7)
    assert newest is not None
    kept.read(1, 7, newest, [1], [1, 2], now)
    kept.read(1, 7, newest, [1], [1, 2], now)
    assert (kept.newest(1, 7), kept.waiting()) == (newest, 4)
    assert kept.newest(1, before=now) is None
    kept.read(1, 7, newest - 1, [2], [1, 2], now)
    assert (kept.newest(1, 7), kept.waiting()) == (newest, 2)
    kept.read(1, 7, newest, [2], [1, 2], now)
    assert (kept.newest(1, 7), kept.waiting()) == (None, 1)
    kept.purge(now + timedelta(days=8), None)
    assert [row["delivery"] for row in rows(engine)] == ["other"]


def test_two_pairs_that_have_read_at_the_same_time_close_a_delivery(engine: Engine) -> None:
    """Neither forgets what the other one noted."""
    from datetime import UTC, datetime

    now, kept, met = datetime(2026, 3, 1, tzinfo=UTC), Deliveries(engine), Barrier(2)
    assert kept.record("d", "", Hint(1, None, "d"), now)

    def wait_for_the_other(*facts: Any) -> None:
        if str(facts[2]).startswith("SELECT") and "read_by" in str(facts[2]):
            with suppress(BrokenBarrierError):
                met.wait(1)

    event.listen(engine, "after_cursor_execute", wait_for_the_other)
    pairs = [Thread(target=kept.read, args=(1, None, 9, [one], [1, 2], now)) for one in (1, 2)]
    for pair in pairs:
        pair.start()
    for pair in pairs:
        pair.join()
    assert kept.waiting() == 0
