"""Creates whose outcome is not known, and runs whose process dies: never lost, never doubled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mappings.footer import marker_url
from mappings.journal import Journal
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.milestone import TargetMilestone, Values
from mappings.rows import ChangeState
from tests.support.mortal import Boundaries, Died
from tests.support.world import PROJECT, URL, World
from worker.clients.pauses import MOST_IN_A_ROW
from worker.errors import (
    AccessDenied,
    ApiError,
    ConnectionLost,
    CredentialsRefused,
    NotFound,
    Redirected,
    ServerTrouble,
    UnreadableAnswer,
)
from worker.sandbox.switches import TestablySwitches
from worker.sync.apply.creates import LOOK_GAP
from worker.sync.apply.writer import BACK_OFF, GRACE
from worker.sync.options import OnTargetEdit, Options, Policy, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.run import run_pair
from worker.sync.undo import undo
from worker.sync.verify import verify

ABLY = TestablySwitches()
CARRIED_OUT = ["timeout_after", "server_error_after", "reset_after", "cut_body"]
NOT_CARRIED_OUT = ["timeout", "server_error", "reset", "bad_gateway_html", "html"]
IN_DOUBT = "in_doubt_for_a_person"
FOOTER = pytest.mark.parametrize("footer", [True, False], ids=["footer", "no footer"])


def doubled(world: World) -> list[str]:
    """The names that more than one target milestone has."""
    names = [str(row["name"]) for row in world.ably.everything(PROJECT)]
    return sorted({name for name in names if names.count(name) > 1})


def family(world: World) -> None:
    """A completed root, and an open parent with a completed child."""
    world.add("Done", is_completed=True, due_on=1_780_000_000)
    world.add("Child", world.add("Parent"), is_completed=True)


def without_footer(world: World, footer: bool) -> None:
    world.rules = replace(world.rules, footer=footer)


# --- one run


@FOOTER
@pytest.mark.parametrize("kind", CARRIED_OUT)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_create_whose_answer_was_lost_is_found(
    world: World, kind: str, which: int, footer: bool
) -> None:
    """Root, parent or child: looked for once nothing can be under way any more, and adopted."""
    without_footer(world, footer)
    family(world)
    posts = iter(range(10))

    def fail(method: str, _what: str) -> None:
        if method == "POST" and next(posts) == which:
            world.to_ably.faults.script(kind, method="POST")

    world.to_ably.before = fail
    report = world.run()
    assert (report.state, report.counts["created"]) == (State.SUCCEEDED, 3)
    assert world.to_ably.writes == {"POST": 3, "PATCH": 2}
    assert doubled(world) == []
    assert max(world.clock.slept) >= GRACE.total_seconds()
    world.run()
    assert world.to_ably.writes == {}


def test_an_answer_that_names_what_was_there_before_is_no_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person made is not taken for what the create has made; that is looked for."""
    theirs = str(world.ably.create(PROJECT, {"name": "By hand"})["id"])
    one = world.add("One")
    create = world.target.create

    def mistaken(project: str, values: Values, parent: str | None) -> TargetMilestone:
        return replace(create(project, values, parent), id=theirs)

    monkeypatch.setattr(world.target, "create", mistaken)
    assert world.run().state is State.SUCCEEDED
    assert world.links[one].testably_id not in (None, theirs)
    assert sorted(str(row["name"]) for row in world.ably.live(PROJECT)) == ["By hand", "One"]


@FOOTER
@pytest.mark.parametrize("kind", NOT_CARRIED_OUT)
def test_a_create_that_left_nothing_is_made_again(world: World, kind: str, footer: bool) -> None:
    """After two complete looks, and not before the deadline and the settle time have passed."""
    without_footer(world, footer)
    family(world)
    world.to_ably.faults.script(kind, method="POST")
    report = world.run()
    assert (report.state, report.counts["created"]) == (State.SUCCEEDED, 3)
    assert world.to_ably.writes == {"POST": 4, "PATCH": 2}
    assert doubled(world) == []


@pytest.mark.parametrize("kind", ["rate_limited", "rate_limited_bare"])
def test_a_create_that_was_refused_for_now_is_repeated_at_once(world: World, kind: str) -> None:
    """429 was certainly not carried out: nothing to look for."""
    world.add("One")
    world.to_ably.faults.script(kind, method="POST", times=3)
    assert world.run().state is State.SUCCEEDED
    assert world.to_ably.writes == {"POST": 4}
    assert world.to_ably.count("GET") == 2


def test_a_target_that_limits_for_ever_gives_up(world: World) -> None:
    """Some day it is another run's turn."""
    world.add("One")
    world.to_ably.faults.script("rate_limited", method="POST", times=1000)
    report = world.run()
    assert (report.counts["waiting"], report.problems[0]["kind"]) == (1, "rate_limited")
    assert world.to_ably.writes == {"POST": MOST_IN_A_ROW}


def test_a_target_that_limits_every_write_for_ever_ends_the_run(world: World) -> None:
    """The attempts are those of all milestones together, and none of them is to blame (R6)."""
    for number in range(12):
        world.add(f"Release {number}")

    def limit(method: str, _: str) -> None:
        if method == "POST" and world.to_ably.writes["POST"] == 4:
            world.to_ably.faults.script("rate_limited", method="POST", times=1000)

    world.to_ably.before = limit
    report = world.run()
    assert (report.state, report.error and report.error.kind) == (State.FAILED, "rate_limited")
    assert world.to_ably.writes == {"POST": 3 + MOST_IN_A_ROW + 1}
    assert not any(link.has_count for link in world.links.values())


