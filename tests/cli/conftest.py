"""The real commands, called in this process, against real sandbox servers and SQLite."""

from __future__ import annotations

import io
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from worker.cli import main
from worker.clock import SystemClock
from worker.sandbox.server import Sandbox, run_sandbox

SEEDED = 12
FAST = "60000/60s"


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Milesync = Callable[..., Ended]


class Terminal(io.StringIO):
    """A stdin on which a person answers."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The log as it was before; no waiting; no terminal."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: time.sleep(min(seconds, 0.001)))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and no settings."""
    for name in [name for name in os.environ if name.startswith("MILESYNC_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Both servers, TestRail seeded, and the settings that reach them."""
    with run_sandbox(count=SEEDED, rate=None) as running:
        for name, value in running.settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MILESYNC_TESTABLY_RATE_LIMIT", FAST)
        monkeypatch.setenv("MILESYNC_TESTRAIL_RATE_LIMIT", FAST)
        yield running


@pytest.fixture
def two_projects(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A second pair, with one milestone."""
    sandbox.testrail.model.projects.add(2)
    sandbox.testably.model.projects.add("proj_two")
    sandbox.testrail.model.add(2, {"name": "Of the second project"})
    monkeypatch.setenv("MILESYNC_PROJECTS", "1=proj_abc123,2=proj_two")
    return sandbox


@pytest.fixture
def milesync(capsys: pytest.CaptureFixture[str]) -> Milesync:
    """Runs a command; with --json, stdout must be one document."""

    def run(*args: str) -> Ended:
        capsys.readouterr()
        code = main(args)
        ended = Ended(int(code), *capsys.readouterr())
        if "--json" in args:
            json.loads(ended.out)
        assert "Traceback" not in ended.err
        return ended

    return run


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Somebody at a terminal who answers every question with this."""

    def answers(text: str) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(f"{text}\n"))

    return answers
