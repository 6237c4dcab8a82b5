"""Sending notices: each address for itself, one sender at a time, for a short time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.problem import Problem, ProblemKind
from mappings.rows import ANY_ADDRESS, Told
from mappings.runs import RunLog
from mappings.store import Store
from tests.support.clock import NOW, FakeClock
from tests.support.rows import at_once, identity
from tests.test_notices import EVERY_15, GAP, json_sink
from worker.notices import Notice
from worker.telling import (
    BEGINS_FOR,
    FIRST_REST,
    LONGEST_REST,
    Notices,
    Send,
    rest_after,
    rests,
    senders,
)


class Died(BaseException):
    """The process ends here."""


class Address:
    """Keeps what it takes; ``answer`` says whether it takes a notice."""

    def __init__(self, answer: Callable[[Notice], bool] = lambda _: True) -> None:
        self.answer = answer
        self.asked: list[Notice] = []
        self.got: list[Notice] = []

    def __call__(self, notice: Notice) -> bool:
        self.asked.append(notice)
        taken = self.answer(notice)
        if taken:
            self.got.append(notice)
        return taken

    @property
    def events(self) -> list[tuple[str, int | None]]:
        return [(one.event, one.testrail_project) for one in self.got]


def troubled(store: Store, *projects: int, by: int = 1) -> None:
    """In each of these projects so many milestones need a person."""
    for project in projects:
        pair_id = store.pair(identity(project)).id
        known = store.links(pair_id)
        for id_ in (n + project * 100 for n in range(max(by, len(known)))):
            link = known.get(id_, Link(id_, f"ms_{id_}", LinkState.LINKED, name=f"M{id_}"))
            problem = Problem(ProblemKind.REFUSED, "No.") if id_ < project * 100 + by else None
            store.save(pair_id, link.with_problem(problem, NOW), NOW)


class Teller:
    """Looks at projects 1 to 3 as one process, with the addresses of its settings."""

    def __init__(self, store: Store, run_log: RunLog) -> None:
        self.clock = FakeClock()
        self._store, self._run_log = store, run_log

    def look(self, addresses: Mapping[str, Send], *, hurries: bool = False) -> None:
        schedules = {identity(project): EVERY_15 for project in (1, 2, 3)}
        notices = Notices(self._store, self._run_log, addresses, GAP, self.clock)
        notices.look(schedules, kept=True, hurries=hurries)

    def later(self, passed: timedelta) -> None:
        self.clock.passed += passed.total_seconds()


@pytest.fixture
def teller(store: Store, run_log: RunLog) -> Teller:
    return Teller(store, run_log)


# --- each address for itself


def test_an_address_that_fails_makes_no_other_hear_anything_twice(
    store: Store, teller: Teller
) -> None:
    """Once it takes something again, it is told what stands then, and that once too."""
    broken, works = Address(lambda _: False), Address()
    troubled(store, 1)
    for _ in range(20):
        teller.look({"broken": broken, "works": works})
        teller.later(timedelta(minutes=1))
    assert works.events == [("needs_a_person", 1)]
    assert len(broken.asked) == 5, "at once, and after 1, 2, 4 and 8 minutes"
    troubled(store, 1, by=2)
    broken.answer = lambda _: True
    for _ in range(20):
        teller.look({"broken": broken, "works": works})
        teller.later(timedelta(minutes=1))
    assert works.events == [("needs_a_person", 1)] * 2
    [late] = broken.got
    assert "2 things" in late.title
    troubled(store, 1, by=0)
    teller.look({"broken": broken, "works": works})
    assert works.events[2:] == broken.events[1:] == [("over", 1)]


def test_an_address_hears_no_end_of_what_it_was_never_told(store: Store, teller: Teller) -> None:
    """It failed for as long as something needed a person."""
    broken, works = Address(lambda _: False), Address()
    for by in (1, 0):
        troubled(store, 1, by=by)
        teller.look({"broken": broken, "works": works})
        teller.later(LONGEST_REST)
    broken.answer = lambda _: True
    teller.look({"broken": broken, "works": works})
    assert (len(works.got), broken.got) == (2, [])


def test_an_end_that_an_address_did_not_take_is_told_it_later(store: Store, teller: Teller) -> None:
    """Although nothing needs a person any more, and others heard it long ago."""
    breaks, works = Address(), Address()
    troubled(store, 1)
    teller.look({"breaks": breaks, "works": works})
    troubled(store, 1, by=0)
    breaks.answer = lambda _: False
    teller.look({"breaks": breaks, "works": works})
    breaks.answer = lambda _: True
    teller.later(FIRST_REST)
    teller.look({"breaks": breaks, "works": works})
    assert breaks.events == works.events == [("needs_a_person", 1), ("over", 1)]


def test_a_new_address_is_told_what_stands(store: Store, teller: Teller) -> None:
    """And what another process tells its own addresses makes nobody hear anything twice."""
    service, timer = Address(), Address()
    troubled(store, 1)
    for _ in range(3):
        teller.look({"service": service})
        teller.look({"timer": timer})
        teller.later(GAP)
    assert service.events == timer.events == [("needs_a_person", 1)]


def test_what_was_told_before_an_upgrade_is_told_to_no_address_again(
    store: Store, teller: Teller
) -> None:
    """One that is new since then is told what stands, not what stood once."""
    address, new = Address(), Address()
    troubled(store, 1)
    before = Told(["100  refused"], NOW - GAP).as_json()
    store.update_pair(store.pair(identity()).id, noticed={ANY_ADDRESS: before})
    teller.look({"address": address})
    assert address.asked == []
    troubled(store, 1, by=0)
    for _ in range(2):
        teller.look({"address": address})
        teller.look({"address": address, "new": new})
    assert (address.events, new.asked) == ([("over", 1)], [])


def test_an_address_that_took_a_notice_is_as_good_as_any(store: Store, teller: Teller) -> None:
    """Its next failure is its first."""
    address = Address()
    for by in (1, 2):
        address.answer = lambda _: False
        troubled(store, 1, by=by)
        teller.look({"address": address})
        teller.later(FIRST_REST)
        address.answer = lambda _: True
        teller.look({"address": address})
        teller.later(GAP)
    assert (len(address.asked), len(address.got)) == (4, 2)


def test_a_notice_that_is_never_taken_keeps_no_other_pairs_back(
    store: Store, teller: Teller
) -> None:
    """Whichever pair it is about."""
    for poison in (1, 2, 3):
        picky = Address(lambda notice, poison=poison: notice.testrail_project != poison)  # type: ignore[misc]
        troubled(store, 1, 2, 3)
        for _ in range(10):
            teller.look({f"picky {poison}": picky})
            teller.later(LONGEST_REST)
        assert sorted(picky.events, key=str) == [
            ("needs_a_person", project) for project in (1, 2, 3) if project != poison
        ]


# --- for a short time


@given(st.integers(1, 10_000), st.timedeltas(timedelta(0), timedelta(days=400)))
def test_an_address_rests_longer_each_time_and_never_long(failures: int, later: timedelta) -> None:
    """Not at all where the clock was set back meanwhile."""
    rest, longer = rest_after(failures, NOW), rest_after(failures + 1, NOW)
    assert FIRST_REST <= rest.until - NOW <= longer.until - NOW <= LONGEST_REST
    assert rests(rest, NOW)
    assert not rests(rest, rest.until + later)
    assert not rests(rest, rest.until - LONGEST_REST - timedelta(seconds=1) - later)
    assert not rests(None, NOW)


def test_an_address_that_never_answers_is_tried_once_for_all_pairs(
    store: Store, teller: Teller
) -> None:
    """A sweep ends then, and the next one tells the other address; that one rests."""

    def hang(_: Notice) -> bool:
        teller.later(timedelta(seconds=10))
        return False

    hole, works = Address(hang), Address()
    troubled(store, 1, 2, 3)
    began = teller.clock.monotonic()
    teller.look({"hole": hole, "works": works}, hurries=True)
    assert teller.clock.monotonic() - began <= BEGINS_FOR + 10
    assert (len(hole.asked), works.got) == (1, [])
    teller.look({"hole": hole, "works": works}, hurries=True)
    assert (len(hole.asked), len(works.got)) == (1, 3)


def test_a_command_tells_every_address_before_it_ends(store: Store, teller: Teller) -> None:
    """It may never look again, and an address that never answers costs it one try."""

    def hang(_: Notice) -> bool:
        teller.later(timedelta(seconds=10))
        return False

    hole, works = Address(hang), Address()
    troubled(store, 1, 2, 3)
    teller.look({"hole": hole, "works": works})
    assert (len(hole.asked), len(works.got)) == (1, 3)


# --- one sender at a time


@pytest.fixture
def slow() -> Iterator[tuple[Address, Event, Event]]:
    """An address that answers when it is let; with what says that it was asked, and lets it."""
    asked, let = Event(), Event()

    def answer(_: Notice) -> bool:
        asked.set()
        return let.wait(60)

    yield Address(answer), asked, let
    let.set()


@pytest.mark.parametrize("hurries", [True, False])
def test_two_that_look_at_once_tell_it_once(
    store: Store, run_log: RunLog, slow: tuple[Address, Event, Event], hurries: bool
) -> None:
    """The second leaves it to the first: at once, or when the first has ended."""
    address, asked, let = slow
    troubled(store, 1)
    first, second = Teller(store, run_log), Teller(store, run_log)
    sending = Thread(target=first.look, args=({"address": address},))
    sending.start()
    assert asked.wait(30)

    def end() -> None:
        let.set()
        sending.join(30)

    second.clock.alarm(1.0, end)
    second.look({"address": address}, hurries=hurries)
    assert len(address.asked) == 1
    assert bool(second.clock.slept) is not hurries
    end()
    assert address.events == [("needs_a_person", 1)]


def test_many_that_look_at_once_tell_each_thing_once(store: Store, run_log: RunLog) -> None:
    """Whoever of them sends it."""
    address = Address()
    troubled(store, 1, 2, 3)
    at_once(lambda _: Teller(store, run_log).look({"address": address}, hurries=True))
    assert sorted(address.events, key=str) == [("needs_a_person", n) for n in (1, 2, 3)]


def test_a_sender_that_dies_loses_nothing(store: Store, teller: Teller) -> None:
    """The next look tells it; of two addresses only the one that had not taken it hears it."""

    def die(_: Notice) -> bool:
        raise Died

    first, second = Address(), Address(die)
    troubled(store, 1)
    with pytest.raises(Died):
        teller.look({"first": first, "second": second})
    second.answer = lambda _: True
    teller.look({"first": first, "second": second})
    assert first.events == second.events == [("needs_a_person", 1)]


def test_real_addresses_of_which_one_is_broken(store: Store, teller: Teller) -> None:
    """Over HTTP: the one that works gets it once."""
    troubled(store, 1)
    with json_sink(500) as (broken, bad), json_sink() as (works, got):
        for _ in range(5):
            teller.look(senders([SecretStr(broken), SecretStr(works)]))
    assert (len(bad), len(got)) == (1, 1)
