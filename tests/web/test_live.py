"""A run on the pages while it goes on: how far it is, how long it takes, and how to stop it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, insert

from mappings.rows import Change, ChangeState, adoption, change_columns
from mappings.run_record import RunRecord
from mappings.runs import RunLog
from mappings.store import Store
from mappings.tables import changes
from tests.service.test_intake import client
from tests.web.page import Page

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DONE = ChangeState.DONE


@pytest.fixture
def run(engine: Engine, store: Store, run_log: RunLog) -> RunRecord:
    """Five of twenty writes are done, to four milestones; a sixth was refused."""
    with client(engine) as web:
        here = web.app.state.service.deployment  # type: ignore[attr-defined]
        pair = store.pair(here.identity(here.settings.projects[0]))
    begun = run_log.begin(pair.id, "schedule", "test", NOW)
    run_log.change(begun.id, planned=20, counts={"created": 3, "adopted": 1, "updated": 1})
    wrote = [("create", 1), ("create", 2), ("create", 3), ("update", 1), ("update", 5)]
    rows = [Change(begun.id, id_, f"ms_{id_}", kind, {}, {}, NOW, DONE) for kind, id_ in wrote]
    rows.append(adoption(begun.id, 4, "ms_4", "It was there.", NOW))
    rows.append(Change(begun.id, 6, None, "create", {}, {}, NOW, ChangeState.REFUSED))
    with engine.begin() as connection:
        connection.execute(insert(changes), [change_columns(pair.id, row) for row in rows])
    return begun


def test_a_run_that_goes_on_is_live(engine: Engine, run: RunRecord) -> None:
    """Its page is brought up to date by our own script; it says how to stop it."""
    with client(engine) as web:
        page = Page(web.get(f"/runs/{run.id}").text)
        assert "5 of 20 writes done, about 15 s left" in page.text
        assert f"milesync stop {run.id[-4:]}" in page.text
        assert page.all("progress")[0]["value"] == "5"
        assert [one["src"] for one in page.all("script")] == ["/live.js"]
        assert web.get("/live.js").headers["content-type"].startswith("text/javascript")


def test_a_card_shows_the_run_that_goes_on(engine: Engine, run: RunRecord) -> None:
    with client(engine) as web:
        for path in ("/", "/pairs/1/proj_a"):
            page = Page(web.get(path).text)
            assert "A run is going on: 5 of 20 writes done, about 15 s left." in page.text
            assert f"/runs/{run.id}" in page.links


def test_a_run_that_has_ended_is_not_live(engine: Engine, run: RunRecord, run_log: RunLog) -> None:
    run_log.change(run.id, state="succeeded", finished_at=NOW)
    with client(engine) as web:
        page = Page(web.get(f"/runs/{run.id}").text)
    assert page.all("script", "progress") == []
    assert f"milesync report {run.id[-4:]} --out report.html" in page.text


def test_words_of_a_server_with_its_address_are_not_shown(
    engine: Engine, run: RunRecord, run_log: RunLog
) -> None:
    error = {"kind": "database", "message": "no answer from db.internal:5432", "hint": ""}
    run_log.change(run.id, state="failed", finished_at=NOW, error=error)
    with client(engine) as web:
        for path in (f"/runs/{run.id}", "/", "/pairs/1/proj_a", "/needs-you"):
            assert "db.internal" not in web.get(path).text
