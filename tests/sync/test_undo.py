"""Undo, verify and rebuild over whole runs in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from mappings.footer import marker_url
from mappings.link_record import LinkState
from mappings.milestone import DATE_FIELDS
from mappings.problem import WHOLE, ProblemKind
from tests.support.lanes import SteppedLanes
from tests.support.world import PROJECT, World
from worker.clients.pauses import MOST_IN_A_ROW
from worker.errors import (
    AccessDenied,
    ApiError,
    CredentialsRefused,
    GuardTripped,
    NotFound,
    RateLimited,
    Redirected,
    ServerTrouble,
    UnreadableAnswer,
    UsageError,
)
from worker.sandbox.rules import Problem as Refusal
from worker.sandbox.rules import Record
from worker.sandbox.switches import TestablySwitches
from worker.sync.apply.outcome import Outcome
from worker.sync.apply.updates import FRESH
from worker.sync.context import PairContext
from worker.sync.options import OnTargetEdit, Trigger
from worker.sync.rebuild import rebuild
from worker.sync.report import RunReport, State
from worker.sync.undo import undo
from worker.sync.undo_plan import plan_undo
from worker.sync.verify import verify

LEAVES = TestablySwitches(archived_subs_lock_status=False)
"""A target where a parent can be archived once its sub-milestones are."""


def migrate(world: World) -> RunReport:
    return world.run(Trigger.MIGRATION)


def taken_back(world: World, report: RunReport, *, force: bool = False) -> RunReport:
    assert report.run is not None
    return undo(world.context(), report.run, force=force)


def test_created_ones_are_archived_children_first_and_stay_so(world: World) -> None:
    """An undo archives what was created; the next sync leaves it, a migration brings it back."""
    world.behave(ably=LEAVES)
    parent = world.add("Parent")
    child = world.add("Child", parent, is_completed=True)
    undone = taken_back(world, migrate(world))
    assert (undone.state, undone.counts["archived"]) == (State.SUCCEEDED, 2)
    assert world.ably.live(PROJECT) == []
    assert undone.counts["held"] == 2
    held = world.run()
    assert (held.state, held.counts["held"]) == (State.PARTIAL, 2)
    assert world.to_ably.writes == {}
    assert migrate(world).state is State.SUCCEEDED
    assert world.differences() == []
    assert {world.in_target(child)["status"]} == {"completed"}


def families(world: World) -> dict[int, int | None]:
    """Three parents with three sub-milestones each; each id with its parent's."""
    above: dict[int, int | None] = {world.add(f"Parent {number}"): None for number in range(3)}
    for parent in list(above):
        above |= {world.add(f"Below {parent}, {number}", parent): parent for number in range(3)}
    return above


def several_at_once(world: World, seed: int) -> PairContext:
    """A context with up to four requests under way, which go on in an order of their own."""
    choose = Random(seed).randrange
    return replace(world.context(), lanes=lambda: SteppedLanes(4, choose))


@pytest.mark.parametrize("seed", range(4))
def test_a_parent_is_archived_after_its_sub_milestones_and_put_back_before_them(
    world: World, seed: int
) -> None:
    """Whatever else is under way at the same time."""
    world.behave(ably=LEAVES)
    above = families(world)
    for source_is_gone in (False, True):
        done = migrate(world)
        targets = {id_: world.id_of(id_) for id_ in above}
        if source_is_gone:
            for id_ in reversed(above):
                world.rail.delete(id_)
            done = world.run(Trigger.MIGRATION, allow_mass_archive=True)
            assert done.counts["archived"] == len(above)
        world.to_ably.requests.clear()
        assert done.run is not None
        assert undo(several_at_once(world, seed), done.run).state is State.SUCCEEDED
        sent = [what.partition("/")[2] for m, what in world.to_ably.requests if m == "PATCH"]
        assert sorted(sent) == sorted(targets.values())
        for id_, parent in above.items():
            if parent is not None:
                parent_is_first = sent.index(targets[parent]) < sent.index(targets[id_])
                assert parent_is_first is source_is_gone


def taken_back_until(
    world: World, done: RunReport, seed: int, disturb: Callable[[PairContext], None]
) -> list[Outcome]:
    """The outcomes of an undo that something ends; ``disturb`` is called after the third one."""
    world.clock.sleep(60)  # so that the undo is the newer run
    context, outcomes = several_at_once(world, seed), list[Outcome]()

    def heard(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 3:
            disturb(context)

    assert done.run is not None
    with pytest.raises((CredentialsRefused, GuardTripped)):
        undo(context, done.run, begin=lambda _: heard)
    return outcomes


def sent_by_the_newest_run(world: World) -> set[int]:
    """The milestones that the newest run has sent anything of."""
    run = world.context().runs.latest(world.pair.id, 1)[0]
    return {change.testrail_id for change in world.changes if change.run_id == run.id}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["denied to all", "stop"])
def test_what_ends_an_undo_ends_all_that_is_under_way_and_the_next_one_goes_on(
    world: World, kind: str, seed: int
) -> None:
    """What was sent is held, and nobody is left waiting for a claim."""
    world.behave(ably=LEAVES)
    above = families(world)
    done = migrate(world)

    def denied(method: str, _: str) -> None:
        if method == "PATCH":
            raise CredentialsRefused("Testably", "401", status=401)

    def disturb(context: PairContext) -> None:
        if kind == "stop":
            context.runs.stop(context.runs.latest(world.pair.id, 1)[0].id)
            world.clock.sleep(1.0)
        else:
            world.to_ably.before = denied

    outcomes = taken_back_until(world, done, seed, disturb)
    assert 3 <= len(outcomes) < len(above)
    world.to_ably.before = lambda *_: None
    assert [link for link in world.links.values() if link.lease_until is not None] == []
    held = {id_ for id_, link in world.links.items() if link.state is LinkState.HELD}
    assert held == sent_by_the_newest_run(world)
    assert taken_back(world, done).counts["held"] == len(above)
    assert world.ably.live(PROJECT) == []


@pytest.mark.parametrize("kind", ["rate_limited", "maintenance", "server_error"])
def test_what_passes_is_waited_for_while_others_are_under_way(world: World, kind: str) -> None:
    world.behave(ably=LEAVES)
    families(world)
    done = migrate(world)
    world.to_ably.faults.script(kind, method="PATCH", times=3)
    assert done.run is not None
    assert undo(several_at_once(world, 5), done.run).state is State.SUCCEEDED
    assert world.ably.live(PROJECT) == []


def test_an_undo_that_is_limited_for_ever_ends(world: World) -> None:
    """The attempts are those of all milestones together."""
    for number in range(12):
        world.add(f"M{number}")
    done = migrate(world)
    world.to_ably.requests.clear()
    world.to_ably.faults.script("rate_limited", method="PATCH", times=1000)
    assert done.run is not None
    with pytest.raises(RateLimited):
        undo(world.context(), done.run)
    assert world.to_ably.writes == {"PATCH": MOST_IN_A_ROW + 1}


