"""The pages in a real browser: what people wrote is shown as text, and nothing of it runs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser import find_browser
from tests.cli.conftest import Milesync
from worker.sandbox.server import Sandbox

NAME = "<img src=x onerror=\"document.title='it ran'\">Release ä"


@pytest.fixture
def dom(tmp_path: Path) -> Callable[[str], str]:
    """What a page has become in Chromium; a machine without one skips this."""
    browser = find_browser()
    quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update")
    words = (browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", *quiet)

    def show(url: str) -> str:
        folder = f"--user-data-dir={tmp_path / 'browser'}"
        command = [*words, folder, "--virtual-time-budget=2000", "--dump-dom", url]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    return show


def test_the_report_shows_names_as_text(
    sandbox: Sandbox, milesync: Milesync, folder: Path, dom: Callable[[str], str]
) -> None:
    """A milestone's name in the HTML report is never markup."""
    sandbox.testrail.model.add(1, {"name": NAME})
    milesync("migrate", "--yes", "--report", "report.html")
    page = dom((folder / "report.html").as_uri())
    assert "&lt;img src=x" in page
    assert "<title>it ran" not in page
