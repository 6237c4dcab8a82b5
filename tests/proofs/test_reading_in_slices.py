"""A reading that is longer than a slice goes on in the next one, and is worth what one reading is.

On a virtual clock, over HTTP: a request takes a second, a slice a few of them (R4, R8, R13).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mappings.answers import KEPT_FOR, AnswerStore
from mappings.runs import RunLog
from mappings.store import Store
from mappings.tables import answers
from tests.proofs.over_http import PLENTY, PROJECT
from tests.proofs.slicing import MIGRATION, Make, Pair, migrated
from tests.support.mortal import Boundaries
from worker.clients.passes import CHANGED
from worker.clients.rate_limit import RateLimit
from worker.errors import GuardTripped
from worker.sandbox.rules import Record
from worker.sandbox.seed import edit_some, seed
from worker.sandbox.switches import TestablySwitches, TestRailSwitches
from worker.sync.options import Options, RunMode, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.run import run_pair
from worker.tasks.slices import SLICE

SCHEDULE = Options(trigger=Trigger.SCHEDULE)


@pytest.fixture
def pair(make: Make) -> Pair:
    """Twenty milestones that are in step, five on a page of Testably, the newest first."""
    made = make(ably=TestablySwitches(most_per_page=5, newest_first=True))
    for number in range(20):
        made.rail.model.add(1, {"name": f"M{number + 1}", "start_on": 1_772_323_200})
    migrated(made)
    return made


def a_year_later(pair: Pair) -> None:
    """Everything that can differ: edited, added, moved in time, deleted on either side, strays."""
    rail, ably = pair.rail.model, pair.ably.model
    edit_some(rail, 1, 12)
    rows = rail.everything(1)
    for row in [row for row in rows if row["parent_id"] is not None][-2:]:
        rail.delete(int(str(row["id"])))
    rail.add(1, {"name": "Stray"})
    ably.create(PROJECT, {"name": "Stray"})
    ids = sorted(pair.living())
    ably.update(PROJECT, pair.target_of(ids[0]), {"name": "edited in Testably"})
    pair.archive(pair.target_of(ids[-1]))
    ably.remove(pair.target_of(ids[-5]))


def kept(pair: Pair) -> int:
    """How many answers are kept that somebody may go on with."""
    AnswerStore(pair.engine).purge()
    with pair.engine.connect() as connection:
        return len(connection.execute(answers.select()).all())


# --- the same as in one go

SIDES = {
    "friendly": {"ably": TestablySwitches(most_per_page=7)},
    "roots only": {
        "rail": TestRailSwitches(sub_milestones="roots_only"),
        "ably": TestablySwitches(most_per_page=11, newest_first=True),
    },
    "lists hide much": {
        "rail": TestRailSwitches(sub_milestones="flat"),
        "ably": TestablySwitches(
            most_per_page=4, list_holds_subs=False, list_holds_completed=False, total="missing"
        ),
    },
}


@pytest.mark.parametrize("sides", SIDES.values(), ids=list(SIDES))
@pytest.mark.parametrize("seconds", [3.0, 7.0])
def test_a_run_in_slices_does_what_one_in_one_go_does(
    make: Make, sides: dict[str, Any], seconds: float
) -> None:
    """The same writes in the same order, the same targets and the same report."""
    whole, sliced = make(**sides), make(**sides)
    for pair in (whole, sliced):
        seed(pair.rail.model, 1, 48)
        migrated(pair)
        a_year_later(pair)
    one, other = whole.in_one_go(), sliced.in_slices(seconds, applies_whole=True)
    assert sliced.slices > 2
    assert sliced.writes() == whole.writes()
    assert sliced.targets() == whole.targets()
    assert (other.state, other.counts, other.verified) == (one.state, one.counts, one.verified)
    assert [p["kind"] for p in other.problems] == [p["kind"] for p in one.problems]
    assert kept(sliced) == 0


@pytest.mark.parametrize("trigger", [Trigger.MIGRATION, Trigger.SCHEDULE])
@pytest.mark.parametrize("sides", SIDES.values(), ids=list(SIDES))
@pytest.mark.parametrize("seconds", [1.5, 7.0])
def test_a_run_whose_writes_are_cut_into_slices_writes_the_same(
    make: Make, sides: dict[str, Any], seconds: float, trigger: Trigger
) -> None:
    """What people did in Testably is not forgotten with the slice that has listed it.

    A milestone that is written in two slices counts once, under what was done first. (One that is
    gone from both sides counts as unchanged only in the slice that notes it.)
    """
    whole, sliced = make(**sides), make(**sides)
    for pair in (whole, sliced):
        seed(pair.rail.model, 1, 48)
        migrated(pair)
        a_year_later(pair)
    options = Options(trigger=trigger)
    one, other = whole.in_one_go(options), sliced.in_slices(seconds, options)
    assert sliced.slices > 2
    assert sliced.writes() == whole.writes()
    assert sliced.targets() == whole.targets()
    assert other.state == one.state
    assert {**other.counts, "unchanged": 0} == {**one.counts, "unchanged": 0}
    assert one.counts["unchanged"] - other.counts["unchanged"] in (0, 1)


@pytest.mark.parametrize("seconds", [7.0, 12.0])
def test_a_milestone_counts_once_however_many_slices_write_it(make: Make, seconds: float) -> None:
    """A completed one is created in one slice, and gets its status in another."""
    whole, sliced = make(), make()
    for pair in (whole, sliced):
        for number in range(20):
            made = pair.rail.model.add(1, {"name": f"M{number}"})
            if number % 2:
                pair.rail.model.update(int(str(made["id"])), {"is_completed": True})
    one, other = whole.in_one_go(), sliced.in_slices(seconds)
    assert sliced.slices > 2
    assert (one.counts["created"], one.counts["updated"], one.counts["unchanged"]) == (20, 0, 0)
    assert other.counts == one.counts


def test_a_slice_that_goes_on_asks_for_two_pages_again(pair: Pair) -> None:
    """The last page of the slice before, and at the end the first one; else nothing twice."""
    pair.in_one_go()
    whole = pair.lists()
    pair.forget_requests()
    report = pair.in_slices(2.0)
    assert (report.state, pair.slices) == (State.SUCCEEDED, 3)
    assert pair.lists() == whole + 2
    assert pair.rail.count("GET") == 1


@pytest.mark.parametrize("most_in_flight", [1, 4])
def test_a_listing_of_twenty_slices_comes_to_its_end(make: Make, most_in_flight: int) -> None:
    """A hundred pages, one in almost two minutes."""
    pair = make(ably=TestablySwitches(most_per_page=2))
    for number in range(200):
        pair.rail.model.add(1, {"name": f"M{number}", "start_on": 1_772_323_200})
    migrated(pair)
    began = pair.clock.monotonic()
    how: dict[str, Any] = {"allowed": RateLimit(1, 110), "most_in_flight": most_in_flight}
    how["request_timeout"] = 1e6  # the clock is that of all threads: while one waits, others' is up
    report = pair.in_slices(SLICE, SCHEDULE, **how)
    assert (report.state, report.counts["unchanged"]) == (State.SUCCEEDED, 200)
    assert pair.slices >= 20
    assert pair.lists() <= 101 + pair.slices
    assert pair.clock.monotonic() - began < pair.slices * (SLICE + 120)


def test_the_proof_goes_on_with_its_own_pages(pair: Pair) -> None:
    """Neither side is read for another plan between two slices of the proof."""
    pair.rail.model.update(7, {"name": "Seven"})
    report = pair.in_slices(2.0)
    assert report.verified == {**(report.verified or {}), "in_step": True, "compared": 20}
    assert (report.counts["updated"], report.counts["unchanged"]) == (1, 19)
    assert pair.rail.count("GET") == 2
    assert pair.slices >= 4


def test_a_long_reading_is_not_made_again_by_the_slices_that_write(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked singly for every root, TestRail takes several slices; then the writes do."""
    pair = make(rail=TestRailSwitches(sub_milestones="roots_only"))
    for number in range(30):
        pair.rail.model.add(1, {"name": f"M{number}", "start_on": 1_772_323_200})
    report = pair.in_slices(10.0, SCHEDULE)
    assert (report.state, report.counts["created"]) == (State.SUCCEEDED, 30)
    assert pair.slices > 5
    assert pair.rail.count("GET") == 1 + 30
    monkeypatch.setattr("worker.sync.read.reading._LONG", 30)
    for id_ in range(1, 31):
        pair.rail.model.update(id_, {"name": f"N{id_}"})
    pair.forget_requests()
    report = pair.in_slices(40.0, SCHEDULE)
    assert (report.state, report.counts["updated"], pair.slices) == (State.SUCCEEDED, 30, 2)
    assert pair.rail.count("GET") == 1 + 30


