"""What many records have in common is kept once, and says what it said before."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.sharing import EMPTY, PackedRecord, kept_once, object_of, unless_equal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
RECORDS = st.dictionaries(st.text(), JSON)


@given(RECORDS)
def test_a_packed_record_says_what_its_object_says(record: dict[str, object]) -> None:
    """Its names in their order, its values, and nothing else."""
    packed = PackedRecord(record)
    assert packed == record
    assert list(packed.items()) == list(record.items())
    assert len(packed) == len(record)


@given(RECORDS, st.text())
def test_a_packed_record_knows_no_other_name(record: dict[str, object], name: str) -> None:
    """What is not in it is asked for in vain, as with a dict."""
    packed = PackedRecord(record)
    assert packed.get(name, "nothing") == record.get(name, "nothing")
    if name not in record:
        with pytest.raises(KeyError):
            packed[name]


@given(JSON)
def test_reading_with_shared_names_gives_the_same_document(document: object) -> None:
    """Whatever is nested in it."""
    text = json.dumps(document)
    assert json.loads(text, object_pairs_hook=object_of) == json.loads(text)


def test_equal_texts_are_one_object() -> None:
    """So that a description that stands in five places takes the memory of one."""
    one, other = ("a milestone " * 3 for _ in range(2))
    first, second = (
        json.loads(json.dumps({"text": t}), object_pairs_hook=object_of) for t in (one, other)
    )
    assert first["text"] is second["text"] is kept_once("".join(["a milestone "] * 3))
    assert next(iter(first)) is next(iter(second))


@given(RECORDS, RECORDS)
def test_of_two_that_say_the_same_the_known_one_is_kept(
    new: dict[str, object], known: dict[str, object]
) -> None:
    """And otherwise the new one."""
    assert unless_equal(new, known) == new
    assert unless_equal(dict(known), known) is known


def test_the_empty_object_cannot_be_filled() -> None:
    """It is everybody's."""
    with pytest.raises(TypeError):
        EMPTY["name"] = "value"  # type: ignore[index]
