"""PostgreSQL whose sequences lag behind the rows, as after a restore of the data alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from mappings.deliveries import Deliveries, Hint
from mappings.errors import StoreError
from mappings.link import Link
from mappings.store import Store
from tests.support.clock import NOW
from tests.support.rows import MINUTE, change, identity

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


def start_over(engine: Engine, table: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"ALTER SEQUENCE {table}_id_seq RESTART WITH 1"))


def test_a_delivery_that_cannot_be_recorded_is_not_one_that_was(engine: Engine) -> None:
    """It would be answered as repeated, and lost."""
    kept = Deliveries(engine)
    hint = Hint(1, None, "x")
    assert kept.record("old", "e", hint, NOW)
    start_over(engine, "deliveries")
    with pytest.raises(StoreError, match="pk_deliveries") as caught:
        kept.record("new", "e", hint, NOW)
    assert "setval" in caught.value.hint
    assert not kept.record("old", "e", hint, NOW)
    assert kept.record("new", "e", hint, NOW)
    assert kept.waiting() == 2


@pytest.mark.parametrize(
    ("table", "write"),
    [
        ("pairs", lambda store, _: store.pair(identity(2))),
        ("links", lambda store, pair: store.save(pair, Link(2), NOW)),
        ("links", lambda store, pair: store.save_many(pair, [Link(2)], NOW)),
    ],
)
def test_what_cannot_be_numbered_is_lost_to_nobody(
    engine: Engine, store: Store, pair_id: int, table: str, write: Callable[[Store, int], object]
) -> None:
    """The run would say that another process is writing."""
    assert store.save(pair_id, Link(1), NOW)
    start_over(engine, table)
    with pytest.raises(StoreError, match=f"pk_{table}"):
        write(store, pair_id)


def test_a_change_that_cannot_be_numbered_is_an_error(
    engine: Engine, store: Store, pair_id: int, run_id: str
) -> None:
    won = store.journal.lease(pair_id, Link(1), change(run_id), NOW + MINUTE)
    assert won
    start_over(engine, "changes")
    with pytest.raises(StoreError, match="pk_changes"):
        store.journal.lease(pair_id, Link(2), change(run_id, 2), NOW + MINUTE)
