"""When two values are the same but for their form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.milestone import FIELDS, same_value
from tests.mappings.milestones import texts

values = st.none() | texts


@given(st.sampled_from(FIELDS), values, values)
def test_sameness_is_an_equivalence(name: str, one: str | None, other: str | None) -> None:
    """A value is the same as itself, and sameness has no direction."""
    assert same_value(name, one, one)
    assert same_value(name, one, other) == same_value(name, other, one)


@given(st.sampled_from(["name", "description"]), texts)
def test_form_alone_is_no_difference(name: str, text: str) -> None:
    """A text that the target trimmed or gave other line ends is still the same text."""
    text = text.replace("\r", "")
    assert same_value(name, text, text.strip())
    assert same_value(name, text, text.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("name", "Zo\u00eb", "Zoe\u0308", True),
        ("description", None, "", True),
        ("description", None, " \n", True),
        ("name", "Release", "release", False),
        ("name", "a b", "a  b", False),
        ("due_date", None, "", False),
        ("due_date", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", True),
        ("due_date", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", False),
        ("status", "active", "completed", False),
    ],
)
def test_sameness_by_example(name: str, one: str | None, other: str | None, same: bool) -> None:
    """Composed letters and empty texts are form; case, inner spaces, dates and status are not."""
    assert same_value(name, one, other) is same