def test_a_milestone_that_alone_is_limited_for_ever_stops_no_other(world: World) -> None:
    ids = [world.add(f"Release {number}") for number in range(3)]
    world.to_ably.faults.script("rate_limited", method="POST", times=MOST_IN_A_ROW)
    report = world.run()
    assert (report.counts["created"], report.counts["waiting"]) == (2, 1)
    assert [one["testrail_id"] for one in report.problems] == ids[:1]


def late(world: World, when: float) -> None:
    """The next POST is carried out by the server only ``when`` seconds after it was given up."""
    world.to_ably.faults.script("late", method="POST")
    sleep = world.clock.sleep
    start: list[float] = []

    def sleeping(seconds: float) -> None:
        sleep(seconds)
        if world.target._wire._under_way and not start:
            start.append(world.clock.monotonic())
        if start and world.clock.monotonic() - start[0] >= when:
            world.target.arrive()

    world.clock.sleep = sleeping  # type: ignore[method-assign]


@FOOTER
@pytest.mark.parametrize("when", [0.0, 5.0, 9.0])
def test_a_create_that_arrives_while_we_wait_is_adopted(
    world: World, when: float, footer: bool
) -> None:
    """The server is slow, but within the settle time: never doubled."""
    without_footer(world, footer)
    world.add("One")
    late(world, when)
    report = world.run()
    assert (report.state, report.counts["created"]) == (State.SUCCEEDED, 1)
    assert (world.to_ably.writes, doubled(world)) == ({"POST": 1}, [])


def test_what_arrives_even_later_is_told_for_ever(world: World) -> None:
    """It cannot be excluded: a second target with the marker of a linked milestone."""
    world.add("One")
    world.to_ably.faults.script("late", method="POST")
    assert world.run().counts["created"] == 1
    world.target.arrive()
    for _ in range(2):
        assert [problem["kind"] for problem in world.run().problems] == ["second_target"]
        assert world.to_ably.writes == {}


def test_the_looks_are_shared(world: World) -> None:
    """Ten lost answers cost one wait and two looks at all three lists, not ten."""
    for number in range(10):
        world.add(f"Release {number}")
    world.to_ably.faults.script("reset_after", method="POST", times=10)
    assert world.run().counts["created"] == 10
    assert world.to_ably.count("GET") == 2 + 2 * 3


def test_other_work_goes_on_meanwhile(world: World) -> None:
    """Everything that does not hang below the doubtful one is done first."""
    family(world)
    world.to_ably.faults.script("timeout", method="POST", times=1)
    world.run()
    kinds = [(method, what[:16]) for method, what in world.to_ably.requests]
    assert [method for method, _ in kinds[:5]] == ["GET", "GET", "POST", "POST", "POST"]
    assert doubled(world) == []


@pytest.mark.parametrize("listed", [True, False])
def test_a_lost_child_is_found_although_the_list_leaves_it_out(world: World, listed: bool) -> None:
    """In the parent's detail, with a GET on every sub-milestone there that is not linked."""
    world.behave(ably=replace(ABLY, list_holds_subs=listed))
    parent = world.add("Parent")
    for number in range(3):
        world.add(f"Child {number}", parent)
    world.run()
    world.ably.create(PROJECT, {"name": "By hand", "parent_id": world.id_of(parent)})
    world.add("New child", parent)
    world.to_ably.faults.script("timeout_after", method="POST")
    assert world.run().counts["created"] == 1
    assert (world.to_ably.writes, doubled(world)) == ({"POST": 1}, [])


def test_a_list_that_lags_finds_it_in_the_second_look(world: World) -> None:
    """So there are two, some seconds apart."""
    world.behave(ably=replace(ABLY, listing_delay=41.0))
    world.add("One")
    world.to_ably.faults.script("timeout_after", method="POST")
    assert world.run().counts["created"] == 1
    assert (world.to_ably.writes, doubled(world)) == ({"POST": 1}, [])


def test_an_incomplete_look_decides_nothing(world: World) -> None:
    """Neither found nor certainly not there: the next run looks again, first of all."""
    world.add("One")
    world.to_ably.faults.script("reset", method="POST")

    def cut(method: str, _what: str) -> None:
        world.target.incomplete = world.target.incomplete or method == "POST"

    world.to_ably.before = cut
    report = world.run()
    assert (report.counts["waiting"], report.problems[0]["kind"]) == (1, "in_doubt")
    assert world.to_ably.writes == {"POST": 1}
    world.to_ably.before = lambda _method, _what: None
    world.target.incomplete = False
    assert world.run().counts["created"] == 1
    assert doubled(world) == []


def test_a_look_below_a_parent_that_fails_decides_nothing(world: World) -> None:
    """The detail of the parent answers 5xx in every look."""
    parent = world.add("Parent")
    world.add("First child", parent)
    world.run()
    world.add("Child", parent)
    world.to_ably.faults.script("reset", method="POST")
    world.to_ably.faults.script("server_error", method="GET", contains="milestones/", times=1000)
    assert world.run().problems[0]["kind"] == "in_doubt"
    world.to_ably.faults.clear()
    assert world.run().counts["created"] == 1
    assert doubled(world) == []


def unreadable(world: World, *testably_ids: str, error: type[ApiError] = AccessDenied) -> None:
    """From now on the details of these milestones are answered with this error."""
    get = world.target.get

    def read(project_id: str, milestone_id: str) -> TargetMilestone:
        if milestone_id in testably_ids:
            raise error("Testably", f"Testably answered {milestone_id} with {error.kind}")
        return get(project_id, milestone_id)

    world.target.get = read  # type: ignore[method-assign]


