"""A reviewed plan and a fresh one: equal where they would do the same."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.link import Link
from mappings.link_record import LinkState
from worker.errors import UsageError
from worker.sync.begun_plan import rest_of
from worker.sync.options import Only, Options, Trigger
from worker.sync.reviewed_plan import (
    PlanChanged,
    differences,
    fingerprint,
    must_be_equal,
    read_reviewed,
    reviewable,
    reviewed_options,
)

NEW_NAME = {"name": {"before": None, "after": "x"}}
PLACES = {"testrail_url": "https://a", "testably_url": "https://b"}


def action(testrail_id: int | None = 1, **changed: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "action": "create",
        "testably_id": None,
        "name": "Beta",
        "parent_id": None,
        "reason": "New.",
        "fields": {},
    }
    return {**plain, "testrail_id": testrail_id, **changed}


def plan(*actions: dict[str, Any], project: int = 1, **changed: Any) -> dict[str, Any]:
    there = {"testrail_project": project, "testably_project": "p", "actions": list(actions)}
    return reviewable({"projects": [there]}, Options(), PLACES) | changed


def test_reasons_cost_and_order_do_not_count() -> None:
    one = plan(action(1), action(2, reason="Because."))
    other = plan(action(2), action(1, reason="Otherwise."))
    assert differences(one, other) == []
    assert one["fingerprint"] == other["fingerprint"]


@pytest.mark.parametrize(
    ("fresh", "words"),
    [
        (plan(action(action="adopt")), "was to be created, and is to be linked now"),
        (plan(action(name="Gamma")), "milestone 1 (Beta) is called Gamma now"),
        (plan(action(testably_id="ms_1")), "is about ms_1 in Testably now instead of none"),
        (plan(action(parent_id=9)), "would hang below milestone 9 instead of none"),
        (
            plan(action(action="adopt", testably_id="ms_1", parent_id=9, fields=NEW_NAME)),
            "was to be created, and is to be linked now",
        ),
        (plan(action(), action(2)), "milestone 2 (Beta) was not in it, and is to be created now"),
        (plan(), "milestone 1 (Beta) was to be created, and is in the plan no more"),
        (plan(action(), action(None)), "a record without an id (Beta) was not in it"),
        (plan(action(fields=NEW_NAME)), "has its name changed from empty to x now instead of not"),
        (
            plan(action(), testably_url="https://c"),
            "the address of Testably was https://b, and is https://c now",
        ),
    ],
)
def test_every_difference_is_said_in_words(fresh: dict[str, Any], words: str) -> None:
    reviewed = plan(action())
    [line] = differences(reviewed, fresh)
    assert words in line
    assert reviewed["fingerprint"] != fingerprint(fresh)


def test_a_long_text_is_told_on_one_short_line() -> None:
    """A description goes on for pages; the plan itself shows it whole."""
    was, now = ({"description": {"before": None, "after": f"{n}\n" * 900}} for n in "ab")
    [line] = differences(plan(action(fields=was)), plan(action(fields=now)))
    assert "has its description changed from empty to b b" in line
    assert (len(line) < 250, "\n" in line) == (True, False)


@pytest.mark.parametrize("kind", ["skip", "update", "archive"])
def test_below_what_it_hangs_does_not_count_where_nothing_is_created(kind: str) -> None:
    """Nobody moves it, and what agrees as before is shown without its parent."""
    one, other = (plan(action(action=kind, parent_id=parent)) for parent in (None, 9))
    assert differences(one, other) == []
    assert one["fingerprint"] == other["fingerprint"]


APPLIED = Link(
    1, "ms_1", LinkState.LINKED, last_applied={"name": "Beta", "status": "active"}, parent_id=9
)
CREATE = action(fields={"name": {"before": None, "after": "Beta"}}, parent_id=9)


def left(kind: str = "skip", edited: tuple[str, ...] = (), **fields: str) -> dict[str, Any]:
    pushed = {name: {"before": "was", "after": value} for name, value in fields.items()}
    return action(action=kind, testably_id="ms_1", fields=pushed, edited=list(edited))


@pytest.mark.parametrize(
    ("reviewed", "now", "link", "is_so"),
    [
        (CREATE, left(), APPLIED, True),
        (CREATE, left("update", name="Beta"), APPLIED, True),
        (CREATE, left("update", name="Gamma"), APPLIED, False),
        (CREATE, left("update", ("name",), name="Beta"), APPLIED, False),
        (CREATE, left("update", status="completed"), APPLIED, False),
        (CREATE, left("update"), APPLIED, False),
        (CREATE, left("conflict"), APPLIED, False),
        (CREATE, None, APPLIED, False),
        (CREATE, left(), replace(APPLIED, state=LinkState.HELD), False),
        (CREATE, left(), replace(APPLIED, last_applied={"name": "Gamma"}), False),
        (CREATE, left(), replace(APPLIED, last_applied={}), False),
        (CREATE, left(), replace(APPLIED, parent_id=8), False),
        (CREATE, left() | {"name": "Gamma"}, APPLIED, False),
        (CREATE | {"action": "conflict"}, left(), APPLIED, False),
        (CREATE | {"action": "adopt", "testably_id": "ms_2"}, left(), APPLIED, False),
        (left("archive"), None, replace(APPLIED, state=LinkState.ARCHIVED), True),
        (left("archive"), left(), replace(APPLIED, state=LinkState.ARCHIVED), True),
        (left("archive"), left(), replace(APPLIED, state=LinkState.ORPHANED), False),
        (
            left("archive"),
            None,
            replace(APPLIED, testably_id="ms_2", state=LinkState.ARCHIVED),
            False,
        ),
    ],
)
def test_what_is_begun_is_no_difference_where_only_its_rest_is_to_be_done(
    reviewed: dict[str, Any], now: dict[str, Any] | None, link: Link, is_so: bool
) -> None:
    fresh = plan(*([] if now is None else [now]))
    rest = rest_of(plan(reviewed), fresh, lambda _, ids: {1: link} if 1 in ids else {})
    assert (differences(rest, fresh) == []) == is_so


def test_another_project_is_a_difference() -> None:
    assert differences(plan(), plan(project=2)) == [
        "project 1 → p is not among those chosen now",
        "project 2 → p was not in it",
    ]


def test_ten_differences_are_named_and_the_rest_counted() -> None:
    with pytest.raises(PlanChanged) as refused:
        must_be_equal(plan(), plan(*(action(number) for number in range(1, 14))))
    lines = refused.value.message.splitlines()
    assert (len(lines), lines[-1]) == (12, "- and 3 more")
    must_be_equal(plan(), plan())


def test_a_plan_and_its_options_come_back_from_the_file() -> None:
    options = Options(Trigger.MIGRATION, Only.OPEN, adopt_by_name=True, allow_mass_recreate=True)
    text = json.dumps(reviewable({"projects": []}, options, PLACES))
    assert reviewed_options(read_reviewed(text, "plan.json")) == options


def test_a_plan_that_has_changed_is_made_anew_with_the_same_options() -> None:
    options = Options(Trigger.MIGRATION, Only.STARTED, allow_mass_archive=True)
    fresh = reviewable({"projects": []}, options, PLACES)
    with pytest.raises(PlanChanged) as refused:
        must_be_equal(plan(), fresh)
    wanted = "`milesync plan --only started --allow-mass-archive --out FILE`"
    assert wanted in refused.value.hint


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 9},
        {"options": None},
        {"options": {"only": "bogus"}},
        {"projects": None},
        {"projects": [{"testrail_project": 1}]},
        {"projects": [1]},
    ],
)
def test_what_is_no_plan_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"plan\.json"):
        read_reviewed(json.dumps(plan() | changed), "plan.json")


@pytest.mark.parametrize(
    "changed",
    [
        {"projects": plan(action(name="Renamed"))["projects"]},
        {"testably_url": "https://elsewhere"},
        {"fingerprint": "0123456789ab"},
    ],
)
def test_a_plan_that_does_not_fit_its_fingerprint_is_refused(changed: dict[str, Any]) -> None:
    """Who signed it has signed the fingerprint."""
    with pytest.raises(UsageError, match=r"plan\.json is not as it was written"):
        read_reviewed(json.dumps(plan(action()) | changed), "plan.json")


# --- whatever stands in the file ----------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANY_JSON = st.recursive(
    SCALARS, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one)
)


@st.composite
def almost_plans(draw: st.DrawFn) -> Any:
    """A plan in which one place, at any depth, holds something else."""
    document: Any = plan(action(fields={"name": {"before": None, "after": "x"}}), action(2))
    place = document
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not place[key] or not isinstance(place[key], dict | list) or draw(st.booleans()):
            place[key] = draw(ANY_JSON)
            return document
        place = place[key]


def signed(document: Any) -> Any:
    """With the fingerprint that it would have, if it were one."""
    with suppress(AttributeError, KeyError, TypeError):
        return document | {"fingerprint": fingerprint(document)}
    return document


@given(ANY_JSON | almost_plans() | almost_plans().map(signed))
def test_any_document_is_a_plan_or_refused_in_plain_words(document: Any) -> None:
    """And one that is taken can be compared, whatever stands in it."""
    fresh = plan(action(), action(2))
    told = ""
    try:
        read = read_reviewed(json.dumps(document), "plan.json")
        reviewed_options(read)
        assert isinstance(differences(read, fresh), list)
        rest = rest_of(read, fresh, lambda _, ids: dict.fromkeys(ids, APPLIED))
        assert isinstance(differences(rest, fresh), list)
        assert isinstance(differences(fresh, read), list)
    except UsageError as error:
        told = f"{error.message} {error.hint}"
    assert not told or (told.startswith("plan.json is ") and "--out" in told)


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 200_000, '{"version": 1, "projects": ' + "[" * 200_000, "9" * 5000, "", "nonsense"),
        '{"version": 1, "x": 1e999, "projects": [], "options": []}',
        '{"version": true, "projects": [], "options": {}}',
    ],
    ids=lambda text: text[:20],
)
def test_a_file_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^plan\.json is "):
        read_reviewed(text, "plan.json")