def test_a_person_can_stop_an_undo_which_goes_on_when_it_is_done_again(world: World) -> None:
    for number in range(3):
        world.add(f"M{number}")
    done = migrate(world)
    world.clock.sleep(60)  # so that the undo is the newer run
    context = world.context()

    def stop(_: Outcome) -> None:
        undoing = context.runs.latest(world.pair.id, 1)[0]
        assert (undoing.id != done.run, undoing.options) == (True, {"undoes": done.run})
        context.runs.stop(undoing.id)
        world.clock.sleep(1.0)

    assert done.run is not None
    with pytest.raises(GuardTripped, match="stopped") as stopped:
        undo(context, done.run, begin=lambda _: stop)
    assert "Undo it again" in stopped.value.hint
    assert len(world.ably.live(PROJECT)) == 2
    assert taken_back(world, done).counts["held"] == 3
    assert world.ably.live(PROJECT) == []


def test_changed_ones_are_restored_but_not_over_what_changed_since(world: World) -> None:
    """The before-values come back, field by field, unless somebody changed the field since."""
    one = world.add("Before", description="Old")
    migrate(world)
    world.edit(one, name="After", description="New")
    changed = world.run()
    world.edit_target(one, name="By hand")
    undone = taken_back(world, changed)
    assert undone.state is State.PARTIAL
    assert undone.problems[0]["kind"] == "changed_since"
    shown = world.ably.get(PROJECT, world.id_of(one))
    assert shown["name"] == "By hand"
    assert str(shown["description"]).startswith("Old")
    assert taken_back(world, changed, force=True).state is State.SUCCEEDED
    assert world.ably.get(PROJECT, world.id_of(one))["name"] == "Before"


def test_one_with_linked_runs_is_only_archived_by_force(world: World) -> None:
    """A created milestone that is in use is left, unless a person insists."""
    one = world.add("In use")
    made = migrate(world)
    world.ably.link_run(world.id_of(one), {"id": "run_1", "name": "Smoke", "status": "active"})
    assert made.run is not None
    [step] = plan_undo(world.context(), made.run).steps
    assert step.blocked is not None
    assert taken_back(world, made).state is State.PARTIAL
    assert len(world.ably.live(PROJECT)) == 1
    assert taken_back(world, made, force=True).counts["archived"] == 1
    assert world.ably.live(PROJECT) == []


def test_one_with_linked_runs_is_put_back_into_the_archive_only_by_force(world: World) -> None:
    """As the run found it; what else it wrote is taken back (R12)."""
    one = world.add("Before")
    migrate(world)
    world.edit_target(one, status="archived")
    world.edit(one, name="After")
    changed = world.run()
    world.ably.link_run(world.id_of(one), {"id": "run_1", "name": "Smoke", "status": "active"})
    undone = taken_back(world, changed)
    assert (undone.state, undone.counts["conflicts"]) == (State.PARTIAL, 0)
    [told] = undone.problems
    assert told["kind"] == "changed_since"
    assert "Smoke (active)" in told["reason"]
    assert "edited" not in told["reason"]
    assert (in_ably(world, one, "name"), in_ably(world, one, "status")) == ("Before", "active")
    assert taken_back(world, changed, force=True).state is State.SUCCEEDED
    assert in_ably(world, one, "status") == "archived"


def test_a_parent_with_linked_runs_gets_its_place_in_the_archive_back_only_by_force(
    world: World,
) -> None:
    """An earlier undo had archived it; its sub-milestone goes, and its status is its own again."""
    world.behave(ably=LEAVES)
    parent = world.add("Parent")
    taken_back(world, migrate(world))
    child = world.add("Child", parent)
    again = migrate(world)
    assert in_ably(world, parent, "status") == "active"
    world.ably.link_run(world.id_of(parent), {"id": "run_1", "name": "Smoke", "status": "active"})
    undone = taken_back(world, again)
    assert ("changed_since", parent) in [(p["kind"], p["testrail_id"]) for p in undone.problems]
    shown = [in_ably(world, one, "status") for one in (parent, child)]
    assert shown == ["active", "archived"]
    taken_back(world, again, force=True)
    assert in_ably(world, parent, "status") == "archived"


@pytest.mark.parametrize("force", [True, False])
def test_what_an_undo_read_long_ago_is_looked_into_before_it_is_archived(
    world: World, force: bool
) -> None:
    """In one people have begun to work since, one cannot be read any more (R12)."""
    free, busy, unread, old = (world.add(f"M{n}") for n in range(4))
    made = migrate(world)
    ids = [world.id_of(one) for one in (free, busy, unread, old)]
    began = world.clock.now()

    def takes_long(method: str, what: str) -> None:
        if method == "PATCH" and what.endswith(ids[3]):  # what was changed last goes first
            world.clock.sleep(400)
            world.ably.link_run(ids[1], {"id": "r", "name": "Smoke", "status": "active"})
        elif what.endswith(ids[2]) and method == "GET" and world.clock.now() > began + FRESH:
            raise AccessDenied("Testably", "no access")

    world.to_ably.before = takes_long
    undone = taken_back(world, made, force=force)
    shown = [world.ably.get(PROJECT, id_)["status"] for id_ in ids]
    assert shown == (["archived"] * 4 if force else ["archived", "active", "active", "archived"])
    told = [] if force else [(busy, "changed_since"), (unread, "undo_failed")]
    assert sorted((p["testrail_id"], p["kind"]) for p in undone.problems) == told
    world.to_ably.before = lambda *_: None
    assert taken_back(world, made, force=True).state is State.SUCCEEDED
    assert world.ably.live(PROJECT) == []


def test_what_an_undo_puts_back_into_the_archive_is_looked_into_again(world: World) -> None:
    """Its other fields are put back all the same (R12)."""
    one = world.add("Before")
    migrate(world)
    world.edit_target(one, status="archived")
    world.edit(one, name="After")
    changed = world.run()

    def takes_long(_: object) -> Callable[[object], None]:
        world.clock.sleep(400)
        world.ably.link_run(world.id_of(one), {"id": "r", "name": "Smoke", "status": "active"})
        return lambda _: None

    undone = undo(world.context(), changed.run or "", begin=takes_long)
    assert [p["kind"] for p in undone.problems] == ["changed_since"]
    assert (in_ably(world, one, "name"), in_ably(world, one, "status")) == ("Before", "active")
    assert world.links[one].problem is not None


def test_adopted_ones_are_left_alone_and_unlinked(world: World) -> None:
    """An undo of an adoption forgets the link and leaves the target; a migration adopts again."""
    one = world.add("Release")
    migrate(world)
    world.store.update_pair(world.pair.id, rules=None)
    lost = replace(world, engine=world.engine)
    assert one in lost.links
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM links")
    adopted = migrate(world)
    assert adopted.counts["adopted"] == 1
    assert taken_back(world, adopted).state is State.SUCCEEDED
    assert world.links[one].testably_id is None
    assert len(world.ably.live(PROJECT)) == 1
    assert world.run().counts["created"] == 0
    assert migrate(world).counts["adopted"] == 1


def test_an_undo_that_fails_after_the_commit_still_holds(world: World) -> None:
    """Held is committed before the request: no schedule undoes an undo that was cut off."""
    one = world.add("Release")
    made = migrate(world)
    world.to_ably.faults.script("server_error_after", method="PATCH", times=20)
    assert taken_back(world, made).state is State.PARTIAL
    world.to_ably.faults.clear()
    world.clock.sleep(120)
    assert world.run().counts["held"] == 1
    assert world.to_ably.writes == {}
    [failure] = world.links[one].failures
    assert (failure.kind, "server_error_after" in failure.reason) == (
        ProblemKind.UNDO_FAILED,
        True,
    )
    assert world.ably.get(PROJECT, world.id_of(one))["status"] == "archived"