def two_in_doubt(world: World, kind: str, parent: int, meanwhile: Callable[[], None]) -> None:
    """A child of the parent and a root are new; both creates fail, and this happens meanwhile."""
    world.add("Child", parent)
    world.add("Root")
    world.to_ably.faults.script(kind, method="POST", times=2)

    def once(method: str, _what: str) -> None:
        if method == "POST":
            world.to_ably.before = lambda _method, _what: None
            meanwhile()

    world.to_ably.before = once


@pytest.mark.parametrize("kind", ["reset", "timeout_after"])
@pytest.mark.parametrize(
    "error", [ServerTrouble, UnreadableAnswer, AccessDenied, Redirected, NotFound]
)
@pytest.mark.parametrize(("which", "listed"), [("above", True), ("above", False), ("sub", False)])
def test_what_cannot_be_read_below_a_parent_keeps_no_other_create_in_doubt(
    world: World, kind: str, error: type[ApiError], which: str, listed: bool
) -> None:
    """Only those below that parent stay in doubt, for as long as it is so (R6)."""
    world.behave(ably=replace(ABLY, list_holds_subs=listed))
    parent = world.add("Parent")
    world.add("First child", parent)
    world.run()
    by_hand = str(
        world.ably.create(PROJECT, {"name": "By hand", "parent_id": world.id_of(parent)})["id"]
    )
    bad = world.id_of(parent) if which == "above" else by_hand
    two_in_doubt(world, kind, parent, lambda: unreadable(world, bad, error=error))
    readable = world.target.get
    report = world.run()
    assert (report.state, report.counts["created"]) == (State.PARTIAL, 1)
    world.run()
    assert world.to_ably.writes == {}
    assert world.to_ably.count("GET", "status=archived") <= 3
    (problem,) = [p for p in world.run().problems if p["kind"] == "in_doubt"]
    assert problem["testrail_id"] == 3
    assert bad in problem["reason"]
    assert ('"By hand"' in problem["reason"]) == (which == "sub")
    world.target.get = readable  # type: ignore[method-assign]
    assert world.run().state is State.SUCCEEDED
    assert doubled(world) == []
    assert len(world.ably.everything(PROJECT)) == 5


def test_what_concerns_everything_ends_the_looks(world: World) -> None:
    """Refused credentials are of no single milestone: nothing is concluded."""
    parent = world.add("Parent")
    world.add("First child", parent)
    world.run()
    bad = world.id_of(parent)
    two_in_doubt(world, "reset", parent, lambda: unreadable(world, bad, error=CredentialsRefused))
    report = world.run()
    assert (report.state, report.error and report.error.kind) == (State.FAILED, "credentials")
    assert {link.state for link in world.links.values()} == {LinkState.LINKED, LinkState.CREATING}
    assert len(world.ably.everything(PROJECT)) == 2


def test_a_parent_that_vanishes_meanwhile(world: World) -> None:
    """Nothing can hang below it; the next run creates it again, and the child below that."""
    parent = world.add("Parent")
    world.run()
    world.add("Child", parent)
    gone = world.id_of(parent)

    def vanish(method: str, _what: str) -> None:
        if method == "POST":
            world.ably.remove(gone)
            world.to_ably.before = lambda _method, _what: None

    world.to_ably.faults.script("timeout", method="POST")
    world.to_ably.before = vanish
    world.run()
    world.run()
    assert {row["name"] for row in world.ably.everything(PROJECT)} >= {"Parent"}
    assert doubled(world) == []


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("kept", ["footer", "no footer", "cut"])
def test_what_a_create_left_is_found_below_the_parent_that_it_was_sent_below(
    world: World, kept: str, listed: bool
) -> None:
    """An undo gave that one back, and its source has another target by now."""
    without_footer(world, kept != "no footer")
    cut = 60 if kept == "cut" else None
    ably = replace(ABLY, parent_dates_read_only=False, cuts_description_at=cut)
    world.behave(ably=replace(ably, list_holds_subs=listed))
    world.add("Other")
    world.run()
    first = by_hand(world, name="Parent")["id"]
    parent = world.add("Parent")
    child = world.add("Child", parent, description="Longer than what is kept of it. " * 3)
    world.to_ably.faults.script("reset_after", method="POST")

    def fail(method: str, _what: str) -> None:
        if method == "GET" and world.to_ably.writes.get("POST"):
            raise ConnectionLost("Testably", "The connection was lost.")

    world.to_ably.before = fail
    run = world.run(adopt_by_name=True).run
    world.to_ably.before = lambda _method, _what: None
    assert world.links[child].state is LinkState.CREATING
    world.clock.sleep(60)
    undo(world.context(), str(run))
    report = world.run(Trigger.MIGRATION, create_anyway=True)
    assert world.id_of(parent) != first
    (made,) = (row for row in world.ably.everything(PROJECT) if row["name"] == "Child")
    assert (world.id_of(child), made["parent_id"]) == (made["id"], first)
    assert (child, "immovable") in [(p["testrail_id"], p["kind"]) for p in report.problems]


def test_several_that_may_be_it_are_never_guessed(world: World) -> None:
    """With the footer off, somebody made the same milestone by hand meanwhile."""
    without_footer(world, False)
    world.add("One")
    world.to_ably.faults.script("timeout_after", method="POST")

    def made(method: str, _what: str) -> None:
        if method == "POST":
            world.ably.create(PROJECT, {"name": "One", "start_date": "2026-03-01T00:00:00Z"})

    world.to_ably.before = made
    report = world.run()
    assert (report.counts["conflicts"], report.problems[0]["kind"]) == (1, IN_DOUBT)
    assert world.to_ably.writes == {"POST": 1}
    assert world.to_ably.count("GET") == 2 + 2 * 3


