"""A newcomer who types what the README says, from nothing to a verified migration."""

from __future__ import annotations

import os
import re
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal, terminal
from worker.sandbox.server import run_sandbox
from worker.sandbox.testably_app import TOKEN
from worker.sandbox.testrail_app import API_KEY, USER

ROOT = Path(__file__).parents[2]
COUNT = 31


def commands() -> list[str]:
    """The lines of the first block under "Migrate", as they are to be typed."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Migrate\n")[2]
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block
    return block[1].splitlines()


def test_the_readme_begins_with_the_installation_and_ends_with_the_proof() -> None:
    names = [line.partition("#")[0].split() for line in commands()]
    assert names[0] == ["make", "install"]
    assert [words[1] for words in names[2:]] == ["init", "check", "plan", "migrate", "verify"]


@pytest.mark.parametrize("columns", [80, 140])
def test_what_the_readme_says_leads_to_a_verified_migration(tmp_path: Path, columns: int) -> None:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MILESYNC_")}
    environ = {**kept, "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}
    init, check, plan, migrate, verify = commands()[2:]
    with run_sandbox(count=COUNT, rate=None) as sandbox:

        def typed(line: str) -> AbstractContextManager[Terminal]:
            return terminal(["sh", "-c", line], folder=tmp_path, environ=environ, columns=columns)

        with typed(init) as shown:
            shown.answer("Address of TestRail", sandbox.testrail.url)
            shown.answer("TestRail user", USER)
            shown.answer("API key", API_KEY)
            shown.answer("Address of Testably", sandbox.testably.url)
            shown.answer("token", TOKEN)
            for question in ("Take them as pairs", "Time zone", "Schedule"):
                shown.answer(question, "")
            shown.expect("milesync check")
            assert shown.end() == 0
        with (tmp_path / ".env").open("a", encoding="utf-8") as env:
            # not what a newcomer does, but the sandbox has no limit to wait for
            env.write("MILESYNC_TESTABLY_RATE_LIMIT=60000/60s\n")
        with typed(check) as shown:
            shown.expect("All is well")
            assert shown.end() == 0
        with typed(plan) as shown:
            shown.expect(rf"{COUNT} new; \d+ requests, about")
            assert shown.end() == 0
        with typed(migrate) as shown:
            shown.expect(r"Go on\? \[y/N\] $")
            shown.type("y")
            shown.expect(rf"{COUNT} new\.")
            shown.expect("milesync undo")
            assert shown.end() == 0
            assert not re.search(r'"event"|\[info', shown.shown)
        with typed(verify) as shown:
            shown.expect(rf"in step.*{COUNT} compared")
            assert shown.end() == 0
        assert len(sandbox.testably.model.live("proj_abc123")) == COUNT