def test_a_person_stops_a_command_that_reads(pair: Pair) -> None:
    """Within a second, and not after all is read."""
    runs = RunLog(pair.engine)

    def stop() -> None:
        runs.stop(runs.latest(Store(pair.engine).pair(pair.identity).id, 1)[0].id)

    pair.clock.alarm(1.5, stop)
    report = pair.in_one_go()
    assert (report.state, report.error and report.error.message) == (
        State.ABORTED,
        "The run was stopped.",
    )
    assert pair.lists() < 5


def test_what_a_command_reads_is_kept_by_nobody(pair: Pair) -> None:
    pair.rail.model.update(7, {"name": "Seven"})
    pair.in_one_go()
    assert kept(pair) == 0
    assert pair.lists() == 2 * 5


# --- who dies, and when


@pytest.mark.parametrize("every", [2, 3, 5, 11])
def test_whoever_dies_the_next_slice_goes_on(make: Make, every: int) -> None:
    """At every boundary in turn, in every slice but the last ones; nothing is made twice."""
    pair = make(ably=TestablySwitches(most_per_page=4, list_holds_subs=False))
    seed(pair.rail.model, 1, 24)
    migrated(pair)
    a_year_later(pair)

    def point_of(number: int) -> Boundaries | None:
        return Boundaries(dies_at=number * every % 29 + 1) if number < 40 else None

    report = pair.in_slices(5.0, point_of=point_of)
    assert report.state in (State.SUCCEEDED, State.PARTIAL)
    assert [ids for ids in pair.living().values() if len(ids) > 1] == []
    source = {row["id"] for row in pair.rail.model.everything(1)}
    assert pair.living().keys() <= source
    assert not pair.archived_by_us() & source
    pair.rail.model.delete(max(int(str(id_)) for id_ in source))
    assert pair.in_one_go().state in (State.SUCCEEDED, State.PARTIAL)
    assert [ids for ids in pair.living().values() if len(ids) > 1] == []


