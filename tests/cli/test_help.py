"""What `--help` prints."""

from __future__ import annotations

import re

import pytest

from tests.cli.conftest import Milesync
from worker.cli.app import COMMANDS

NAMES = [name for commands in COMMANDS.values() for name in commands]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("columns", ["80", "140"])
def test_help_names_no_types_and_fits(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch, name: str, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = milesync(*name.split(), "-h").out
    assert not re.search(r"<[a-z\[\] ]+>", shown)
    assert all(len(line) <= int(columns) for line in shown.splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained(milesync: Milesync, name: str) -> None:
    _, _, options = milesync(*name.split(), "-h").out.partition("Options:\n")
    for line in options.splitlines():
        if line.startswith("  -"):
            following = options.partition(f"{line}\n")[2]
            assert re.search(r"\S {2,}\S", line.strip()) or following.startswith("     ")


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_an_example_that_begins_with_it(milesync: Milesync, name: str) -> None:
    shown = milesync(*name.split(), "-h").out
    _, _, examples = shown.partition("Examples:\n")
    lines = examples.partition("\n\n")[0].splitlines()
    assert lines
    assert all(line.startswith(f"  milesync {name}") for line in lines)
