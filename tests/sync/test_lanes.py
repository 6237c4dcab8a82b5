"""Items side by side: each once, in order, one acting at a time, and all end with the first error.

The lanes of the product and those of the proofs obey the same laws.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lanes import SteppedLanes
from worker.sync.lanes import Lanes

MOST = 4
Make = Callable[[], Lanes]
KINDS: dict[str, Make] = {
    "one": Lanes,
    "several": lambda: Lanes(MOST),
    "stepped": lambda: SteppedLanes(MOST, random.Random(1).randrange),
}
kinds = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())


class StopError(Exception):
    pass


def alone(item: int) -> tuple[int, None]:
    """An item that waits for no other."""
    return item, None


def halved(item: int) -> tuple[int, int]:
    """An item that waits for the one with half its number."""
    return item, item // 2


def in_a_ring(item: int) -> tuple[int, int]:
    """Items of which each waits for another."""
    return item, (item + 1) % 5


@kinds
@given(count=st.integers(0, 12), requests=st.integers(0, 3))
def test_each_item_is_done_once_and_begun_in_order(make: Make, count: int, requests: int) -> None:
    lanes = make()
    began: list[int] = []
    ended: list[int] = []

    def do(item: int) -> None:
        began.append(item)
        for _ in range(requests):
            lanes.require()
            with lanes.waiting():
                pass
            lanes.started()
        ended.append(item)

    lanes.each(range(count), do, alone)
    assert began == list(range(count))
    assert sorted(ended) == began


@kinds
@given(count=st.integers(0, 40))
def test_an_item_begins_when_what_it_waits_for_is_over(make: Make, count: int) -> None:
    lanes, ended = make(), {0}

    def do(item: int) -> None:
        assert item // 2 in ended
        with lanes.waiting():
            pass
        lanes.started()
        with lanes.waiting():
            pass
        ended.add(item)

    lanes.each(range(1, count), do, halved)
    assert ended == {0, *range(1, count)}


@kinds
def test_items_that_wait_for_each_other_are_done_all_the_same(make: Make) -> None:
    ended: list[int] = []
    make().each(range(5), ended.append, in_a_ring)
    assert sorted(ended) == [0, 1, 2, 3, 4]


@kinds
@given(count=st.integers(1, 12), bad=st.integers(0, 11))
def test_the_first_error_ends_all_and_what_is_under_way_ends_its_request(
    make: Make, count: int, bad: int
) -> None:
    """No item begins another request after it; those whose request is out hear the answer."""
    lanes = make()
    failed: list[int] = []
    sent: list[int] = []
    heard: list[int] = []

    def do(item: int) -> None:
        lanes.require()
        with lanes.waiting():
            pass
        lanes.started()
        lanes.require()
        assert not failed
        if item == bad:
            failed.append(item)
            raise StopError
        sent.append(item)
        with lanes.waiting():
            pass
        heard.append(item)

    if bad < count:
        with pytest.raises(StopError):
            lanes.each(range(count), do, alone)
    else:
        lanes.each(range(count), do, alone)
    assert sorted(heard) == sorted(sent)
    assert failed == [bad][: bad < count]
    lanes.each([], do, alone)


def test_while_one_waits_for_its_answer_others_go_on() -> None:
    """All of them meet, which they can only if all are under way; the first one goes alone."""
    lanes, meet = Lanes(MOST), threading.Barrier(MOST)
    acting: list[int] = []

    def do(item: int) -> None:
        acting.append(item)
        assert acting == [item]
        acting.remove(item)
        lanes.started()
        if item:
            with lanes.waiting():
                meet.wait(20)

    lanes.each(range(1 + 3 * MOST), do, alone)


def test_what_answers_within_the_pace_is_asked_one_at_a_time() -> None:
    """The next item is taken up when the one before has its permit, and no earlier."""
    lanes = Lanes(MOST)
    under_way: set[int] = set()
    most: list[int] = []
    permits = threading.Semaphore(0)

    def do(item: int) -> None:
        under_way.add(item)
        with lanes.waiting():
            permits.release()
            permits.acquire()
        most.append(len(under_way))
        under_way.discard(item)
        lanes.started()

    lanes.each(range(20), do, alone)
    assert max(most) == 1


def test_an_error_of_one_that_waits_is_raised_where_they_were_begun() -> None:
    lanes = Lanes(MOST)

    def do(item: int) -> None:
        lanes.started()
        with lanes.waiting():
            if item == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lanes.each(range(10), do, alone)
