"""Arguments, help and exit codes; and real processes, whose stdout must be pure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Milesync
from tests.cli.schemas import FAILURE, must_fit
from worker.cli.app import COMMANDS, behind_command

ROOT = Path(__file__).parents[2]
NAMES = [name for commands in COMMANDS.values() for name in commands]


def process(*args: str) -> subprocess.CompletedProcess[str]:
    """A real process, in the working directory of the test."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from worker.cli import main; "
    return subprocess.run(
        [sys.executable, "-c", f"{code} sys.exit(main())", *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_names_every_command(milesync: Milesync) -> None:
    for args in ((), ("--help",)):
        shown = milesync(*args)
        assert shown.code == 0
        for name in NAMES:
            assert f"\n  {name} " in shown.out


@pytest.mark.parametrize("command", NAMES)
def test_every_command_takes_config_and_json(milesync: Milesync, command: str) -> None:
    shown = milesync(*command.split(), "--help")
    assert shown.code == 0
    assert "--json" in shown.out
    ended = milesync(*command.split(), "--config", "missing.toml", "--json", "--bogus")
    assert "--bogus" in ended.json["error"]["message"]


@pytest.mark.parametrize(
    "args",
    [
        ["--bogus"],
        ["bogus"],
        ["migrate", "--only", "bogus"],
        ["sync", "--project", "x"],
        ["history"],
        ["plan", "too", "many"],
        ["db"],
    ],
)
def test_wrong_usage_is_2_with_one_document(milesync: Milesync, args: list[str]) -> None:
    ended = milesync(*args, "--json")
    assert ended.code == 2
    must_fit(ended.json, FAILURE)
    assert ended.json["error"]["kind"] == "usage"
    assert ended.json["error"]["hint"]
    told = milesync(*args)
    assert told.code == 2
    assert not told.out
    assert told.err.startswith("milesync: ")


@pytest.mark.usefixtures("sandbox")
def test_common_options_may_stand_before_the_command(milesync: Milesync) -> None:
    assert milesync("--json", "--project", "1", "status").json["projects"]
    assert milesync("--json", "db", "upgrade").json["state"] == "succeeded"
    assert milesync("db", "--json", "prune").json["state"] == "succeeded"
    assert milesync("--config", "missing.toml", "status").code == 2


@pytest.mark.parametrize(
    ("args", "moved"),
    [
        ([], []),
        (["--json"], ["--json"]),
        (["--json", "sync"], ["sync", "--json"]),
        (["--config", "a", "sync", "-y"], ["sync", "--config", "a", "-y"]),
        (["--config=a", "--json", "sync"], ["sync", "--config=a", "--json"]),
        (["--json", "db", "--config", "a", "prune"], ["db", "prune", "--json", "--config", "a"]),
        (["--json", "db"], ["db", "--json"]),
        (["--json", "show", "db", "--config"], ["show", "--json", "db", "--config"]),
    ],
)
def test_what_is_moved_behind_the_command(args: list[str], moved: list[str]) -> None:
    assert behind_command(args) == moved


@pytest.mark.usefixtures("sandbox")
def test_a_process_prints_one_document_and_logs_to_stderr() -> None:
    ended = process("migrate", "--yes", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["state"]) == (0, "succeeded")
    assert "run ended" in ended.stderr


@pytest.mark.usefixtures("sandbox")
def test_a_process_without_a_terminal_ends_with_2() -> None:
    ended = process("migrate")
    assert (ended.returncode, ended.stdout) == (2, "")


ALWAYS_LATER = {"alembic", "celery", "filelock", "httpx", "kombu", "redis", "rich", "structlog"}


@pytest.mark.parametrize(
    ("args", "later"),
    [
        (["--help"], {*ALWAYS_LATER, "pydantic", "sqlalchemy", "uvicorn"}),
        (["status"], ALWAYS_LATER),
        (["mappings", "--csv"], ALWAYS_LATER),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_a_command_imports_only_what_it_needs(
    milesync: Milesync, args: list[str], later: set[str]
) -> None:
    """What takes long to import is imported by the commands that need it."""
    milesync("migrate", "--yes")
    probe = (
        "import sys; from worker.cli import main; code = main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", probe, *args],
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "milesync" in ended.stdout or "proj_abc123" in ended.stdout or "ms_" in ended.stdout
    assert later & set(ended.stderr.split()) == set()


@pytest.mark.usefixtures("sandbox")
def test_a_reader_that_goes_away_is_no_error(milesync: Milesync) -> None:
    milesync("migrate", "--yes")
    for args in ("mappings --csv", "mappings", "mappings --json"):
        shell = f'"{sys.executable}" -m worker.cli {args} | true; exit ${{PIPESTATUS[0]}}'
        ended = subprocess.run(
            ["bash", "-c", shell],
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