@pytest.mark.parametrize("change", ["name", "parent", "age"])
def test_without_the_footer_only_what_fits_is_taken(world: World, change: str) -> None:
    """Same name, dates and parent, and not older than the attempt."""
    without_footer(world, False)
    other = {"name": "Two" if change == "name" else "One", "start_date": "2026-03-01T00:00:00Z"}
    world.add("Parent")
    world.run()
    if change == "parent":
        other["parent_id"] = world.id_of(1)
    world.ably.create(PROJECT, other)
    world.clock.sleep(3600)
    world.add("One")
    world.to_ably.faults.script("timeout", method="POST")
    report = world.run(create_anyway=True)
    assert report.counts["created"] == 1
    assert world.to_ably.writes == {"POST": 2}


def test_a_create_that_fails_again_and_again_is_set_aside(world: World) -> None:
    """One run tries four times, those with a count once; in quarantine it costs no request."""
    world.add("One")
    world.to_ably.faults.script("server_error", method="POST", times=1000)
    posts = []
    for _ in range(4):
        world.clock.sleep(3600)
        report = world.run()
        posts.append(world.to_ably.writes["POST"])
    assert report.problems[0]["kind"] == "keeps_failing"
    assert posts == [4, 4, 1, 1]
    world.run()
    assert world.to_ably.writes == {}
    world.to_ably.faults.clear()
    world.edit(1, name="Renamed")
    assert world.run().counts["created"] == 1


