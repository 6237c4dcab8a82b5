"""Two thousand pairs: a page of them costs what a page costs, and a few queries."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert
from starlette.testclient import TestClient

from mappings.database import open_engine
from mappings.tables import links, pairs, runs
from tests.service.test_intake import client
from tests.web.page import Page

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WAITS = 77
"""The only pair with something for a person."""


def fill(engine: Engine, count: int, milestones: int = 1, days: int = 0) -> None:
    """Pairs with so many milestones each and one run; before it 96 a day for so many days."""
    urls = {
        "testrail_url": "https://example.testrail.io",
        "testably_url": "https://api.testably.app",
    }
    ids = range(1, count + 1)
    with engine.begin() as connection:
        rows = [
            {"id": id_, "testrail_project": id_, "testably_project": f"proj_{id_}", **urls}
            | {"testrail_name": f"Product {id_}", "testably_name": f"Product {id_}"}
            | {"proved_at": NOW}
            for id_ in ids
        ]
        connection.execute(insert(pairs), rows)
        every = [_link(id_, number) for id_ in ids for number in range(milestones)]
        connection.execute(insert(links), every)
        connection.execute(
            insert(runs), [_run(id_, n) for id_ in ids for n in range(1 + 96 * days)]
        )


def _link(id_: int, number: int) -> dict[str, Any]:
    waits = id_ == WAITS and number == 0
    return {
        "pair_id": id_,
        "testrail_id": id_ + number * 10_000,
        "testably_id": f"ms_{id_}_{number}",
        "state": "linked",
        "name": f"Release {id_}",
        "pushed": {},
        "echoed": {},
        "sent": {},
        "field_problems": {},
        "source_print": "",
        "raw": {},
        "attempts": 0,
        "look_again": False,
        "version": 1,
        "open_problems": int(waits),
        "trouble_kind": "bad_record" if waits else None,
        "trouble_reason": "Its name is blank." if waits else None,
    }


def _run(id_: int, earlier: int) -> dict[str, Any]:
    at = NOW - earlier * timedelta(minutes=15)
    return {
        "id": f"{at:%Y%m%d-%H%M%S}-{id_:04x}",
        "pair_id": id_,
        "trigger": "schedule",
        "state": "succeeded",
        "holder": "test",
        "started_at": at,
        "finished_at": at + timedelta(seconds=1),
        "counts": {"unchanged": 1},
        "requests": {},
        "problems": [],
        "options": {},
        "stop_requested": False,
    }


@contextmanager
def queries(engine: Engine) -> Iterator[list[str]]:
    """The statements that are sent to the database inside."""
    sent: list[str] = []

    def note(_1: Any, _2: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


@contextmanager
def web_of(template: Path, folder: Path, count: int) -> Iterator[TestClient]:
    engine = open_engine(f"sqlite:///{shutil.copy(template, folder / f'{count}.db')}")
    fill(engine, count)
    projects = ",".join(f"{id_}=proj_{id_}" for id_ in range(1, count + 1))
    with client(engine, MILESYNC_PROJECTS=projects) as web:
        yield web
    engine.dispose()


def test_a_page_of_two_thousand_pairs_is_small_and_takes_few_queries(
    sqlite_template: Path, tmp_path: Path
) -> None:
    """Fifty cards in less than 100 KB; as many queries as for a hundred pairs."""
    sent = {}
    for count in (100, 2000):
        with web_of(sqlite_template, tmp_path, count) as web:
            engine = web.app.state.service.deployment.engine  # type: ignore[attr-defined]
            web.get("/")
            with queries(engine) as made:
                answer = web.get("/?page=2")
            assert answer.text.count('class="card"') == 50
            assert len(answer.content) < 100_000
            sent[count] = len(made)
    assert sent[2000] == sent[100] < 15


def test_links_lead_through_all_pages_of_the_pairs(sqlite_template: Path, tmp_path: Path) -> None:
    """Each pair once, the one that needs a person first; the text is kept from page to page."""
    with web_of(sqlite_template, tmp_path, 120) as web:
        seen: list[str] = []
        path = "/?q=product"
        while path:
            page = Page(web.get(path).text)
            seen += [link for link in page.links if link.startswith("/pairs/")]
            following = [one for one in page.all("a") if one.get("rel") == "next"]
            path = f"/{following[0]['href']}" if following else ""
        assert len(seen) == len(set(seen)) == 120
        assert seen[0] == f"/pairs/{WAITS}/proj_{WAITS}"


@pytest.mark.parametrize("path", ["/needs-you", "/?q=Product 77"])
def test_the_one_that_waits_is_found(sqlite_template: Path, tmp_path: Path, path: str) -> None:
    with web_of(sqlite_template, tmp_path, 120) as web:
        page = Page(web.get(path).text)
        assert f"/pairs/{WAITS}/proj_{WAITS}" in page.links
        assert "Needs you" in page.text
