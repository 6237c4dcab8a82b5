"""Records: whatever JSON holds is either read exactly or set aside with a reason, never raised."""

from __future__ import annotations

import json
import re
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.dates import LAST_TIMESTAMP
from mappings.milestone import BadRecord, SourceMilestone, TargetMilestone
from worker.clients.bounds import DEEPEST
from worker.clients.decode import decode
from worker.clients.records import parse_source, parse_target
from worker.clients.shapes import SourceShape, TargetShape
from worker.clients.source_rows import collect_source

ANY_TEXT = st.text(st.characters() | st.sampled_from("\0\ud800"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=8,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
STAMP = st.none() | st.integers(0, LAST_TIMESTAMP)
IDS = st.integers(1, 2**63 - 1)
SOURCE = st.fixed_dictionaries(
    {"id": IDS, "name": TEXT.filter(lambda text: bool(re.sub(r"[\s\x1c-\x1f]", "", text)))},
    optional={
        "project_id": IDS,
        "description": st.none() | TEXT,
        "start_on": STAMP,
        "started_on": STAMP,
        "due_on": STAMP,
        "completed_on": STAMP,
        "is_started": st.booleans(),
        "is_completed": st.booleans(),
        "parent_id": st.none() | IDS,
        "refs": st.none() | TEXT,
        "url": st.none() | TEXT,
    },
)
DOCUMENTED = sorted(
    {"milestones", "project_id", "url"}
    | SourceShape.model_fields.keys()
    | TargetShape.model_fields.keys()
)
NEARLY = st.dictionaries(st.sampled_from(DOCUMENTED), JSON | IDS)


@given(SOURCE)
def test_a_valid_source_record_arrives_unchanged(record: dict[str, object]) -> None:
    """Every field that is there and not null is the milestone's, and the record is kept."""
    read = parse_source(record)
    assert isinstance(read, SourceMilestone)
    kept = {**read.raw, **{one.name: getattr(read, one.name) for one in fields(read)}}
    assert all(kept[name] == value for name, value in record.items() if value is not None)
    assert read.raw == record


@given(JSON | NEARLY)
def test_no_json_value_makes_reading_raise(value: object) -> None:
    """Anything gives a value or a BadRecord that a database can store."""
    for read in (parse_source(value), parse_target(value)):
        if isinstance(read, BadRecord):
            assert read.reason
            assert len(read.value) <= 80
        for raw in (read.raw,) if isinstance(read, BadRecord | SourceMilestone) else ():
            stored = json.dumps(dict(raw), ensure_ascii=False, allow_nan=False)
            assert "\\u0000" not in stored
            f"{read.name}{stored}".encode()
    collect_source([value, {"id": 1, "name": "a", "milestones": value}])


@pytest.mark.parametrize(
    ("fields", "path", "reason"),
    [
        ({"id": "7"}, "id", "id is not a whole number"),
        ({"id": True}, "id", "id is not a whole number"),
        ({"id": 7.0}, "id", "id is not a whole number"),
        ({"id": 0}, "id", "id must be greater than zero"),
        ({"id": 2**63}, "id", "id is too large"),
        ({"name": None}, "name", "name is blank"),
        ({"name": " \t"}, "name", "name is blank"),
        ({"name": 5}, "name", "name is not text"),
        ({"name": "a\0b"}, "name", "name holds a NUL character, which cannot be stored"),
        ({"due_on": -1}, "due_on", "due_on is negative"),
        ({"due_on": "soon"}, "due_on", "due_on is not a whole number"),
        ({"is_started": 2}, "is_started", "is_started is neither true nor false"),
        ({"is_started": "1"}, "is_started", "is_started is neither true nor false"),
        ({"due_on": float("inf")}, "due_on", "due_on is not a whole number"),
        ({"due_on": float("nan")}, "due_on", "due_on is not a whole number"),
        ({"refs": ["RF-1"]}, "refs", "refs is not text"),
        ({"due_on": decode(b"9" * 5000)}, "due_on", "due_on is too large"),
        ({"due_on": 10**300}, "due_on", "due_on is too large"),
        ({"due_on": decode(b"1e400")}, "due_on", "due_on is too large"),
        ({"description": decode(b"9" * 5000)}, "description", "description is not text"),
    ],
)
def test_a_wrong_field_is_named_with_its_reason(
    fields: dict[str, object], path: str, reason: str
) -> None:
    """The person who has to correct it reads which field and why."""
    read = parse_source({"id": 1, "name": "Release", **fields})
    assert isinstance(read, BadRecord)
    assert (read.path, read.reason) == (path, reason)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("9" * 5000, "a whole number of 5,000 digits"),
        ("-" + "9" * 4000, "a whole number of about 4,000 digits"),
        ("1" + "0" * 60, "a whole number of about 60 digits"),
        ("1e400", "1e400"),
        ("-1.5e9999", "-1.5e9999"),
        ("1" + "0" * 400 + ".5", "a number of 403 characters"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("NaN", "NaN"),
        ("99999999999999999999", "99999999999999999999"),
        ("[NaN]", "[NaN]"),
    ],
    ids=lambda text: text[:12],
)
def test_a_number_beyond_all_bounds_is_shown_as_what_it_is(number: str, shown: str) -> None:
    """In the record's problem, and in the raw record that is kept."""
    read = parse_source(decode(f'{{"id": 1, "name": "a", "due_on": {number}}}'.encode()))
    assert isinstance(read, BadRecord)
    assert read.value == shown
    assert json.loads(json.dumps(dict(read.raw), allow_nan=False))["due_on"] in (shown, ["NaN"])


ODD = [7, 1e400, "half \ud800", "a\0b", {"a": [1]}, [], True, "9" * 1_000]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("field", ["url", "project_id"])
def test_a_field_that_is_not_used_spoils_no_milestone(field: str, odd: object) -> None:
    """Only what something is decided by has to be right; the rest is kept as it can be stored."""
    read = parse_source({"id": 1, "name": "a", field: odd})
    assert isinstance(read, SourceMilestone)
    json.dumps(dict(read.raw), ensure_ascii=False, allow_nan=False).encode()
    assert field in read.raw


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_what_is_only_shown_of_a_target_spoils_no_milestone(odd: object) -> None:
    """Neither does a moment without which a person decides, or the field is asked for anew."""
    run = {"id": "r", "status": "open", "name": odd, "pass_rate": odd}
    sub = {"id": "ms_2", "name": odd, "progress": odd}
    more = {"progress": odd, "created_at": odd, "updated_at": odd}
    lists = {"linked_runs": [run], "sub_milestones": [sub]}
    read = parse_target({"id": "ms_1", "name": "a", **more, **lists})
    assert isinstance(read, TargetMilestone)
    assert (read.created_at, read.updated_at) == (None, None)
    assert (read.linked_runs[0].status, read.sub_milestones[0].id) == ("open", "ms_2")


@pytest.mark.parametrize(
    "fields",
    [
        {"linked_runs": 7},
        {"linked_runs": [{"id": "r", "status": 7}]},
        {"sub_milestones": [{"id": None}]},
        {"sub_milestones": [{"id": "s", "status": {}}]},
        {"date_mode": 7},
        {"status": 7},
    ],
)
def test_what_an_archive_or_a_date_depends_on_has_to_be_right(fields: dict[str, object]) -> None:
    """R12: what cannot be read is not taken for nothing."""
    assert isinstance(parse_target({"id": "ms_1", "name": "a", **fields}), BadRecord)


def test_an_empty_text_is_no_date_and_no_parent() -> None:
    blank = dict.fromkeys(("start_on", "started_on", "due_on", "completed_on", "parent_id"), "")
    assert parse_source({"id": 1, "name": "a", **blank}) == SourceMilestone(1, "a")


def test_a_name_that_is_missing_is_blank() -> None:
    read = parse_source({"id": 3, "parent_id": 2})
    assert isinstance(read, BadRecord)
    assert (read.id, read.parent_id, read.reason) == (3, 2, "name is blank")


def test_milliseconds_are_recognised() -> None:
    """A timestamp beyond the year 3000 is a mistake, and the reason guesses which."""
    read = parse_source({"id": 1, "name": "a", "due_on": 1_391_968_184_000})
    assert isinstance(read, BadRecord)
    assert "milliseconds" in read.reason


def test_text_that_cannot_be_stored_is_set_aside() -> None:
    """A lone surrogate is legal JSON, and no UTF-8."""
    read = parse_source(json.loads('{"id": 1, "name": "a", "description": "\\ud800"}'))
    assert isinstance(read, BadRecord)
    assert read.path == "description"


def test_null_and_absent_fields_are_empty() -> None:
    """The document's own example lacks is_started, start_on and parent_id."""
    nulls = dict.fromkeys(("is_started", "is_completed", "due_on", "refs", "parent_id"))
    read = parse_source({"id": 1, "name": "a", "unknown": {"x": 1}, **nulls})
    assert read == SourceMilestone(1, "a")


def test_nested_milestones_are_flattened_at_any_depth() -> None:
    """A child without a parent_id belongs to the record around it."""
    deep = {"id": 3, "name": "c"}
    child = {"id": 2, "name": "b", "milestones": [deep]}
    found, problems = collect_source([{"id": 1, "name": "a", "milestones": [child]}])
    assert {key: one.parent_id for key, one in found.items()} == {1: None, 2: 1, 3: 2}
    assert problems == []
    assert "milestones" not in found[1].raw


def test_a_very_deep_nesting_is_read_to_its_bound() -> None:
    """What lies deeper has no id that is known, so the listing is incomplete."""
    record: dict[str, object] = {"id": 5000, "name": "x"}
    for number in range(4999, 0, -1):
        record = {"id": number, "name": "x", "milestones": [record]}
    found, problems = collect_source([record])
    assert len(found) == DEEPEST + 1
    assert [(bad.id, bad.reason) for bad in problems] == [
        (None, f"milestones nest deeper than {DEEPEST} levels")
    ]


def test_a_repeated_id_counts_once() -> None:
    """Rows repeat when the list changes between two pages; a later one may know the parent."""
    rows = [
        {"id": 2, "name": "first"},
        {"id": 1, "name": "root", "milestones": [{"id": 2, "name": "second"}]},
    ]
    found, _ = collect_source(rows)
    assert (found[2].name, found[2].parent_id) == ("first", 1)


def test_a_record_is_never_its_own_parent() -> None:
    found, _ = collect_source([{"id": 1, "name": "a", "milestones": [{"id": 1, "name": "a"}]}])
    assert found[1].parent_id is None


def test_a_problem_says_where_it_stands() -> None:
    rows = [{"id": 1, "name": "a"}, {"id": 2, "name": "b", "milestones": [{"id": 3, "due_on": 1}]}]
    _, problems = collect_source(rows)
    assert [(bad.path, bad.id, bad.parent_id) for bad in problems] == [
        ("milestones[1].milestones[0].name", 3, 2)
    ]


def test_a_child_whose_parent_is_unknown_waits_for_a_person() -> None:
    """Created at the root it could never be moved."""
    rows = [{"id": "1", "name": "a", "milestones": [{"id": 2, "name": "b"}]}]
    found, problems = collect_source(rows)
    assert found == {}
    assert [bad.id for bad in problems] == ["1", 2]


def test_sub_milestones_that_are_no_list_leave_their_parent_readable() -> None:
    """The parent is fine; that its children are unknown has no id, so the listing is incomplete."""
    found, problems = collect_source([{"id": 1, "name": "a", "milestones": {"id": 2}}])
    assert list(found) == [1]
    assert [bad.id for bad in problems] == [None]


def test_the_documented_testably_detail_is_read_whole() -> None:
    """The example of the vendor's page, in its two vocabularies."""
    read = parse_target(
        {
            "id": "ms_001",
            "name": "v2.0 Release",
            "start_date": "2026-03-01T01:00:00.000+01:00",
            "due_date": None,
            "status": "past_due",
            "parent_milestone_id": "ms_000",
            "progress": 68,
            "linked_runs": [{"id": "run_1", "name": "r", "status": "completed", "pass_rate": 72}],
            "sub_milestones": [{"id": 2, "name": "v2.0 - API", "status": "completed"}],
        }
    )
    assert isinstance(read, TargetMilestone)
    assert (read.start_date, read.due_date) == ("2026-03-01T00:00:00Z", None)
    assert (read.status, read.parent_id, read.progress) == ("past_due", "ms_000", 68)
    assert read.linked_runs[0].pass_rate == 72
    assert [(sub.id, sub.status) for sub in read.sub_milestones] == [("2", "completed")]


def test_an_empty_testably_record_needs_only_its_id() -> None:
    read = parse_target({"id": 7, "name": None, "status": None, "sub_milestones": None})
    assert read == TargetMilestone("7", "")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"id": ""}, "id"),
        ({"id": None}, "id"),
        ({"due_date": "tomorrow"}, "due_date"),
        ({"due_date": "0001-01-01T00:00:00+05:00"}, "due_date"),
        ({"start_date": 5}, "start_date"),
        ({"sub_milestones": [{"id": "a"}, {}]}, "sub_milestones[1].id"),
    ],
)
def test_a_testably_record_that_cannot_be_read_says_where(
    fields: dict[str, object], path: str
) -> None:
    read = parse_target({"id": "ms_1", "name": "a", **fields})
    assert isinstance(read, BadRecord)
    assert read.path == path


