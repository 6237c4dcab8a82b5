"""/readyz, /metrics and the status page, also when a part of the service is away."""

from __future__ import annotations

from sqlalchemy import Engine

from mappings.runs import RunLog
from mappings.store import Store
from tests.service.test_intake import client
from worker.sync.report import State


def test_without_a_broker_it_lives_and_is_not_ready(engine: Engine) -> None:
    """/healthz is 200; /readyz is 503 and says what is missing."""
    with client(engine) as web:
        assert web.get("/healthz").status_code == 200
        ready = web.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["database"] == "ok"
        assert "MILESYNC_REDIS_URL" in ready.json()["broker"]


def test_parts_that_are_away_are_left_out_of_the_metrics(engine: Engine) -> None:
    """Of a broker that does not answer, nothing but that."""
    with client(engine, MILESYNC_REDIS_URL="redis://127.0.0.1:1/0") as web:
        text = web.get("/metrics").text
        assert 'milesync_up{part="broker"} 0.0' in text
        assert 'milesync_up{part="database"} 1.0' in text
        assert "milesync_deliveries_waiting 0.0" in text
        assert "does not answer" in web.get("/readyz").json()["broker"]


def test_what_people_wrote_is_escaped(engine: Engine, store: Store, run_log: RunLog) -> None:
    """A milestone's name on the page is text, never markup."""
    from datetime import UTC, datetime

    now = datetime(2026, 3, 1, tzinfo=UTC)
    with client(engine) as web:
        app = web.app
        here = app.state.service.deployment  # type: ignore[attr-defined]
        pair = store.pair(here.identity(here.settings.projects[0]))
        run = run_log.begin(pair.id, "schedule", "test", now)
        bad = "<script>alert(1)</script>"
        problem = {"testrail_id": 1, "name": bad, "reason": bad}
        done = {"state": State.PARTIAL.value, "finished_at": now, "problems": [problem]}
        run_log.change(run.id, counts={"created": 3}, **done)
        store.update_pair(pair.id, paused_because=bad)
        page = web.get("/").text
        metrics = web.get("/metrics").text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert run.id in page
    assert 'milesync_pair_paused{pair="1=proj_a"} 1.0' in metrics
    assert 'milesync_pair_synced_age_seconds{pair="1=proj_a"}' in metrics
