"""What every command shows at the width of a terminal, and in a pipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Milesync
from tests.cli.terminal import terminal
from worker.cli.screen import cells
from worker.sandbox.server import Sandbox
from worker.sandbox.switches import TestablySwitches

ROOT = Path(__file__).parents[2]
NAME = "A release of the data platform that has a name of very many words, as some people give them"
COMMANDS = ("runs", "status", "mappings", "failures", "plan", "verify", "history 1")


@pytest.fixture
def full(milesync: Milesync, two_projects: Sandbox) -> list[str]:
    """Two pairs with long names, a refused one, and some runs: every id that is to be seen."""
    two_projects.testrail.model.add(1, {"name": NAME})
    two_projects.testrail.model.add(2, {"name": f"{NAME}, and more" * 3})
    two_projects.testably.model.switches = TestablySwitches(max_name_length=250)
    milesync("migrate", "--yes")
    two_projects.testrail.model.update(1, {"name": f"{NAME} again"})
    milesync("sync")
    milesync("undo", milesync("runs", "--json").json["runs"][-1]["run"], "--yes")
    runs = [run["run"] for run in milesync("runs", "--json").json["runs"]]
    links = milesync("mappings", "--json").json["projects"]
    return runs + [link["testably_id"] for pair in links for link in pair["links"]][:-1]


def every(environ: dict[str, str]) -> str:
    python = f"{sys.executable} -m worker.cli"
    environ["PYTHONPATH"] = str(ROOT)
    return "; ".join(f"{python} {command} 2>&1" for command in COMMANDS)


@pytest.mark.parametrize("columns", [80, 140])
def test_on_a_terminal_no_line_is_too_long_and_no_id_or_time_is_cut(
    full: list[str], folder: Path, columns: int
) -> None:
    environ = dict(os.environ)
    command = ["sh", "-c", every(environ)]
    with terminal(command, folder=folder, environ=environ, columns=columns) as seen:
        seen.end()
        shown = re.sub(r".*Reading project.*\r\n?", "", seen.shown)
    for line in shown.splitlines():
        assert cells(line) <= columns, line
    assert all(id_ in shown for id_ in full if id_ is not None)
    for time in re.findall(r"\d{4}-\d\d-\d\dT\S*", shown):
        assert re.fullmatch(r"[-\dT:.]+Z[.,;]?", time), time


def test_a_long_name_in_a_plan_goes_on_under_itself(sandbox: Sandbox, folder: Path) -> None:
    id_ = sandbox.testrail.model.add(1, {"name": NAME})["id"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "worker.cli", "plan", "--all"]
    with terminal(command, folder=folder, environ=environ) as seen:
        seen.end()
        shown = seen.shown
    name = re.search(rf"^( +{id_} +)A release .*?\n( *)\S", shown.replace("\r", ""), re.M)
    assert name
    assert len(name[2]) == len(name[1])


def test_in_a_pipe_names_and_a_vendors_words_are_whole_on_one_line(
    full: list[str], folder: Path
) -> None:
    environ = dict(os.environ)
    piped = subprocess.run(
        ["sh", "-c", every(environ)],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert all(id_ in piped for id_ in full if id_ is not None)
    lines = piped.splitlines()
    assert sum(NAME in line for line in lines) > 4
    refusal = re.compile(
        r"Testably answered POST v1/projects/proj_two/milestones with 400: name .+"
    )
    assert any(refusal.search(line) for line in lines)


@pytest.mark.usefixtures("sandbox")
def test_a_person_is_told_of_a_misspelt_setting_in_plain_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESYNC_TESTRAIL_APIKEY", "x")
    command = [sys.executable, "-m", "worker.cli", "status"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with terminal(command, folder=folder, environ=environ, columns=200) as seen:
        seen.expect(r"milesync: MILESYNC_TESTRAIL_APIKEY \(environment\) is not a setting")
        assert seen.end() == 0
        assert "[warning" not in seen.shown
