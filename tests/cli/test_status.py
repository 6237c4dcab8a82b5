"""`status` and `failures` of a pair as a whole: stale, paused, stopped; told by one place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mappings.database import open_engine
from mappings.runs import RunLog
from tests.cli.conftest import Milesync
from tests.test_notices import json_sink
from worker.bootstrap import Deployment
from worker.sandbox.server import Sandbox
from worker.settings import load_settings


def days_ago(trigger: str | None = None) -> None:
    """All that is recorded happened three days earlier, and was started so."""
    log = RunLog(open_engine("sqlite:///milesync.db"))
    for run in log.of_pairs([1]):
        assert run.finished_at is not None
        earlier: dict[str, Any] = {"started_at": run.started_at, "finished_at": run.finished_at}
        earlier = {name: at - timedelta(days=3) for name, at in earlier.items()}
        log.change(run.id, **earlier, **({"trigger": trigger} if trigger else {}))


def stale(milesync: Milesync) -> str | None:
    """What the JSON of `status` says of the one pair."""
    said: str | None = milesync("status", "--json").json["projects"][0]["stale"]
    return said


@pytest.mark.usefixtures("sandbox")
def test_a_pair_whose_schedule_has_passed_is_called_stale(milesync: Milesync) -> None:
    """Its last run came by the schedule; the next that ends well is the end of it."""
    assert milesync("sync").code == 0
    assert stale(milesync) is None
    days_ago("schedule")
    said = stale(milesync)
    assert said is not None
    assert said.startswith("The pair is stale. No run has ended well since")
    assert said in " ".join(milesync("status").out.split())
    assert milesync("sync").code == 0
    assert stale(milesync) is None
    assert "stale" not in milesync("status").out


@pytest.mark.usefixtures("sandbox")
def test_a_migration_of_last_week_is_not_stale(milesync: Milesync) -> None:
    """Nobody keeps to a schedule, and nobody has tried since."""
    assert milesync("migrate", "--yes").code == 0
    days_ago()
    assert stale(milesync) is None


def test_a_pair_whose_tries_fail_is_stale_with_the_reason(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    assert milesync("sync").code == 0
    days_ago()
    sandbox.testrail.model.no_access.add(1)
    assert milesync("sync").code == 1
    said = stale(milesync)
    assert said is not None
    assert "The last one: TestRail answered" in said
    for command in ("failures", "status"):
        told = " ".join(milesync(command).out.split())
        assert "The pair stands still: TestRail answered" in told
        assert "Give this account access" in told
        assert "`milesync check` tries both sides." in told


def test_what_a_notice_says_of_refused_credentials_is_said_by_failures_too(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that nothing needs a person; until a run can use them again."""
    del sandbox
    with json_sink() as (address, got):
        monkeypatch.setenv("MILESYNC_NOTIFY", address)
        assert milesync("sync").code == 0
        with monkeypatch.context() as wrong:
            wrong.setenv("MILESYNC_TESTABLY_TOKEN", "wrong-token")
            assert milesync("sync").code == 1
            [notice] = got
            assert "one thing needs a person" in notice["title"]
            assert "Credentials were refused" in notice["message"]
            said = milesync("failures")
            assert "The pair stands still" in said.out
            assert "Nothing needs a person" not in said.out
            [project] = milesync("failures", "--json").json["projects"]
            assert project["failures"] == []
            assert project["stands_still"] in notice["message"]
            assert "invalid API token. Check MILESYNC_TESTABLY_TOKEN" in project["stands_still"]
            for command in ("failures", "status"):
                assert "`milesync check` tries both sides." in milesync(command).out
            assert milesync("check").code == 1
        assert milesync("sync").code == 0
        assert [one["event"] for one in got] == ["needs_a_person", "over"]
    assert "Nothing needs a person." in milesync("failures").out
    assert milesync("failures", "--json").json["projects"][0]["stands_still"] is None


def test_a_paused_pair_stands_still_for_every_mouth(milesync: Milesync, sandbox: Sandbox) -> None:
    """`status` and `failures` say why, with commands for its project among several."""
    del sandbox
    assert milesync("sync").code == 0
    with Deployment(load_settings()) as deployment:
        [pair] = deployment.store.all_pairs()
        reason = "TestRail refused them. `milesync sync` tries them at once."
        deployment.store.update_pair(pair.id, paused_because=reason)
    assert f"The pair stands still: {reason}" in milesync("failures").out
    assert f"Paused: {reason}" in milesync("status").out


@pytest.mark.usefixtures("two_projects")
def test_a_pair_that_stands_still_names_its_project_among_several(milesync: Milesync) -> None:
    assert milesync("sync").code == 0
    with Deployment(load_settings()) as deployment:
        pair = next(p for p in deployment.store.all_pairs() if p.identity.testrail_project == 2)
        reason = "TestRail refused them. `milesync sync` tries them at once."
        deployment.store.update_pair(pair.id, paused_because=reason)
    for command in ("failures", "status"):
        assert "`milesync sync --project 2` tries them at once" in milesync(command).out
