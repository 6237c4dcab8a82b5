"""Undoing a run while Testably does not take one write, or none (R6)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from mappings.link_record import LinkState
from mappings.problem import ProblemKind
from tests.support.lanes import SteppedLanes
from tests.support.world import PROJECT, World
from worker.errors import (
    AccessDenied,
    AnswerTooLarge,
    ApiError,
    ConnectionLost,
    CredentialsRefused,
    Done,
    Misdirected,
    NotFound,
    Redirected,
    Refused,
    ServerTrouble,
    TakesNoWrites,
)
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import Trigger
from worker.sync.report import RunReport, State
from worker.sync.undo import undo

LEAVES = TestablySwitches(archived_subs_lock_status=False)
"""A target where a parent can be archived once its sub-milestones are."""


def made(world: World, count: int) -> tuple[list[int], str]:
    """So many milestones that one run has created, and the run."""
    ids = [world.add(f"Release {number}") for number in range(count)]
    report = world.run(Trigger.MIGRATION)
    world.clock.sleep(60)  # so that the undo is the newer run
    world.to_ably.requests.clear()
    assert report.run is not None
    return ids, report.run


def fails(world: World, error: ApiError, *ids: int) -> None:
    """From now on Testably answers so each PATCH of these milestones, or of any."""
    only = {f"milestones/{world.id_of(id_)}" for id_ in ids}

    def fail(method: str, what: str) -> None:
        if method == "PATCH" and (not only or what in only):
            raise error

    world.to_ably.before = fail


def works_again(world: World) -> None:
    world.to_ably.before = lambda *_: None


def taken_back(world: World, run: str) -> RunReport:
    return undo(world.context(), run)


OF_ONE = {
    "500": ServerTrouble("Testably", "It failed", status=500, done=Done.MAYBE),
    "cut": ConnectionLost("Testably", "It was cut", done=Done.MAYBE),
    "too large": AnswerTooLarge("Testably", "It is too large", done=Done.MAYBE),
    "redirect": Redirected("Testably", "It was sent on", status=302, done=Done.MAYBE),
    "403": AccessDenied("Testably", "It is denied", status=403),
    "404": NotFound("Testably", "It is not there", status=404),
    "422": Refused("Testably", "It is refused", status=422),
}


@pytest.mark.parametrize("place", [0, 2, 3], ids=["last", "second", "first"])
@pytest.mark.parametrize("answer", OF_ONE)
def test_one_that_testably_does_not_take_stops_no_other(
    world: World, answer: str, place: int
) -> None:
    """It is told, and held as the others are; undone again, it is taken back."""
    ids, run = made(world, 4)
    bad, error = ids[place], OF_ONE[answer]
    fails(world, error, bad)
    undone = taken_back(world, run)
    assert (undone.state, undone.counts["archived"], undone.counts["held"]) == (State.PARTIAL, 3, 4)
    [told] = undone.problems
    assert (told["testrail_id"], told["kind"]) == (bad, "undo_failed")
    assert f"The undo of run {run} did not take it back:" in str(told["reason"])
    assert error.message in str(told["reason"])
    [failure] = world.links[bad].failures
    assert (failure.kind, failure.reason) == (ProblemKind.UNDO_FAILED, told["reason"])
    works_again(world)
    assert world.run(Trigger.SCHEDULE).counts["held"] == 4
    assert world.to_ably.writes == {}
    again = taken_back(world, run)
    assert (again.state, again.counts["archived"]) == (State.SUCCEEDED, 1)
    assert [one.kind for one in world.links[bad].failures] == [ProblemKind.HELD]


def test_of_one_that_goes_after_it_was_read_the_next_undo_has_nothing_to_take_back(
    world: World,
) -> None:
    """Its 404 tells nothing of the others, and not that it has gone (R4)."""
    (first, second), run = made(world, 2)
    gone = world.id_of(second)

    def goes(method: str, _: str) -> None:
        if method == "PATCH" and gone in {row["id"] for row in world.ably.live(PROJECT)}:
            world.ably.remove(gone)

    world.to_ably.before = goes
    undone = taken_back(world, run)
    assert (undone.state, undone.counts["archived"]) == (State.PARTIAL, 1)
    assert [(p["testrail_id"], p["kind"]) for p in undone.problems] == [(second, "undo_failed")]
    assert world.ably.live(PROJECT) == []
    assert {world.links[id_].state for id_ in (first, second)} == {LinkState.HELD}
    again = taken_back(world, run)
    assert (again.state, again.problems) == (State.SUCCEEDED, ())
    assert again.counts["archived"] == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("answer", ["500", "403"])
def test_an_undo_ends_where_testably_takes_no_writes(world: World, answer: str, seed: int) -> None:
    """After ten before any success, with several under way too; the next one goes on."""
    ids, run = made(world, 16)
    fails(world, OF_ONE[answer])
    context = world.context()
    choose = Random(seed).randrange
    context = replace(context, lanes=lambda: SteppedLanes(4, choose))
    with pytest.raises(TakesNoWrites if answer == "500" else AccessDenied):
        undo(context, run)
    newest = context.runs.latest(world.pair.id, 1)[0]
    assert newest.state == "failed"
    links = world.links.values()
    held = {link.testrail_id for link in links if link.state is LinkState.HELD}
    assert held == {one.testrail_id for one in world.changes if one.run_id == newest.id}
    assert 10 <= len(held) < 14
    assert [link for link in links if link.lease_until is not None] == []
    works_again(world)
    assert taken_back(world, run).counts["archived"] == len(ids)


def test_an_undo_whose_every_write_is_denied_ends_as_that(world: World) -> None:
    """As every run does: it is the account's, and no milestone's."""
    _, run = made(world, 3)
    fails(world, OF_ONE["403"])
    with pytest.raises(AccessDenied):
        taken_back(world, run)


@pytest.mark.parametrize(
    "error",
    [
        CredentialsRefused("Testably", "401", status=401),
        Misdirected("Testably", "The certificate is not trusted"),
    ],
)
def test_what_concerns_all_ends_an_undo_at_once(world: World, error: ApiError) -> None:
    _, run = made(world, 3)
    fails(world, error)
    with pytest.raises(type(error)):
        taken_back(world, run)
    assert world.to_ably.writes == {"PATCH": 1}


def test_a_project_that_goes_ends_an_undo_at_once(world: World) -> None:
    """Then a 404 says nothing of a milestone (R4)."""
    ids, run = made(world, 3)

    def goes(*_: str) -> None:
        if world.to_ably.writes:
            raise NotFound("Testably", "There is no such project", status=404)

    world.to_ably.before = goes
    with pytest.raises(NotFound):
        taken_back(world, run)
    assert world.to_ably.writes == {"PATCH": 1}
    assert sum(world.links[id_].is_held for id_ in ids) == 1


def test_where_testably_goes_away_during_an_undo_each_of_the_rest_is_sent_once(
    world: World,
) -> None:
    """After five in a row (R6); all of them are held and told, and the next undo goes on."""
    ids, run = made(world, 15)
    error = OF_ONE["500"]
    fails(world, error, *ids[:-2])
    undone = taken_back(world, run)
    assert (undone.state, undone.counts["archived"], undone.counts["held"]) == (
        State.PARTIAL,
        2,
        15,
    )
    assert len(undone.problems) == 13
    sent = [what for method, what in world.to_ably.requests if method == "PATCH"]
    assert [sent.count(f"milestones/{world.id_of(id_)}") for id_ in reversed(ids)] == (
        [1] * 2 + [6] * 5 + [1] * 8
    )
    works_again(world)
    assert taken_back(world, run).counts["archived"] == 13


def test_a_parent_that_does_not_take_back_what_was_its_own_is_told(world: World) -> None:
    """It was written beside what was taken back, and stops nothing either."""
    world.rules = replace(world.rules, footer=False)
    world.behave(ably=LEAVES)
    parent = world.add("Parent", due_on=1_780_272_000)
    world.run(Trigger.MIGRATION)
    before = world.ably.get(PROJECT, world.id_of(parent))["due_date"]
    child = world.add("Child", parent, start_on=1_778_000_000, due_on=1_779_000_000)
    run = world.run(Trigger.MIGRATION).run or ""
    world.clock.sleep(60)
    fails(world, OF_ONE["500"], parent)
    undone = taken_back(world, run)
    assert [(p["testrail_id"], p["kind"]) for p in undone.problems] == [(parent, "undo_failed")]
    assert world.links[child].is_held
    assert world.links[parent].is_held
    works_again(world)
    assert taken_back(world, run).state is State.SUCCEEDED
    assert world.ably.get(PROJECT, world.id_of(parent))["due_date"] == before
