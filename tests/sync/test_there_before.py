"""What was there before a create is not taken for what it left, however the run went on (R2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.footer import Footer, marker_url, with_footer
from mappings.link import Link
from mappings.milestone import TargetMilestone
from mappings.problem import Problem, ProblemKind
from mappings.stored_text import can_be_name, reduced
from tests.support.mortal import Boundaries, Died
from tests.support.world import PROJECT, URL, World
from worker.errors import ConnectionLost
from worker.sandbox.rules import Record
from worker.sandbox.switches import TestablySwitches
from worker.sync.decide.action import Kind
from worker.sync.decide.doubt import Doubt
from worker.sync.decide.there_before import ThereBefore, is_nameless
from worker.sync.options import Options
from worker.sync.report import State
from worker.sync.run import run_pair
from worker.sync.undo import undo
from worker.sync.verify import verify

ABLY = TestablySwitches()
START = "2026-03-01T00:00:00Z"
IN_DOUBT = "in_doubt_for_a_person"
BOTH = pytest.mark.parametrize("footer", [True, False], ids=["footer", "no footer"])

names = st.text("Ab 1-.", max_size=4)
descriptions = st.sampled_from(
    [None, "Text", marker_url(URL, 1), f"See {marker_url(URL, 12)}, and {marker_url(URL, 2)}."]
)
targets = st.builds(TargetMilestone, st.uuids().map(str), names, description=descriptions)


@given(st.lists(targets), names, st.sampled_from([1, 2, 12, 3]))
def test_near_is_what_the_judgement_could_take_for_the_create(
    there: list[TargetMilestone], name: str, testrail_id: int
) -> None:
    """The same as looking at each of them."""

    def is_near(target: TargetMilestone) -> bool:
        doubt = Doubt(Link(testrail_id), marker_url(URL, testrail_id))
        mentions = doubt.is_mentioned_in(target)
        of_name = can_be_name(reduced(target.name), reduced(name))
        return is_nameless(target) or of_name or mentions

    expected = sorted(target.id for target in there if is_near(target))
    assert list(ThereBefore(there).near(name, testrail_id)) == expected


def by_hand(world: World, name: str = "One", **fields: object) -> str:
    """A person makes a milestone; its id."""
    body = {"name": name, "start_date": START, **fields}
    return str(world.ably.create(PROJECT, body)["id"])


def started(world: World, *, footer: bool = True, **switches: Any) -> World:
    """A pair that has run once, with another milestone."""
    world.behave(ably=replace(ABLY, **switches))
    world.rules = replace(world.rules, footer=footer)
    world.add("Other")
    world.run()
    return world


def cut_off(world: World) -> tuple[int, str]:
    """A milestone whose create the process did not outlive, and the target that it left."""
    started(world)
    one = world.add("One")
    with pytest.raises(Died):
        run_pair(world.mortal(Boundaries(dies_on="after POST")), Options())
    return one, str(world.ably.live(PROJECT)[-1]["id"])


def problems(report: Any) -> list[tuple[int, str]]:
    return [(one["testrail_id"], one["kind"]) for one in report.problems]


def made_meanwhile(world: World, count: int = 1, **fields: Any) -> list[str]:
    """What a person will have made by hand when a POST of "Release 2" fails and does nothing."""
    made: list[str] = []

    def meanwhile(method: str, _what: str) -> None:
        if method == "POST" and not made:
            made.extend(by_hand(world, "Release 2", **fields) for _ in range(count))
            world.to_ably.faults.script("reset", method="POST")

    world.to_ably.before = meanwhile
    return made


def retry(world: World, testrail_id: int, *, named: bool = True) -> None:
    """`milesync retry ID`, or of everything."""
    link = world.links[testrail_id]
    assert link.can_be_retried
    world.store.save(world.pair.id, link.retried(named=named), world.clock.now())


@BOTH
@pytest.mark.parametrize("hidden", [True, False])
def test_after_retry_nothing_is_taken_that_was_there_before(
    world: World, footer: bool, hidden: bool
) -> None:
    """The person archived what was asked about: so the milestone is created."""
    started(world, footer=footer, hides_created_at=hidden)
    old = by_hand(world, "Release")
    one = world.add("Release 2")
    asked = made_meanwhile(world, description="A person's")
    report = world.run()
    assert problems(report) == [(one, IN_DOUBT)]
    reason = str(report.problems[0]["reason"])
    assert (asked[0] in reason, old in reason) == (True, False)
    world.ably.update(PROJECT, asked[0], {"status": "archived"})
    retry(world, one)
    assert world.run().counts["created"] == 1
    assert world.links[one].testably_id not in (None, old, *asked)


@BOTH
def test_a_retry_of_everything_decides_only_where_something_was_put_away(
    world: World, footer: bool
) -> None:
    """With nothing archived the person is asked again; what is left then is linked."""
    started(world, footer=footer, hides_created_at=True)
    one = world.add("Release 2")
    made = made_meanwhile(world, 2, description="A person's")
    assert problems(world.run()) == [(one, IN_DOUBT)]
    retry(world, one, named=False)
    assert (problems(world.run()), world.to_ably.writes) == ([(one, IN_DOUBT)], {})
    world.ably.update(PROJECT, made[0], {"status": "archived"})
    retry(world, one, named=False)
    assert world.run().counts["adopted"] == 1
    assert world.links[one].testably_id == made[1]


@BOTH
@pytest.mark.parametrize("late", ["Release", "Release 2"])
def test_after_retry_nothing_is_taken_that_came_after_a_person_was_asked(
    world: World, footer: bool, late: str
) -> None:
    """The person archived what was asked about, and then somebody makes one by hand."""
    started(world, footer=footer)
    one = world.add("Release 2")
    asked = made_meanwhile(world, description="A person's")
    world.run()
    world.ably.update(PROJECT, asked[0], {"status": "archived"})
    retry(world, one)
    world.clock.sleep(60)
    new = by_hand(world, late, description="Somebody's")
    report = world.run()
    assert (problems(report), world.to_ably.writes) == ([(one, IN_DOUBT)], {})
    assert new in str(report.problems[0]["reason"])
    assert asked[0] not in str(report.problems[0]["reason"])


def decided(world: World, **theirs: Any) -> tuple[int, str]:
    """A create that left nothing, and what a person has made meanwhile and said `retry` about."""
    started(world)
    one = world.add("Release 2")
    asked = made_meanwhile(world, **theirs)
    world.run()
    retry(world, one)
    return one, asked[0]


def test_a_plan_shows_what_a_person_has_left_for_a_create(world: World) -> None:
    """With what the run then writes in it, and as many requests."""
    one, left = decided(world, description="A person's", due_date="2026-05-05T00:00:00Z")
    planned = world.preview()
    (action,) = (a for a in planned.plan.actions if a.testrail_id == one)
    assert (action.kind, action.testably_id) == (Kind.ADOPT, left)
    assert action.before == {"description": "A person's", "due_date": "2026-05-05T00:00:00Z"}
    report = world.run()
    assert (report.state, report.counts["adopted"]) == (State.SUCCEEDED, 1)
    assert world.to_ably.writes == {"PATCH": 1}
    update = world.changes[-1]
    assert (update.before, update.after) == (action.before, action.push)
    assert verify(world.context()).in_step


@pytest.mark.parametrize("status", ["archived", "active"])
def test_what_the_looks_do_not_find_any_more_is_not_linked(world: World, status: str) -> None:
    """It was put away, or renamed, after the plan was made: the next run creates the milestone."""
    one, left = decided(world)

    def meanwhile(_method: str, _what: str) -> None:
        if world.to_ably.count("GET", "milestones") > 2:
            world.ably.update(PROJECT, left, {"name": "Theirs", "status": status})

    world.to_ably.before = meanwhile
    report = world.run()
    assert (problems(report), world.to_ably.writes) == ([(one, "held_up")], {})
    world.to_ably.before = lambda _method, _what: None
    assert world.run().counts["created"] == 1
    assert world.links[one].testably_id not in (None, left)


def test_a_plan_shows_nothing_for_a_create_that_is_asked_about_again(world: World) -> None:
    """Two were left alive: it stays for a person."""
    one, left = decided(world)
    link = world.links[one]
    other = by_hand(world, "Release 2")
    asked = link.left_to_person(
        Problem(ProblemKind.IN_DOUBT_FOR_A_PERSON, "Which?"), world.clock.now(), (left, other)
    )
    world.store.save(world.pair.id, asked.retried(), world.clock.now())
    (action,) = (a for a in world.preview().plan.actions if a.testrail_id == one)
    assert (action.kind, action.testably_id) == (Kind.CREATE, None)
    assert problems(world.run()) == [(one, IN_DOUBT)]


@BOTH
@pytest.mark.parametrize("boundary", ["before POST", "after POST"])
def test_a_process_that_died_knew_what_was_there(world: World, footer: bool, boundary: str) -> None:
    """A person's of the same name is as young as the newest that was listed."""
    started(world, footer=footer)
    old = by_hand(world)
    one = world.add("One")
    with pytest.raises(Died):
        run_pair(world.mortal(Boundaries(dies_on=boundary)), Options(create_anyway=True))
    report = world.run(create_anyway=True)
    assert report.state is State.SUCCEEDED
    assert world.links[one].testably_id not in (None, old)
    assert len(world.ably.everything(PROJECT)) == 3


