"""Next steps that a command names do, when they are typed, what was said of them."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Milesync, Terminal
from worker.sandbox.server import Sandbox

PROJECT = "proj_abc123"


def advised(text: str) -> list[list[str]]:
    """The commands in backticks, as they are typed."""
    whole = " ".join(text.split())
    found = [command.split() for command in re.findall(r"`milesync ([^`]*)`", whole)]
    return [command for command in found if command != ["verify", "--json"]]  # it shows more rows


def typed(milesync: Milesync, command: list[str]) -> int:
    """The exit code of a command that is typed, and agreed to where it asks."""
    return milesync(*command, *(["--yes"] if command[0] in ("migrate", "undo") else [])).code


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_verify_advises_a_migration_where_a_sync_would_stop(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """The time zone is another one since, whether that changes a date or not."""
    rail = sandbox.testrail.model
    while rows := rail.everything(1):
        rail.delete(int(str(rows[0]["id"])))
    midnight = 1_780_272_000 if zone == "UTC" else 1_780_264_800
    rail.add(1, {"name": "One", "start_on": midnight})
    assert milesync("migrate", "--yes").code == 0
    monkeypatch.setenv("MILESYNC_TESTRAIL_TIMEZONE", zone)
    said = milesync("verify")
    assert said.code == (0 if zone == "UTC" else 3)
    assert advised(said.out) == [["plan"], ["migrate"]]
    assert milesync("sync").code == 1
    assert [typed(milesync, command) for command in advised(said.out)] == [0, 0]
    after = milesync("verify")
    assert (after.code, advised(after.out)) == (0, [["sync"], ["up"]])
    assert milesync("sync").code == 0


def test_verify_advises_no_sync_for_what_waits_for_a_person(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """A refused milestone is not written by one; what `failures` says of it does it."""
    assert milesync("migrate", "--yes").code == 0
    ably = sandbox.testably.model
    ably.switches = replace(ably.switches, max_name_length=20)
    sandbox.testrail.model.update(1, {"name": "A name that is longer than it may be"})
    assert milesync("sync").code == 3
    said = milesync("verify")
    assert said.code == 3
    assert advised(said.out) == [["failures"]]
    [failure] = milesync("failures", "--json").json["projects"][0]["failures"]
    ably.switches = replace(ably.switches, max_name_length=None)
    [retry] = [one for one in advised(failure["next_step"]) if one[0] == "retry"]
    assert typed(milesync, retry) == 0
    assert milesync("sync").code == 0
    assert milesync("verify").code == 0


def test_verify_advises_a_sync_where_one_helps(milesync: Milesync, sandbox: Sandbox) -> None:
    assert milesync("migrate", "--yes").code == 0
    rail, ably = sandbox.testrail.model, sandbox.testably.model
    ably.switches = replace(ably.switches, archived_subs_lock_status=False)
    rail.update(1, {"name": "Renamed"})
    leaf = next(int(str(r["id"])) for r in rail.everything(1) if r["parent_id"] is not None)
    rail.delete(leaf)
    said = milesync("verify")
    assert (said.code, advised(said.out)) == (3, [["sync"], ["sync"]])
    assert milesync("sync").code == 0
    assert milesync("verify").code == 0


def next_steps(milesync: Milesync) -> dict[str, str]:
    """What `failures` advises, by the kind of what it lists."""
    [project] = milesync("failures", "--json").json["projects"]
    found: list[dict[str, Any]] = project["failures"]
    return {one["kind"]: one["next_step"] for one in found}


def test_what_failures_advises_about_names_and_uses_is_done_by_it(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """A name that is taken, a milestone that people work in, and one that is there twice."""
    rail, ably = sandbox.testrail.model, sandbox.testably.model
    ably.create(PROJECT, {"name": "Taken"})
    rail.add(1, {"name": "Taken"})
    assert milesync("migrate", "--yes").code == 3
    adopt, create = advised(next_steps(milesync)["name_conflict"])
    assert create == ["migrate", "--create-anyway"]
    assert typed(milesync, adopt) == 0

    [link] = [
        one
        for one in milesync("mappings", "--json").json["projects"][0]["links"]
        if one["name"] == "Taken"
    ]
    ably.link_run(link["testably_id"], {"id": "run_1", "name": "Smoke", "status": "active"})
    rail.delete(link["testrail_id"])
    assert milesync("sync").code == 3
    [archive] = advised(next_steps(milesync)["in_use"])
    assert typed(milesync, archive) == 0
    assert next_steps(milesync) == {}


def test_what_init_and_a_missing_file_advise_finds_the_file(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """Where it is not the usual one, the commands name it."""
    del sandbox
    missing = milesync("status", "--config", "my settings.toml", "--json")
    assert missing.code == 2
    command = re.findall(r"`milesync ([^`]*)`", missing.json["error"]["hint"])[0]
    assert command == "init --config 'my settings.toml'"
    said = milesync(*shlex.split(command)).out
    [check] = re.findall(r"`milesync ([^`]*)`", said)
    assert check == "check --config 'my settings.toml'"
    assert milesync(*shlex.split(check)).code == 0
    assert advised(milesync("init").out) == [["check"]]


def test_a_setting_that_is_wrong_advises_an_example_that_can_be_written(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Also where the usual file is there already."""
    del sandbox
    assert milesync("init").code == 0
    with monkeypatch.context() as wrong:
        wrong.setenv("MILESYNC_SCHEDULE", "whenever")
        [command] = advised(milesync("status", "--json").json["error"]["hint"])
        asked = StringIO()
        wrong.setattr("sys.stdin", Terminal())
        wrong.setattr("sys.stderr", asked)
        wrong.setattr(asked, "isatty", lambda: True)
        assert milesync(*command).code == 0
        assert asked.getvalue() == "", "on a terminal it asks nothing either"
    assert (folder / "example.toml").is_file()