# --- lists that change between slices


def once(work: Callable[[], object], after: int = 1) -> Callable[[int], None]:
    """Do it between two slices."""

    def between(number: int) -> None:
        if number == after:
            work()

    return between


def test_what_came_to_the_first_page_meanwhile_is_seen(pair: Pair) -> None:
    """A person makes what is to be created, and archives another: the total stays the same."""
    pair.rail.model.add(1, {"name": "Both", "start_on": 1_772_323_200})

    def meanwhile() -> None:
        pair.archive(pair.target_of(20))
        pair.ably.model.create(PROJECT, {"name": "Both"})

    report = pair.in_slices(2.0, SCHEDULE, once(meanwhile))
    assert (report.counts["created"], report.counts["conflicts"]) == (0, 1)
    assert [row["name"] for row in pair.targets()].count("Both") == 1


def test_what_moved_from_one_page_to_another_is_seen(make: Make) -> None:
    """The oldest first: what is archived on a page that was read moves all after it by one.

    The first page and the total stay as they are; the first of the fourth page is on the third now.
    """
    pair = make(ably=TestablySwitches(most_per_page=5))
    for number in range(24):
        if number == 15:
            migrated(pair)
            pair.ably.model.create(PROJECT, {"name": "Both"})
        pair.rail.model.add(1, {"name": f"M{number + 1}", "start_on": 1_772_323_200})
    migrated(pair)
    pair.rail.model.add(1, {"name": "Both", "start_on": 1_772_323_200})

    def meanwhile() -> None:
        pair.archive(pair.target_of(8))
        pair.ably.model.create(PROJECT, {"name": "After"})

    report = pair.in_slices(2.0, SCHEDULE, once(meanwhile))
    assert (report.counts["created"], report.counts["conflicts"]) == (0, 1)
    assert pair.lists() > 3 + 6


