"""What one run has told or counted stays so in the runs after it, whatever these read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mappings.overview import overview
from tests.support.world import PROJECT, World
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import Only, OnTargetEdit, Policy, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import State

ABLY = TestablySwitches()
TARGET_WINS = Policy(on_target_edit=OnTargetEdit.TARGET)


def accept_all(world: World, testrail_id: int) -> None:
    link = world.links[testrail_id]
    taken = {name: one.decided(accepted=True) for name, one in link.field_problems.items()}
    assert world.store.save(world.pair.id, link.deciding(taken), world.clock.now())


def in_step(world: World) -> bool | None:
    return overview(world.engine, [world.pair])[world.pair.id].in_step


def edited_and_refused(world: World) -> None:
    world.add("One")
    world.run(Trigger.MIGRATION)
    world.behave(ably=replace(ABLY, null_clears=False))
    world.edit_target(1, due_date="2026-05-01T00:00:00Z")
    assert world.run().state is State.PARTIAL


def test_a_refusal_over_an_edit_stays_told_and_is_not_repeated(world: World) -> None:
    edited_and_refused(world)
    for _ in range(8):
        world.clock.sleep(900)
        assert world.run(Trigger.SCHEDULE).state is State.PARTIAL
        assert (world.to_ably.writes, in_step(world)) == ({}, False)


def test_an_accepted_refusal_stays_accepted(world: World) -> None:
    edited_and_refused(world)
    accept_all(world, 1)
    world.run(Trigger.SCHEDULE)
    assert [one.accepted for one in world.links[1].failures] == [True]


@pytest.mark.parametrize("field", ["name", "description", "due_date"])
def test_a_shortened_value_is_kept_in_every_run(world: World, field: str) -> None:
    world.policy = TARGET_WINS
    world.add("Release 2.0 beta", description="Some text about it", due_on=1_780_000_000)
    world.run()
    short = {"name": "Release 2.0", "description": "Some text", "due_date": "2026-05-28T00:00:00Z"}
    world.edit_target(1, **{field: short[field]})
    for _ in range(3):
        report = world.run()
        assert [one["kind"] for one in report.problems] == ["target_edit_kept"]
        assert report.state is State.SUCCEEDED


def test_what_is_shortened_while_a_run_writes_is_put_back_by_the_next(world: World) -> None:
    world.add("Release 2.0 beta", due_on=1_780_000_000)
    world.run()
    world.edit(1, due_on=1_790_000_000)

    def shorten(method: str, _: str) -> None:
        if method == "PATCH":
            world.ably.update(PROJECT, world.id_of(1), {"name": "Release 2.0"})

    world.to_ably.before = shorten
    world.run()
    world.to_ably.before = lambda _method, _what: None
    assert world.run().state is State.SUCCEEDED
    assert world.in_target(1)["name"] == "Release 2.0 beta"


@pytest.mark.parametrize("to", [None, 2])
def test_a_refresh_leaves_a_moved_one_told_and_accepted(world: World, to: int | None) -> None:
    first = world.add("P")
    world.add("Q")
    child = world.add("c", first)
    world.run(Trigger.MIGRATION)
    world.edit(child, parent_id=to)
    world.run()
    accept_all(world, child)
    world.run(Trigger.WEBHOOK, Scope((child,)))
    assert [(f.kind.value, f.accepted) for f in world.links[child].failures] == [
        ("immovable", True)
    ]


def test_only_does_not_spoil_what_is_counted(world: World) -> None:
    parent = world.add("Parent")
    world.add("open", parent)
    world.add("done", parent, is_completed=True)
    other = world.add("other", is_completed=True)
    world.run(Trigger.MIGRATION)
    before = dict(world.run().not_exact)
    world.run(only=Only.COMPLETED)
    world.edit(other, name="changed")
    world.run()
    assert dict(world.run().not_exact) == before