def test_what_testably_refuses_to_take_back_says_so_until_it_is_released(world: World) -> None:
    """In every run after the undo, too; a second undo that works ends it."""
    one = world.add("Release")
    made = migrate(world)
    world.behave(ably=TestablySwitches(refused_statuses=("archived",)))
    assert taken_back(world, made).state is State.PARTIAL
    world.run()
    [failure] = world.links[one].failures
    assert failure.kind is ProblemKind.UNDO_FAILED
    assert (made.run or "") in failure.reason
    assert "status cannot be archived" in failure.reason
    [told] = world.run().problems
    assert told["reason"] == failure.reason
    world.behave(ably=TestablySwitches())
    assert taken_back(world, made).state is State.SUCCEEDED
    assert [one.kind for one in world.links[one].failures] == [ProblemKind.HELD]
    assert migrate(world).state is State.SUCCEEDED
    assert world.links[one].failures == ()


def test_what_testably_did_not_take_back_is_not_said_to_be(world: World) -> None:
    """Its answer shows another value than the one that was sent."""
    one = world.add("A name that is longer than twenty")
    migrate(world)
    world.edit(one, name="Short")
    changed = world.run()
    world.behave(ably=TestablySwitches(cuts_name_at=20))
    undone = taken_back(world, changed)
    assert undone.state is State.PARTIAL
    [failure] = world.links[one].failures
    assert failure.kind is ProblemKind.UNDO_FAILED
    assert "A name that is longe" in failure.reason


def test_a_parent_that_comes_back_gets_no_status_of_its_own(world: World) -> None:
    """After an undo a parent is only brought back; what it shows then is derived."""
    world.behave(ably=replace(LEAVES, parent_dates_read_only=False))
    parent = world.add("Parent", is_completed=True)
    world.add("Child", parent)
    taken_back(world, migrate(world))
    sent: list[object] = []
    world.target.after = lambda method: sent.append(method)
    again = migrate(world)
    assert (again.state, again.problems) == (State.SUCCEEDED, ())
    assert verify(world.context()).in_step
    assert world.run().state is State.SUCCEEDED
    assert world.to_ably.writes == {}


def in_ably(world: World, testrail_id: int, name: str) -> object:
    return world.ably.get(PROJECT, world.id_of(testrail_id))[name]


def test_a_run_of_nobody_cannot_be_undone(world: World) -> None:
    """An unknown run is a wrong usage."""
    migrate(world)
    with pytest.raises(UsageError):
        plan_undo(world.context(), "20260101-000000-0000")


def test_what_is_gone_since_needs_no_undo(world: World) -> None:
    """A target that was deleted in the meantime is nothing to take back."""
    one = world.add("Release")
    made = migrate(world)
    world.ably.remove(world.id_of(one))
    assert taken_back(world, made).counts["unchanged"] == 1


@pytest.mark.parametrize("incomplete", [True, False])
def test_nothing_is_gone_for_an_undo_that_is_listed(world: World, incomplete: bool) -> None:
    """A 404 to its id tells that only where whole lists lack it (R4): it is left, and told."""
    one, other = world.add("Release"), world.add("Other")
    made = migrate(world)
    cannot_be_read(world, {world.id_of(one)}, NotFound)
    world.target.incomplete = incomplete
    if incomplete:
        world.ably.remove(world.id_of(one))
    undone = taken_back(world, made)
    assert (undone.state, undone.counts["archived"]) == (State.PARTIAL, 1)
    assert [(p["testrail_id"], p["kind"]) for p in undone.problems] == [(one, "undo_failed")]
    assert {world.links[id_].state for id_ in (one, other)} == {LinkState.HELD}
    world.target.incomplete, world.to_ably.before = False, lambda *_: None
    assert taken_back(world, made).counts["archived"] == (not incomplete)
    assert world.ably.live(PROJECT) == []


def test_an_undo_concludes_nothing_where_the_project_does_not_answer(world: World) -> None:
    """Then a 404 says nothing of a milestone (R4), and none is held."""
    world.add("Release")
    made = migrate(world)

    def no_project(*_: str) -> None:
        raise NotFound("Testably", "no such project")

    world.to_ably.before = no_project
    with pytest.raises(NotFound):
        taken_back(world, made)
    assert {link.state for link in world.links.values()} == {LinkState.LINKED}


def cannot_be_read(world: World, ids: set[str], error: type[ApiError]) -> None:
    def fail(method: str, what: str) -> None:
        if method == "GET" and what.removeprefix("milestones/") in ids:
            raise error("Testably", "it cannot be read")

    world.to_ably.before = fail


@pytest.mark.parametrize("error", [AccessDenied, Redirected, ServerTrouble, UnreadableAnswer])
def test_what_cannot_be_read_is_left_by_an_undo_which_takes_back_the_rest(
    world: World, error: type[ApiError]
) -> None:
    """It is told and held (R6, R9), and taken back once it can be read."""
    first, _, last = world.add("First"), world.add("Second"), world.add("Last")
    made = migrate(world)
    cannot_be_read(world, {world.id_of(first), world.id_of(last)}, error)
    undone = taken_back(world, made, force=True)
    assert (undone.state, undone.counts["archived"], undone.counts["held"]) == (State.PARTIAL, 1, 3)
    told = {problem["testrail_id"]: problem["kind"] for problem in undone.problems}
    assert told == {first: "undo_failed", last: "undo_failed"}
    world.to_ably.before = lambda *_: None
    assert world.run().counts["held"] == 3
    assert world.to_ably.writes == {}
    again = taken_back(world, made)
    assert (again.state, again.counts["archived"]) == (State.SUCCEEDED, 2)


def test_an_undo_ends_where_no_milestone_can_be_read(world: World) -> None:
    """Then none of them is to blame: nothing is held, and after ten no other is asked for."""
    ids = [world.add(f"Release {number}") for number in range(12)]
    made = migrate(world)
    cannot_be_read(world, {world.id_of(id_) for id_ in ids}, AccessDenied)
    with pytest.raises(AccessDenied):
        taken_back(world, made)
    assert world.to_ably.count("GET", "milestones/") == 10
    assert {link.state for link in world.links.values()} == {LinkState.LINKED}


