"""The page of a milestone says what `verify` says of it: the verdicts come from one place (R10)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.cli.conftest import Milesync
from tests.web.page import Page
from worker.sandbox.server import Sandbox
from worker.sandbox.switches import TestablySwitches
from worker.settings import load_settings
from worker.web import create_app

ROW = re.compile(
    r'<th scope="row" data-label="Field">(.*?)</th>.*?<span class="(\w+)">(.*?)</span>', re.DOTALL
)
FIELDS = {"start": "start_date", "due": "due_date", "parent": "parent_id"}


@pytest.fixture
def web(folder: Path) -> Iterator[TestClient]:
    """The pages on the database of the commands."""
    app = create_app(lambda: load_settings(environ=dict(os.environ), cwd=folder))
    yield TestClient(app, "http://localhost", client=("127.0.0.1", 50000))
    app.state.service.close()


def counting(web: TestClient, testrail_id: int) -> dict[str, str]:
    """The fields that put the pair out of step, with the verdict in words."""
    answer = web.get(f"/pairs/1/proj_abc123/milestones/{testrail_id}")
    assert answer.status_code == 200
    Page(answer.text)  # well made
    rows = ROW.findall(answer.text)
    assert len(rows) >= 5
    return {FIELDS.get(name, name): told for name, kind, told in rows if kind == "warn"}


def agrees(milesync: Milesync, web: TestClient) -> dict[int, dict[str, str]]:
    """What the pages say, after it was compared with what `verify` says of each milestone."""
    found = milesync("verify", "--json").json["projects"][0]["differences"]
    told: dict[int, set[str]] = {}
    for one in found:
        told.setdefault(one["testrail_id"], set()).add(one["field"])
    links = milesync("mappings", "--json").json["projects"][0]["links"]
    shown = {link["testrail_id"]: counting(web, link["testrail_id"]) for link in links}
    wrong = {id_: fields for id_, fields in shown.items() if fields}
    assert {id_: set(fields) for id_, fields in wrong.items()} == told
    return wrong


def test_in_step_every_page_says_so(milesync: Milesync, sandbox: Sandbox, web: TestClient) -> None:
    """Parents, whose values Testably derives, among them."""
    assert sandbox.testrail.model.everything(1)
    assert milesync("migrate", "--yes").code == 0
    assert agrees(milesync, web) == {}


def test_what_cannot_be_mended_is_told_by_its_verdict(
    milesync: Milesync, sandbox: Sandbox, web: TestClient
) -> None:
    """Moved, refused and stored otherwise; what was accepted does not count."""
    rail, ably = sandbox.testrail.model, sandbox.testably.model

    def add(**fields: object) -> int:
        return int(str(rail.add(1, fields)["id"]))

    first, second = add(name="First"), add(name="Second")
    child, renamed = add(name="Child", parent_id=first), add(name="Short")
    milesync("migrate", "--yes")
    rail.update(child, {"parent_id": second})
    ably.switches = TestablySwitches(max_name_length=20)
    rail.update(renamed, {"name": "Far too long for this"})
    milesync("sync")
    wrong = agrees(milesync, web)
    assert wrong[child] == {"parent_id": "cannot be moved"}
    assert wrong[renamed] == {"name": "differs, and is not written now"}
    assert milesync("accept", str(child)).code == 0
    assert child not in agrees(milesync, web)


def test_what_is_not_in_testably_has_no_values_there(
    milesync: Milesync, sandbox: Sandbox, web: TestClient
) -> None:
    """And a retry is offered, since that is its next step."""
    sandbox.testably.model.switches = TestablySwitches(max_name_length=20)
    refused = sandbox.testrail.model.add(1, {"name": "Far too long for this"})["id"]
    assert milesync("migrate", "--yes").code == 3
    text = web.get(f"/pairs/1/proj_abc123/milestones/{refused}").text
    assert re.findall(r'data-label="Testably">(.*?)</td>', text) == ["–"] * 5
    assert "empty" in re.findall(r'data-label="TestRail">(.*?)</td>', text)
    assert f"milesync retry {refused}" in Page(text).text


def test_what_an_undo_holds_is_told_as_held(
    milesync: Milesync, sandbox: Sandbox, web: TestClient
) -> None:
    milesync("migrate", "--yes")
    sandbox.testrail.model.update(1, {"name": "Renamed"})
    run = milesync("sync", "--json").json["projects"][0]["run"]
    milesync("undo", run, "--yes")
    assert agrees(milesync, web) == {1: {"name": "held after an undo"}}
    links = milesync("mappings", "--json").json["projects"][0]["links"]
    target = next(link["testably_id"] for link in links if link["testrail_id"] == 1)
    sandbox.testably.model.update("proj_abc123", target, {"name": "Renamed"})
    assert agrees(milesync, web) == {1: {"milestone": "held after an undo"}}
    page = web.get("/pairs/1/proj_abc123/milestones/1").text
    row = page[page.index(">milestone</th>") :].partition("</tr>")[0]
    assert re.findall(r'data-label="Test\w+">(.*?)</td>', row) == ["–", "–"]


def test_an_edit_that_wins_is_told_and_does_not_count(
    milesync: Milesync, sandbox: Sandbox, web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESYNC_ON_TARGET_EDIT", "target")
    milesync("migrate", "--yes")
    links = milesync("mappings", "--json").json["projects"][0]["links"]
    target = next(link["testably_id"] for link in links if link["testrail_id"] == 1)
    sandbox.testably.model.update("proj_abc123", target, {"name": "By hand"})
    milesync("sync")
    assert agrees(milesync, web) == {}
    page = Page(web.get("/pairs/1/proj_abc123/milestones/1").text)
    assert "Edited in Testably, whose edits win." in page.text
    assert "as last written" in page.text
    assert "the same" not in page.text


@pytest.mark.usefixtures("sandbox")
def test_the_overview_does_not_say_that_nothing_needs_you_of_a_pair_that_stands_still(
    milesync: Milesync, web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person has to see to it, though no milestone needs one."""
    milesync("migrate", "--yes")
    assert "Nothing needs you." in Page(web.get("/").text).text
    monkeypatch.setenv("MILESYNC_TESTRAIL_API_KEY", "wrong")
    assert milesync("migrate", "--yes").code == 1
    page = Page(web.get("/").text)
    assert "1 pair stands still." in page.text
    assert "Nothing needs you." not in page.text
