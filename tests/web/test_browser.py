"""The pages in a real Chromium: no error, nothing wider than a phone, and what axe finds wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import delete, insert

from mappings import tables
from mappings.rows import Change, ChangeState, Pair, change_columns
from mappings.runs import RunLog
from tests.browser import find_browser
from tests.web.conftest import HOSTILE, World, milesync
from tests.web.page import kind_of
from worker.bootstrap import Deployment
from worker.settings import load_settings

KINDS = 7
PATHS = (
    "/",
    "/?q=mobile",
    "/needs-you",
    "/pairs/1/proj_abc123",
    "/pairs/1/proj_abc123/milestones",
    "/pairs/3/proj_never",
    "/runs/nothing",
    "/nothing",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; a machine without one skips this."""
    program = find_browser()
    with sync_playwright() as running:
        opened = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def tab(browser: Browser, width: int, scheme: Literal["light", "dark"]) -> Iterator[Page]:
    """A tab of this width and colour scheme; what its console says is an error of the test."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda line: said.append(line.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    context.close()
    wrong = [line for line in said if "404 (Not Found)" not in line]
    assert wrong == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab on a desk."""
    with tab(browser, 1280, "light") as opened:
        yield opened


def paths(world: World, server: str, page: Page) -> list[str]:
    """A page of every kind, with what is odd on it."""
    pair = "/pairs/1/proj_abc123"
    page.goto(f"{server}{pair}")
    runs = page.eval_on_selector_all("a[href^='/runs/']", "all => all.map(one => one.pathname)")
    odd = (world.hostile, world.unreadable, world.long)
    milestones = [f"{pair}/milestones/{id_}" for id_ in odd]
    return [
        *PATHS,
        *dict.fromkeys(runs),
        *milestones,
        f"/pairs/2/proj_mobile/milestones/{world.held}",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_no_page_is_wider_than_the_screen_and_axe_finds_nothing(
    server: str, world: World, browser: Browser, width: int, scheme: Literal["light", "dark"]
) -> None:
    """Every kind of page, on a desk and on a phone, light and dark; contrast AA included."""
    found: list[Any] = []
    with tab(browser, width, scheme) as page:
        every = paths(world, server, page)
        assert len({kind_of(path) for path in every}) == KINDS
        for path in every:
            page.goto(f"{server}{path}")
            page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
            assert page.title() != "it ran"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            wrong = Axe().run(page).response["violations"]
            found += [(path, one["id"], [node["html"] for node in one["nodes"]]) for one in wrong]
    assert found == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_report_is_no_wider_than_the_screen_and_axe_finds_nothing(
    world: World, browser: Browser, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    """Also with every detail unfolded."""
    _, listed = milesync(world.environ, "runs", "--project", "1", "--json")
    newest = json.loads(listed)["runs"][0]["run"]
    file = tmp_path / "report.html"
    assert milesync(world.environ, "report", newest, "--out", str(file))[0] == 0
    with tab(browser, width, scheme) as page:
        page.goto(file.as_uri())
        assert "are in Testably" in page.title()
        page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wrong = Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in wrong] == []


def test_a_hostile_name_is_shown_and_does_nothing(server: str, world: World, page: Page) -> None:
    page.goto(f"{server}/pairs/1/proj_abc123/milestones/{world.hostile}")
    assert HOSTILE in page.inner_text("h1")
    assert page.query_selector_all("main script, main img") == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(server: str, page: Page) -> None:
    """First the way past the menu; each link and field has an outline once it is reached."""
    page.goto(server)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    reachable = len(page.query_selector_all("a, input, button, summary"))
    for _ in range(reachable - 1):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
    assert page.evaluate("document.activeElement.tagName") == "A"


def test_the_filter_works_under_the_policy(server: str, page: Page) -> None:
    page.goto(server)
    page.fill("input", "mobile")
    page.press("input", "Enter")
    page.wait_for_url("**/?q=mobile")
    assert len(page.query_selector_all(".card")) == 1


def write(here: Deployment, pair: Pair, run_id: str, *testrail_ids: int) -> None:
    """Creates that the run has carried out."""
    ids, done = [(id_, f"ms_{id_}") for id_ in testrail_ids], ChangeState.DONE
    found = (Change(run_id, *both, "create", {}, {}, here.clock.now(), done) for both in ids)
    with here.store.engine.begin() as connection:
        rows = [change_columns(pair.id, one) for one in found]
        connection.execute(insert(tables.changes), rows)


def test_a_run_is_brought_up_to_date_until_it_ends(server: str, world: World, page: Page) -> None:
    """Without loading the page again: the numbers move, then nothing is asked for any more."""
    settings = load_settings(environ=world.environ, cwd=Path("/"))
    with Deployment(settings) as here:
        pair = here.store.pair(here.identity(settings.projects[2]))
        runs: RunLog = here.runs
        run = runs.begin(pair.id, "schedule", "test", here.clock.now())
        runs.change(run.id, planned=4)
        write(here, pair, run.id, 1)
        page.goto(f"{server}/runs/{run.id}")
        page.evaluate("window.loadedOnce = true")
        page.wait_for_selector("text=1 of 4 writes done")
        write(here, pair, run.id, 2, 3)
        page.wait_for_selector("text=3 of 4 writes done")
        runs.change(run.id, state="succeeded", finished_at=here.clock.now())
        page.wait_for_selector("#live:not([data-every])")
        assert "Done" in page.title()
        assert page.evaluate("window.loadedOnce")
        with here.store.engine.begin() as connection:  # the others share the pairs
            connection.execute(delete(tables.changes).where(tables.changes.c.run_id == run.id))
            connection.execute(delete(tables.runs).where(tables.runs.c.id == run.id))
            connection.execute(delete(tables.pairs).where(tables.pairs.c.id == pair.id))