def test_a_plan_that_is_kept_advises_a_command_for_its_file(
    milesync: Milesync, sandbox: Sandbox
) -> None:
    """Whatever the file is called."""
    del sandbox
    said = milesync("plan", "--out", "the plan.json").out
    [command] = re.findall(r"`milesync (migrate [^`]*)`", " ".join(said.split()))
    assert milesync(*shlex.split(command), "--yes").code == 0


def test_a_retry_of_nothing_says_so(milesync: Milesync, sandbox: Sandbox) -> None:
    """What an undo holds is not tried again; what releases it is said."""
    del sandbox
    run = milesync("migrate", "--yes", "--json").json["projects"][0]["run"]
    milesync("undo", run, "--yes")
    assert milesync("retry", "--json").json["cleared"] == 0
    assert advised(milesync("retry", "1").out) == [["migrate"]]


def test_what_a_create_left_is_decided_only_where_it_is_named(
    milesync: Milesync, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `retry` of everything creates and links nothing of which nothing was put away."""
    monkeypatch.setenv("MILESYNC_DESCRIPTION_FOOTER", "false")
    assert milesync("migrate", "--yes").code == 0
    ably = sandbox.testably
    ably.model.switches = replace(ably.model.switches, hides_created_at=True)
    made = sandbox.testrail.model.add(1, {"name": "In doubt"})["id"]
    ably.faults.script("reset_after", method="POST")
    assert milesync("sync").code == 3
    assert advised(milesync("retry").out) == [["sync"], ["failures"]]
    assert milesync("sync").code == 3
    [failure] = milesync("failures", "--json").json["projects"][0]["failures"]
    assert failure["kind"] == "in_doubt_for_a_person"
    assert milesync("sync").code == 3
    [retry] = [one for one in advised(failure["next_step"]) if one[0] == "retry"]
    assert retry == ["retry", str(made)]
    assert typed(milesync, retry) == 0
    assert milesync("sync").code == 0
