"""What a package index shows of milesync."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_links_of_the_readme_work_on_a_package_index() -> None:
    """There is no file beside it there, so each is a whole address of a file that exists here."""
    text = (ROOT / "README.md").read_text()
    assert not re.findall(r"\]\((?!https://|#)[^)]+\)", text)
    addresses = re.findall(r"^\[[^\]]+\]: https://\S+?/blob/main/(\S+)$", text, re.MULTILINE)
    assert addresses
    assert all((ROOT / name).is_file() for name in addresses)


def test_the_metadata_says_what_people_look_for() -> None:
    facts = metadata("milesync")
    assert facts["Requires-Python"] == ">=3.11"
    assert {url.split(",")[0] for url in facts.get_all("Project-URL") or []} >= {
        *("Homepage", "Documentation", "Changelog", "Issues")
    }
    classifiers = facts.get_all("Classifier") or []
    for version in ("3.11", "3.12", "3.13", "3.14"):
        assert f"Programming Language :: Python :: {version}" in classifiers
    assert "Typing :: Typed" in classifiers
