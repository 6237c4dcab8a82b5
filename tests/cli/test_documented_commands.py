"""Every command line of the documents is typed: it exists, and has the options that it is given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Milesync
from tests.service.stack import ROOT

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(milesync [^`]+)`")
LASTING = {"demo", "sandbox", "up"}
"""They run until somebody ends them, or for long; their own tests run them."""
ASKING = {"migrate", "stop", "undo"}
"""They ask, and there is nobody here to say yes."""


def lines() -> list[str]:
    """Every distinct command line of ours, as it is written."""
    found: dict[str, None] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in _BLOCK.findall(text):
            typed = (line.partition(" #")[0].strip() for line in block.splitlines())
            found.update(dict.fromkeys(line for line in typed if line.startswith("milesync ")))
        found.update(dict.fromkeys(" ".join(line.split()) for line in _INLINE.findall(text)))
    return sorted(line for line in found if "…" not in line)


def filled(line: str, run: str) -> list[str]:
    """The words to type, with something for each placeholder."""
    words = {"RUN": run, "ID": "1", "FILE": "file.html", "FILE.html": "file.html", "N": "3"}
    return [words.get(word, word) for word in shlex.split(line)[1:]]


def test_the_documents_have_command_lines() -> None:
    assert len(lines()) > 30


@pytest.mark.usefixtures("sandbox")
def test_every_command_line_of_the_documents_works(milesync: Milesync, folder: Path) -> None:
    """After a migration; the exit code never says that it is wrong usage."""
    migrated = milesync("migrate", "--yes", "--json")
    run = migrated.json["projects"][0]["run"]
    milesync("plan", "--out", "plan.json")
    wrong = {}
    for line in lines():
        args = filled(line, run)
        if "--plan" in args:
            milesync("plan", "--out", "plan.json")
        code, said = _typed(milesync, args)
        if code == 2 and "There is no milestone 1 with" not in said:
            wrong[line] = said
    assert wrong == {}
    assert (folder / "report.html").exists()


def _typed(milesync: Milesync, args: list[str]) -> tuple[int, str]:
    name = args[0]
    if len(args) == 1 and name == "accept":  # the command as such, without what it needs
        args = [name, "--all"]
    if name in LASTING or {"--watch", "--background", "--test"} & set(args):
        shown = milesync(name, "--help")
        options = [word for word in args[1:] if word.startswith("--")]
        return (0 if all(word in shown.out for word in options) else 2), shown.err
    if name == "init" and "--config" not in args:
        args = [*args, "--config", "new.toml"]
    yes = ["--yes"] if name in ASKING and "--yes" not in args else []
    ended = milesync(*args, *yes)
    return ended.code, ended.err
