"""A real TestRail client, written by somebody else, works with the TestRail side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import testrail_api

from tests.sandbox.conftest import Rail
from worker.sandbox.testrail_app import API_KEY, USER


@pytest.fixture
def api(rail: Rail) -> Any:
    with testrail_api.TestRailAPI(rail.server.url, USER, API_KEY, warn_ignore=True) as api:
        yield api


@pytest.mark.parametrize("shape", ["envelope", "array_paged"])
def test_it_pages_through_the_list(rail: Rail, api: Any, shape: str) -> None:
    """Its own paging finds each of 501 milestones once, in three requests."""
    model = rail.server.model
    model.switches = replace(model.switches, list_shape=shape)  # type: ignore[arg-type]
    ids = [model.add(1, {"name": f"m{n}"})["id"] for n in range(501)]
    if shape == "envelope":
        found = api.milestones.get_milestones_bulk(1)
    else:
        pages = [api.milestones.get_milestones(1, offset=offset) for offset in (0, 250, 500)]
        found = [row for page in pages for row in page]
    assert [row["id"] for row in found] == ids
    assert rail.server.count("GET") == 3


def test_it_reads_and_writes(api: Any) -> None:
    """Add, read, update, filter and delete, sub-milestones included."""
    calls = api.milestones
    root = calls.add_milestone(1, "Release 24.3", refs="RF-1", due_on=1394596385)
    sub = calls.add_milestone(1, "Sprint 12", parent_id=root["id"])
    assert calls.update_milestone(sub["id"], is_completed=True)["completed_on"]
    read = calls.get_milestone(root["id"])
    assert read == root | {"milestones": read["milestones"]}
    assert [row["id"] for row in read["milestones"]] == [sub["id"]]
    assert calls.get_milestones(1, is_completed=True)["size"] == 0
    calls.delete_milestone(root["id"])
    assert calls.get_milestones(1)["milestones"] == []


def test_it_understands_refusals(rail: Rail, api: Any) -> None:
    """An unknown id is a status error; a 429 is repeated after its Retry-After."""
    with pytest.raises(testrail_api.StatusCodeError):
        api.milestones.get_milestone(99)
    rail.server.faults.script("rate_limited", retry_after=0)
    assert api.milestones.get_milestones(1)["size"] == 0
    assert rail.server.count(status=429) == 1
