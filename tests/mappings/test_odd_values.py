"""Whatever a record holds, both databases store it, or its own problem (R11)."""

from __future__ import annotations

import json

import pytest

from mappings.link import Link
from mappings.milestone import BadRecord, SourceMilestone
from mappings.store import Store
from tests.support.clock import NOW
from worker.clients.decode import decode
from worker.clients.records import parse_source

ODD = [
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "99999999999999999999",
    "9" * 5000,
    r'"a\u0000b"',
    r'"\ud800"',
    "[" * 60 + "]" * 60,
    "[]",
    r'{"a\u0000": "\udfff"}',
]


@pytest.mark.parametrize("field", ["custom", "due_on", "description"])
@pytest.mark.parametrize("value", ODD, ids=lambda value: value[:12])
def test_an_odd_value_can_be_stored(store: Store, pair_id: int, field: str, value: str) -> None:
    """In a field that is read it is the record's problem, in any other it is kept harmlessly."""
    body = f'{{"id": 7, "name": "Release", "{field}": {value}}}'
    read = parse_source(decode(body.encode()))
    assert isinstance(read, SourceMilestone if field == "custom" else BadRecord)
    assert store.save(pair_id, Link(7, raw=read.raw), NOW) is not None
    assert store.links(pair_id, [7])[7].raw == read.raw


def test_no_number_that_is_none_is_stored(store: Store, pair_id: int) -> None:
    """PostgreSQL refuses it, so SQLite has to as well, or only some people would see the fault."""
    with pytest.raises(Exception, match="not JSON compliant"):
        store.save(pair_id, Link(7, raw={"x": json.loads("1e400")}), NOW)