def test_a_list_that_changes_again_and_again_proves_nothing(pair: Pair) -> None:
    """After three tries it serves for updates; nothing is created, and the run says why."""
    pair.rail.model.add(1, {"name": "New", "start_on": 1_772_323_200})
    pair.rail.model.update(7, {"name": "Seven"})
    number = 0

    def meanwhile(_: int) -> None:
        nonlocal number
        number += 1
        pair.ably.model.create(PROJECT, {"name": f"Stray {number}"})

    report = pair.in_slices(2.0, SCHEDULE, meanwhile)
    assert (report.state, report.counts["created"]) == (State.PARTIAL, 0)
    assert report.counts["updated"] == 1
    (told,) = [p for p in report.problems if p["kind"] == "target_incomplete"]
    assert CHANGED in str(told["reason"])


def test_a_source_list_that_changed_archives_nothing_that_is_there(make: Make) -> None:
    """What is deleted on the first page moves another milestone over to it, unseen."""
    pair = make(rail=TestRailSwitches(sub_milestones="flat"))
    for number in range(510):
        body = {"name": f"M{number + 1}", "start_on": 1_772_323_200}
        pair.rail.model.add(1, {**body, "parent_id": 1} if number == 1 else body)
    migrated(pair)
    report = pair.in_slices(1.0, SCHEDULE, once(lambda: pair.rail.model.delete(100)))
    assert (report.state, report.counts["archived"]) == (State.SUCCEEDED, 1)
    assert sorted(pair.living()) == [id_ for id_ in range(1, 511) if id_ != 100]
    assert pair.rail.count("GET", "get_milestones") > 3 + 2
    assert pair.rail.count("GET", "get_milestone/") == 1


@pytest.mark.parametrize("seeded", range(6))
def test_whatever_people_do_meanwhile_nothing_is_doubled_or_lost(make: Make, seeded: int) -> None:
    """Between slices, on both sides; once they rest, a command brings both sides in step."""
    dice = random.Random(seeded)
    newest_first = bool(seeded % 2)
    pair = make(ably=TestablySwitches(most_per_page=3, newest_first=newest_first))
    seed(pair.rail.model, 1, 20, seeded)
    migrated(pair)
    rail, ably = pair.rail.model, pair.ably.model

    def meanwhile(number: int) -> None:
        if number > 25:
            return
        alive = sorted(pair.living())
        deeds: list[Callable[[], object]] = [
            lambda: edit_some(rail, 1, 2, dice.randrange(99)),
            lambda: rail.delete(dice.choice([int(str(r["id"])) for r in rail.everything(1)])),
            lambda: ably.create(PROJECT, {"name": f"Stray {number}"}),
            lambda: pair.archive(pair.target_of(dice.choice(alive))),
            lambda: rail.add(1, {"name": f"New {number}"}),
            lambda: None,
        ]
        dice.choice(deeds)()

    pair.in_slices(dice.choice([2.0, 4.0, 7.0]), between=meanwhile)
    assert [ids for ids in pair.living().values() if len(ids) > 1] == []
    assert not pair.archived_by_us() & {row["id"] for row in rail.everything(1)}
    with pair.process() as context:
        again = run_pair(context, Options(Trigger.MIGRATION, allow_mass_archive=True), Scope())
    assert again.verified is not None
    assert again.verified["in_step"] or again.problems
    assert [ids for ids in pair.living().values() if len(ids) > 1] == []


