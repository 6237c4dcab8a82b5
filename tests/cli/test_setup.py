"""`init`, `check`, `db upgrade`; and how wrong settings, hosts and credentials are told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Milesync
from tests.cli.schemas import CHECK, FAILURE, must_fit
from worker.sandbox.server import Sandbox
from worker.sandbox.switches import TestablySwitches


def test_init_writes_settings_that_can_be_read(milesync: Milesync, folder: Path) -> None:
    assert milesync("init").code == 0
    tomllib.loads((folder / "milesync.toml").read_text(encoding="utf-8"))
    refused = milesync("init", "--json")
    assert refused.code == 2
    assert "--force" in refused.json["error"]["hint"]
    assert milesync("init", "--force", "--json").json["file"] == str(folder / "milesync.toml")
    assert milesync("init", "--config", "other.toml").code == 0
    assert milesync("init", "--config", "nowhere/other.toml").code == 2


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--testrail-url", "https://me:S-hush-1@example.com"), "'***@example.com'"),
        (("--testrail-url", "https://example.testrail.io?key=S-hush-1"), "has more behind"),
        (("--testably-url", "https://S-hush-1@example.com"), "'***@example.com'"),
        (("--testrail-user", "me@example.com:S-hush-1"), "has a colon in it"),
        (("--pair", "https://S-hush-1@example.com"), "--pair: '***@example.com' is not a pair"),
    ],
)
def test_init_shows_no_secret_that_was_pasted_into_an_option(
    milesync: Milesync, option: tuple[str, str], said: str
) -> None:
    """And names the option that is wrong."""
    ended = milesync("init", *option)
    assert (ended.code, f"{option[0]}" in ended.err, said in ended.err) == (2, True, True), ended
    document = milesync("init", *option, "--json")
    assert "S-hush-1" not in ended.err + ended.out + document.out


def test_init_suggests_secrets_that_are_strong_and_new(milesync: Milesync) -> None:
    """In what it prints, and not in the file."""
    first, second = (milesync("init", "--force", "--json").json["suggested"] for _ in range(2))
    assert first.keys() == {"MILESYNC_WEBHOOK_SECRET", "MILESYNC_WEB_TOKEN"}
    found = {*first.values(), *second.values()}
    assert len(found) == 4
    assert min(map(len, found)) >= 32
    assert "MILESYNC_WEBHOOK_SECRET=" in milesync("init", "--force").out


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("name", ["MILESYNC_WEBHOOK_SECRET", "MILESYNC_WEB_TOKEN"])
@pytest.mark.parametrize("command", ["check", "up"])
def test_a_secret_that_can_be_guessed_is_refused(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    """Before anything else is done; one of 16 characters is taken."""
    monkeypatch.setenv(name, "x" * 15)
    ended = milesync(command, "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "settings")
    assert name in ended.json["error"]["message"]
    assert "xxx" not in ended.out
    monkeypatch.setenv(name, "x" * 16)
    assert milesync("check").code == 0


@pytest.mark.usefixtures("sandbox")
def test_check_says_who_reaches_the_pages(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESYNC_LISTEN", "0.0.0.0:8000")
    told = {one["name"]: one["message"] for one in milesync("check", "--json").json["checks"]}
    assert "on a loopback address only" in told["web"]
    assert "MILESYNC_WEB_HOSTS" in told["web"]
    for variable in ("WEBHOOK_SECRET", "WEB_TOKEN"):
        monkeypatch.setenv(f"MILESYNC_{variable}", "long enough for everybody".replace(" ", "-"))
    monkeypatch.setenv("MILESYNC_WEB_HOSTS", "milesync.example.com")
    told = {one["name"]: one["message"] for one in milesync("check", "--json").json["checks"]}
    assert told["web"] == "0.0.0.0:8000, with a token and a webhook secret."


def test_check_tries_everything(milesync: Milesync, sandbox: Sandbox) -> None:
    ended = milesync("check", "--json")
    must_fit(ended.json, CHECK)
    assert (ended.code, ended.json["ok"]) == (0, True)
    names = [check["name"] for check in ended.json["checks"]]
    assert names == ["settings", "web", "database", "testrail 1", "testably proj_abc123"]
    assert "ok     testrail 1: Reachable" in milesync("check").out
    assert sandbox.testably.count("POST") == 0


@pytest.mark.parametrize("wrong", ["first", "second"])
def test_check_tries_every_account_of_a_project_that_pairs_share(
    milesync: Milesync,
    two_projects: Sandbox,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: str,
) -> None:
    """And names the pair that has it; an account that pairs share is tried once."""
    pairs = {"first": '1\ntestably = "proj_two"', "second": '2\ntestably = "proj_two"'}
    pairs[wrong] += '\ntestably_token = "of-somebody-else"'
    pairs["third"] = '1\ntestably = "proj_abc123"'
    text = "".join(f"[[projects]]\ntestrail = {pair}\n" for pair in pairs.values())
    (folder / "milesync.toml").write_text(text)
    (folder / "milesync.toml").chmod(0o600)
    monkeypatch.delenv("MILESYNC_PROJECTS")
    ended = milesync("check", "--json")
    number = {"first": 1, "second": 2}[wrong]
    failed = [check["name"] for check in ended.json["checks"] if not check["ok"]]
    assert (ended.code, failed) == (1, [f"testably proj_two (pair {number}=proj_two)"])
    names = [check["name"] for check in ended.json["checks"]]
    assert names.count("testrail 1") == names.count("testably proj_abc123") == 1
    assert two_projects.testrail.count("GET", "get_milestones/1") == 1


def test_check_asks_for_nothing_but_the_milestones(milesync: Milesync, sandbox: Sandbox) -> None:
    """Which is all that a run asks for: an account may be allowed that alone."""
    assert milesync("check").code == 0
    assert sandbox.testrail.count("GET") == sandbox.testrail.count("GET", "get_milestones/1") == 1
    assert sandbox.testably.count("GET") == sandbox.testably.count("GET", "/milestones?") == 1


@pytest.mark.usefixtures("sandbox")
def test_the_names_that_projects_has_read_are_shown(milesync: Milesync) -> None:
    milesync("projects")
    assert milesync("status").out.startswith("Project 1 → proj_abc123 (Webshop)\n")
    assert "Project 1 → proj_abc123 (Webshop)\n" in milesync("plan").out
    assert milesync("status", "--json").json["projects"][0]["testrail_name"] == "Webshop"


@pytest.mark.usefixtures("sandbox")
def test_check_says_what_is_wrong_and_what_to_do(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESYNC_TESTABLY_TOKEN", "wrong")
    monkeypatch.setenv("MILESYNC_REDIS_URL", f"redis://127.0.0.1:{_closed_port()}/0")
    ended = milesync("check", "--json")
    must_fit(ended.json, CHECK)
    assert (ended.code, ended.json["state"]) == (1, "failed")
    failed = {check["name"]: check["hint"] for check in ended.json["checks"] if not check["ok"]}
    assert {"testably proj_abc123", "redis"} <= failed.keys()
    assert all(failed.values())
    must_fit(ended.json, FAILURE)
    first = next(check for check in ended.json["checks"] if not check["ok"])
    told = {name: first[name] for name in ("message", "hint")}
    assert ended.json["error"] == {"kind": "redis", **told}


def test_check_asks_each_side_once_at_the_same_time_and_tells_at_once(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """What Testably answers is told while TestRail, which is asked once, is still silent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MILESYNC_TESTRAIL_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        command = [sys.executable, "-m", "worker.cli", "check"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
        ) as running:
            asking, _ = silent.accept()
            lines = iter(running.stdout or ())
            assert any("testably proj_abc123: Reachable" in line for line in lines)
            asking.close()
            assert any(line.startswith("FAILED testrail 1") for line in lines)
            assert running.wait(60) == 1
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert sandbox.testably.count("GET", "milestones") == 1


