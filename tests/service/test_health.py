"""/readyz and /metrics, also when a part of the service is away."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from tests.service.test_intake import HEADER, URL, body, client


def test_what_is_not_configured_need_not_answer(engine: Engine) -> None:
    """Beside a timer that runs `milesync sync` there is no broker and no beat; /readyz says so."""
    with client(engine) as web:
        assert web.get("/healthz").status_code == 200
        ready = web.get("/readyz")
        assert ready.status_code == 200
        found = ready.json()
        assert (found["ready"], found["database"]) == (True, "ok")
        assert "MILESYNC_REDIS_URL is not set" in found["broker"]
        assert "not configured" in found["beat"]


def test_what_is_configured_and_away_is_not_ready(engine: Engine) -> None:
    """A broker that does not answer, and the beat that needs it."""
    with client(engine, MILESYNC_REDIS_URL="redis://127.0.0.1:1/0") as web:
        ready = web.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert "does not answer" in ready.json()["broker"]


def test_parts_that_are_away_are_left_out_of_the_metrics(engine: Engine) -> None:
    """Of a broker that does not answer, nothing but that."""
    with client(engine, MILESYNC_REDIS_URL="redis://127.0.0.1:1/0") as web:
        text = web.get("/metrics").text
        assert 'milesync_up{part="broker"} 0.0' in text
        assert 'milesync_up{part="beat"} 0.0' in text
        assert 'milesync_up{part="database"} 1.0' in text
        assert "milesync_deliveries_waiting 0.0" in text
        assert "does not answer" in web.get("/readyz").json()["broker"]


def test_how_long_the_oldest_delivery_waits_is_shown(engine: Engine) -> None:
    """None while none waits."""
    with client(engine) as web:
        assert "milesync_deliveries_oldest_seconds 0.0" in web.get("/metrics").text
        assert web.post(URL, content=body(), headers=HEADER).status_code == 202
        clock = web.app.state.service.deployment.clock  # type: ignore[attr-defined]
        waiting = web.app.state.service.deliveries.oldest(  # type: ignore[attr-defined]
            clock.now() + timedelta(minutes=10)
        )
        assert waiting >= 600
        assert "milesync_deliveries_waiting 1.0" in web.get("/metrics").text
