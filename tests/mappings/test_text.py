"""When two texts are equal without loss (rule R3), and when they are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.milestone import FIELDS, same_value
from mappings.text import is_dash_line, normal_text, plain_text, same_text
from tests.support.texts import LINKINGS, STORINGS, Storing, storings, texts, written

EACH = STORINGS | LINKINGS

layered = st.lists(
    st.sampled_from(
        [*"&;<>[]()-—–a#1 \n", "amp", "lt", "#45", "www.a", "<a href='www.a'>", "</a>", "e\u0301"]
    )
).map("".join)
"""Texts that look much like entities, links and dashes, one in another."""


@given(st.sampled_from(FIELDS), st.none() | texts | layered, st.none() | texts | layered)
def test_a_value_is_equal_to_itself_and_equality_has_no_direction(
    name: str, one: str | None, other: str | None
) -> None:
    assert same_value(name, one, one)
    assert same_value(name, one, other) == same_value(name, other, one)


@pytest.mark.parametrize("store", EACH.values(), ids=list(EACH))
@given(written)
def test_a_text_that_is_stored_without_loss_is_equal(store: Storing, text: str) -> None:
    assert same_text(text, store(text))
    assert same_text(store(text), text)


@given(written, storings())
def test_a_text_that_is_stored_without_loss_in_several_ways_is_equal(
    text: str, store: Storing
) -> None:
    assert same_text(text, store(text))


@given(texts | layered | written)
def test_the_normal_form_of_a_text_is_equal_to_it_and_has_itself_as_normal_form(text: str) -> None:
    normal = normal_text(text)
    assert normal_text(normal) == normal
    assert same_text(text, normal)
    assert plain_text(plain_text(text)) == plain_text(text)


@given(texts | layered | written, st.data())
def test_a_text_without_one_of_its_visible_characters_is_not_equal(
    text: str, data: st.DataObject
) -> None:
    """Whatever character that is, a dash among dashes as well. The length of a cut can be any."""
    normal = normal_text(text)
    visible = [at for at, character in enumerate(normal) if not character.isspace()]
    if visible:
        at = data.draw(st.sampled_from(visible))
        assert not same_text(normal, normal[:at] + normal[at + 1 :])
        assert not same_text(text, normal[:at])
        assert not same_text(text, normal[at + 1 :])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (None, ""),
        (None, " \n"),
        ("Zo\u00eb", "Zoe\u0308"),
        ("a b", "a\u00a0\n b "),
        ("a&b", "a&amp;b"),
        ("a &amp; b", "a &amp;amp; b"),
        ("\u00fc\u20ac", "&uuml;&#8364;"),
        ("--force", "\u2013force"),
        ("a - b", "a \u2013 b"),
        ("---", "\u2014"),
        ("---", "\u2013\u2013\u2013"),
        ("-" * 10, "\u2014\u2014\u2014-"),
        ("5\u22123", "5-3"),
        ("see https://a.example/b?c=d&e", "see <https://a.example/b?c=d&amp;e>"),
        ("see https://a.example/", "see [https://a.example/](https://a.example/)"),
        ("a (https://a.example/x_(y))", "a ([https://a.example/x_(y)](https://a.example/x_(y)))"),
        ("https://a.example", '<a href="https://a.example/">https://a.example</a>'),
        ("www.a.example", "<A HREF='http://www.a.example' target='_blank'>www.a.example</A>"),
        ("me@a.example", '<a href="mailto:me@a.example">me@a.example</a>'),
        (
            "https://a.example/\u00e4",
            '<a href="https://a.example/%C3%A4">https://a.example/\u00e4</a>',
        ),
        ("[www.a](www.a)", "[<a href='www.a'>www.a</a>](<a href='www.a'>www.a</a>)"),
    ],
)
def test_form_alone_is_no_difference(one: str | None, other: str | None) -> None:
    """Line ends, white space, dashes, the normal form, entities, and links to themselves."""
    assert same_text(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Release", "release"),
        ("a b", "ab"),
        ("a-b", "ab"),
        ("a-b", "a b"),
        ("--force", "-force"),
        ("-" * 20, "-" * 19),
        ("-" * 20, "\u2014"),
        ("a\u2014\u2014b", "a\u2014b"),
        ("caf\u00e9", "cafe"),
        ("a&b", "ab"),
        ("a &amp b", "a & b"),
        ("a&#1;b", "ab"),
        ("&unknown;", ""),
        ("[the page](https://a.example)", "the page"),
        ("https://a.example/b", '<a href="https://a.example/b">https://a.example</a>'),
        ("https://a.example", '<a href="https://b.example">https://a.example</a>'),
        ("https://a.example", '<a href="https://a.example" title="x">https://a.example</a>'),
        ("<b>bold</b>", "bold"),
        ("<name>", "name"),
        ("[a](a)", "a"),
        ("a line\nanother", "a line"),
    ],
)
def test_what_is_cut_or_lost_is_a_difference(one: str, other: str) -> None:
    assert not same_text(one, other)
    assert not same_text(other, one)


def test_a_text_in_more_layers_than_are_taken_off_is_left_as_it_is() -> None:
    """It costs no more time than any other, and is equal to itself alone."""
    deep = "&" + "amp;" * 50
    assert normal_text(deep) == deep
    assert same_text(deep, f" {deep}\n")
    assert not same_text(deep, "&" + "amp;" * 51)


@pytest.mark.parametrize(
    "line", ["---", "--", "\u2014", "\u2013", "\u2013\u2013\u2013", " ---- ", "-\u2014"]
)
def test_a_line_of_dashes_is_a_dash_line(line: str) -> None:
    assert is_dash_line(line)


@pytest.mark.parametrize("line", ["", "-", "\u2010", "\u2212", "- -", "--a", "***", "___"])
def test_any_other_line_is_no_dash_line(line: str) -> None:
    """A single hyphen is an empty item of a list."""
    assert not is_dash_line(line)


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("name", "a  b", "a b", True),
        ("due_date", None, "", False),
        ("due_date", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", True),
        ("due_date", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", False),
        ("status", "active", "completed", False),
    ],
)
def test_a_field_is_compared_as_what_it_is(
    name: str, one: str | None, other: str | None, same: bool
) -> None:
    """Names are texts; dates and statuses are equal or not."""
    assert same_value(name, one, other) is same
