"""What a TestRail milestone becomes in Testably: its desired values, and what is lost."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.dates import moment
from mappings.footer import marked_id, marker_url, split_footer
from mappings.milestone import (
    DATE_FIELDS,
    FIELDS,
    LOSS_LEDGER,
    OPEN_WORDS,
    Carried,
    MappingRules,
    SourceMilestone,
    TargetMilestone,
    desired_values,
    has_lossy_date,
    written_status,
)
from tests.mappings.milestones import BERLIN, HOME, ZONES, stamps, texts, unix

FULL = SourceMilestone(
    id=7,
    name="Release 1.5",
    project_id=1,
    description="Text",
    start_on=unix(2026, 3, 1),
    started_on=unix(2026, 3, 2, 9),
    due_on=unix(2026, 4, 1),
    completed_on=unix(2026, 3, 30, 17),
    is_started=True,
    is_completed=True,
    parent_id=3,
    refs="RF-1,\n RF-2",
    url="http://example/testrail/index.php?/milestones/view/7",
)
RULES = MappingRules(HOME)


def test_the_desired_values_of_a_full_record() -> None:
    """Every field goes where the mapping table says."""
    assert desired_values(FULL, RULES) == {
        "name": "Release 1.5",
        "description": "Text\n\n---\n"
        "TestRail: https://example.testrail.io/index.php?/milestones/view/7\n"
        "Refs: RF-1, RF-2\nStarted: 2026-03-02T09:00:00Z\nCompleted: 2026-03-30T17:00:00Z",
        "start_date": "2026-03-01T00:00:00Z",
        "due_date": "2026-04-01T00:00:00Z",
        "status": "completed",
    }


def test_the_desired_values_of_an_empty_record() -> None:
    """A record of only an id and a name wants its marker, no dates and an open status."""
    assert desired_values(SourceMilestone(7, "R"), RULES) == {
        "name": "R",
        "description": f"---\nTestRail: {marker_url(HOME, 7)}",
        "start_date": None,
        "due_date": None,
        "status": "active",
    }


@pytest.mark.parametrize(("text", "wanted"), [("Text", "Text"), ("", None), (None, None)])
def test_without_the_footer_the_description_is_the_description(
    text: str | None, wanted: str | None
) -> None:
    """Switched off, the footer leaves nothing behind; an empty description is none."""
    found = desired_values(replace(FULL, description=text), MappingRules(HOME, footer=False))
    assert found["description"] == wanted


def test_the_start_falls_back_to_when_it_was_started() -> None:
    """Without a planned start the real one is the start date."""
    found = desired_values(replace(FULL, start_on=None), RULES)
    assert found["start_date"] == "2026-03-02T09:00:00Z"


def test_with_a_time_zone_dates_are_its_days() -> None:
    """Both tools show the same day: midnight in the zone becomes midnight UTC of that day."""
    local = replace(FULL, start_on=None, due_on=unix(2026, 4, 1, 0, BERLIN))
    found = desired_values(local, MappingRules(HOME, BERLIN))
    assert found["due_date"] == "2026-04-01T00:00:00Z"
    assert found["start_date"] == "2026-03-02T00:00:00Z"


@given(
    st.builds(
        SourceMilestone,
        id=st.integers(1, 10**9),
        name=st.text(min_size=1),
        description=st.none() | texts,
        start_on=st.none() | stamps,
        started_on=st.none() | stamps,
        due_on=st.none() | stamps,
        completed_on=st.none() | stamps,
        is_completed=st.booleans(),
        refs=st.none() | st.text(),
    ),
    st.none() | st.sampled_from(ZONES),
)
def test_every_record_has_desired_values(source: SourceMilestone, name: str | None) -> None:
    """Any record maps to the five fields, its marker names it, and its dates are canonical."""
    wanted = desired_values(source, MappingRules(HOME, ZoneInfo(name) if name else None))
    assert tuple(wanted) == FIELDS
    assert marked_id(wanted["description"], HOME) == source.id
    assert split_footer(wanted["description"])[0] == (source.description or "")
    for date_field in DATE_FIELDS:
        text = wanted[date_field]
        assert text is None or moment(text) == text


def test_a_dropped_time_of_day_is_reported() -> None:
    """Dates are lossy only where a zone is configured and a time of day was there."""
    at_nine = replace(FULL, due_on=unix(2026, 4, 1, 9))
    assert has_lossy_date(at_nine, MappingRules(HOME, BERLIN))
    assert not has_lossy_date(at_nine, RULES)
    assert not has_lossy_date(FULL, MappingRules(HOME, BERLIN))
    assert not has_lossy_date(SourceMilestone(1, "R"), MappingRules(HOME, BERLIN))


def test_rules_that_map_alike_have_one_fingerprint() -> None:
    """Another zone or footer is another mapping; another address is not."""
    assert RULES.fingerprint == MappingRules("https://moved.example").fingerprint
    others = {RULES, MappingRules(HOME, BERLIN), MappingRules(HOME, footer=False)}
    assert len({rules.fingerprint for rules in others}) == 3


# --- statuses


@pytest.mark.parametrize("word", sorted(OPEN_WORDS | {" Past_Due ", "ACTIVE"}))
def test_open_words_are_written_active(word: str) -> None:
    """Both vocabularies have one written word for what is open."""
    assert written_status(word) == "active"


@pytest.mark.parametrize("word", ["completed", "archived", "Archived", "something_new"])
def test_other_words_stay(word: str) -> None:
    """Closed words, and words that we do not know, are kept."""
    assert written_status(word) == word.lower()


def test_a_target_shows_its_values_in_the_written_words() -> None:
    """What the target has is compared in the vocabulary that is written."""
    target = TargetMilestone("ms_1", "R", "Text", None, "2026-03-01T00:00:00Z", "past_due")
    assert target.values == {
        "name": "R",
        "description": "Text",
        "start_date": None,
        "due_date": "2026-03-01T00:00:00Z",
        "status": "active",
    }


# --- the loss ledger


def test_the_loss_ledger_names_every_documented_field() -> None:
    """Exactly the fields of TestRail's page, each with how it arrives and where."""
    assert set(LOSS_LEDGER) == {
        "completed_on",
        "description",
        "due_on",
        "id",
        "is_completed",
        "is_started",
        "milestones",
        "name",
        "parent_id",
        "project_id",
        "refs",
        "start_on",
        "started_on",
        "url",
    }
    assert all(isinstance(how, Carried) and where for how, where in LOSS_LEDGER.values())
