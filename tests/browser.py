"""Where a Chromium is, for the tests that look at pages in one."""

from __future__ import annotations

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str:
    """The program, or the one that MILESYNC_TEST_BROWSER names; without one the test is skipped."""
    named = os.environ.get("MILESYNC_TEST_BROWSER")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    return found or pytest.skip("no Chromium on the path")