@pytest.mark.parametrize("count", [1, 11])
def test_an_undo_leaves_records_with_a_wrong_field_and_takes_back_the_rest(
    world: World, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Testably answers, so these alone are to blame (R6), be they all that it was asked first."""
    others = [world.add(f"Release {number}") for number in range(3 if count > 1 else 0)]
    wrong = [world.add(f"Wrong {number}") for number in range(count)]
    made = migrate(world)
    unread, shown = {world.id_of(id_) for id_ in wrong}, world.ably._shown

    def spoilt(key: str) -> Record:
        return {**shown(key), **({"due_date": "soon"} if key in unread else {})}

    with monkeypatch.context() as patched:
        patched.setattr(world.ably, "_shown", spoilt)
        undone = taken_back(world, made)
        assert (undone.state, undone.counts["archived"]) == (State.PARTIAL, len(others))
        assert sorted(one["testrail_id"] for one in undone.problems) == wrong
        assert {one["kind"] for one in undone.problems} == {"undo_failed"}
        assert undone.counts["held"] == len(others) + count
    assert taken_back(world, made).counts["archived"] == count


def test_an_undo_ends_where_a_login_page_stands_before_testably(world: World) -> None:
    """It cannot be read either, but it is no milestone's: nothing is held."""
    world.add("Release")
    made = migrate(world)

    def page(*_: str) -> None:
        raise UnreadableAnswer("Testably", "an HTML page instead of JSON")

    world.to_ably.before = page
    with pytest.raises(UnreadableAnswer):
        taken_back(world, made)
    assert {link.state for link in world.links.values()} == {LinkState.LINKED}


@pytest.mark.parametrize("footer", [True, False])
def test_a_parent_that_cannot_be_read_is_told_by_an_undo_of_what_is_below_it(
    world: World, footer: bool
) -> None:
    """Nobody knows what that leaves of its dates; it is held if the run wrote to it."""
    world.rules = replace(world.rules, footer=footer)
    world.behave(ably=LEAVES)
    parent = world.add("Parent", due_on=1_780_272_000)
    migrate(world)
    before = world.ably.get(PROJECT, world.id_of(parent))["due_date"]
    child = world.add("Child", parent, start_on=1_778_000_000, due_on=1_779_000_000)
    made = migrate(world)
    cannot_be_read(world, {world.id_of(parent)}, AccessDenied)
    undone = taken_back(world, made)
    assert (undone.state, undone.counts["archived"]) == (State.PARTIAL, 1)
    assert [(p["testrail_id"], p["kind"]) for p in undone.problems] == [(parent, "undo_failed")]
    assert world.links[parent].is_held is footer
    assert world.links[child].is_held
    world.to_ably.before = lambda *_: None
    assert taken_back(world, made).state is State.SUCCEEDED
    assert world.ably.get(PROJECT, world.id_of(parent))["due_date"] == before


def test_a_busy_target_is_asked_again(world: World) -> None:
    """A 409 is about the moment: the value is sent again, in this run or the next."""
    one = world.add("Release", is_completed=True)
    world.to_ably.faults.script("maintenance", method="PATCH", times=1)
    world.to_ably.faults.script("maintenance", method="POST", times=1)
    assert migrate(world).state is State.SUCCEEDED
    assert world.in_target(one)["status"] == "completed"


def test_verify_does_not_believe_the_database(world: World) -> None:
    """Values come from both sides alone; a difference is found although the links deny it."""
    one = world.add("Release", description="Text")
    two = world.add("Another")
    migrate(world)
    world.run()
    world.edit_target(one, description="Edited by hand")
    verdict = verify(world.context())
    assert [(d.testrail_id, d.field) for d in verdict.differences] == [(one, "description")]
    world.ably.remove(world.id_of(two))
    assert [m.testrail_id for m in verify(world.context()).missing] == [two]


def test_verify_finds_what_should_not_be_there(world: World) -> None:
    """A second target with a marker, and one whose source is gone, are extra."""
    one, two = world.add("Release"), world.add("Gone soon")
    migrate(world)
    text = str(world.in_target(one)["description"])
    world.ably.create(PROJECT, {"name": "Copy", "description": text})
    world.rail.delete(two)
    assert sorted(e.name for e in verify(world.context()).extra) == ["Copy", "Gone soon"]


def test_verify_compares_the_rest_beside_a_record_without_an_id(world: World) -> None:
    """One record that has no id is missing; the others are compared all the same."""
    world.add("Release")
    migrate(world)
    world.rail.plant({"id": "seven", "name": "No id", "project_id": 1}, 1)
    verdict = verify(world.context())
    assert (verdict.in_step, verdict.compared) == (False, 1)
    assert [(m.testrail_id, m.name) for m in verdict.missing] == [(None, "No id")]


@pytest.mark.parametrize("side", ["source", "target"])
def test_nothing_is_proved_from_a_part(world: World, side: str) -> None:
    """A list that came incomplete ends the verification."""
    world.add("Release")
    migrate(world)
    getattr(world, side).incomplete = True
    with pytest.raises(UnreadableAnswer):
        verify(world.context())


def test_what_was_deleted_while_verifying_is_no_difference(world: World) -> None:
    """Only what still differs when it is read again is a difference."""
    one = world.add("Release")
    migrate(world)
    world.edit(one, name="Renamed")

    def renamed_back(_: str, what: str) -> None:
        if what.startswith("get_milestone/"):
            world.edit(one, name="Release")

    world.to_rail.before = renamed_back
    assert verify(world.context()).in_step


@pytest.mark.parametrize("policy", list(OnTargetEdit))
def test_a_rebuild_writes_nothing_and_knows_every_link_again(
    world: World, policy: OnTargetEdit
) -> None:
    """The links come back from the markers; twins are reported and not linked."""
    parent = world.add("Parent")
    child = world.add("Child", parent)
    twin = world.add("Twin")
    migrate(world)
    before = {id_: world.id_of(id_) for id_ in (parent, child)}
    world.ably.create(
        PROJECT, {"name": "Twin", "description": world.in_target(twin)["description"]}
    )
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM links")
    world.to_ably.requests.clear()
    world.policy = replace(world.policy, on_target_edit=policy)
    report = rebuild(world.context())
    assert (report.state, report.counts["adopted"]) == (State.PARTIAL, 2)
    assert world.to_ably.writes == {}
    assert {id_: world.id_of(id_) for id_ in (parent, child)} == before
    assert rebuild(world.context()).counts["unchanged"] == 2
    [told] = world.store.links_with_problems(world.pair.id)
    assert (told.testrail_id, told.testably_id) == (twin, None)


@pytest.mark.parametrize("is_parent", [True, False])
def test_a_rebuild_names_what_stays_without_its_link_as_it_cannot_be_read(
    world: World, is_parent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does what is below it; the rest is linked, and later a rebuild links them too."""
    world.behave(ably=replace(LEAVES, list_holds_subs=False))
    parent = world.add("Parent")
    child = world.add("Child", parent)
    world.add("Other")
    migrate(world)
    unread, shown = world.id_of(parent if is_parent else child), world.ably._shown

    def spoilt(key: str) -> Record:
        return {**shown(key), **({"due_date": "soon"} if key == unread else {})}

    with world.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM links")
    with monkeypatch.context() as patched:
        patched.setattr(world.ably, "_shown", spoilt)
        report = rebuild(world.context())
    told = {problem["testrail_id"]: problem["kind"] for problem in report.problems}
    assert told == ({parent: "unread", child: "waiting"} if is_parent else {child: "unread"})
    assert (report.state, report.counts["waiting"]) == (State.PARTIAL, len(told))
    assert report.counts["adopted"] == 3 - len(told)
    listed = {link.testrail_id for link in world.store.links_with_problems(world.pair.id)}
    assert listed == told.keys()
    again = rebuild(world.context())
    assert (again.state, again.counts["adopted"]) == (State.SUCCEEDED, len(told))


def test_what_an_undo_holds_is_not_taken_for_unchanged(world: World) -> None:
    """Both sides agreed before it: the note of that goes, so that a migration releases it."""
    world.add("One")
    world.run()
    world.run()
    (link,) = world.store.outlines(world.pair.id).values()
    assert link.target_fingerprint is not None
    held = world.links[1].held(world.clock.now())
    assert held.target_fingerprint is None


def test_what_is_held_stays_listed_when_its_source_is_deleted(world: World) -> None:
    """Until a person migrates, `verify` and `failures` say the same of it; then it is done with."""
    one = world.add("One")
    taken_back(world, migrate(world))
    world.rail.delete(one)
    found = verify(world.context())
    assert (found.in_step, found.held, len(found.extra)) == (False, 1, 1)
    assert world.run().counts["held"] == 1
    assert migrate(world).state is State.SUCCEEDED
    assert verify(world.context()).in_step
    assert world.store.links_with_problems(world.store.pair(world.identity).id) == []


def test_what_is_held_and_gone_is_accepted_until_its_target_changes(world: World) -> None:
    """A person lives with it as it is; whoever edits it then makes it count again."""
    one = world.add("One")
    migrate(world)
    world.edit(one, name="Renamed")
    taken_back(world, migrate(world))
    world.rail.delete(one)
    verify(world.context())
    pair = world.store.pair(world.identity).id
    [link] = world.store.links_with_problems(pair)
    accepted = link.deciding({WHOLE: link.whole_accepted("2026-03-01T12:00:00Z")})
    world.store.save(pair, accepted, world.clock.now())
    assert verify(world.context()).in_step
    assert world.run().state is State.SUCCEEDED
    world.ably.update(PROJECT, str(link.testably_id), {"name": "Edited"})
    assert not verify(world.context()).in_step
    [link] = world.store.links_with_problems(pair)
    assert [found.accepted for found in link.failures] == [False]
    assert world.run().state is State.PARTIAL


def test_what_can_be_taken_back_is_although_one_field_is_refused(world: World) -> None:
    """A 400 to several fields is taken apart, as in every other write (R3)."""
    world.behave(ably=TestablySwitches(null_clears=False))
    one = world.add("One", description="Before")
    migrate(world)
    world.edit(one, description="After", due_on=1_790_000_000)
    undone = taken_back(world, migrate(world))
    assert (undone.state, undone.counts["quarantined"]) == (State.PARTIAL, 1)
    shown = world.in_target(one)
    assert str(shown["description"]).startswith("Before")
    assert shown["due_date"] is not None
    [problem] = undone.problems
    assert "refuses to clear the due date" in problem["reason"]
    assert "description" not in problem["reason"]
    world.clock.sleep(60)
    taken_back(world, undone, force=True)
    assert str(world.in_target(one)["description"]).startswith("After")


def test_of_a_name_and_a_description_refused_together_the_good_one_is_taken_back(
    world: World,
) -> None:
    """Each goes alone at last."""
    one = world.add("Longer than that", description="Before")
    migrate(world)
    world.edit(one, name="Short", description="After")
    made = migrate(world)
    world.behave(ably=TestablySwitches(max_name_length=10))
    undone = taken_back(world, made)
    assert (undone.state, undone.counts["quarantined"]) == (State.PARTIAL, 1)
    assert str(world.in_target(one)["description"]).startswith("Before")
    assert world.in_target(one)["name"] == "Short"
    assert "refuses the name Longer than that" in undone.problems[0]["reason"]


def refuses_a_start_after_the_due_date(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Testably may: a PATCH that would leave the dates the wrong way round is answered 400."""
    update = world.ably.update

    def checked(project_id: str, milestone_id: str, body: Record) -> Record:
        dates = {**world.ably.get(project_id, milestone_id), **body}
        if dates["due_date"] and str(dates["start_date"]) > str(dates["due_date"]):
            raise Refusal(400, "start_date must not be after due_date")
        return update(project_id, milestone_id, body)

    monkeypatch.setattr(world.ably, "update", checked)


@pytest.mark.parametrize("start", [1_790_000_000, 1_770_000_000], ids=["later", "earlier"])
@pytest.mark.parametrize("days", [1, None], ids=["due", "not due"])
def test_both_dates_are_taken_back_beside_a_field_that_is_refused(
    world: World, start: int, days: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together, as alone the start may come after the due date that still stands there (R3)."""
    refuses_a_start_after_the_due_date(world, monkeypatch)
    one = world.add("Longer than that", start_on=start, due_on=days and start + days * 86_400)
    migrate(world)
    before = world.in_target(one)
    world.edit(one, name="Short", start_on=1_780_000_000, due_on=1_780_000_000 + 86_400)
    made = migrate(world)
    world.behave(ably=TestablySwitches(max_name_length=10))
    undone = taken_back(world, made)
    after = world.in_target(one)
    assert [after[name] for name in DATE_FIELDS] == [before[name] for name in DATE_FIELDS]
    [problem] = undone.problems
    assert "refuses the name" in problem["reason"]
    assert "date" not in problem["reason"]


def test_of_two_dates_that_are_refused_together_the_good_one_is_taken_back(world: World) -> None:
    """Each goes alone at last."""
    one = world.add("One", due_on=None)
    migrate(world)
    world.edit(one, start_on=1_780_000_000, due_on=1_780_086_400)
    made = migrate(world)
    world.behave(ably=TestablySwitches(null_clears=False))
    [problem] = taken_back(world, made).problems
    assert str(world.in_target(one)["start_date"]).startswith("2026-03-01")
    assert "refuses to clear the due date" in problem["reason"]
    assert "start date" not in problem["reason"]


@pytest.mark.parametrize("is_deleted", [False, True])
def test_the_target_of_an_adoption_that_was_undone_is_left_where_that_is_accepted(
    world: World, is_deleted: bool
) -> None:
    """It carries the milestone's marker still, and is no second target of it: it has no first.

    Nor does it matter whether the milestone is there: what an undo holds is told as held.
    """
    one = world.add("One")
    marker = marker_url(world.rules.testrail_url, one)
    world.ably.create(PROJECT, {"name": "One", "description": f"---\nTestRail: {marker}"})
    undone = taken_back(world, migrate(world))
    assert (undone.state, world.links[one].testably_id) == (State.SUCCEEDED, None)
    if is_deleted:
        world.rail.delete(one)
    assert not verify(world.context()).in_step
    held = world.links[one]
    accepted = held.deciding({WHOLE: held.whole_accepted("2026-03-01T12:00:00Z")})
    world.store.save(world.pair.id, accepted, world.clock.now())
    assert verify(world.context()).in_step
    assert world.run().state is State.SUCCEEDED


def test_what_a_run_wrote_to_an_adopted_one_is_told_once_that_is_unlinked(world: World) -> None:
    """The adoption was undone before it: nothing is written there without a link."""
    target = world.ably.create(PROJECT, {"name": "One"})["id"]
    one = world.add("One")
    adopted = world.run(Trigger.MIGRATION, adopt_by_name=True)
    world.edit(one, due_on=1_775_000_000)
    world.add("Two")
    edited = world.run()
    assert taken_back(world, adopted).state is State.SUCCEEDED
    before = world.ably.get(PROJECT, str(target))
    for force in (False, True):
        undone = taken_back(world, edited, force=force)
        told = [(problem["testrail_id"], problem["kind"]) for problem in undone.problems]
        assert (undone.state, told) == (State.PARTIAL, [(one, "undo_failed")])
        assert undone.counts["conflicts"] == 1
    assert world.ably.get(PROJECT, str(target)) == before
    assert [row["name"] for row in world.ably.live(PROJECT)] == ["One"]
    assert world.links[one].testably_id is None
    assert taken_back(world, adopted).state is State.SUCCEEDED


def adopted_then_edited(world: World) -> tuple[str, RunReport, RunReport]:
    """One of a person's that a run adopts, and the next run writes to: its id, and both runs."""
    target = str(world.ably.create(PROJECT, {"name": "One"})["id"])
    one = world.add("One")
    adopted = world.run(Trigger.MIGRATION, adopt_by_name=True)
    world.edit(one, description="New")
    return target, adopted, world.run()


def test_what_is_left_of_an_adopted_one_is_taken_back_by_force(world: World) -> None:
    """As the undo that left it said: so it keeps its link until then."""
    target, adopted, _ = adopted_then_edited(world)
    left = taken_back(world, adopted)
    assert [problem["kind"] for problem in left.problems] == ["changed_since"]
    assert world.run().counts["held"] == 1
    assert taken_back(world, adopted, force=True).state is State.SUCCEEDED
    assert world.ably.get(PROJECT, target)["description"] is None
    assert [link.testably_id for link in world.links.values()] == [None]


def test_an_adopted_one_is_taken_back_by_undoing_the_newer_run_after_the_older(
    world: World,
) -> None:
    """What the newer one wrote is left by the first undo, then taken back, then unlinked."""
    target, adopted, edited = adopted_then_edited(world)
    assert taken_back(world, adopted).state is State.PARTIAL
    assert taken_back(world, edited).state is State.SUCCEEDED
    assert taken_back(world, adopted).state is State.SUCCEEDED
    assert world.ably.get(PROJECT, target)["description"] is None
    assert [link.testably_id for link in world.links.values()] == [None]


def test_what_is_held_without_a_target_is_over_when_its_source_is_deleted(world: World) -> None:
    """An adopted one that an undo unlinked is missing, until TestRail lacks it as well."""
    one = world.add("One")
    adopted = str(world.ably.create(PROJECT, {"name": "One"})["id"])
    taken_back(world, world.run(Trigger.MIGRATION, adopt_by_name=True))
    found = verify(world.context())
    assert (found.in_step, len(found.missing)) == (False, 1)
    world.rail.delete(one)
    assert verify(world.context()).in_step
    assert world.run().state is State.SUCCEEDED
    assert world.store.links_with_problems(world.store.pair(world.identity).id) == []
    assert world.ably.get(PROJECT, adopted)["status"] == "active"


def test_an_adoption_that_an_undo_unlinked_is_told_once(world: World) -> None:
    """Its milestone is missing; its marker makes the target no extra one before the source goes."""
    one = world.add("One")
    migrate(world)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM links")
    taken_back(world, migrate(world))
    found = verify(world.context())
    told = ([m.testrail_id for m in found.missing], found.differences, found.extra)
    assert (found.in_step, told) == (False, ([one], (), ()))
    text = str(world.ably.live(PROJECT)[0]["description"])
    world.ably.create(PROJECT, {"name": "Copy", "description": text})
    assert sorted(e.name for e in verify(world.context()).extra) == ["Copy", "One"]
    world.rail.delete(one)
    found = verify(world.context())
    assert (found.missing, sorted(e.name for e in found.extra)) == ((), ["Copy", "One"])


def test_what_was_archived_since_because_its_source_is_gone_is_not_held(world: World) -> None:
    """Nothing is left to take back of it, and nothing to release."""
    world.add("Stays")
    gone = world.add("Gone")
    run = migrate(world)
    world.rail.delete(gone)
    assert world.run().counts["archived"] == 1
    taken_back(world, run)
    assert [link.state for _, link in sorted(world.links.items())] == [
        LinkState.HELD,
        LinkState.ARCHIVED,
    ]
    assert verify(world.context()).extra == ()


# --- what somebody edited since


def test_what_was_edited_since_is_held_as_it_is_until_a_person_decides(world: World) -> None:
    """It stays listed, no sync writes over the edit, and a migration says that it would."""
    one = world.add("One")
    made = migrate(world)
    world.edit_target(one, name="By hand")
    undone = taken_back(world, made)
    assert (undone.state, undone.counts["conflicts"]) == (State.PARTIAL, 1)
    [failure] = world.links[one].failures
    assert (failure.kind, failure.reason) == (
        ProblemKind.CHANGED_SINCE,
        undone.problems[0]["reason"],
    )
    assert f"`milesync undo {made.run} --force`" in failure.reason
    for trigger in (Trigger.MANUAL, Trigger.SCHEDULE):
        again = world.run(trigger)
        assert (again.counts["held"], world.to_ably.writes) == (1, {})
        assert [problem["kind"] for problem in again.problems] == ["changed_since"]
    assert world.in_target(one)["name"] == "By hand"
    assert [found.kind for found in world.links[one].failures] == [ProblemKind.CHANGED_SINCE]
    [action] = world.preview(trigger=Trigger.MIGRATION).plan.changes
    assert action.overwritten == {"name": "By hand"}
    assert migrate(world).state is State.SUCCEEDED
    assert (world.in_target(one)["name"], world.links[one].failures) == ("One", ())


def test_what_was_edited_since_is_left_by_the_next_undo_too(world: World) -> None:
    """However often it was read meanwhile; by force it is archived as the first time."""
    one = world.add("One")
    made = migrate(world)
    world.edit_target(one, name="By hand")
    for _ in range(2):
        assert taken_back(world, made).counts["conflicts"] == 1
        world.run()
        verify(world.context())
    world.clock.sleep(60)
    assert taken_back(world, made, force=True).counts["archived"] == 1
    assert [found.kind for found in world.links[one].failures] == [ProblemKind.HELD]


def test_an_edit_that_wins_is_kept_once_it_is_released(world: World) -> None:
    """What the undo took back is written again, and what a person wrote is not."""
    world.policy = replace(world.policy, on_target_edit=OnTargetEdit.TARGET)
    one = world.add("Before", description="Old")
    migrate(world)
    world.edit(one, name="After", description="New")
    changed = world.run()
    world.edit_target(one, name="By hand")
    taken_back(world, changed)
    assert str(world.in_target(one)["description"]).startswith("Old")
    world.run()
    assert migrate(world).state is State.SUCCEEDED
    assert world.in_target(one)["name"] == "By hand"
    assert str(world.in_target(one)["description"]).startswith("New")


def test_what_was_left_can_be_accepted_at_once(world: World) -> None:
    """As the undo itself has read it; a later edit makes it count again."""
    one = world.add("One")
    made = migrate(world)
    world.edit_target(one, name="By hand")
    taken_back(world, made)
    accept(world, one)
    assert world.run().state is State.SUCCEEDED
    assert verify(world.context()).in_step
    world.edit_target(one, name="By hand again")
    assert world.run().state is State.PARTIAL


def test_a_create_in_doubt_is_not_called_edited(world: World) -> None:
    """It goes on by itself, and its undo comes after that."""
    one = world.add("One")
    world.to_ably.faults.script("server_error_after", method="POST", times=1)

    def lists_half_from_then_on(method: str, _: str) -> None:
        world.target.incomplete |= method == "POST"

    world.to_ably.before = lists_half_from_then_on
    made = migrate(world)
    world.target.incomplete, world.to_ably.before = False, lambda _method, _what: None
    assert world.links[one].state is LinkState.CREATING
    undone = taken_back(world, made)
    assert [problem["kind"] for problem in undone.problems] == ["in_doubt"]
    assert "`milesync sync` finds out" in undone.problems[0]["reason"]
    assert (undone.state, world.links[one].state) == (State.PARTIAL, LinkState.CREATING)
    assert [found.kind for found in world.links[one].failures] == [ProblemKind.IN_DOUBT]
    world.clock.sleep(3600)
    world.run()
    assert taken_back(world, made).counts["archived"] == 1


def accept(world: World, testrail_id: int) -> None:
    """A person lives with a held milestone."""
    held = world.links[testrail_id]
    accepted = held.deciding({WHOLE: held.whole_accepted("2026-03-01T12:00:00Z")})
    world.store.save(world.pair.id, accepted, world.clock.now())


# --- what a person lives with


@pytest.mark.parametrize("is_deleted", [False, True])
def test_what_is_held_and_accepted_is_no_migrations_either(world: World, is_deleted: bool) -> None:
    """`verify` says in step, so a plan pushes nothing; revoked, a migration releases it (R10)."""
    one = world.add("One")
    taken_back(world, migrate(world))
    if is_deleted:
        world.rail.delete(one)
        world.run()
    accept(world, one)
    assert verify(world.context()).in_step
    planned = world.preview(trigger=Trigger.MIGRATION)
    assert (planned.plan.changes, planned.plan.writes) == ((), 0)
    migrated = migrate(world)
    assert (migrated.state, migrated.counts["held"]) == (State.SUCCEEDED, 1)
    assert world.to_ably.writes == {}
    held = world.links[one]
    revoked = held.without_whole()
    world.store.save(world.pair.id, revoked, world.clock.now())
    assert migrate(world).counts["held"] == 0
    assert verify(world.context()).in_step


def test_what_is_accepted_is_released_once_its_source_changes(world: World) -> None:
    """A person lived with what both sides were then."""
    one = world.add("One")
    taken_back(world, migrate(world))
    accept(world, one)
    world.edit(one, name="Another")
    assert world.run().state is State.PARTIAL
    assert migrate(world).state is State.SUCCEEDED
    assert world.in_target(one)["name"] == "Another"


# --- parents


@pytest.mark.parametrize("footer", [True, False])
def test_a_parent_gets_back_what_its_first_sub_milestone_changed(
    world: World, footer: bool
) -> None:
    """Testably took its dates and its status from it, and keeps them once it is archived.

    It is held if the run wrote to it: with a footer it did, which got the parent's own dates.
    """
    world.rules = replace(world.rules, footer=footer)
    world.behave(ably=LEAVES)
    parent = world.add("Parent", due_on=1_780_272_000, is_completed=True)
    migrate(world)
    before = world.ably.get(PROJECT, world.id_of(parent))
    world.add("Child", parent, start_on=1_778_000_000, due_on=1_779_000_000)
    made = migrate(world)
    names = ("start_date", "due_date", "status", "description")
    between = world.ably.get(PROJECT, world.id_of(parent))
    assert [between[name] != before[name] for name in names] == [True, True, True, footer]
    undone = taken_back(world, made)
    assert (undone.state, undone.counts["updated"], undone.counts["held"]) == (
        State.SUCCEEDED,
        1,
        1 + footer,
    )
    after = world.ably.get(PROJECT, world.id_of(parent))
    assert [after[name] for name in names] == [before[name] for name in names]
    assert taken_back(world, made).counts["unchanged"] == 1 + footer
    assert migrate(world).state is State.SUCCEEDED
    assert verify(world.context()).in_step


@pytest.mark.parametrize("refused", [True, False])
def test_a_parent_that_keeps_what_it_was_given_is_told(world: World, refused: bool) -> None:
    """Testably does not take its dates while there is a sub-milestone, be it an archived one."""
    world.behave(ably=replace(TestablySwitches(), parent_dates_read_only=refused))
    parent = world.add("Parent", due_on=1_780_272_000)
    migrate(world)
    world.add("Child", parent, start_on=1_778_000_000, due_on=1_780_272_000)
    undone = taken_back(world, migrate(world))
    assert undone.state is State.PARTIAL
    [problem] = undone.problems
    assert (problem["kind"], problem["testrail_id"]) == ("undo_failed", parent)
    assert "start date" in problem["reason"]
    assert "due date" not in problem["reason"]
    assert [one.reason for one in world.links[parent].failures] == [problem["reason"]]


def test_a_parent_keeps_what_living_sub_milestones_give_it(world: World) -> None:
    """Another one is there still: its dates and status are Testably's to say, and no edit."""
    world.behave(ably=LEAVES)
    parent = world.add("Parent", due_on=1_780_272_000)
    world.add("First", parent, start_on=1_778_000_000, due_on=1_779_000_000)
    migrate(world)
    world.add("Second", parent, start_on=1_777_000_000, due_on=1_779_500_000)
    undone = taken_back(world, migrate(world))
    assert (undone.state, undone.problems) == (State.SUCCEEDED, ())
    assert (undone.counts["archived"], undone.counts["updated"]) == (1, 0)


def test_an_edit_of_a_parent_is_not_taken_for_what_its_sub_milestone_gave_it(
    world: World,
) -> None:
    """Its start date was set by hand since; only the due date is Testably's doing."""
    world.behave(ably=LEAVES)
    parent = world.add("Parent", due_on=1_780_272_000)
    migrate(world)
    child = world.add("Child", parent, start_on=1_778_000_000, due_on=1_779_000_000)
    made = migrate(world)
    row = world.ably.get(PROJECT, world.id_of(parent))
    world.ably.update(PROJECT, world.id_of(child), {"status": "archived"})
    world.edit_target(parent, start_date="2026-04-01T00:00:00Z")
    taken_back(world, made)
    shown = world.ably.get(PROJECT, world.id_of(parent))
    assert (shown["start_date"], shown["due_date"]) == (
        "2026-04-01T00:00:00Z",
        "2026-06-01T00:00:00Z",
    )
    assert row["due_date"] != shown["due_date"]


@pytest.mark.parametrize("is_completed", [False, True])
@pytest.mark.parametrize("by_hand", [False, True], ids=["by an undo", "by hand"])
def test_a_tree_that_a_run_brought_back_goes_back_into_the_archive_children_first(
    world: World, is_completed: bool, by_hand: bool
) -> None:
    """Whatever the parent shows meanwhile: it derives that from its sub-milestone."""
    world.behave(ably=LEAVES)
    parent = world.add("Parent")
    child = world.add("Child", parent, is_completed=is_completed)
    made = migrate(world)
    if by_hand:
        world.edit_target(child, status="archived")
        world.edit_target(parent, status="archived")
    else:
        taken_back(world, made)
    back = migrate(world)
    assert in_ably(world, parent, "status") == ("completed" if is_completed else "active")
    world.clock.sleep(60)
    undone = taken_back(world, back)
    assert (undone.state, undone.problems, undone.counts["held"]) == (State.SUCCEEDED, (), 2)
    assert world.ably.live(PROJECT) == []


def test_what_a_person_completed_once_it_had_no_sub_milestones_is_left(world: World) -> None:
    """The run had brought it back, and its status was its own again when it was edited."""
    world.behave(ably=LEAVES)
    parent = world.add("Parent")
    child = world.add("Child", parent)
    taken_back(world, migrate(world))
    back = migrate(world)
    world.edit_target(child, status="archived")
    world.edit_target(parent, status="completed")
    undone = taken_back(world, back)
    assert [(p["testrail_id"], p["kind"]) for p in undone.problems] == [(parent, "changed_since")]
    assert in_ably(world, parent, "status") == "completed"
    assert taken_back(world, back, force=True).state is State.SUCCEEDED
    assert in_ably(world, parent, "status") == "archived"


@pytest.mark.parametrize("footer", [True, False])
def test_a_parent_that_a_person_brought_back_stays_when_its_first_sub_milestone_goes(
    world: World, footer: bool
) -> None:
    """An undo had archived it; the run that is undone had found it alive."""
    world.rules = replace(world.rules, footer=footer)
    world.behave(ably=LEAVES)
    parent = world.add("Parent")
    taken_back(world, migrate(world))
    world.edit_target(parent, status="active")
    migrate(world)
    world.add("Child", parent)
    assert taken_back(world, world.run()).state is State.SUCCEEDED
    assert [row["name"] for row in world.ably.live(PROJECT)] == ["Parent"]


@pytest.mark.parametrize("footer", [True, False])
def test_a_parent_gets_back_what_a_person_had_written_before_its_first_sub_milestone(
    world: World, footer: bool
) -> None:
    """It was kept then, and neither a sync nor a migration after the undo writes over it."""
    world.rules = replace(world.rules, footer=footer)
    world.policy = replace(world.policy, on_target_edit=OnTargetEdit.TARGET)
    world.behave(ably=LEAVES)
    parent = world.add("Parent", due_on=1_780_272_000)
    migrate(world)
    edited = "2026-05-01T00:00:00Z"
    world.edit_target(parent, due_date=edited)
    world.add("Child", parent, due_on=1_779_000_000)
    made = world.run()
    assert in_ably(world, parent, "due_date") != edited
    assert taken_back(world, made).state is State.SUCCEEDED
    assert in_ably(world, parent, "due_date") == edited
    assert in_ably(world, parent, "status") == "active"
    world.run()
    assert in_ably(world, parent, "due_date") == edited
    planned = world.preview(trigger=Trigger.MIGRATION).plan.changes
    assert [one.push for one in planned if "due_date" in one.push] == []


@pytest.mark.parametrize("agreed", [False, True], ids=["read", "unchanged"])
def test_a_create_journals_what_its_parent_showed_to_the_run(world: World, agreed: bool) -> None:
    """Also of a parent of which a run reads no more than that it is as it was."""
    world.rules = replace(world.rules, footer=False)
    parent = world.add("Parent", due_on=1_780_272_000, is_completed=True)
    for _ in range(3):
        world.run()
    if not agreed:
        world.edit_target(parent, due_date="2026-05-01T00:00:00Z")
    world.add("Child", parent)
    world.run()
    assert [change.parent_before for change in world.changes if change.kind == "create"] == [
        None,
        {
            "status": "completed",
            "start_date": "2026-03-01T00:00:00Z",
            "due_date": "2026-06-01T00:00:00Z" if agreed else "2026-05-01T00:00:00Z",
        },
    ]


def as_older_versions_journaled(world: World) -> None:
    """What a create's parent showed before it stands in no journal of theirs."""
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE changes SET parent_before = NULL")


def test_what_a_parent_showed_when_its_footer_was_written_is_known_to_an_undo(
    world: World,
) -> None:
    """As Testably answered then, before the sub-milestone was created."""
    world.policy = replace(world.policy, on_target_edit=OnTargetEdit.TARGET)
    world.behave(ably=LEAVES)
    parent = world.add("Parent", due_on=1_780_272_000)
    migrate(world)
    edited = "2026-05-01T00:00:00Z"
    world.edit_target(parent, due_date=edited, status="completed")
    world.add("Child", parent, due_on=1_779_000_000)
    made = world.run()
    as_older_versions_journaled(world)
    assert taken_back(world, made).state is State.SUCCEEDED
    shown = [in_ably(world, parent, name) for name in ("due_date", "status")]
    assert shown == [edited, "completed"]


@pytest.mark.parametrize("force", [False, True])
def test_what_a_parent_showed_before_is_left_where_nobody_knows_it(
    world: World, force: bool
) -> None:
    """By force it gets what was last written, as it was before that was journaled."""
    world.rules = replace(world.rules, footer=False)
    world.behave(ably=LEAVES)
    parent = world.add("Parent", due_on=1_780_272_000)
    migrate(world)
    world.add("Child", parent, due_on=1_779_000_000)
    made = migrate(world)
    as_older_versions_journaled(world)
    assert made.run is not None
    plan = plan_undo(world.context(), made.run, force=force)
    [step] = [step for step in plan.steps if step.testrail_id == parent]
    assert step.fields == ({"due_date": "2026-06-01T00:00:00Z"} if force else {})
    told = taken_back(world, made, force=force).problems
    if force:
        assert told == ()
    else:
        assert [(one["testrail_id"], one["kind"]) for one in told] == [(parent, "changed_since")]
        assert "before its sub-milestones came is not known: due date." in told[0]["reason"]


def test_a_parent_that_takes_what_was_its_own_in_parts_is_not_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run had not written to it, and all is as it was."""
    world.rules = replace(world.rules, footer=False)
    world.behave(ably=LEAVES)
    parent = world.add("Parent", due_on=1_780_272_000, is_completed=True)
    migrate(world)
    world.add("Child", parent, due_on=1_779_000_000)
    made = migrate(world)
    update = world.ably.update

    def one_by_one(project_id: str, milestone_id: str, body: Record) -> Record:
        if len(body) > 1:
            raise Refusal(400, "a status is changed alone")
        return update(project_id, milestone_id, body)

    monkeypatch.setattr(world.ably, "update", one_by_one)
    undone = taken_back(world, made)
    assert (undone.state, undone.problems, undone.counts["held"]) == (State.SUCCEEDED, (), 1)
    assert world.links[parent].state is LinkState.LINKED
    assert in_ably(world, parent, "status") == "completed"


@pytest.mark.parametrize("is_archived", [True, False])
def test_a_parent_gets_back_a_date_that_is_derived_since_the_run_wrote_it(
    world: World, is_archived: bool
) -> None:
    """The run has brought back its sub-milestone, which goes back into the archive."""
    world.behave(ably=LEAVES)
    parent = world.add("Parent", due_on=1_780_272_000)
    child = world.add("Child", parent, due_on=1_779_000_000)
    migrate(world)
    for one in (child, parent)[: 1 + is_archived]:
        world.edit_target(one, status="archived")
    before = world.ably.get(PROJECT, world.id_of(parent))
    world.edit(parent, due_on=1_790_000_000)
    made = world.run()
    names = ("start_date", "due_date", "status")
    after_it = world.ably.get(PROJECT, world.id_of(parent))
    assert after_it["due_date"] not in (before["due_date"], "2026-09-21T14:13:20Z")
    assert taken_back(world, made).state is State.SUCCEEDED
    after = world.ably.get(PROJECT, world.id_of(parent))
    assert [after[name] for name in names] == [before[name] for name in names]