@pytest.mark.parametrize("carried_out", [True, False])
def test_the_targets_clock_was_set_back_and_its_lists_could_not_be_read(
    world: World, carried_out: bool
) -> None:
    """The next run knows as well as the one that sent the create what had not been there."""
    started(world, footer=False)
    world.behave(ably=replace(ABLY, clock_offset=-600.0))
    one = world.add("One")
    world.to_ably.faults.script("timeout_after" if carried_out else "timeout", method="POST")

    def fail(method: str, _what: str) -> None:
        if method == "GET" and world.to_ably.writes:
            raise ConnectionLost("Testably", "The connection was lost.")

    world.to_ably.before = fail
    assert world.run().state is not State.SUCCEEDED
    world.to_ably.before = lambda _method, _what: None
    report = world.run()
    if not carried_out:
        assert (report.state, report.counts["created"]) == (State.SUCCEEDED, 1)
        return
    assert (problems(report), world.to_ably.writes) == ([(one, IN_DOUBT)], {})
    retry(world, one)
    assert world.run().state is State.SUCCEEDED
    assert len(world.ably.live(PROJECT)) == 2


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("status", ["active", "completed"])
def test_a_record_that_could_not_be_read_was_there_before(
    world: World, listed: bool, status: str
) -> None:
    """It is not asked about, though its name is the beginning of the create's."""
    started(world, list_holds_completed=listed)
    bad: dict[str, object] = {"id": "ms_bad", "name": "Release", "status": status}
    bad["due_date"] = "soon"
    world.ably.plant(PROJECT, bad)
    world.add("Release 2")
    world.to_ably.faults.script("reset", method="POST")
    assert world.run().counts["created"] == 1
    assert world.to_ably.writes == {"POST": 2}


