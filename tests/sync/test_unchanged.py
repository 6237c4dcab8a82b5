"""What agrees as before is counted and not looked at; a plan says the same as if it had been."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from mappings.links import Links
from tests.support.world import PROJECT, World
from worker.sync.decide.plan import make_plan
from worker.sync.decide.snapshot import Snapshot
from worker.sync.options import Options
from worker.sync.read.scope import Reader, Scope
from worker.sync.report import State, actions_json
from worker.sync.verify import verification, verify

DAY = 86_400
SEEDS = 12
KINDS = ("rename", "complete", "delete", "child", "edit", "stranger", "copy", "wait")


def snapshot(world: World, links: Links, *, listed: bool = True) -> Snapshot:
    """Both sides, read with what these links know."""
    reader = Reader(
        world.pair,
        world.source,
        world.target,
        world.rules,
        world.policy,
        Options(),
        links,
        lambda ids: world.store.links(world.pair.id, ids),
    )
    return reader.snapshot(Scope(list_target=listed), world.clock.now())


def in_short(world: World, *, listed: bool = True) -> Snapshot:
    """Read as a run reads: what agrees as before is not kept."""
    return snapshot(world, world.store.outlines(world.pair.id), listed=listed)


def family(world: World, dice: random.Random) -> None:
    """A root of some kind, with up to three sub-milestones."""
    start = 1_772_323_200 + dice.randint(-90, 90) * DAY
    dates = {"start_on": start, "due_on": start + dice.randint(1, 60) * DAY}
    flags = dice.choice([{}, {"is_started": True}, {"is_completed": True}])
    parent = world.add(f"Root {dice.random()}", **dates, **flags)
    for _ in range(dice.randint(0, 3)):
        flags = dice.choice([{}, {"is_completed": True}])
        world.add(f"Child {dice.random()}", parent, due_on=start + 30 * DAY, **flags)


def happen(world: World, dice: random.Random) -> None:
    """Something that people do, on either side; or time passes."""
    chosen = dice.choice(sorted(world.links))
    there = {row["id"]: row for row in world.rail.everything(1)}
    is_root = chosen in there and there[chosen]["parent_id"] is None
    what = dice.choice(KINDS)
    if what == "rename" and chosen in there:
        world.edit(chosen, name="New")
    elif what == "complete" and chosen in there:
        world.edit(chosen, is_completed=True)
    elif what == "delete" and chosen in there:
        world.rail.delete(chosen)
    elif what == "child" and is_root:
        world.add(f"New {dice.random()}", chosen)
    elif what == "edit":
        world.edit_target(chosen, due_date="2027-01-01T00:00:00Z")
    elif what == "stranger":
        _stranger(world, chosen)
    elif what == "copy":
        shown = world.ably.get(PROJECT, world.id_of(chosen))
        world.ably.create(PROJECT, {"name": "Copy", "description": shown["description"]})
    else:
        world.clock.sleep(dice.randint(1, 80) * DAY)


def _stranger(world: World, below: int) -> None:
    """A sub-milestone that people make in Testably."""
    shown = world.ably.get(PROJECT, world.id_of(below))
    if not (shown.get("parent_milestone_id") or shown.get("parent_id")):
        world.ably.create(PROJECT, {"name": "Theirs", "parent_id": world.id_of(below)})


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("listed", [True, False])
def test_a_plan_says_the_same_whether_or_not_what_agrees_was_looked_at(
    world: World, seed: int, listed: bool
) -> None:
    """The actions, the counts, the differences, what is exempt and what is compared."""
    dice = random.Random(seed)
    for _ in range(6):
        family(world, dice)
    world.run()
    world.run()
    for _ in range(dice.randint(0, 3)):
        happen(world, dice)
        if dice.random() < 0.4:
            world.run()
    short = in_short(world, listed=listed)
    whole = snapshot(world, Links(world.links), listed=listed)
    one, other = make_plan(short), make_plan(whole)
    by_id = {action["testrail_id"]: action for action in actions_json(other)}
    assert {action["testrail_id"]: action for action in actions_json(one)} == by_id | {
        action.testrail_id: by_id[action.testrail_id] | {"parent_id": None}
        for action in one.in_step
    }
    assert all(by_id[action.testrail_id]["action"] == "skip" for action in one.in_step)
    assert (one.not_exact, one.guards, one.writes) == (other.not_exact, other.guards, other.writes)
    found = (verification(world.identity, s, p) for s, p in ((short, one), (whole, other)))
    assert next(found) == next(found)


def two_families(world: World) -> World:
    """A root with two sub-milestones and one with none, in step and noted as such."""
    above = world.add("Above")
    world.add("Below", above)
    world.add("Below too", above, is_completed=True)
    world.add("Alone")
    world.run()
    world.run()
    return world


def test_what_agrees_is_a_count(world: World) -> None:
    """Parents as well: nothing of either side is kept."""
    read = in_short(two_families(world))
    assert not read.source.milestones
    assert not read.target.milestones
    assert not read.links.complete
    assert len(make_plan(read).in_step) == 4
    assert world.run().as_json()["unchanged"] == 4


@pytest.mark.parametrize("id_", [1, 2])
def test_a_family_is_decided_as_a_whole(world: World, id_: int) -> None:
    """What is above and beside a milestone that changed is read again from its link."""
    two_families(world).edit(id_, name="Renamed")
    read = in_short(world)
    assert sorted(read.source.milestones) == [1, 2, 3]
    assert len(read.target.milestones) == 3
    assert list(read.source.unchanged) == [4]


def test_an_edit_in_the_target_opens_the_family_too(world: World) -> None:
    """Its rows were not kept, and are taken from what was last observed of them."""
    two_families(world).edit_target(2, description="Theirs")
    read = in_short(world)
    assert sorted(read.source.milestones) == [1, 2, 3]
    again = read.target.milestones[world.id_of(3)]
    assert again.values == world.links[3].observed
    assert (again.id, again.parent_id, again.date_mode) == (
        world.id_of(3),
        world.id_of(1),
        world.ably.get(PROJECT, world.id_of(3)).get("date_mode"),
    )
    assert world.run().as_json()["updated"] == 1


def test_it_is_counted_anew_once_time_has_passed(world: World) -> None:
    """Testably shows a milestone as started from its start date on, whatever TestRail says."""
    now = int(world.clock.now().timestamp())
    world.add("Soon", start_on=now // DAY * DAY + 2 * DAY)
    world.run()
    world.run()
    assert not make_plan(in_short(world)).not_exact
    world.clock.sleep(timedelta(days=3).total_seconds())
    assert make_plan(in_short(world)).not_exact == {"lifecycle": 1}


def test_a_record_that_is_not_the_link_s_own_is_read_once_more(world: World) -> None:
    """The fingerprint vouches for the record beside the link; another one is not believed."""
    two_families(world)
    link = world.links[1]
    assert world.store.save(
        world.pair.id, replace(link, raw={**link.raw, "name": "Old"}), world.clock.now()
    )
    world.edit(2, name="Renamed")
    read = in_short(world)
    assert read.source.milestones[1].name == "Above"
    assert world.to_rail.count("GET", "get_milestone/1") == 1


@pytest.mark.parametrize("wrong", ["unreadable", "out of reach", "gone, and in use"])
def test_what_was_wrong_with_it_is_over_where_it_is_as_before(world: World, wrong: str) -> None:
    """Its row agrees as it did; what was told of it since is taken back all the same."""
    one = world.add("One")
    world.add("Two")
    world.run()
    world.run()
    assert len(make_plan(in_short(world)).in_step) == 2
    before = world.rail.get(one)
    if wrong == "unreadable":
        world.rail.plant({**before, "name": " "})
    elif wrong == "out of reach":
        world.rail.projects.add(2)
        world.rail.plant(before, project_id=2)
        world.rail.no_access.add(2)
    else:
        world.rail.delete(one)
        world.ably.link_run(world.id_of(one), {"id": "r1", "name": "Smoke", "status": "active"})
    assert world.run().state is State.PARTIAL
    assert world.links[one].failures
    world.rail.plant(before, project_id=1)
    assert world.run().state is State.SUCCEEDED
    assert not world.links[one].failures
    assert verify(world.context()).in_step
