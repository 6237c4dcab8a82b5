"""The footer of a description, and the marker that names its milestone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.footer import (
    Footer,
    marked_id,
    marker_url,
    same_description,
    split_footer,
    with_footer,
)
from mappings.text import plain_text, same_text
from tests.support.texts import (
    HOME,
    LINKINGS,
    STORINGS,
    Storing,
    footers,
    storings,
    texts,
    written,
)

SEVEN = marker_url(HOME, 7)
EACH = STORINGS | LINKINGS


@given(text=texts, footer=footers)
def test_a_footer_comes_off_as_it_went_on(text: str, footer: Footer) -> None:
    """Whatever a description says, its text and its footer come back to the character."""
    assert split_footer(with_footer(text, footer)) == (plain_text(text), footer)


@given(text=texts, quoted=footers, footer=footers)
def test_a_quoted_footer_is_text(text: str, quoted: Footer, footer: Footer) -> None:
    """Only the last block is the footer; a description may quote another one, or end with it."""
    quoting = with_footer(text, quoted)
    assert split_footer(with_footer(quoting, footer)) == (plain_text(quoting), footer)


@given(text=texts, footer=footers)
def test_a_footer_survives_windows_line_ends(text: str, footer: Footer) -> None:
    """A target that stores CRLF keeps the footer readable, and the text the same but for them."""
    text = text.replace("\r", "")
    found, read = split_footer(with_footer(text, footer).replace("\n", "\r\n"))
    assert (found.replace("\r\n", "\n"), read) == (plain_text(text), footer)


@given(text=texts, footer=footers, after=st.sampled_from(["", "\n", "\r\n", "  \n\n"]))
def test_a_footer_survives_trimming(text: str, footer: Footer, after: str) -> None:
    """A target that trims a description, or ends it with white space, keeps the footer readable."""
    whole = with_footer(text, footer)
    assert split_footer(whole + after) == (plain_text(text), footer)
    assert split_footer(whole.strip())[1] == footer
    assert same_text(split_footer(whole.strip())[0], text)


# --- how targets store it


@pytest.mark.parametrize("store", EACH.values(), ids=list(EACH))
@given(text=written, footer=footers)
def test_what_is_stored_without_loss_has_the_same_lines(
    store: Storing, text: str, footer: Footer
) -> None:
    """However the target stores a description, the marker is found and nothing is to be written."""
    whole = with_footer(text, footer)
    stored = store(whole)
    assert marked_id(stored, HOME) == marked_id(whole, HOME) is not None
    assert same_description(whole, stored)
    assert same_description(stored, whole)
    _, read = split_footer(stored)
    assert read is not None
    if store is not STORINGS["on one line"]:  # there a value may look like a line of its own
        pairs = list(zip(footer.lines, read.lines, strict=True))
        assert all(ours[0] == its[0] and same_text(ours[1], its[1]) for ours, its in pairs)


@given(written, footers, storings())
def test_the_marker_survives_several_ways_of_storing_at_once(
    text: str, footer: Footer, store: Storing
) -> None:
    whole = with_footer(text, footer)
    assert marked_id(store(whole), HOME) == marked_id(whole, HOME) is not None
    assert same_description(whole, store(whole))


WHOLE = with_footer("Text", Footer(SEVEN, "RF-1, RF-2", "2014-01-17T14:16:24Z"))
LINKED = f'<a href="{SEVEN}" target="_blank">{SEVEN}</a>'


@pytest.mark.parametrize(
    "store",
    [
        lambda text: text.replace("\n\n---", "\n---"),
        lambda text: text.replace("---", "\u2014"),
        lambda text: text.replace("---", "\u2013\u2013\u2013"),
        lambda text: text.replace("---", "-" * 40),
        lambda text: text.replace("---", "---\n"),
        lambda text: text.replace("---", "&mdash;"),
        lambda text: text.replace(SEVEN, LINKED),
        lambda text: text.replace(SEVEN, f"[{SEVEN}]({SEVEN})"),
        lambda text: text.replace(SEVEN, f"<{SEVEN}>"),
        lambda text: text.replace("/", "&#x2F;"),
        lambda text: text.replace("\n", "  \r\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("\n", " "),
        lambda text: text.replace("\n", "&#10;"),
        lambda text: text.replace(": ", ":\u00a0 "),
    ],
)
def test_the_forms_that_targets_are_known_to_store(store: Callable[[str], str]) -> None:
    assert marked_id(store(WHOLE), HOME) == 7
    assert same_description(WHOLE, store(WHOLE))
    assert split_footer(store(WHOLE))[1] == split_footer(WHOLE)[1]


@given(text=written, footer=footers, data=st.data())
def test_a_description_without_one_of_its_visible_characters_is_not_equal(
    text: str, footer: Footer, data: st.DataObject
) -> None:
    """Only the dashes above the footer say nothing; how many there are makes no difference."""
    whole = plain_text(with_footer(text, footer))
    dashes = range(whole.rindex("---\nTestRail: "), whole.rindex("\nTestRail: "))
    visible = [at for at, c in enumerate(whole) if not c.isspace() and at not in dashes]
    at = data.draw(st.sampled_from(visible))
    assert not same_description(whole, whole[:at] + whole[at + 1 :])


@pytest.mark.parametrize(
    "changed",
    [
        Footer(SEVEN, "RF-1", "2014-01-17T14:16:24Z"),
        Footer(SEVEN, None, "2014-01-17T14:16:24Z"),
        Footer(SEVEN, "RF-1, RF-2", None, "2014-01-17T14:16:24Z"),
        Footer(SEVEN, "RF-1, RF-2", "2014-01-17T14:16:24Z", others=(("Owner", "me"),)),
        Footer(marker_url(HOME, 8), "RF-1, RF-2", "2014-01-17T14:16:24Z"),
    ],
)
def test_another_line_makes_another_description(changed: Footer) -> None:
    """A value, a label, a line more or less."""
    assert not same_description(WHOLE, with_footer("Text", changed))
    assert not same_description(
        WHOLE, with_footer("Another text", split_footer(WHOLE)[1] or changed)
    )


# --- what is a footer and what is not


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no footer",
        "---\nRefs: RF-1",
        "---",
        f"text\n-\nTestRail: {SEVEN}",
        "text\n---\nTestRail: see the wiki",
        f"text\n---\nRefs: RF-1\nTestRail: {SEVEN}",
        f"text\nTestRail: {SEVEN}",
        f"text - TestRail: {SEVEN}",
        f"text -- TestRail: {SEVEN} written on by hand",
        f"text -- TestRail: {SEVEN} -- TestRail: {marker_url(HOME, 8)}",
        f"a\nb -- TestRail: {SEVEN}",
        f"{with_footer('text', Footer(SEVEN))}\n\nwritten below by hand",
        f"{with_footer('text', Footer(SEVEN))}\n\nNote: written below by hand",
        f"{with_footer('text', Footer(SEVEN))}\nwritten below by hand",
        f"{with_footer('text', Footer(SEVEN))}\n---",
    ],
)
def test_what_is_not_the_last_block_is_no_footer(text: str | None) -> None:
    """A description without a footer at its very end comes back whole."""
    assert split_footer(text) == (text or "", None)
    assert marked_id(text, HOME) is None


def test_a_footer_reads_like_this() -> None:
    """The documented form, to the character; lines without a value are left out."""
    footer = Footer(SEVEN, "RF-1, RF-2", None, "2014-01-17T14:16:24Z")
    assert with_footer("Text", footer) == (
        "Text\n\n---\nTestRail: https://example.testrail.io/index.php?/milestones/view/7\n"
        "Refs: RF-1, RF-2\nCompleted: 2014-01-17T14:16:24Z"
    )
    full = replace(footer, started="a", start="b", due="c", planned_start="d")
    labels = re.findall("^([A-Z].*?):", with_footer(None, full), re.MULTILINE)
    assert labels == ["TestRail", "Refs", "Started", "Completed", "Start", "Due", "Planned start"]


def test_labels_of_a_later_version_are_read() -> None:
    """They stay lines of the footer, so that its marker is found and a difference is seen."""
    later = Footer(SEVEN, "RF-1", others=(("Owned by", "me"), ("Refs", "RF-2")))
    assert split_footer(with_footer("Text", later)) == ("Text", later)


# --- the marker


@given(st.integers(1, 10**18 - 1), texts, st.sampled_from([HOME, f"{HOME}/", f"{HOME}/testrail"]))
def test_a_marker_names_its_milestone(number: int, text: str, url: str) -> None:
    """The id that was written is the id that is read, below any text and in a sub-directory."""
    assert marked_id(with_footer(text, Footer(marker_url(url, number))), url) == number


@pytest.mark.parametrize(
    "address",
    [
        "https://other.testrail.io/index.php?/milestones/view/1",
        "http://example.testrail.io/index.php?/milestones/view/1",
        "https://example.testrail.io.evil.example/index.php?/milestones/view/1",
        "https://example.testrail.io/testrail/index.php?/milestones/view/1",
        "https://example.testrail.io/index.php?/milestones/view/",
        "https://example.testrail.io/index.php?/milestones/view/1/2",
        "https://example.testrail.io/index.php?/milestones/view/1&x=2",
        "https://example.testrail.io/index.php?/milestones/view/-1",
        "https://example.testrail.io/index.php?/milestones/view/+1",
        "https://example.testrail.io/index.php?/milestones/view/01",
        "https://example.testrail.io/index.php?/milestones/view/1_0",
        "https://example.testrail.io/index.php?/milestones/view/١",
        "https://example.testrail.io/index.php?/milestones/view/²",
        "https://example.testrail.io/index.php?/milestones/view/" + "1" * 5000,
        "https://example.testrail.io/index.php?/runs/view/1",
    ],
)
def test_any_other_address_marks_nothing(address: str) -> None:
    """Another host, scheme, directory or page, or an id that we never wrote: not our marker."""
    assert marked_id(with_footer("text", Footer(address)), HOME) is None


def test_an_id_is_read_whole() -> None:
    """Milestone 12 is not milestone 1."""
    assert marked_id(with_footer("", Footer(marker_url(HOME, 12))), HOME) == 12


@pytest.mark.parametrize("description", [None, "", f"see {marker_url(HOME, 1)}"])
def test_without_a_footer_there_is_no_marker(description: str | None) -> None:
    """An address somewhere in a text is not an identity."""
    assert marked_id(description, HOME) is None
