"""The systemd units of the page on the service: what systemd knows, and a command of ours."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.service.stack import ROOT
from worker.cli import main

PAGE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
UNITS = {
    name: text
    for text in re.findall(r"^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for name in re.findall(r"^# /etc/systemd/system/(\S+)", text)
}


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNITS[name])
    return parser


def test_the_service_runs_a_command_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Once, and it counts what needs a person as done, and that it was told to stop."""
    service = unit("milesync.service")["Service"]
    program, *args = service["ExecStart"].split()
    assert (service["Type"], service["SuccessExitStatus"]) == ("oneshot", "3 143")
    assert Path(program).name == "milesync"
    assert main([*args, "--help"]) == 0
    assert "Usage: milesync sync" in capsys.readouterr().out


def test_the_timer_starts_it_every_quarter_of_an_hour() -> None:
    timer = unit("milesync.timer")
    assert timer["Timer"]["OnCalendar"] == "*:0/15"
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_systemd_takes_both(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd here")
    for name, text in UNITS.items():
        text = text.replace("/opt/milesync/bin/milesync", "/bin/true")
        (tmp_path / name).write_text(text.replace("User=milesync", "User=root"))
    for name in UNITS:
        command = [program, "verify", "--man=no", str(tmp_path / name)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        assert not [line for line in ended.stderr.splitlines() if str(tmp_path) in line], ended
