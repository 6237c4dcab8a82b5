"""The footer of a description, and the marker that names its milestone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.footer import Footer, marked_id, marker_url, split_footer, with_footer
from mappings.milestone import same_value
from tests.mappings.milestones import HOME, footers, texts


@given(text=texts, footer=footers)
def test_a_footer_comes_off_as_it_went_on(text: str, footer: Footer) -> None:
    """Whatever a description says, its text and its footer come back to the character."""
    assert split_footer(with_footer(text, footer)) == (text, footer)


@given(text=texts, quoted=footers, footer=footers)
def test_a_quoted_footer_is_text(text: str, quoted: Footer, footer: Footer) -> None:
    """Only the last block is the footer; a description may quote another one, or end with it."""
    quoting = with_footer(text, quoted)
    assert split_footer(with_footer(quoting, footer)) == (quoting, footer)


@given(text=texts, footer=footers)
def test_a_footer_survives_windows_line_ends(text: str, footer: Footer) -> None:
    """A target that stores CRLF keeps the footer readable, and the text the same but for them."""
    text = text.replace("\r", "")
    found, read = split_footer(with_footer(text, footer).replace("\n", "\r\n"))
    assert (found.replace("\r\n", "\n"), read) == (text, footer)


@given(text=texts, footer=footers, after=st.sampled_from(["", "\n", "\r\n", "  \n\n"]))
def test_a_footer_survives_trimming(text: str, footer: Footer, after: str) -> None:
    """A target that trims a description, or ends it with white space, keeps the footer readable."""
    whole = with_footer(text, footer)
    assert split_footer(whole + after) == (text, footer)
    assert split_footer(whole.strip())[1] == footer
    assert same_value("description", split_footer(whole.strip())[0], text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no footer",
        "---\nRefs: RF-1",
        "text\n---\nTestRail: no blank line above",
        f"{with_footer('text', Footer(marker_url(HOME, 1)))}\n\nwritten below by hand",
    ],
)
def test_what_is_not_the_last_block_is_no_footer(text: str | None) -> None:
    """A description without a footer at its very end comes back whole."""
    assert split_footer(text) == (text or "", None)


def test_a_footer_reads_like_this() -> None:
    """The documented form, to the character; lines without a value are left out."""
    footer = Footer(marker_url(HOME, 1), "RF-1, RF-2", None, "2014-01-17T14:16:24Z")
    assert with_footer("Text", footer) == (
        "Text\n\n---\nTestRail: https://example.testrail.io/index.php?/milestones/view/1\n"
        "Refs: RF-1, RF-2\nCompleted: 2014-01-17T14:16:24Z"
    )


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
