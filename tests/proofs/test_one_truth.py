"""The law of the one truth (R10), over HTTP and for every mouth.

Whether a pair is in step is said by `sync`, `migrate`, `verify`, `failures`, `status`, the page
and the metrics: they agree, after every run, and a run that has nothing new to do writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from tests.cli.conftest import FAST, Milesync, _restored, folder, milesync
from tests.proofs.mouths import PROJECT, Said, Stage, proved_at
from worker.sandbox.rules import Record
from worker.sandbox.server import run_sandbox

__all__ = ["_restored", "folder", "milesync"]

LONG = "A name that is longer than twenty characters"
SYNC, MIGRATE = ("sync",), ("migrate", "--yes")
BOTH = (SYNC, MIGRATE)


@pytest.fixture
def stage(milesync: Milesync, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Two empty servers and the settings that reach them."""
    with run_sandbox(count=0, rate=None) as sandbox:
        for name, value in sandbox.settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MILESYNC_TESTABLY_RATE_LIMIT", FAST)
        monkeypatch.setenv("MILESYNC_TESTRAIL_RATE_LIMIT", FAST)
        yield Stage(sandbox, milesync)


@dataclass(frozen=True)
class Situation:
    """What happened, and whether the pair is in step once milesync has done what it can.

    ``kinds`` are what `failures` lists then. ``environ`` are settings that go with it.
    """

    happens: Callable[[Stage], None]
    in_step: bool = True
    kinds: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = BOTH
    environ: tuple[tuple[str, str], ...] = ()


def _switch(stage: Stage, **how: object) -> None:
    stage.ably.switches = replace(stage.ably.switches, **how)  # type: ignore[arg-type]


def _nothing(stage: Stage) -> None:
    stage.add("One")
    stage.migrate()


def _reopened_and_refused(stage: Stage) -> None:
    one = stage.add("One", is_completed=True)
    stage.migrate()
    _switch(stage, refused_statuses=("active", "upcoming", "started"))
    stage.rail.update(one, {"is_completed": False})


def _empty_date_refused(stage: Stage) -> None:
    one = stage.add("One")
    stage.migrate()
    _switch(stage, null_clears=False)
    stage.rail.update(one, {"due_on": None})


def _archive_refused(stage: Stage) -> None:
    one = stage.add("One")
    stage.migrate()
    _switch(stage, refused_statuses=("archived",))
    stage.rail.delete(one)


def _cut(stage: Stage, *, echoes: bool = False) -> None:
    _switch(stage, cuts_name_at=20, echo_differs=echoes)
    stage.add(LONG)


def _cut_and_echoed(stage: Stage) -> None:
    _cut(stage, echoes=True)


def _cut_later(stage: Stage) -> None:
    one = stage.add("Short")
    stage.migrate()
    _switch(stage, cuts_name_at=20)
    stage.rail.update(one, {"name": LONG})


def _accepted(stage: Stage) -> None:
    _cut(stage)
    [problem] = stage.migrate(code=3)["problems"]
    assert stage.milesync("accept", str(problem["testrail_id"])).code == 0


def _moved(stage: Stage) -> None:
    one, other = stage.add("One"), stage.add("Other")
    child = stage.add("Child", one)
    stage.migrate()
    stage.rail.update(child, {"parent_id": other})


def _parent_of_an_archived_child(stage: Stage) -> None:
    _switch(stage, archived_subs_lock_status=False)
    parent = stage.add("Parent")
    child = stage.add("Child", parent)
    stage.migrate()
    stage.rail.delete(child)
    stage.migrate()
    edited: Record = {"name": "Edited", "due_date": "2027-01-01T00:00:00Z", "status": "completed"}
    stage.edit(parent, edited)


def _locked_parent_of_an_archived_child(stage: Stage) -> None:
    parent = stage.add("Parent", is_completed=True)
    child = stage.add("Child", parent)
    stage.migrate()
    stage.rail.delete(child)
    stage.milesync(*MIGRATE)
    stage.edit(parent, {"name": "Edited"})


def _unsteady(stage: Stage) -> None:
    _switch(stage, unsteady=True)
    stage.add("One", description="Text")


def _kept(stage: Stage) -> None:
    one = stage.add("One")
    stage.migrate()
    stage.edit(one, {"name": "Edited in Testably"})


def _held(stage: Stage) -> None:
    one = stage.add("One")
    stage.migrate()
    stage.rail.update(one, {"name": "Changed"})
    run = stage.migrate()["run"]
    assert stage.milesync("undo", run, "--yes").code == 0


def _held_and_accepted(stage: Stage) -> None:
    _held(stage)
    assert stage.milesync("accept", "--all").code == 0


def _in_use(stage: Stage) -> None:
    one = stage.add("One")
    stage.migrate()
    run: Record = {"id": "run_1", "name": "Nightly", "status": "in_progress", "pass_rate": 0}
    stage.ably.link_run(stage.target_of(one), run)
    stage.rail.delete(one)


