"""`demo` and `sandbox`: they bring everything they need."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Milesync
from tests.cli.schemas import FAILURE, must_fit
from worker.cli import demo
from worker.sandbox.server import run_sandbox
from worker.sandbox.switches import parse_switches

ROOT = Path(__file__).parents[2]


def test_the_demo_goes_as_it_should(milesync: Milesync, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ignores the environment, and what it leaves can be looked at."""
    monkeypatch.setattr(demo, "A_MINUTE", 60000)
    monkeypatch.setenv("MILESYNC_TESTABLY_URL", "http://127.0.0.1:1")
    ended = milesync("demo", "--json")
    assert (ended.code, ended.json["state"]) == (0, "succeeded")
    steps = [step["step"] for step in ended.json["steps"]]
    assert steps == ["migrate", "again", "plan", "sync", "verify"]
    assert all(step["ok"] for step in ended.json["steps"])

    monkeypatch.delenv("MILESYNC_TESTABLY_URL")
    settings = f"{ended.json['folder']}/milesync.toml"
    assert len(milesync("mappings", "--csv", "--config", settings).out.splitlines()) > demo.COUNT


def test_a_demo_that_goes_wrong_says_so(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "COUNT", 5)
    monkeypatch.setattr(demo, "A_MINUTE", 60000)
    monkeypatch.setattr("worker.sandbox.seed.edit_some", lambda *_: [])
    ended = milesync("demo")
    assert ended.code == 1
    assert "This is not as it should be." in ended.out
    document = milesync("demo", "--json").json
    must_fit(document, FAILURE)
    assert [step["ok"] for step in document["steps"]] == [True, True, False]


def test_the_sandbox_prints_how_to_reach_it_and_ends_on_sigterm() -> None:
    ports = ["--testrail-port", "0", "--testably-port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "worker.cli", "sandbox", "--count", "3", *ports],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        lines = iter(running.stdout.readline, "")
        assert any(line.startswith("export MILESYNC_TESTABLY_TOKEN=") for line in lines)
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 143


def test_a_port_that_is_taken_is_wrong_usage(milesync: Milesync) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = milesync("sandbox", "--testrail-port", port, "--testably-port", "0", "--json")
    assert ended.code == 2
    assert "--testrail-port" in ended.json["error"]["hint"]


def test_a_switch_that_there_is_not_is_wrong_usage(milesync: Milesync) -> None:
    """And the message names those that there are."""
    ended = milesync("sandbox", "--switch", "slow=1", "--json")
    assert ended.code == 2
    assert "most_per_page" in ended.json["error"]["message"]


def test_the_sandbox_behaves_as_its_switches_say() -> None:
    given = parse_switches(["list_holds_completed=false", "sub_milestones=flat"])
    with run_sandbox(count=0, switches=given) as running:
        assert running.testrail.model.switches.sub_milestones == "flat"
        assert not running.testably.model.switches.list_holds_completed