HUGE = [10**30, -(10**30), 2**63, float("inf"), float("-inf"), float("nan"), 10**5000]


@pytest.mark.parametrize(
    "number",
    HUGE,
    ids=lambda number: f"{number:.3g}"[:12] if number < 1e300 or number != number else "huge",
)
def test_a_number_that_no_database_holds_is_kept_as_text(number: object) -> None:
    """In a field that nobody reads; both databases can then store the record."""
    read = parse_source({"id": 1, "name": "a", "custom": {"deep": [number]}})
    assert isinstance(read, SourceMilestone)
    (kept,) = read.raw["custom"]["deep"]  # type: ignore[index]
    assert isinstance(kept, str)
    assert len(kept) < 80


@pytest.mark.parametrize("share", [float("nan"), float("inf"), 10**400, None])
def test_a_progress_that_is_no_number_spoils_no_milestone(share: object) -> None:
    runs = [{"id": "r", "pass_rate": share}]
    read = parse_target({"id": "ms_1", "name": "a", "progress": share, "linked_runs": runs})
    assert isinstance(read, TargetMilestone)
    assert (read.progress, read.linked_runs[0].pass_rate) == (None, None)


@pytest.mark.parametrize(("given", "flag"), [(0, False), (1, True), (True, True)])
def test_a_flag_may_be_a_number(given: object, flag: bool) -> None:
    read = parse_source({"id": 1, "name": "a", "is_started": given, "is_completed": given})
    assert isinstance(read, SourceMilestone)
    assert (read.is_started, read.is_completed) == (flag, flag)


def test_an_empty_list_may_be_an_empty_object() -> None:
    read = parse_target({"id": "ms_1", "name": "a", "linked_runs": {}, "sub_milestones": {}})
    assert isinstance(read, TargetMilestone)
    assert (read.linked_runs, read.sub_milestones) == ((), ())


def test_an_id_that_no_index_holds_is_a_problem() -> None:
    read = parse_target({"id": "x" * 256, "name": "a"})
    assert isinstance(read, BadRecord)
    assert read.reason == "id is too long"