def _second_target(stage: Stage) -> None:
    one = stage.add("One")
    stage.migrate()
    target = stage.ably.get(PROJECT, stage.target_of(one))
    body = {name: target[name] for name in ("name", "description")}
    stage.ably.create(PROJECT, body)


def _name_taken(stage: Stage) -> None:
    stage.add("Other")
    stage.migrate()
    stage.ably.create(PROJECT, {"name": "One"})
    stage.add("One")


def _bad_record(stage: Stage) -> None:
    stage.add("One")
    stage.migrate()
    stage.rail.plant({"id": 900, "name": None})


def _record_without_id(stage: Stage) -> None:
    stage.add("One")
    stage.migrate()
    stage.rail.plant({"name": "Nobody"})


def _refused(stage: Stage) -> None:
    _switch(stage, max_name_length=20)
    stage.add(LONG)


def _refused_and_deleted(stage: Stage) -> None:
    one = stage.add("One")
    stage.migrate()
    _switch(stage, max_name_length=20)
    stage.rail.update(one, {"name": LONG})
    stage.migrate(code=3)
    stage.ably.remove(stage.target_of(one))


def _held_and_deleted(stage: Stage) -> None:
    one = stage.add("One")
    stage.add("Other")
    stage.migrate()
    stage.rail.update(one, {"name": "Changed"})
    run = stage.migrate()["run"]
    assert stage.milesync("undo", run, "--yes").code == 0
    stage.ably.remove(stage.target_of(one))


def _waits_for_its_parent(stage: Stage) -> None:
    _switch(stage, max_name_length=20)
    stage.add("Child", stage.add(LONG))


SITUATIONS = {
    "nothing happened": Situation(_nothing),
    "an open status is refused": Situation(_reopened_and_refused, False, ("rejected",)),
    "an empty date is refused": Situation(_empty_date_refused, False, ("rejected",)),
    "an archive is refused": Situation(_archive_refused, False, ("rejected",)),
    "a new name is cut": Situation(_cut, False, ("altered",)),
    "a new name is cut and echoed": Situation(_cut_and_echoed, False, ("altered",)),
    "a changed name is cut": Situation(_cut_later, False, ("altered",)),
    "a cut name is accepted": Situation(_accepted, accepted=("altered",)),
    "a child was moved": Situation(_moved, False, ("immovable",)),
    "the parent of an archived child is edited": Situation(_parent_of_an_archived_child),
    "the locked parent of an archived child is edited": Situation(
        _locked_parent_of_an_archived_child, False, ("rejected",)
    ),
    "a text that is never the same": Situation(_unsteady, False, ("altered",)),
    "an edit that is kept": Situation(_kept, environ=(("MILESYNC_ON_TARGET_EDIT", "target"),)),
    "held after an undo": Situation(_held, False, ("held",), commands=(SYNC,)),
    "held, released by a migration": Situation(_held, commands=(MIGRATE,)),
    "held and accepted": Situation(_held_and_accepted, accepted=("held",), commands=(SYNC,)),
    "gone, with a test run that is not over": Situation(_in_use, False, ("in_use",)),
    "a second target with its marker": Situation(_second_target, False, ("second_target",)),
    "a name is taken": Situation(_name_taken, False, ("name_conflict",)),
    "a record that cannot be read": Situation(_bad_record, False, ("bad_record",)),
    "a record without an id": Situation(
        _record_without_id, False, ("bad_record", "source_incomplete")
    ),
    "a milestone is refused": Situation(_refused, False, ("refused",)),
    "a milestone is refused, and its target deleted": Situation(
        _refused_and_deleted, False, ("refused",)
    ),
    "held, and its target deleted": Situation(
        _held_and_deleted, False, ("held",), commands=(SYNC,)
    ),
    "a child waits for its parent": Situation(_waits_for_its_parent, False, ("refused", "waiting")),
}
CASES = [
    pytest.param(situation, command, id=f"{name}, {command[0]}")
    for name, situation in SITUATIONS.items()
    for command in situation.commands
]


@pytest.mark.parametrize(("situation", "command"), CASES)
def test_every_mouth_says_the_same_after_every_run(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    situation: Situation,
    command: tuple[str, ...],
) -> None:
    """Runs, proof, failures, status, page and metrics; and only the first run writes."""
    for name, value in situation.environ:
        monkeypatch.setenv(name, value)
    situation.happens(stage)
    for number in range(1, 4):
        writes, proved = stage.writes, proved_at()
        ended = stage.milesync(*command, "--json")
        [project] = ended.json["projects"]
        where = (number, project)
        verified = project["verified"] or {"in_step": None}
        if number > 1:
            assert stage.writes == writes, where
            assert ended.code == (0 if situation.in_step else 3), where
        assert (proved_at() != proved) == (verified["in_step"] is True), where
        if number > 1 or command is MIGRATE:
            assert verified["in_step"] in (situation.in_step, None), where
            said = Said.by(stage)
            assert list(said.agrees_on(in_step=situation.in_step)) == [], (where, said)
            assert tuple(sorted(one["kind"] for one in said.failures)) == situation.kinds
            assert tuple(one["kind"] for one in said.accepted) == situation.accepted
