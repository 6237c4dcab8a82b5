"""Notices from the command line: a timer that runs `milesync sync` tells people too."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mappings.database import open_engine
from mappings.runs import RunLog
from tests.cli.conftest import Milesync
from tests.cli.schemas import FAILURE, must_fit
from tests.test_notices import json_sink
from worker.sandbox.server import Sandbox


def as_if_days_ago(folder: Path) -> None:
    """All that is recorded happened three days earlier."""
    log = RunLog(open_engine(f"sqlite:///{folder / 'milesync.db'}"))
    for run in log.of_pairs([1]):
        assert run.finished_at is not None
        earlier = {"started_at": run.started_at, "finished_at": run.finished_at}
        log.change(run.id, **{name: at - timedelta(days=3) for name, at in earlier.items()})


def test_a_timer_that_fails_for_days_says_that_the_pair_is_stale(
    sandbox: Sandbox, milesync: Milesync, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once; and one good sync later that it is over. A person's look tells nothing of it."""
    got: list[Any]
    with json_sink() as (address, got):
        monkeypatch.setenv("MILESYNC_NOTIFY", address)
        assert milesync("migrate", "--yes").code == 0
        as_if_days_ago(folder)
        milesync("verify")
        assert got == []
        sandbox.testrail.model.no_access.add(1)
        for _ in range(3):
            assert milesync("sync").code == 1
        [stale] = got
        assert (stale["event"], stale["testrail_project"]) == ("needs_a_person", 1)
        assert "stale" in stale["message"]
        sandbox.testrail.model.no_access.clear()
        assert milesync("sync").code == 0
        assert [notice["event"] for notice in got] == ["needs_a_person", "over"]


def test_a_notice_that_does_not_arrive_is_told_like_every_failure(
    sandbox: Sandbox, milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document has the error; one that arrives is no error."""
    got: list[Any]
    with json_sink() as (address, got):
        monkeypatch.setenv("MILESYNC_NOTIFY", address)
        sent = milesync("notify", "--test", "--json")
    assert (sent.code, sent.json["state"], "error" in sent.json) == (0, "succeeded", False)
    assert [notice["event"] for notice in got] == ["test"]
    monkeypatch.setenv("MILESYNC_NOTIFY", f"{sandbox.testably.url}/nobody")
    refused = milesync("notify", "--test", "--json")
    must_fit(refused.json, FAILURE)
    assert (refused.code, refused.json["addresses"], refused.json["sent"]) == (1, 1, False)