@pytest.mark.parametrize("shown", [{"name": {"en": "One"}}, {"name": 7.5}, {"due_date": "soon"}])
def test_a_record_that_cannot_be_read_since_may_be_the_create(
    world: World, shown: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its name cannot be read: it is not made once more."""
    started(world)
    one = world.add("One")
    show = world.ably._shown

    def otherwise(key: str) -> dict[str, Any]:
        return {**show(key), **(shown if key != world.id_of(1) else {})}

    monkeypatch.setattr(world.ably, "_shown", otherwise)
    assert problems(world.run()) == [(one, IN_DOUBT)]
    assert world.to_ably.writes == {"POST": 1}
    world.run()
    assert world.to_ably.writes == {}


@pytest.mark.parametrize("where", ["renamed", "moved"])
def test_what_a_create_left_is_known_by_its_marker_where_it_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A person renamed it, or moved it: it is not made again, and linked once it is corrected."""
    one, ours = cut_off(world)
    show, bad = world.ably._shown, {"due_date": "?"}
    changed = {"name": "Theirs"} if where == "renamed" else {"parent_id": world.id_of(1)}
    monkeypatch.setattr(
        world.ably,
        "_shown",
        lambda id_: {**show(id_), **({**changed, **bad} if id_ == ours else {})},
    )
    report = world.run()
    assert (problems(report), world.to_ably.writes) == ([(one, IN_DOUBT)], {})
    assert f"corrected in Testably first: {ours}." in str(report.problems[0]["reason"])
    found = verify(world.context())
    assert ([gap.testrail_id for gap in found.missing], found.extra) == ([one], ())
    bad.clear()
    planned = world.preview()
    assert {a.testrail_id: a.testably_id for a in planned.plan.changes} == {one: ours}
    before = world.target.requests
    world.run()
    assert planned.requests["testably"] == world.target.requests - before
    assert world.id_of(one) == ours


@pytest.mark.parametrize(
    "happens", ["copied", "archived", "in place of it", "unreadable copy", "no whole list"]
)
def test_a_create_stays_for_a_person_where_not_one_alone_carries_its_marker(
    world: World, monkeypatch: pytest.MonkeyPatch, happens: str
) -> None:
    """What a person made is not taken, and no run links, creates or forgets anything (R2)."""
    one, ours = cut_off(world)
    show, bad = world.ably._shown, {ours}
    monkeypatch.setattr(
        world.ably, "_shown", lambda id_: show(id_) | ({"due_date": "?"} if id_ in bad else {})
    )
    assert problems(world.run()) == [(one, IN_DOUBT)]
    bad.clear()
    if happens in ("copied", "in place of it", "unreadable copy"):
        copy = by_hand(world, description=show(ours)["description"])
        bad.update({copy} if happens == "unreadable copy" else ())
    if happens in ("archived", "in place of it"):
        world.ably.update(PROJECT, ours, {"status": "archived"})
    world.target.incomplete = happens == "no whole list"
    for _ in range(2):
        report = world.run()
        assert (one, IN_DOUBT) in problems(report)
        assert (world.to_ably.writes, world.links[one].testably_id) == ({}, None)
    world.target.incomplete = False
    retry(world, one)
    world.run()
    assert (world.links[one].testably_id == ours) == (happens == "no whole list")


def test_what_is_told_by_its_marker_is_taken_back_as_what_the_run_had_created(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its create left it, so an undo of that run archives it; the name of a person's stays."""
    started(world)
    world.add("One")
    show, bad = world.ably._shown, {"due_date": "soon"}
    first = world.id_of(1)
    monkeypatch.setattr(world.ably, "_shown", lambda id_: show(id_) | (bad if id_ != first else {}))
    created = world.run()
    assert problems(created) == [(2, IN_DOUBT)]
    bad.clear()
    theirs = by_hand(world)
    assert world.run().state is State.SUCCEEDED
    ours = world.id_of(2)
    assert (ours != theirs, verify(world.context()).in_step) == (True, True)
    assert world.to_ably.writes == {}
    world.clock.sleep(60)
    assert undo(world.context(), str(created.run)).state is State.SUCCEEDED
    assert {row["id"] for row in world.ably.live(PROJECT)} == {first, theirs}


def test_an_equal_one_of_a_person_is_not_taken_while_ours_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells both apart: a person is asked about both, and nothing is written."""
    started(world, footer=False)
    one = world.add("One")
    with pytest.raises(Died):
        run_pair(world.mortal(Boundaries(dies_on="after POST")), Options())
    ours = str(world.ably.live(PROJECT)[-1]["id"])
    theirs = by_hand(world)
    show = world.ably._shown
    monkeypatch.setattr(
        world.ably,
        "_shown",
        lambda id_: {**show(id_), **({"due_date": "?"} if id_ == ours else {})},
    )
    report = world.run()
    assert (problems(report), world.to_ably.writes) == ([(one, IN_DOUBT)], {})
    assert {ours, theirs} == set(world.links[one].attempt_asked or ())


@pytest.mark.parametrize("lost", [9, 10])
def test_what_hangs_below_other_parents_stays_known_after_a_look(world: World, lost: int) -> None:
    """After ten lost answers the rest waits for the looks, which read below fewer parents."""
    started(world, list_holds_subs=False)
    parent = world.add("Parent")
    world.add("First", parent)
    world.run()
    by_hand(world, "Kid", parent_id=world.id_of(parent))
    for number in range(lost):
        world.add(f"Root {number}")
    world.add("Kid 2", parent)
    world.to_ably.faults.script("timeout_after", method="POST", times=lost)
    world.to_ably.faults.script("reset", method="POST")
    report = world.run()
    assert (report.state, report.counts["created"]) == (State.SUCCEEDED, lost + 1)


def test_an_equal_create_that_came_later_is_not_asked_about_what_the_first_one_is(
    world: World,
) -> None:
    """Both things that a person has to tell about were there before it."""
    started(world, footer=False)
    first = world.add("Same")
    world.to_ably.faults.script("reset", method="POST")

    def meanwhile(method: str, _what: str) -> None:
        if method == "POST" and len(world.ably.everything(PROJECT)) == 1:
            by_hand(world, "Same")
            by_hand(world, "Same")

    world.to_ably.before = meanwhile
    assert problems(world.run()) == [(first, IN_DOUBT)]
    second = world.add("Same")
    world.to_ably.faults.script("reset", method="POST")
    report = world.run(create_anyway=True)
    assert problems(report) == [(first, IN_DOUBT)]
    assert world.links[second].has_target


@pytest.mark.parametrize("said", [False, True])
def test_a_record_that_cannot_be_read_and_has_its_name_may_be_the_milestone(
    world: World, said: bool
) -> None:
    """It waits until somebody has corrected the record, or says that all is to be created."""
    started(world)
    bad: dict[str, object] = {"id": "ms_bad", "name": "One", "status": "active", "due_date": "?"}
    world.ably.plant(PROJECT, bad)
    one, sub = world.add("One"), world.add("Parent")
    world.add("One", sub)
    report = world.run(create_anyway=said)
    assert report.counts["created"] == (3 if said else 2)
    assert problems(report) == ([] if said else [(one, "unread")])
    assert said or "ms_bad" in str(report.problems[0]["reason"])


def test_a_record_that_cannot_be_read_has_its_name_however_it_is_shown(world: World) -> None:
    started(world)
    bad: dict[str, object] = {"id": "ms_bad", "name": "R &amp; D", "status": "active"}
    world.ably.plant(PROJECT, {**bad, "due_date": "?"})
    one = world.add("R & D")
    assert (one, "unread") in problems(world.run())
    assert world.to_ably.writes == {}


@pytest.mark.parametrize("said", [False, True])
def test_a_record_that_cannot_be_read_and_has_its_marker_may_be_the_milestone(
    world: World, said: bool
) -> None:
    """Of a database that was lost, say; whatever its name, and whatever a person says."""
    started(world)
    one = world.add("One")
    text = with_footer("Text", Footer(marker_url(URL, one)))
    bad: dict[str, object] = {"id": "ms_bad", "name": "Renamed", "description": text}
    world.ably.plant(PROJECT, {**bad, "status": "active", "due_date": "?"})
    report = world.run(create_anyway=said)
    assert ((one, "unread") in problems(report), world.to_ably.writes) == (True, {})


def test_a_record_that_cannot_be_read_blocks_its_name_only_where_it_is(world: World) -> None:
    """Not below another parent, nor among the roots; and an archived one blocks nothing."""
    started(world)
    parent, other = world.add("Parent"), world.add("Other parent")
    world.add("First", parent)
    world.run()
    bad: dict[str, object] = {"status": "active", "due_date": "?"}
    world.ably.plant(PROJECT, bad | {"id": "ms_1", "name": "Sub", "parent_id": world.id_of(parent)})
    world.ably.plant(PROJECT, bad | {"id": "ms_2", "name": "Root", "status": "archived"})
    blocked = world.add("Sub", parent)
    for name, above in (("Sub", other), ("Sub", None), ("Root", None), ("New parent", None)):
        world.add(name, above)
    report = world.run()
    assert report.counts["created"] == 4
    assert [one for one in problems(report) if one[0]] == [(blocked, "unread")]


def test_a_marker_in_a_record_that_cannot_be_read_counts_below_a_new_parent(world: World) -> None:
    """The links were lost, say, and the milestone was moved in TestRail."""
    started(world)
    parent = world.add("New parent")
    sub = world.add("Sub", parent)
    text = with_footer("Text", Footer(marker_url(URL, sub)))
    bad: dict[str, object] = {"id": "ms_1", "name": "Sub", "description": text, "due_date": "?"}
    world.ably.plant(PROJECT, bad | {"status": "active"})
    report = world.run()
    assert (report.counts["created"], world.links[sub].has_target) == (1, False)


def test_below_a_parent_that_cannot_be_read_nothing_is_created(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the list leaves out sub-milestones, one of the name may be there."""
    started(world, list_holds_subs=False)
    parent = world.add("Parent")
    world.add("First", parent)
    world.run()
    above = world.id_of(parent)
    by_hand(world, "Kid", parent_id=above)
    show = world.ably._shown

    def shown(id_: str) -> dict[str, Any]:
        return {**show(id_), **({"due_date": "soon"} if id_ == above else {})}

    monkeypatch.setattr(world.ably, "_shown", shown)
    kid = world.add("Kid", parent)
    assert (kid, "unread") in problems(world.run())
    assert world.to_ably.writes == {}


@pytest.mark.parametrize("named", [True, False])
def test_the_plan_adopts_nothing_while_something_asked_about_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """As the run does not either: it asks again."""
    started(world, hides_created_at=True)
    one = world.add("Release 2")
    made = made_meanwhile(world, 2, description="A person's")
    shown = world.ably._shown

    def spoilt(key: str) -> Record:
        return {**shown(key), **({"due_date": "soon"} if key in made[:1] else {})}

    monkeypatch.setattr(world.ably, "_shown", spoilt)
    assert problems(world.run()) == [(one, IN_DOUBT)]
    retry(world, one, named=named)
    planned = [action for action in world.preview().plan.actions if action.testrail_id == one]
    assert [action.testably_id for action in planned] == [None]
    assert (problems(world.run()), world.to_ably.writes) == ([(one, IN_DOUBT)], {})


@BOTH
@pytest.mark.parametrize("alive", [0, 1])
def test_what_was_archived_when_it_was_asked_about_was_not_put_away_since(
    world: World, footer: bool, alive: int
) -> None:
    """A retry of everything decides nothing by it."""
    started(world, footer=footer)
    one = world.add("Release 2")
    made: list[str] = []

    def meanwhile(method: str, _what: str) -> None:
        if method == "POST" and not made:
            made.extend(by_hand(world, "Release 2", description="Old") for _ in range(1 + alive))
            world.ably.update(PROJECT, made[0], {"status": "archived"})
            world.to_ably.faults.script("reset", method="POST")

    world.to_ably.before = meanwhile
    assert problems(world.run()) == [(one, IN_DOUBT)]
    retry(world, one, named=False)
    assert (problems(world.run()), world.to_ably.writes) == ([(one, IN_DOUBT)], {})