@pytest.mark.usefixtures("sandbox")
def test_check_gives_up_what_does_not_answer_in_time(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESYNC_HTTP_TIMEOUT", "0.5")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MILESYNC_TESTRAIL_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        ended = milesync("check", "--json")
    failed = [check for check in ended.json["checks"] if not check["ok"]]
    assert [check["name"] for check in failed] == ["testrail 1"]
    assert "0.5 s" in failed[0]["message"]
    assert ended.json["error"]["kind"] == "timeout"


@pytest.mark.usefixtures("sandbox")
def test_a_wrong_database_is_one_failure_and_no_failure_of_the_apis(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESYNC_DATABASE_URL", "sqlite:///nowhere/milesync.db")
    checks = milesync("check", "--json").json["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == ["database"]


def test_several_wrong_settings_are_a_line_each(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MILESYNC_TESTABLY_RATE_LIMIT", "MILESYNC_SCHEDULE", "MILESYNC_HTTP_TIMEOUT"):
        monkeypatch.setenv(name, "wrong")
    lines = milesync("check").out.splitlines()
    assert sum("wrong" in line for line in lines) == 3


def test_wrong_settings_are_named(milesync: Milesync, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILESYNC_TESTABLY_RATE_LIMIT", "fast")
    for command in (["check"], ["plan"], ["migrate", "--yes"], ["status"], ["db", "upgrade"]):
        ended = milesync(*command, "--json")
        assert ended.code == 2
        assert ended.json["error"]["kind"] == "settings"
        assert "MILESYNC_TESTABLY_RATE_LIMIT" in ended.json["error"]["message"]
    assert milesync("check", "--json").json["ok"] is False


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("name", "most"), [("MILESYNC_RETENTION", "36500d"), ("MILESYNC_HTTP_TIMEOUT", "600 seconds")]
)
def test_a_length_of_time_beyond_all_reason_is_a_wrong_setting(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch, name: str, most: str
) -> None:
    """And the longest that there may be works wherever it counts."""
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    monkeypatch.setenv(name, most.partition(" ")[0])
    for command in (["sync"], ["db", "prune"], ["report", run, "--out", "x.html"]):
        assert milesync(*command).code == 0
    monkeypatch.setenv(name, "9999999d")
    ended = milesync("sync", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "settings")
    assert f"'9999999d' must be at most {most}" in ended.json["error"]["message"]


def test_missing_settings_are_named(milesync: Milesync, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "MILESYNC_PROJECTS" in milesync("plan").err
    monkeypatch.setenv("MILESYNC_PROJECTS", "1=proj_abc123")
    ended = milesync("plan")
    assert ended.code == 2
    assert "MILESYNC_TESTABLY_TOKEN" in ended.err


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("command", [["plan"], ["migrate", "--yes"], ["sync"], ["verify"]])
def test_wrong_credentials_are_one_clear_error(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("MILESYNC_TESTRAIL_API_KEY", "wrong")
    ended = milesync(*command, "--json")
    assert (ended.code, ended.json["state"]) == (1, "failed")
    must_fit(ended.json, FAILURE)
    assert ended.json["error"]["kind"] == "credentials"
    told = milesync(*command)
    assert told.code == 1
    assert ended.json["error"]["message"] in " ".join(told.out.split())


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("command", [["plan"], ["sync"], ["verify"]])
def test_an_unknown_project_is_one_clear_error(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("MILESYNC_PROJECTS", "1=proj_unknown")
    ended = milesync(*command, "--json")
    must_fit(ended.json, FAILURE)
    assert (ended.code, ended.json["error"]["kind"]) == (1, "not_found")


@pytest.mark.usefixtures("sandbox")
def test_an_unreachable_host_is_one_clear_error(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESYNC_TESTRAIL_URL", f"http://127.0.0.1:{_closed_port()}")
    for command in ("plan", "sync", "check"):
        assert milesync(command).code == 1
    ended = milesync("plan", "--json")
    assert ended.json["error"]["kind"] == "unreachable"


def test_db_upgrade_brings_the_tables(milesync: Milesync) -> None:
    first = milesync("db", "upgrade", "--json")
    assert (first.code, first.json["before"]) == (0, None)
    assert milesync("db", "upgrade", "--json").json["before"] == first.json["revision"]


@pytest.mark.usefixtures("sandbox")
def test_a_database_that_cannot_be_reached_is_one_clear_error(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESYNC_DATABASE_URL", "sqlite:///nowhere/milesync.db")
    for command in (["status"], ["migrate", "--yes"], ["db", "upgrade"]):
        ended = milesync(*command, "--json")
        assert (ended.code, ended.json["error"]["kind"]) == (1, "database")


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_projects_lists_both_sides_and_what_is_paired(
    milesync: Milesync, two_projects: Sandbox
) -> None:
    two_projects.testrail.model.projects.add(3)
    two_projects.testrail.model.project_names[3] = "Only there"
    document = milesync("projects", "--json").json
    assert [(one["id"], one["paired"]) for one in document["testrail"]] == [
        ("1", True),
        ("2", True),
        ("3", False),
    ]
    assert all(one["paired"] for one in document["testably"])
    assert document["pairs"][0]["testably_name"] == "Webshop"
    shown = milesync("projects").out
    assert "Not paired in TestRail" in shown
    assert "Only there" in shown


def test_a_listing_that_is_refused_is_said(milesync: Milesync, sandbox: Sandbox) -> None:
    sandbox.testably.model.switches = TestablySwitches(lists_projects=False)
    ended = milesync("projects", "--json")
    assert (ended.code, ended.json["testably"]) == (0, None)
    assert "403" in ended.json["refused"]["testably"]
    assert "403" in milesync("projects").out
    assert milesync("check").code == 0