def test_a_machine_that_slept_does_not_send(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim would run out before the request does; it is given back and made again."""
    world.add("One")
    lease = Journal.lease

    def slow(*given: Any) -> Any:
        leased = lease(*given)
        world.clock.sleep(60)
        monkeypatch.setattr(Journal, "lease", lease)
        return leased

    monkeypatch.setattr(Journal, "lease", slow)
    assert world.run().state is State.SUCCEEDED
    assert world.to_ably.writes == {"POST": 1}
    assert [change.state for change in world.changes] == [ChangeState.NOT_DONE, ChangeState.DONE]
    assert world.clock.slept.count(BACK_OFF[0]) == 1


def test_the_deadline_is_journaled_before_the_request(world: World) -> None:
    """A death while the request is under way leaves the time until which it may arrive."""
    world.add("One")
    seen: list[Link] = []
    world.to_ably.before = lambda method, _: (
        seen.extend(world.links.values()) if method == "POST" else None
    )
    world.run()
    (journaled,) = seen
    assert journaled.state is LinkState.CREATING
    assert journaled.attempt_deadline is not None
    assert journaled.attempt_at is not None
    timeout = timedelta(seconds=world.target.request_timeout)
    assert journaled.attempt_deadline >= journaled.attempt_at + timeout
    assert journaled.in_flight is not None
    assert journaled.in_flight["name"] == "One"


# --- what the target stores, and what people make meanwhile

LONG = "What this release brings to everybody. " * 64


def at_the_first_post(world: World, work: Callable[[], object]) -> None:
    """Do this just before the server gets the first POST of the run."""

    def before(method: str, _what: str) -> None:
        if method == "POST":
            world.to_ably.before = lambda _method, _what: None
            work()

    world.to_ably.before = before


def by_hand(world: World, **fields: object) -> dict[str, Any]:
    """A person makes a milestone of the same name and date."""
    body = {"name": "One", "start_date": "2026-03-01T00:00:00Z"}
    return world.ably.create(PROJECT, {**body, **fields})


def retry(world: World, testrail_id: int = 1) -> None:
    """`milesync retry ID`."""
    link = world.links[testrail_id]
    assert link.can_be_retried
    world.store.save(world.pair.id, link.retried(), world.clock.now())


@pytest.mark.parametrize("kind", [*CARRIED_OUT, "redirect_after"])
def test_a_create_whose_marker_was_cut_off_is_found_by_what_it_sent(
    world: World, kind: str
) -> None:
    """The target keeps 2,000 of 2,500 characters; the description is sent once more, and told."""
    world.behave(ably=replace(ABLY, cuts_description_at=2000))
    world.add("One", description=LONG)
    world.to_ably.faults.script(kind, method="POST")
    report = world.run()
    assert (report.state, report.counts["created"]) == (State.PARTIAL, 1)
    assert world.to_ably.writes == {"POST": 1, "PATCH": 1}
    assert [(p["kind"], p["testrail_id"]) for p in report.problems] == [("altered", 1)]
    assert doubled(world) == []
    world.run()
    assert world.to_ably.writes == {}


@FOOTER
@pytest.mark.parametrize("kind", ["timeout_after", "timeout"])
@pytest.mark.parametrize("offset", [-600.0, 600.0, 86_400.0])
def test_the_targets_clock_may_go_before_or_after_ours(
    world: World, kind: str, offset: float, footer: bool
) -> None:
    """What has appeared since is told by its own times alone."""
    world.behave(ably=replace(ABLY, clock_offset=offset))
    without_footer(world, footer)
    world.add("Other")
    world.run()
    world.add("One")
    world.to_ably.faults.script(kind, method="POST")
    assert world.run().counts["created"] == 1
    assert doubled(world) == []
    world.run()
    assert world.to_ably.writes == {}


@FOOTER
@pytest.mark.parametrize("kind", ["timeout_after", "timeout"])
@pytest.mark.parametrize("status", ["archived", "completed"])
@pytest.mark.parametrize("listed", [True, False])
def test_what_a_person_had_put_away_before_is_not_it(
    world: World, kind: str, status: str, listed: bool, footer: bool
) -> None:
    """Also where the plain list shows neither archived nor completed ones."""
    held = {f"list_holds_{status}": listed}
    world.behave(ably=replace(ABLY, **held))  # type: ignore[arg-type]
    without_footer(world, footer)
    world.ably.update(PROJECT, str(by_hand(world)["id"]), {"status": status})
    world.clock.sleep(60)
    by_hand(world, name="Other")
    world.add("One")
    world.to_ably.faults.script(kind, method="POST")
    report = world.run(create_anyway=True)
    assert (report.state, report.counts["created"]) == (State.SUCCEEDED, 1)
    assert len(world.ably.everything(PROJECT)) == 3


@FOOTER
@pytest.mark.parametrize("kind", ["timeout_after", "timeout"])
def test_the_targets_clock_may_be_set_back(world: World, kind: str, footer: bool) -> None:
    """What it made since looks older than what was there: without a marker, a person tells."""
    without_footer(world, footer)
    world.add("Other")
    world.run()
    world.behave(ably=replace(ABLY, clock_offset=-600.0))
    world.add("One")
    world.to_ably.faults.script(kind, method="POST")
    report = world.run()
    assert doubled(world) == []
    if footer or kind == "timeout":
        assert (report.state, report.counts["created"]) == (State.SUCCEEDED, 1)
        return
    for trigger in (Trigger.MANUAL, Trigger.SCHEDULE):
        assert [(p["kind"], p["testrail_id"]) for p in report.problems] == [(IN_DOUBT, 2)]
        report = world.run(trigger)
        assert world.to_ably.writes == {}
    world.store.save(world.pair.id, world.links[2].retried(), world.clock.now())
    assert world.run().state is State.SUCCEEDED
    assert doubled(world) == []


@FOOTER
def test_what_a_person_made_meanwhile_is_not_taken(world: World, footer: bool) -> None:
    """The POST failed, and somebody made one of the name: a person tells whose it is."""
    without_footer(world, footer)
    world.add("One", description=LONG)
    world.to_ably.faults.script("reset", method="POST")
    at_the_first_post(world, lambda: by_hand(world, description="Ours"))
    for _ in range(2):
        report = world.run(create_anyway=True)
        assert report.state is State.PARTIAL
        assert [(p["kind"], p["testrail_id"]) for p in report.problems] == [(IN_DOUBT, 1)]
        assert len(world.ably.everything(PROJECT)) == 1
    assert world.to_ably.writes == {}
    assert world.to_ably.count("GET", "status=archived") == 0
    (theirs,) = world.ably.everything(PROJECT)
    assert theirs["description"] == "Ours"
    assert world.links[1].state is LinkState.CREATING


@FOOTER
@pytest.mark.parametrize("is_theirs", [True, False])
def test_retry_links_what_a_person_left(world: World, is_theirs: bool, footer: bool) -> None:
    """The one that was not archived; with none left it is created again."""
    without_footer(world, footer)
    world.add("One", description=LONG)
    world.to_ably.faults.script("reset", method="POST")
    at_the_first_post(world, lambda: by_hand(world))
    world.run()
    (made,) = world.ably.everything(PROJECT)
    if is_theirs:
        world.ably.update(PROJECT, str(made["id"]), {"status": "archived"})
    retry(world)
    report = world.run()
    assert (report.state, report.problems) == (State.SUCCEEDED, ())
    assert (world.id_of(1) == made["id"]) is not is_theirs
    (living,) = world.ably.live(PROJECT)
    assert str(living["description"]).startswith(LONG.strip())
    world.run()
    assert world.to_ably.writes == {}


THEIRS = {"description": "A person's own text.", "due_date": "2026-05-05T00:00:00Z"}
"""What a person has written in a milestone of the name, beside what milesync would."""


def left_by_a_person(world: World, **fields: object) -> tuple[str, str, str]:
    """A create fails in one run, and the next one links what a person made; its id, and theirs."""
    world.add("One", description=LONG)
    world.to_ably.faults.script("reset", method="POST")
    at_the_first_post(world, lambda: by_hand(world, **fields))
    asked = world.run()
    retry(world)
    linked = world.run()
    assert (asked.run, linked.run) != (None, None)
    (made,) = world.ably.everything(PROJECT)
    assert (linked.counts["adopted"], world.id_of(1)) == (1, made["id"])
    return str(made["id"]), str(asked.run), str(linked.run)


@FOOTER
def test_what_a_person_left_for_a_create_is_adopted(world: World, footer: bool) -> None:
    """The create left nothing that is known of; what differs is sent, and what was there is kept.

    An undo of the run that had sent the create archives nothing, and one of the run that linked it
    unlinks it, with the person's own values.
    """
    without_footer(world, footer)
    made, asked, linked = left_by_a_person(world, **THEIRS)
    kinds = [(one.kind, one.state, one.testably_id, one.run_id == asked) for one in world.changes]
    assert kinds == [
        ("create", ChangeState.NOT_DONE, None, True),
        ("adopt", ChangeState.DONE, made, False),
        ("update", ChangeState.DONE, made, False),
    ]
    assert world.changes[-1].before == THEIRS
    assert verify(world.context()).in_step
    for run, restored in ((asked, False), (linked, True)):
        world.clock.sleep(60)
        assert undo(world.context(), run).state is State.SUCCEEDED
        (row,) = world.ably.live(PROJECT)
        assert ({name: row[name] for name in THEIRS} == THEIRS) is restored
    held = world.links[1]
    assert (held.state, held.testably_id) == (LinkState.HELD, None)


@pytest.mark.parametrize("put_away", [0, 1])
def test_a_person_tells_which_of_two_equal_ones_it_is_and_not_whose(
    world: World, put_away: int
) -> None:
    """The create had made one of both: no undo archives the one that was left."""
    without_footer(world, False)
    world.add("One")
    world.to_ably.faults.script("timeout_after", method="POST")
    at_the_first_post(world, lambda: by_hand(world))
    asked = world.run()
    both = world.ably.live(PROJECT)
    assert len(both) == 2
    world.ably.update(PROJECT, str(both[put_away]["id"]), {"status": "archived"})
    retry(world)
    linked = world.run()
    assert (linked.state, linked.counts["adopted"]) == (State.SUCCEEDED, 1)
    for report in (asked, linked):
        world.clock.sleep(60)
        assert undo(world.context(), str(report.run)).state is State.SUCCEEDED
    assert [row["id"] for row in world.ably.live(PROJECT)] == [both[1 - put_away]["id"]]


def test_what_a_person_left_stays_where_testably_s_edits_win(world: World) -> None:
    """As in any milestone that is adopted: its values are a person's."""
    world.policy = Policy(on_target_edit=OnTargetEdit.TARGET)
    made, _, _ = left_by_a_person(world, **THEIRS)
    row = world.ably.get(PROJECT, made)
    assert {name: row[name] for name in THEIRS} == THEIRS
    assert [one.kind for one in world.changes] == ["create", "adopt"]
    world.run()
    assert world.to_ably.writes == {}


@pytest.mark.parametrize("policy", OnTargetEdit)
def test_what_a_person_wrote_in_what_is_found_is_judged_by_the_policy(
    world: World, policy: OnTargetEdit
) -> None:
    """The source was renamed, and a person has edited what the create had left (R3)."""
    world.policy = Policy(on_target_edit=policy)
    world.add("One")
    dies(world, "after POST")
    (made,) = world.ably.everything(PROJECT)
    world.clock.sleep(60)
    edit = {"name": "A person's", "due_date": "2026-05-05T00:00:00Z"}
    world.ably.update(PROJECT, str(made["id"]), edit)
    world.edit(1, name="Two")
    report = world.run()
    assert (report.state, report.counts["adopted"]) == (State.SUCCEEDED, 1)
    assert verify(world.context()).in_step
    if policy is OnTargetEdit.SOURCE:
        assert world.changes[-1].before == edit
    else:
        row = world.in_target(1)
        assert {name: row[name] for name in edit} == edit
        assert [p["kind"] for p in report.problems] == ["target_edit_kept"] * 2


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("policy", OnTargetEdit)
@pytest.mark.parametrize("status", ["completed", "archived"])
def test_a_status_that_a_person_gave_to_what_is_found_is_judged_by_the_policy(
    world: World, policy: OnTargetEdit, status: str, done: bool
) -> None:
    """In the same run, and whether it is completed in TestRail or not."""
    world.policy = Policy(on_target_edit=policy)
    world.add("One", is_completed=done)
    dies(world, "after POST")
    (made,) = world.ably.everything(PROJECT)
    world.clock.sleep(60)
    world.ably.update(PROJECT, str(made["id"]), {"status": status})
    report = world.run()
    assert report.state is State.SUCCEEDED
    assert verify(world.context()).in_step
    ours = "completed" if done else "active"
    expected = ours if policy is OnTargetEdit.SOURCE else status
    assert str(world.ably.get(PROJECT, str(made["id"]))["status"]) in (expected, *OPEN[expected])
    assert len(world.ably.everything(PROJECT)) == 1
    world.run()
    assert world.to_ably.writes == {}


OPEN = {"active": ("upcoming", "started", "past_due"), "completed": (), "archived": ()}


def test_a_retry_that_leaves_several_asks_again(world: World) -> None:
    """It alone decides nothing, and nothing is created."""
    world.add("One")
    world.to_ably.faults.script("reset", method="POST")
    at_the_first_post(world, lambda: [by_hand(world), by_hand(world)])
    world.run()
    for _ in range(2):
        retry(world)
        assert [problem["kind"] for problem in world.run().problems] == [IN_DOUBT]
        assert world.to_ably.writes == {}


@pytest.mark.parametrize("kind", ["timeout_after", "timeout"])
def test_a_target_without_times_leaves_it_to_a_person(world: World, kind: str) -> None:
    """Where nothing of the name is there, it is created again all the same."""
    without_footer(world, False)
    world.behave(ably=replace(ABLY, hides_created_at=True))
    world.add("One")
    world.to_ably.faults.script(kind, method="POST")
    report = world.run()
    asked = kind == "timeout_after"
    assert [problem["kind"] for problem in report.problems] == ([IN_DOUBT] if asked else [])
    assert len(world.ably.everything(PROJECT)) == 1


@pytest.mark.parametrize("listed", [True, False])
def test_what_a_create_left_is_found_completed(world: World, listed: bool) -> None:
    """Somebody completed it at once, and the plain list hides completed ones."""
    world.behave(ably=replace(ABLY, list_holds_completed=listed))
    world.add("One")
    world.to_ably.faults.script("timeout_after", method="POST")
    sleep = world.clock.sleep

    def complete(seconds: float) -> None:
        sleep(seconds)
        for row in world.ably.live(PROJECT):
            world.ably.update(PROJECT, str(row["id"]), {"status": "completed"})

    world.clock.sleep = complete  # type: ignore[method-assign]
    world.run()
    world.clock.sleep = sleep  # type: ignore[method-assign]
    assert (world.to_ably.writes["POST"], doubled(world)) == (1, [])


def test_equal_creates_are_matched_one_to_one(world: World) -> None:
    """Two of three arrived, their markers cut off: those are linked, and one is made again."""
    world.behave(ably=replace(ABLY, cuts_description_at=2000))
    for _ in range(3):
        world.add("One", description=LONG)
    world.to_ably.faults.script("reset_after", method="POST", times=2)
    world.to_ably.faults.script("reset", method="POST", times=1)
    assert world.run().counts["created"] == 3
    assert world.to_ably.writes["POST"] == 4
    assert len({world.id_of(number) for number in (1, 2, 3)}) == 3
    assert len(world.ably.everything(PROJECT)) == 3


def test_a_target_of_another_pair_is_no_candidate(world: World) -> None:
    """Another TestRail project goes into the same Testably project, and made an equal one."""
    without_footer(world, False)
    world.add("One")
    world.run()
    world.identity = replace(world.identity, testrail_project=2)
    world.source.model.projects.add(2)
    world.rail.add(2, {"name": "One", "start_on": 1_772_323_200})
    world.to_ably.faults.script("reset", method="POST")
    report = world.run(create_anyway=True)
    assert (report.counts["created"], report.problems) == (1, ())


def test_a_wait_is_never_longer_than_a_request_and_its_grace(world: World) -> None:
    """The clock was set back by a day since the process died; the request is over all the same."""
    world.add("One")
    dies(world, "before POST")
    world.clock.start -= timedelta(days=1)
    world.clock.slept.clear()
    assert world.run().counts["created"] == 1
    assert max(world.clock.slept[1:]) == world.target.request_timeout + GRACE.total_seconds()


def dies(world: World, boundary: str) -> None:
    """A run whose process dies at the first boundary of this name."""
    with pytest.raises(Died):
        run_pair(world.mortal(Boundaries(dies_on=boundary)), Options())


def test_a_create_in_doubt_is_missing_and_what_it_left_is_no_extra(world: World) -> None:
    """`verify` reads, and waits for nothing."""
    world.add("One")
    world.add("Two")
    world.run()
    world.add("Three")
    world.to_ably.faults.script("timeout_after", method="POST")
    world.target.incomplete = False

    def cut(method: str, _what: str) -> None:
        world.target.incomplete = world.target.incomplete or method == "POST"

    world.to_ably.before = cut
    world.run()
    world.target.incomplete = False
    found = verify(world.context())
    assert [one.testrail_id for one in found.missing] == [3]
    assert (found.in_step, found.extra, found.differences) == (False, (), ())


def test_a_clock_that_jumps_shortens_no_wait(world: World) -> None:
    """An hour ahead while the request is under way: the wait is measured on another clock."""
    world.add("One")
    late(world, 39.0)
    jump = timedelta(hours=1)
    create = world.target.create

    def jumping(*given: Any) -> Any:
        try:
            return create(*given)
        finally:
            world.clock.start += jump

    world.target.create = jumping  # type: ignore[method-assign, assignment]
    assert world.run().counts["created"] == 1
    assert doubled(world) == []


def test_a_plan_counts_the_looks_for_creates_in_doubt(world: World) -> None:
    """Two looks at three lists, and at the parent below which one is in doubt."""
    parent = world.add("Parent")
    world.add("Other", parent)
    world.run(Trigger.MIGRATION)
    child, now = world.add("Child", parent), world.clock.now()
    died = Link(child, parent_id=parent).begin_create({"name": "Child"}, now, now)
    world.store.save(world.pair.id, died, now)
    planned = world.preview(trigger=Trigger.MIGRATION)
    before = world.target.requests
    assert world.run(Trigger.MIGRATION).state is State.SUCCEEDED
    assert planned.requests["testably"] == world.target.requests - before
    assert planned.looks == 8


def test_equal_creates_of_two_pairs_in_one_project_get_a_target_each(world: World) -> None:
    """Both were carried out and cut off their markers; no person is asked, nothing is doubled."""
    world.behave(ably=TestablySwitches(cuts_description_at=40))
    one, now = world.context(), world.clock.now()
    world.rail.projects.add(2)
    identity = replace(one.identity, testrail_project=2)
    contexts = one, replace(one, identity=identity)
    for number, context in enumerate(contexts, 1):
        id_ = int(str(world.rail.add(number, {"name": "Same"})["id"]))
        text = f"---\nTestRail: {marker_url(URL, id_)}"
        died = Link(id_).begin_create({"name": "Same", "description": text}, now, now)
        pair = world.store.pair(context.identity)
        world.store.save(pair.id, died, now)
        world.ably.create(PROJECT, {"name": "Same", "description": text})
    found = []
    for context in contexts:
        report = run_pair(context, Options(Trigger.MANUAL))
        assert report.counts["adopted"] == 1, report
        links = world.store.links(world.store.pair(context.identity).id)
        found += [link.testably_id for link in links.values()]
    assert len(set(found)) == 2
    assert world.to_ably.count("POST") == 0


@pytest.mark.parametrize("arrived", [True, False])
def test_an_equal_create_of_another_pair_is_waited_for(world: World, arrived: bool) -> None:
    """What still comes can be either's, so nothing is created again before both are over."""
    one, now = world.context(), world.clock.now()
    other = replace(one.identity, testrail_project=2)
    for id_, identity, until in (
        (world.add("Same"), one.identity, now),
        (77, other, now + timedelta(hours=1)),
    ):
        died = Link(id_).begin_create({"name": "Same"}, now, until)
        world.store.save(world.store.pair(identity).id, died, now)
    if arrived:
        text = f"---\nTestRail: {marker_url(URL, 77)}"
        world.ably.create(PROJECT, {"name": "Same", "description": text})
    world.run()
    assert world.to_ably.count("POST") == arrived
    world.clock.sleep(3600)
    world.run()
    assert world.links[1].state is LinkState.LINKED


def test_it_is_waited_only_as_long_as_the_request_may_still_be_under_way(world: World) -> None:
    """Its time-out has passed already; the grace is left, and the gap between the two looks."""
    world.add("One")
    world.to_ably.faults.script("timeout_after", method="POST")
    world.run()
    timeout, grace = world.target.request_timeout, GRACE.total_seconds()
    assert world.clock.slept[-3:] == [timeout, grace, LOOK_GAP.total_seconds()]


def test_what_a_create_left_is_in_the_history_as_it_was_found(world: World) -> None:
    world.add("One")
    world.to_ably.faults.script("timeout_after", method="POST")
    world.run()
    (change,) = world.changes
    assert (change.kind, change.state, change.echo) == (
        "create",
        ChangeState.DONE,
        world.links[1].observed,
    )


def test_who_is_asked_is_told_which_milestones_it_can_be(world: World) -> None:
    world.add("One")
    world.to_ably.faults.script("timeout_after", method="POST")
    at_the_first_post(world, lambda: by_hand(world))
    without_footer(world, False)
    (problem,) = world.run().problems
    ids = ", ".join(sorted(str(row["id"]) for row in world.ably.everything(PROJECT)))
    assert problem["reason"] == (
        "Testably gave no clear answer to its create, and what that left behind cannot be told "
        f"for certain. It can be: {ids}."
    )


def test_a_run_waits_for_the_claim_of_one_that_died(world: World) -> None:
    """Its request may still be under way; afterwards the link is free again."""
    world.add("One")
    world.run()
    world.edit(1, name="Renamed")
    dies(world, "after PATCH")
    lease = world.links[1].lease_until
    assert lease is not None
    world.run()
    assert world.clock.now() > lease
    assert world.differences() == []


# --- two processes at the same links


def test_a_link_that_somebody_else_changed_is_left_to_them(world: World) -> None:
    """The compare-and-set loses; nothing is sent, and the next run looks at that target."""
    world.add("One")
    world.run()
    world.edit(1, name="Renamed")
    wait_for_permit = world.target.wait_for_permit

    def meanwhile() -> None:
        world.store.save(world.pair.id, world.links[1], world.clock.now())
        wait_for_permit()

    world.target.wait_for_permit = meanwhile  # type: ignore[method-assign]
    report = world.run(Trigger.SCHEDULE)
    assert (report.counts["unchanged"], world.to_ably.writes) == (1, {})
    del world.target.wait_for_permit
    assert world.links[1].look_again
    assert world.run(Trigger.SCHEDULE).counts["updated"] == 1


def test_a_link_that_stays_held_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody claims it again and again: it waits, once, and is left to the next run."""
    world.add("One")
    world.run()
    world.edit(1, name="Renamed")
    monkeypatch.setattr(Journal, "lease", lambda *_given: None)
    held = replace(world.links[1], lease_until=world.clock.now() + timedelta(seconds=300))
    world.store.journal.settle(world.pair.id, held, None, ChangeState.DONE, world.clock.now())
    reload = world.store.links

    def still_held(*given: Any) -> dict[int, Link]:
        later = world.clock.now() + timedelta(seconds=30)
        return {i: replace(k, lease_until=later) for i, k in reload(*given).items()}

    world.store.links = still_held  # type: ignore[method-assign, assignment]
    report = world.run(Trigger.SCHEDULE)
    assert (report.counts["waiting"], report.problems[0]["kind"]) == (1, "held_up")


def test_a_refresh_does_not_wait_for_what_a_living_run_creates(world: World) -> None:
    """Another milestone's create is under way in another process: that one will see to it."""
    world.add("One")
    world.run()
    until = world.clock.now() + timedelta(seconds=600)
    creating = Link(2, state=LinkState.CREATING, attempt_deadline=until, lease_until=until)
    world.store.save(world.pair.id, creating, world.clock.now())
    before = world.clock.now()
    assert world.run(Trigger.WEBHOOK, Scope((1,))).state is State.SUCCEEDED
    assert world.clock.now() < before + timedelta(seconds=100)
    assert world.to_ably.count("GET") == 1


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_refresh_leaves_a_create_in_doubt_to_a_run_of_the_pair(
    world: World, carried_out: bool
) -> None:
    """Looking twice at a large pair takes longer than the task of a refresh may."""
    parent = world.add("Release 1")
    world.run()
    child = world.add("Build 1", parent)
    create = world.target.create

    def died(*given: Any) -> Any:
        if carried_out:
            create(*given)
        raise Died

    world.target.create = died  # type: ignore[method-assign, assignment]
    with pytest.raises(Died):
        world.run()
    world.target.create = create  # type: ignore[method-assign]
    assert world.links[child].state is LinkState.CREATING
    report = world.run(Trigger.WEBHOOK, Scope((parent,)))
    assert (report.state, report.counts["waiting"]) == (State.PARTIAL, 1)
    assert world.links[child].state is LinkState.CREATING
    assert (world.to_ably.writes, world.to_ably.count("GET")) == ({}, 1)
    assert world.run(Trigger.SCHEDULE).state is State.SUCCEEDED
    assert world.links[child].state is LinkState.LINKED
    assert doubled(world) == []


def test_an_answer_that_lost_its_lease_is_left_to_the_next_run(world: World) -> None:
    """The POST was made, but another process took the link meanwhile: it is looked at again."""
    world.add("One")
    create = world.target.create

    def stolen(*given: Any) -> Any:
        made = create(*given)
        mine = replace(world.links[1], lease_until=None)
        world.store.journal.settle(world.pair.id, mine, None, ChangeState.DONE, world.clock.now())
        return made

    world.target.create = stolen  # type: ignore[method-assign, assignment]
    world.run()
    del world.target.create
    assert world.run().problems == ()
    assert doubled(world) == []
    assert world.differences() == []
