"""What a TestRail milestone becomes in Testably: its desired values, and what is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
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
    MAPPING_VERSION,
    OPEN_WORDS,
    Carried,
    MappingRules,
    SourceMilestone,
    TargetMilestone,
    desired_values,
    has_lossy_date,
    loses_planned_start,
    written_status,
)
from mappings.text import plain_text
from tests.support.texts import BERLIN, HOME, ZONES, stamps, texts, unix

FULL = SourceMilestone(
    id=7,
    name="Release 1.5",
    description="Text",
    start_on=unix(2026, 3, 1),
    started_on=unix(2026, 3, 2, 9),
    due_on=unix(2026, 4, 1),
    completed_on=unix(2026, 3, 30, 17),
    is_started=True,
    is_completed=True,
    parent_id=3,
    refs="RF-1,\n RF-2",
)
RULES = MappingRules(HOME)


def test_the_desired_values_of_a_full_record() -> None:
    """Every field goes where the mapping table says."""
    assert desired_values(FULL, RULES, has_children=False) == {
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
    assert desired_values(SourceMilestone(7, "R"), RULES, has_children=False) == {
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
    found = desired_values(
        replace(FULL, description=text), MappingRules(HOME, footer=False), has_children=False
    )
    assert found["description"] == wanted


# --- the start date


@pytest.mark.parametrize(
    ("fields", "start", "planned"),
    [
        ({"start_on": None}, "2026-03-02T09:00:00Z", None),
        ({"started_on": None}, "2026-03-01T00:00:00Z", None),
        ({"start_on": None, "started_on": None}, None, None),
        ({}, "2026-03-01T00:00:00Z", None),
        ({"started_on": unix(2026, 2, 27, 9)}, "2026-02-27T09:00:00Z", "2026-03-01T00:00:00Z"),
        ({"started_on": unix(2026, 2, 27, 9), "is_started": False}, "2026-03-01T00:00:00Z", None),
        ({"started_on": unix(2026, 3, 1)}, "2026-03-01T00:00:00Z", None),
    ],
)
def test_the_start_date_is_what_makes_a_started_milestone_started(
    fields: dict[str, Any], start: str | None, planned: str | None
) -> None:
    """The planned start, or the real one where there is no other or TestRail started it earlier."""
    found = desired_values(replace(FULL, **fields), RULES, has_children=False)
    footer = split_footer(found["description"])[1]
    assert found["start_date"] == start
    assert footer is not None
    assert footer.planned_start == planned


@pytest.mark.parametrize(
    ("started_on", "start", "planned"),
    [
        (unix(2026, 2, 28, 23, BERLIN), "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"),
        (unix(2026, 3, 1, 0, BERLIN), "2026-03-01T00:00:00Z", None),
        (unix(2026, 3, 1, 9, BERLIN), "2026-03-01T00:00:00Z", None),
    ],
)
def test_with_a_time_zone_starts_are_compared_as_the_days_that_people_see(
    started_on: int, start: str, planned: str | None
) -> None:
    """Planned for UTC's midnight, which is 1 o'clock in Berlin: started at 0 is the same day."""
    found = desired_values(
        replace(FULL, started_on=started_on), MappingRules(HOME, BERLIN), has_children=False
    )
    footer = split_footer(found["description"])[1]
    assert found["start_date"] == start
    assert footer is not None
    assert footer.planned_start == planned


def test_the_own_dates_of_a_milestone_with_sub_milestones_stand_in_its_footer() -> None:
    """Testably may show those of the sub-milestones; the other four fields are as without."""
    with_them = desired_values(FULL, RULES, has_children=True)
    without = desired_values(FULL, RULES, has_children=False)
    assert with_them["description"] == (
        f"{without['description']}\nStart: 2026-03-01T00:00:00Z\nDue: 2026-04-01T00:00:00Z"
    )
    assert {**with_them, "description": None} == {**without, "description": None}


def test_a_milestone_without_dates_is_the_same_with_sub_milestones() -> None:
    bare = SourceMilestone(7, "R")
    both = [desired_values(bare, RULES, has_children=known) for known in (True, False)]
    assert both[0] == both[1]


def test_with_a_time_zone_dates_are_its_days() -> None:
    """Both tools show the same day: midnight in the zone becomes midnight UTC of that day."""
    local = replace(FULL, start_on=None, due_on=unix(2026, 4, 1, 0, BERLIN))
    found = desired_values(local, MappingRules(HOME, BERLIN), has_children=False)
    assert found["due_date"] == "2026-04-01T00:00:00Z"
    assert found["start_date"] == "2026-03-02T00:00:00Z"


sources = st.builds(
    SourceMilestone,
    id=st.integers(1, 10**9),
    name=st.text(min_size=1),
    description=st.none() | texts,
    start_on=st.none() | stamps,
    started_on=st.none() | stamps,
    due_on=st.none() | stamps,
    completed_on=st.none() | stamps,
    is_started=st.booleans(),
    is_completed=st.booleans(),
    refs=st.none() | st.text(),
)
some_rules = st.builds(
    MappingRules, st.just(HOME), st.none() | st.sampled_from(ZONES).map(ZoneInfo), st.booleans()
)


@given(sources, some_rules, st.booleans())
def test_every_record_has_desired_values(
    source: SourceMilestone, rules: MappingRules, has_children: bool
) -> None:
    """Any record maps to the five fields, its marker names it, and its dates are canonical."""
    found = desired_values(source, rules, has_children=has_children)
    assert tuple(found) == FIELDS
    if rules.footer:
        assert marked_id(found["description"], HOME) == source.id
        assert split_footer(found["description"])[0] == plain_text(source.description)
    for date_field in DATE_FIELDS:
        text = found[date_field]
        assert text is None or moment(text) == text


@given(sources, some_rules)
def test_a_start_date_is_never_after_the_planned_start(
    source: SourceMilestone, rules: MappingRules
) -> None:
    """It is the planned one, or an earlier one that then has the planned one in the footer."""
    found = desired_values(source, rules, has_children=False)
    planned = desired_values(replace(source, started_on=None), rules, has_children=False)
    footer = split_footer(found["description"])[1]
    if source.start_on is not None and found["start_date"] != planned["start_date"]:
        assert source.is_started
        assert (found["start_date"] or "") < (planned["start_date"] or "")
        assert footer is None or footer.planned_start == planned["start_date"]
    else:
        assert footer is None or footer.planned_start is None


# --- what is lost


def test_a_dropped_time_of_day_is_reported() -> None:
    """Dates are lossy where a zone is configured and a time of day was there."""
    at_nine = replace(FULL, due_on=unix(2026, 4, 1, 9))
    assert has_lossy_date(at_nine, MappingRules(HOME, BERLIN))
    assert not has_lossy_date(at_nine, RULES)
    assert not has_lossy_date(FULL, MappingRules(HOME, BERLIN))
    assert not has_lossy_date(SourceMilestone(1, "R"), MappingRules(HOME, BERLIN))
    assert has_lossy_date(replace(FULL, due_on=1), MappingRules(HOME, BERLIN))


def test_without_the_footer_what_it_would_have_kept_is_reported() -> None:
    """When it was started and completed, and the planned start, have no field in Testably."""
    bare = MappingRules(HOME, footer=False)
    early = replace(FULL, started_on=unix(2026, 2, 27))
    assert has_lossy_date(FULL, bare)
    assert not has_lossy_date(replace(FULL, start_on=None, completed_on=None), bare)
    assert not has_lossy_date(SourceMilestone(1, "R"), bare)
    assert loses_planned_start(early, bare)
    assert not loses_planned_start(early, RULES)
    assert not loses_planned_start(FULL, bare)


def test_rules_that_map_alike_have_one_fingerprint() -> None:
    """Another zone or footer is another mapping; another address is not."""
    assert RULES.fingerprint == MappingRules("https://moved.example").fingerprint
    others = {RULES, MappingRules(HOME, BERLIN), MappingRules(HOME, footer=False)}
    assert len({rules.fingerprint for rules in others}) == 3
    assert all(rules.fingerprint.startswith(f"mapping={MAPPING_VERSION} ") for rules in others)


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


@pytest.mark.parametrize(
    "changed",
    [
        {"id": 8},
        {"name": "Release 1.6"},
        {"description": "Another text"},
        {"start_on": unix(2026, 2, 28)},
        {"started_on": unix(2026, 3, 2, 10)},
        {"due_on": unix(2026, 4, 2)},
        {"completed_on": unix(2026, 3, 30, 18)},
        {"is_completed": False},
        {"refs": "RF-1"},
    ],
)
def test_what_the_ledger_calls_carried_arrives(changed: dict[str, Any]) -> None:
    """A milestone that differs in one such field has other desired values."""
    (name,) = changed
    assert LOSS_LEDGER[name][0] in (Carried.EXACT, Carried.FOOTER)
    other = desired_values(replace(FULL, **changed), RULES, has_children=False)
    assert other != desired_values(FULL, RULES, has_children=False)