# --- what a create in doubt has left, in a list that takes several slices (R2)

NEW = 61
BELOW = 62


def a_large_one(make: Make) -> Pair:
    """Sixty milestones that are in step, thirty pages of Testably; one is new, with one below."""
    made = make(ably=TestablySwitches(most_per_page=2))
    for number in range(60):
        made.rail.model.add(1, {"name": f"M{number + 1}", "start_on": 1_772_323_200})
    migrated(made)
    made.rail.model.add(1, {"name": "New", "start_on": 1_772_323_200})
    made.rail.model.add(1, {"name": "Below", "start_on": 1_772_323_200, "parent_id": NEW})
    return made


def a_broad_one(make: Make) -> Pair:
    """One that is new below a milestone whose sub-milestones, made by people, are in no list."""
    made = make(ably=TestablySwitches(list_holds_subs=False))
    made.rail.model.add(1, {"name": "Above", "start_on": 1_772_323_200})
    made.rail.model.add(1, {"name": "First", "start_on": 1_772_323_200, "parent_id": 1})
    migrated(made)
    above = made.target_of(1)
    for number in range(20):
        made.ably.model.create(PROJECT, {"name": f"By hand {number}", "parent_id": above})
    made.rail.model.add(1, {"name": "New", "start_on": 1_772_323_200, "parent_id": 1})
    return made


def answer_is_lost(pair: Pair, kind: str = "server_error_after") -> None:
    """The next create is in doubt; it is carried out, unless its fault is another."""
    pair.ably.faults.script(kind, method="POST")


def pages_since_post(pair: Pair) -> Counter[str]:
    """How often each page of each list was asked for after the last create that was in doubt."""
    log = pair.ably.requests
    last = max(i for i, one in enumerate(log) if one.method == "POST" and (one.status or 0) >= 500)
    return Counter(one.path for one in log[last:] if one.method == "GET" and "?page=" in one.path)


