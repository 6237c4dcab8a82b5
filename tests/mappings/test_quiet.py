"""What was read by quiet runs, on both databases."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.quiet import QuietReading
from mappings.store import Store
from tests.support.clock import NOW
from tests.support.world import IDENTITY

READING = QuietReading(
    "key",
    "1 1 0",
    NOW,
    1_772_323_200,
    True,
    3,
    {"status": 1},
    {"lifecycle": 2},
    {"a": "b", "c": ""},
)


def test_the_last_of_each_kind_is_kept(engine: Engine) -> None:
    store = Store(engine)
    pair = store.pair(IDENTITY).id
    assert store.quiet.find(pair, with_target=True) is None
    store.quiet.keep(pair, READING, with_target=True)
    later = READING._replace(until=None, listed=False)
    store.quiet.keep(pair, later, with_target=False)
    assert store.quiet.find(pair, with_target=True) == READING
    assert store.quiet.find(pair, with_target=False) == later
    store.quiet.keep(pair, later, with_target=True)
    assert store.quiet.find(pair, with_target=True) == later


def test_the_links_are_others_after_each_write(engine: Engine) -> None:
    store = Store(engine)
    pair = store.pair(IDENTITY).id
    seen = [store.quiet.links_of(pair)]
    link = store.save(pair, Link(7, state=LinkState.LINKED, testably_id="ms_7"), NOW)
    assert link is not None
    seen.append(store.quiet.links_of(pair))
    assert store.save(pair, replace(link, name="Another"), NOW)
    seen.append(store.quiet.links_of(pair))
    store.mark_to_look_again(pair, 7)
    seen.append(store.quiet.links_of(pair))
    assert len(set(seen)) == len(seen)
    assert seen[0] == "0 0 0"
