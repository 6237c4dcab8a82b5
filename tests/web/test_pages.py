"""The pages: what they say, that links lead to all of them, and that nothing of them runs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from tests.service.test_intake import NOWHERE, client
from tests.web.conftest import HOSTILE, LONG, World, browser_of, milesync
from tests.web.page import Page, kind_of, walk
from worker.sandbox.server import run_sandbox

KINDS = {
    "/",
    "/needs-you",
    "/pairs/PAIR",
    "/pairs/PAIR/milestones",
    "/pairs/PAIR/milestones/ID",
    "/runs/RUN",
}


def policy(headers: Mapping[str, str]) -> dict[str, str]:
    """The Content-Security-Policy, by directive."""
    parts = (part.strip().partition(" ") for part in headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in parts}


def test_links_lead_from_the_overview_to_every_kind_of_page(web: TestClient) -> None:
    found = walk(web)
    assert {kind_of(path) for path in found} == KINDS


def test_every_page_is_well_made(web: TestClient) -> None:
    """One heading of the first level, one main, a title; no handler, no style of an element."""
    for path, page in walk(web).items():
        assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1, path
        assert page.all("html") == [{"lang": "en"}]
        ids = [one["id"] for _, one in page.elements if "id" in one]
        assert len(ids) == len(set(ids)), path
        for tag, attributes in page.elements:
            assert "style" not in attributes, (path, tag)
            assert not any(name.startswith("on") for name in attributes), (path, tag)
            if tag == "input":
                labels = {one.get("for") for one in page.all("label")}
                assert attributes["id"] in labels, path


def test_nothing_comes_from_another_host(web: TestClient) -> None:
    """Whatever a page loads is its own; links alone lead elsewhere."""
    for path, page in walk(web).items():
        for tag, attributes in page.elements:
            for name in ("src", "href", "action"):
                address = attributes.get(name)
                if address is not None and tag != "a":
                    assert address.startswith(("/", "?")), (path, tag, address)


def test_the_policy_allows_nothing_that_is_not_needed(web: TestClient) -> None:
    """No inline script, no host, no star; the style by its hash."""
    for path in walk(web):
        answer = web.get(path)
        allowed = policy(answer.headers)
        assert (
            allowed["default-src"] == allowed["base-uri"] == allowed["frame-ancestors"] == "'none'"
        )
        assert allowed["script-src"] == allowed["form-action"] == "'self'"
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]+='", allowed["style-src"])
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_the_pages_only_read(web: TestClient) -> None:
    """There is one form, which asks by GET, with one text field; no other method is answered."""
    for path, page in walk(web).items():
        forms = page.all("form")
        assert all(one["method"] == "get" for one in forms), path
        assert len(page.all("input", "select", "textarea")) == len(forms) <= 1, path
        assert web.post(path).status_code == 405


def test_what_people_wrote_is_text_on_every_page(web: TestClient) -> None:
    """A name that is markup is shown as it stands, and nothing of it is an element."""
    found = walk(web)
    shown = {kind_of(path) for path, page in found.items() if HOSTILE in page.text}
    assert shown >= {"/pairs/PAIR/milestones", "/pairs/PAIR/milestones/ID", "/runs/RUN"}
    for path, page in found.items():
        assert "<script>document" not in page.html, path
        assert all(set(one) == {"src", "defer"} for one in page.all("script")), path


# --- each page


def test_the_overview_has_the_worst_first(web: TestClient) -> None:
    page = Page(web.get("/").text)
    paths = [link for link in page.links if re.fullmatch(r"/pairs/\d+/\w+", link)]
    assert [path.split("/")[2] for path in paths] == ["4", "1", "2", "3"]
    assert "4 project pairs: 1 whose last run failed, 2 with something for you" in page.text
    assert "Last run failed" in page.text
    assert "milesync migrate --project 3 begins" in page.text


def test_the_overview_agrees_with_status_and_failures(web: TestClient, world: World) -> None:
    """The same number of things for a person, the same word about both sides."""
    _, said = milesync(world.environ, "status", "--json")
    page = Page(web.get("/").text)
    every = json.loads(said)["projects"]
    still = sum(one["stands_still"] is not None for one in every)
    total = sum(one["needs_a_person"] for one in every) + still
    assert f"{total} things need you, among them {still} pair that stands still" in page.text
    in_step = sum(one["in_step"] is True for one in every)
    assert page.text.count("In step.") == in_step
    assert page.text.count("Not in step.") == sum(one["in_step"] is False for one in every)


@pytest.mark.parametrize(
    ("text", "projects"),
    [("mobile", ["2"]), ("MOBILE", ["2"]), ("proj_", ["4", "1", "2", "3"]), ("nothing", [])],
)
def test_the_overview_is_narrowed_by_a_text(
    web: TestClient, text: str, projects: list[str]
) -> None:
    page = Page(web.get("/", params={"q": text}).text)
    paths = [link for link in page.links if re.fullmatch(r"/pairs/\d+/\w+", link)]
    assert [path.split("/")[2] for path in paths] == projects
    assert page.all("input")[0]["value"] == text


def test_a_pair_shows_its_runs(web: TestClient) -> None:
    page = Page(web.get("/pairs/2/proj_mobile").text)
    assert "1 gone; undoes" in page.text
    assert (
        "1 milestone is held after an undo; milesync migrate --project 2 releases it." in page.text
    )
    assert len([link for link in page.links if link.startswith("/runs/")]) >= 3


def test_a_run_says_what_it_wrote_and_what_needs_a_person(web: TestClient, world: World) -> None:
    pair = Page(web.get("/pairs/1/proj_abc123").text)
    newest = next(link for link in pair.links if link.startswith("/runs/"))
    page = Page(web.get(newest).text)
    assert newest.endswith(page.text.split("Run ")[1].split()[0])
    assert "needs you" in page.text
    assert "its name is blank" in page.text
    assert "Correct the milestone in TestRail." in page.text
    assert f"{world.hostile} {HOSTILE}" in page.text
    assert "- Second line." not in page.text, "what did not change is not shown as changed"
    assert "+ Another text." in page.text
    assert f"/pairs/1/proj_abc123/milestones/{world.hostile}" in page.links


def test_a_milestone_shows_both_sides(web: TestClient, world: World) -> None:
    """Every field with its verdict, the lifecycle, the writes, and links to both tools."""
    page = Page(web.get(f"/pairs/1/proj_abc123/milestones/{world.hostile}").text)
    assert f"{world.testrail_url}/index.php?/milestones/view/{world.hostile}" in page.links
    assert any("/v1/projects/proj_abc123/milestones/ms_" in link for link in page.links)
    assert page.text.count("the same") == 5
    assert "TestRail says started" in page.text
    assert "Changed" in page.text
    assert "due: 2027-01-15T08:00:00Z" in page.text


def test_a_milestone_says_what_is_held(web: TestClient, world: World) -> None:
    page = Page(web.get(f"/pairs/2/proj_mobile/milestones/{world.held}").text)
    assert "active archived held after an undo" in page.text
    assert f"milesync accept {world.held}" in page.text


def test_a_milestone_that_cannot_be_read_says_so(web: TestClient, world: World) -> None:
    path = f"/pairs/1/proj_abc123/milestones/{world.unreadable}"
    page = Page(web.get(path).text)
    assert "In TestRail its name is blank" in page.text
    assert "not compared" in page.text
    sides = re.findall(r'data-label="TestRail">(.*?)</td>', web.get(path).text)
    assert sides == ["not read"] * 5
    assert "Correct the milestone in TestRail." in page.text
    assert "milesync retry" not in page.text, "that is not what helps"


def test_of_a_milestone_that_is_gone_nothing_is_said_to_be_written(tmp_path: Path) -> None:
    """Testably refuses to archive it, and its values in TestRail are those of a deleted one."""
    with run_sandbox(count=0, rate=None, log=False) as sandbox:
        database = f"sqlite:///{tmp_path / 'milesync.db'}"
        environ = {**sandbox.settings, "MILESYNC_DATABASE_URL": database}
        rail = sandbox.testrail.model
        parent = int(str(rail.add(1, {"name": "Parent", "due_on": 1_780_272_000})["id"]))
        rail.add(1, {"name": "Child", "parent_id": parent, "due_on": 1_779_000_000})
        assert milesync(environ, "migrate", "--yes")[0] == 0
        rail.delete(parent)
        assert milesync(environ, "sync")[0] == 3
        with browser_of(environ) as web:
            page = Page(web.get(f"/pairs/1/proj_abc123/milestones/{parent}").text)
    assert "Testably refuses to archive it" in page.text
    assert "to be written" not in page.text


def test_what_needs_you_is_what_failures_lists(web: TestClient, world: World) -> None:
    _, said = milesync(world.environ, "failures", "--json")
    page = Page(web.get("/needs-you").text)
    for project in json.loads(said)["projects"]:
        for one in project["failures"]:
            assert str(one["testrail_id"]) in page.text
            assert one["next_step"].replace("`", "") in page.text
    listed = len(page.all("h3"))
    assert f"{listed} things need a person, among them 1 pair that stands still" in page.text
    assert f"<title>{listed} things need you" in web.get("/needs-you").text
    assert "milesync check --project 4" in page.text


def test_where_a_pair_stands_still_it_is_said_why_and_what_to_do(
    web: TestClient, world: World
) -> None:
    """On each page that shows how it stands; and it is one of the things that need a person."""
    _, said = milesync(world.environ, "failures", "--json", "--project", "4")
    [project] = json.loads(said)["projects"]
    assert project["stands_still"]
    for path in ("/", "/needs-you", "/pairs/4/proj_closed"):
        text = Page(web.get(path).text).text
        assert "TestRail answered GET" in text
        assert "Give this account access to the project" in text
        assert "milesync check --project 4 tries both sides." in text
    card = Page(web.get("/pairs/4/proj_closed").text).text
    assert "Needs you 1 thing: the pair stands still" in card
    assert "Needs you nothing" not in card


def test_a_pair_that_stands_still_alone_is_counted(world: World) -> None:
    """Nothing else of it needs anybody."""
    with browser_of({**world.environ, "MILESYNC_PROJECTS": "4=proj_closed"}) as alone:
        assert "1 thing needs you: 1 pair stands still." in Page(alone.get("/").text).text
        listed = alone.get("/needs-you").text
    assert "<title>1 thing needs you" in listed
    assert "1 thing needs a person: 1 pair stands still." in Page(listed).text


def test_the_milestones_are_narrowed_by_name_or_id(web: TestClient, world: World) -> None:
    path = "/pairs/1/proj_abc123/milestones"
    for text in ("unbreakably", "UNBREAKABLY"):
        assert LONG in Page(web.get(path, params={"q": text}).text).text
    page = Page(web.get(path, params={"q": str(world.hostile)}).text)
    assert "1 milestone," in page.text
    assert "None is recorded with this text" in web.get(path, params={"q": "%"}).text


# --- what is not there


@pytest.mark.parametrize(
    "path",
    [
        *("/runs/nothing", "/pairs/9/proj_9", "/pairs/1/proj_mobile", "/runs/%00"),
        *("/pairs/1/proj_abc123/milestones/999", f"/pairs/{10**30}/x", "/nowhere"),
        f"/pairs/1/proj_abc123/milestones/{10**30}",
        *("/pairs/x/proj_abc123", "/pairs/-1/x", "/pairs/1/proj_abc123/milestones/%D9%A3"),
    ],
)
def test_what_is_not_there_is_404(web: TestClient, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code == 404
    if "%00" not in path:  # refused before anything is looked up
        page = Page(answer.text)
        assert "Not found" in page.text
        assert "/" in page.links, "the way back"


@pytest.mark.parametrize("odd", ["%00", "x%00", "9" * 5000, "\ud800", "%ED%A0%80", "%FF"])
def test_what_no_database_can_hold_is_404(engine: Engine, odd: str) -> None:
    """An id of thousands of digits, NUL, half a character; asked of both databases."""
    asked = quote(odd, safe="%", errors="replace")
    with client(engine) as web:
        pages = ("/runs/", "/pairs/", "/pairs/1/", "/pairs/1/proj_a/milestones/", "/")
        for path in [f"{page}{odd}" for page in pages] + [f"/pairs/{odd}/proj_a/milestones"]:
            assert answered(web.app, path) == 404
        for page in ("/", "/needs-you", "/pairs/1/proj_a", "/pairs/1/proj_a/milestones"):
            for name in ("q", "page"):
                assert answered(web.app, page, f"{name}={asked}") == 200


def answered(app: Any, path: str, query: str = "") -> int:
    """The status of the answer to a path whatever it holds, as a server hands it over."""
    statuses: list[int] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(path, errors="surrogateescape"),
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asyncio.run(app(scope, receive, send))
    return statuses[0]


@pytest.mark.parametrize("asked", ["0", "-1", "x", "9999999", "9" * 40, "\u0663", ""])
def test_an_odd_page_number_shows_a_page(web: TestClient, asked: str) -> None:
    for path in ("/", "/needs-you", "/pairs/1/proj_abc123", "/pairs/1/proj_abc123/milestones"):
        assert web.get(path, params={"page": asked}).status_code == 200
    odd = {"page": asked, "q": "\x00\ud800".encode("utf-8", "surrogatepass")}
    assert web.get("/", params=odd).status_code == 200


def test_a_database_that_is_away_is_503_without_its_address() -> None:
    """On every page; its own words, with the address, are in the log."""
    with client_of(NOWHERE) as web:
        for path in ("/", "/needs-you", "/runs/x", "/pairs/1/proj_a"):
            answer = web.get(path)
            assert answer.status_code == 503
            assert "127.0.0.1" not in answer.text


def client_of(url: str) -> TestClient:
    from pathlib import Path

    from worker.settings import load_settings
    from worker.web import create_app

    environ = {
        "MILESYNC_DATABASE_URL": url,
        "MILESYNC_TESTRAIL_URL": "https://example.testrail.io",
        "MILESYNC_PROJECTS": "1=proj_a",
    }
    settings = load_settings(environ=environ, cwd=Path("/"))
    app = create_app(lambda: settings)
    return TestClient(app, "http://localhost", client=("127.0.0.1", 50000))


def test_the_pages_are_answered_on_postgresql_too(engine: Engine) -> None:
    """Without a record of any pair."""
    with client(engine) as web:
        for path in ("/", "/needs-you", "/pairs/1/proj_a", "/pairs/1/proj_a/milestones"):
            assert web.get(path).status_code == 200