@pytest.mark.parametrize("kind", ["server_error_after", "server_error"])
@pytest.mark.parametrize("a_one", [a_large_one, a_broad_one])
@pytest.mark.parametrize("seconds", [6.0, 20.0, 77.0])
def test_looks_that_are_longer_than_a_slice_find_what_one_go_finds(
    make: Make, a_one: Callable[[Make], Pair], seconds: float, kind: str
) -> None:
    """Linked where it was carried out, created again where it was not; with what is below it."""
    whole, sliced = a_one(make), a_one(make)
    for pair in (whole, sliced):
        answer_is_lost(pair, kind)
    one, other = whole.in_one_go(SCHEDULE), sliced.in_slices(seconds, SCHEDULE)
    assert sliced.slices > 1 or seconds > 60.0
    assert (one.state, other.state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert sliced.writes() == whole.writes()
    assert sliced.targets() == whole.targets()
    assert {**other.counts, "unchanged": 0} == {**one.counts, "unchanged": 0}
    assert {len(ids) for ids in sliced.living().values()} == {1}
    assert sliced.living().keys() == {row["id"] for row in sliced.rail.model.everything(1)}
    assert kept(sliced) == 0


def make_unreadable(pair: Pair) -> None:
    """A person's sub-milestone that cannot be read is there below the first milestone."""
    record: Record = {"id": "ms_bad", "name": "Theirs", "description": "", "due_date": "soon"}
    pair.ably.model.plant(PROJECT, record | {"parent_id": pair.target_of(1)})


@pytest.mark.parametrize("seconds", [20.0, 40.0])
def test_long_looks_that_cannot_read_one_milestone_leave_in_doubt_what_it_can_be(
    make: Make, seconds: float
) -> None:
    """The root that is in doubt beside it is found, and the run comes to its end (R6)."""
    pair = a_broad_one(make)
    pair.rail.model.add(1, {"name": "Root", "start_on": 1_772_323_200})
    pair.ably.faults.script("server_error_after", method="POST", times=2)

    def meanwhile(_slice: int) -> Boundaries:
        return Boundaries(meanwhile_on="after POST", meanwhile=lambda: make_unreadable(pair))

    report = pair.in_slices(seconds, SCHEDULE, point_of=meanwhile)
    assert pair.slices > 2
    assert report.state is State.PARTIAL
    assert ("in_doubt", 3) in {(one["kind"], one["testrail_id"]) for one in report.problems}
    links = Store(pair.engine).links(Store(pair.engine).pair(pair.identity).id)
    assert (links[3].testably_id, links[4].testably_id) == (None, pair.target_of(4))
    assert kept(pair) == 0
    pair.ably.model.remove("ms_bad")
    assert pair.in_slices(seconds, SCHEDULE).state is State.SUCCEEDED
    assert {len(ids) for ids in pair.living().values()} == {1}


def test_long_looks_that_cannot_read_one_milestone_are_not_taken_again(make: Make) -> None:
    """Although the run has much to do after them: its later slices are told the same."""
    pair = make(ably=TestablySwitches(list_holds_subs=False))
    pair.rail.model.add(1, {"name": "Above", "start_on": 1_772_323_200})
    for number in range(60):
        pair.rail.model.add(1, {"name": f"Old {number}", "start_on": 1_772_323_200})
    migrated(pair)
    above = pair.target_of(1)
    for number in range(20):
        pair.ably.model.create(PROJECT, {"name": f"By hand {number}", "parent_id": above})
    for number in range(60):
        pair.rail.model.delete(number + 2)
    pair.rail.model.add(1, {"name": "New", "start_on": 1_772_323_200, "parent_id": 1})
    pair.ably.faults.script("server_error_after", method="POST")

    def meanwhile(_slice: int) -> Boundaries:
        return Boundaries(meanwhile_on="after POST", meanwhile=lambda: make_unreadable(pair))

    options = replace(SCHEDULE, allow_mass_archive=True)
    report = pair.in_slices(30.0, options, point_of=meanwhile)
    assert (report.counts["archived"], report.counts["waiting"]) == (60, 1)
    assert pair.ably.count("GET", "status=completed") <= 1 + 2


def test_no_slice_creates_below_what_the_first_one_could_not_read(make: Make) -> None:
    """Nor does the last: it is known from slice to slice, though the target is listed once."""
    pair = a_broad_one(make)
    make_unreadable(pair)
    for number in range(20):
        pair.rail.model.add(1, {"name": f"Root {number}", "start_on": 1_772_323_200})
    report = pair.in_slices(45.0, SCHEDULE)
    assert pair.slices > 1
    assert report.state is State.PARTIAL
    assert (report.counts["created"], report.counts["waiting"]) == (20, 1)
    assert 3 not in pair.living()


def test_a_migration_with_long_looks_ends_with_its_proof(make: Make) -> None:
    pair = a_large_one(make)
    answer_is_lost(pair)
    report = pair.in_slices(30.0)
    assert report.verified == {**(report.verified or {}), "in_step": True, "compared": 62}
    below = next(row for row in pair.targets() if row["name"] == "Below")
    assert below["parent_id"] == pair.target_of(NEW)


@pytest.mark.parametrize("seconds", [20.0, 50.0])
def test_no_page_of_a_look_is_asked_for_in_two_slices(make: Make, seconds: float) -> None:
    """But one where pages of two slices meet, and the first at the end: of the first look too."""
    whole, sliced = a_large_one(make), a_large_one(make)
    for pair in (whole, sliced):
        answer_is_lost(pair)
    whole.in_one_go(SCHEDULE)
    sliced.in_slices(seconds, SCHEDULE)
    once, often = pages_since_post(whole), pages_since_post(sliced)
    assert set(once.values()) == {2}
    assert often.keys() == once.keys()
    assert sliced.slices > 2
    assert once.total() < often.total() <= once.total() + 2 * (sliced.slices - 1)


def test_a_new_create_in_doubt_begins_the_looks_anew(make: Make) -> None:
    """What was seen before it was sent tells nothing of it."""
    pair = a_large_one(make)
    answer_is_lost(pair)

    def meanwhile() -> None:
        assert len(pages_since_post(pair)) > 10
        pair.rail.model.add(1, {"name": "Newer", "start_on": 1_772_323_200})
        answer_is_lost(pair)

    report = pair.in_slices(60.0, SCHEDULE, once(meanwhile, 2))
    assert (report.state, len(pair.living()[63])) == (State.SUCCEEDED, 1)
    assert [body for method, _, body in pair.writes() if '"New"' in body and method == "POST"] != []
    pages = pages_since_post(pair)
    assert len(pages) >= 31
    assert set(pages.values()) <= {2, 3, 4}


def test_looks_at_a_list_that_changes_in_every_slice_come_to_an_end(make: Make) -> None:
    """They are good for nothing, and not repeated by that run; the next one finds it."""
    pair = a_large_one(make)
    answer_is_lost(pair)
    number = 0

    def meanwhile(_: int) -> None:
        nonlocal number
        if pair.writes():
            number += 1
            pair.ably.model.create(PROJECT, {"name": f"Stray {number}"})

    report = pair.in_slices(20.0, SCHEDULE, meanwhile)
    assert (report.state, report.counts["waiting"]) == (State.PARTIAL, 2)
    assert max(pages_since_post(pair).values()) < 2 * 3 * 4
    assert sum(method == "POST" for method, _, _ in pair.writes()) == 1
    assert kept(pair) == 0
    with pair.process(allowed=PLENTY) as context:
        again = run_pair(context, MIGRATION, Scope())
    assert (again.state, len(pair.living()[NEW])) == (State.SUCCEEDED, 1)


@pytest.mark.parametrize("every", [7, 25])
def test_whoever_dies_while_it_looks_nothing_is_made_twice(make: Make, every: int) -> None:
    pair = a_large_one(make)
    answer_is_lost(pair)

    def point_of(number: int) -> Boundaries | None:
        return Boundaries(dies_at=number * every % 60 + 1) if number < 20 else None

    report = pair.in_slices(30.0, SCHEDULE, point_of=point_of)
    assert report.state is State.SUCCEEDED
    assert {len(ids) for ids in pair.living().values()} == {1}
    assert pair.living().keys() == set(range(1, BELOW + 1))


@pytest.mark.parametrize("in_background", [False, True])
def test_a_person_stops_a_run_that_looks(make: Make, in_background: bool) -> None:
    pair = a_large_one(make)
    answer_is_lost(pair)
    runs = RunLog(pair.engine)

    def stop() -> None:
        assert len(pages_since_post(pair)) > 3
        runs.stop(runs.latest(Store(pair.engine).pair(pair.identity).id, 1)[0].id)

    pair.clock.alarm(90.0, stop)
    if in_background:
        with pytest.raises(GuardTripped):
            pair.in_slices(500.0, SCHEDULE)
    else:
        assert pair.in_one_go(SCHEDULE).state is State.ABORTED
    assert len(pair.living()[NEW]) == 1
    assert len(pages_since_post(pair)) < 30
    assert kept(pair) == 0
    assert pair.in_one_go(SCHEDULE).state is State.SUCCEEDED
    assert {len(ids) for ids in pair.living().values()} == {1}


# --- what was written meanwhile, and what was denied


def test_what_a_refresh_has_written_meanwhile_is_not_taken_back(pair: Pair) -> None:
    """The list of TestRail was read before: its older name loses, and the next run looks again."""
    pair.rail.model.update(3, {"name": "Old"})

    def meanwhile() -> None:
        pair.rail.model.update(3, {"name": "Newest"})
        with pair.process() as context:
            webhook = Options(trigger=Trigger.WEBHOOK)
            run_pair(context, webhook, Scope((3,)), mode=RunMode(exclusive=False))

    pair.in_slices(2.0, SCHEDULE, once(meanwhile))
    sent = [body for method, _, body in pair.writes() if method == "PATCH"]
    assert [body for body in sent if '"Old"' in body] == []
    assert pair.in_one_go().state is State.SUCCEEDED
    names = {str(row["id"]): row["name"] for row in pair.targets()}
    assert names[pair.target_of(3)] == "Newest"


def test_what_is_denied_while_the_project_is_away_is_not_gone(make: Make) -> None:
    """Sub-milestones are read singly; for a moment Testably knows nothing of the project."""
    pair = make(ably=TestablySwitches(list_holds_subs=False))
    rail = pair.rail.model
    for number in range(2):
        rail.add(1, {"name": f"Root {number}", "start_on": 1_772_323_200})
    for number in range(12):
        body = {"name": f"Sub {number}", "parent_id": 1 + number % 2, "start_on": 1_772_323_200}
        rail.add(1, body)
    migrated(pair)
    pair.clock.alarm(6.0, lambda: pair.ably.model.projects.discard(PROJECT))
    report = pair.in_slices(10.0, between=once(lambda: pair.ably.model.projects.add(PROJECT)))
    assert (report.state, pair.writes()) == (State.SUCCEEDED, [])
    assert report.counts["unchanged"] == 14


def test_what_was_denied_is_not_asked_for_again(make: Make) -> None:
    """Twelve targets that people deleted: slice by slice, until all are known to be gone."""
    pair = make()
    for number in range(12):
        pair.rail.model.add(1, {"name": f"M{number}", "start_on": 1_772_323_200})
    migrated(pair)
    gone = [pair.target_of(id_) for id_ in range(1, 10)]
    for id_ in gone:
        pair.ably.model.remove(id_)
    report = pair.in_slices(4.0)
    assert (report.state, report.counts["created"]) == (State.SUCCEEDED, 9)
    assert [pair.ably.count("GET", f"/{id_}", 404) for id_ in gone] == [1] * 9


# --- what is kept, and for how long


def test_what_is_too_old_is_read_anew(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait() -> None:
        assert kept(pair) > 0
        monkeypatch.setattr("mappings.answers.KEPT_FOR", -KEPT_FOR)

    def back(number: int) -> None:
        once(wait)(number)
        if number == 2:
            monkeypatch.setattr("mappings.answers.KEPT_FOR", KEPT_FOR)

    report = pair.in_slices(2.0, between=back)
    assert report.state is State.SUCCEEDED
    assert pair.rail.count("GET") == 2


def test_what_a_run_leaves_that_nobody_goes_on_with_is_deleted(pair: Pair) -> None:
    """A person stops it between two slices: the sweep clears up."""
    store, runs = AnswerStore(pair.engine), RunLog(pair.engine)

    def stop() -> None:
        store.purge()
        assert kept(pair) > 0
        run = runs.latest(Store(pair.engine).pair(pair.identity).id, 1)[0]
        runs.stop(run.id)
        store.purge()
        assert kept(pair) == 0
        raise InterruptedError

    with pytest.raises(InterruptedError):
        pair.in_slices(2.0, between=once(stop))
