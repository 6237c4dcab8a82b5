"""Standard streams that are closed, full or left: a command ends as it would otherwise."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mappings.database import open_engine
from mappings.run_record import UNFINISHED
from mappings.runs import RunLog
from tests.cli.conftest import Milesync
from tests.cli.test_causes import ROOT
from tests.service.stack import free_port
from worker.cli import up
from worker.clock import SystemClock
from worker.sandbox.server import Sandbox

PYTHON = f"{sys.executable} -m worker.cli"
WORKS = ("mappings --csv", "status --json", "check")
FAILS = (("status --projct", 2), ("plan --config nowhere.toml --json", 2))


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in the working directory; its output is what is left open."""
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("command", WORKS)
def test_a_command_without_a_stream_does_its_work(command: str, closed: str) -> None:
    ended = shell(f"{PYTHON} {command} {closed}")
    assert ended.returncode == 0
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("lost", [">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full"])
@pytest.mark.parametrize(("command", "code"), FAILS)
def test_a_command_that_cannot_say_what_is_wrong_still_ends_with_its_code(
    command: str, code: int, lost: str
) -> None:
    ended = shell(f"{PYTHON} {command} {lost}")
    assert ended.returncode == code
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("command", [*WORKS, "--version", "--help"])
def test_a_full_disk_behind_the_output_is_said_on_the_other_stream(command: str) -> None:
    """And nothing is left for Python to complain of when it ends."""
    ended = shell(f"{PYTHON} {command} >/dev/full")
    assert ended.returncode == 1
    assert "could not be written: No space left" in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("command", WORKS)
def test_a_reader_that_has_gone_is_no_error(command: str) -> None:
    ended = shell(f"{PYTHON} {command} | true; exit ${{PIPESTATUS[0]}}")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_no_file_takes_the_place_of_a_closed_stream(sandbox: Sandbox, folder: Path) -> None:
    """Else what is printed would be written into the database."""
    sandbox.testrail.model.add(1, {"name": "first"})
    assert shell(f"{PYTHON} migrate --yes >&- 2>&- <&-").returncode == 0
    assert (folder / "milesync.db").read_bytes().startswith(b"SQLite format 3\0")
    assert "first" in shell(f"{PYTHON} mappings").stdout


@pytest.mark.usefixtures("sandbox")
def test_what_ends_up_is_said_beside_its_document(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """stdout has the one document that said that it runs."""
    watch = up._watch

    def killed(
        processes: up.Processes, answers: Callable[[], bool], greet: Callable[[], None]
    ) -> int:
        def greeted() -> None:
            greet()
            processes["web"].kill()

        return watch(processes, answers, greeted)

    monkeypatch.setattr(up, "_watch", killed)
    monkeypatch.setenv("MILESYNC_LISTEN", f"127.0.0.1:{free_port()}")
    ended = milesync("up", "--json")
    assert (ended.code, ended.json["state"]) == (1, "running")
    assert "milesync: The web ended by itself" in ended.err


@pytest.mark.usefixtures("sandbox")
def test_what_ends_a_watch_is_said_beside_its_document(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may go away while it shows what runs."""
    assert milesync("sync").code == 0
    log = RunLog(open_engine("sqlite:///milesync.db"))
    [run] = log.of_pairs([1])
    log.change(run.id, state=UNFINISHED, finished_at=None)

    def goes_away() -> None:
        with suppress(sqlite3.OperationalError), sqlite3.connect("milesync.db") as connection:
            connection.execute("ALTER TABLE runs RENAME TO gone")

    monkeypatch.setattr(SystemClock, "sleep", lambda _clock, _seconds: goes_away())
    ended = milesync("status", "--watch", "--json")
    assert (ended.code, ended.json["projects"][0]["runs"][0]["state"]) == (1, UNFINISHED)
    assert "milesync: The database" in ended.err
    assert f"It goes on without this terminal: {run.id}." in ended.err
