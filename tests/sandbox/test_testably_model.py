"""The rules of a Testably account, and every behaviour that its page leaves open, both ways."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.milestone import BadRecord
from tests.sandbox.conftest import PROJECT
from tests.support.clock import FakeClock
from worker.clients.records import parse_target
from worker.sandbox.rules import Problem
from worker.sandbox.switches import TestablySwitches
from worker.sandbox.testably_model import TestablyModel, opaque_ids

START, DUE = "2026-03-01T00:00:00Z", "2026-04-15T00:00:00Z"


def account(clock: FakeClock | None = None, **switches: Any) -> TestablyModel:
    return TestablyModel(clock=clock or FakeClock(), switches=TestablySwitches(**switches))


def made(model: TestablyModel, name: str = "v2.0", **fields: object) -> str:
    return str(model.create(PROJECT, {"name": name, **fields})["id"])


def listed(model: TestablyModel, status: str | None = None) -> list[object]:
    return [row["id"] for row in model.listing(PROJECT, status, per_page=100).rows]


def refused(model: TestablyModel, milestone: str, body: object) -> int:
    before = model.get(PROJECT, milestone)
    with pytest.raises(Problem) as error:
        model.update(PROJECT, milestone, body)
    assert model.get(PROJECT, milestone) == before
    return error.value.status


def test_a_new_milestone_is_active_and_keeps_what_was_sent() -> None:
    model = account()
    answer = model.create(PROJECT, {"name": "v2.1", "due_date": DUE})
    assert answer == {
        "id": answer["id"],
        "name": "v2.1",
        "description": None,
        "start_date": None,
        "due_date": DUE,
        "status": "active",
        "parent_id": None,
        "date_mode": "auto",
        "progress": 0,
        "created_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-01T12:00:00Z",
    }
    assert str(answer["id"]).startswith("ms_")


def test_ids_are_opaque_and_the_same_for_the_same_seed() -> None:
    """Nobody may conclude an order from ids."""
    one, again = opaque_ids(seed=3), opaque_ids(seed=3)
    first = [next(one) for _ in range(50)]
    assert first == [next(again) for _ in range(50)]
    assert len(set(first)) == 50
    assert first != sorted(first)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "name",
        {"name": " "},
        {"name": 1},
        {"name": "x", "status": "completed"},
        {"name": "x", "colour": "red"},
        {"name": "x", "due_date": "soon"},
        {"name": "x", "due_date": 1391968184},
        {"name": "x", "parent_id": "ms_unknown"},
        {"name": "x", "parent_id": 7},
    ],
)
def test_post_refuses_what_it_does_not_document(body: object) -> None:
    """400, and nothing is created; a status above all, which POST does not take."""
    model = account()
    with pytest.raises(Problem) as error:
        model.create(PROJECT, body)
    assert error.value.status == 400
    assert model.everything(PROJECT) == []


@pytest.mark.parametrize(
    "body",
    [
        {"parent_id": None},
        {"date_mode": "manual"},
        {"status": "started"},
        {"status": None},
        {"name": None},
        {"name": ""},
        {"due_date": "2026-13-01"},
        [],
    ],
)
def test_patch_refuses_what_it_does_not_document(body: object) -> None:
    """400; above all parent_id: a milestone cannot be moved."""
    model = account()
    assert refused(model, made(model), body) == 400


def test_patch_changes_only_what_it_names(clock: FakeClock) -> None:
    model = account(clock)
    milestone = made(model, description="kept")
    before = model.get(PROJECT, milestone)
    clock.sleep(60)
    model.update(PROJECT, milestone, {"status": "completed"})
    changed = {"status": "completed", "progress": 100, "updated_at": "2026-03-01T12:01:00Z"}
    assert model.get(PROJECT, milestone) == before | changed


def test_nesting_ends_after_one_level() -> None:
    model = account()
    sub = made(model, parent_id=made(model))
    with pytest.raises(Problem) as error:
        made(model, parent_id=sub)
    assert error.value.status == 400


def test_projects_and_milestones_that_are_not_there() -> None:
    """404 for what is unknown or lies in another project, 403 for a closed project."""
    model = TestablyModel((PROJECT, "proj_other"), clock=FakeClock())
    milestone = made(model)
    for project, wanted in (("proj_none", milestone), ("proj_other", milestone), (PROJECT, "ms_")):
        with pytest.raises(Problem) as error:
            model.get(project, wanted)
        assert error.value.status == 404
    model.no_access.add(PROJECT)
    with pytest.raises(Problem) as closed:
        model.listing(PROJECT)
    assert closed.value.status == 403


def test_a_parent_shows_what_its_sub_milestones_say() -> None:
    """Status, progress and, in date mode auto, dates are derived."""
    model = account()
    root = made(model, start_date="2020-01-01")
    one = made(model, "API", parent_id=root, start_date=START, due_date="2026-03-10")
    made(model, "Web", parent_id=root, start_date="2026-03-05", due_date=DUE)
    model.update(PROJECT, one, {"status": "completed"})
    shown = model.get(PROJECT, root)
    assert (shown["start_date"], shown["due_date"]) == (START, DUE)
    assert (shown["status"], shown["progress"]) == ("active", 50)
    assert shown["sub_milestones"] == [
        {"id": one, "name": "API", "status": "completed", "progress": 100},
        {"id": listed(model)[2], "name": "Web", "status": "active", "progress": 0},
    ]
    model.update(PROJECT, str(listed(model)[2]), {"status": "completed"})
    assert (model.get(PROJECT, root)["status"], listed(model, "active")) == ("completed", [])


def test_a_parents_derived_fields_are_read_only() -> None:
    """Its status and its auto dates are refused, its name is not."""
    model = account()
    root = made(model)
    made(model, parent_id=root)
    for body in ({"status": "completed"}, {"status": "archived"}, {"due_date": DUE}):
        assert refused(model, root, body) == 400
    assert model.update(PROJECT, root, {"name": "renamed"})["name"] == "renamed"


def test_parent_dates_may_be_ignored_instead_of_refused() -> None:
    model = account(parent_dates_read_only=False)
    root = made(model)
    made(model, parent_id=root, due_date=DUE)
    answer = model.update(PROJECT, root, {"name": "renamed", "due_date": START})
    assert (answer["name"], answer["due_date"]) == ("renamed", DUE)


@pytest.mark.parametrize("locks", [True, False])
def test_archived_sub_milestones_may_lock_their_parent(locks: bool) -> None:
    model = account(archived_subs_lock_status=locks)
    root = made(model)
    sub = made(model, parent_id=root)
    model.update(PROJECT, sub, {"status": "archived"})
    if locks:
        assert refused(model, root, {"status": "archived"}) == 400
    else:
        assert model.update(PROJECT, root, {"status": "archived"})["status"] == "archived"


def test_the_lists_of_a_status_may_hold_sub_milestones_that_the_plain_one_leaves_out() -> None:
    model = account(list_holds_subs=False, status_lists_hold_subs=True)
    root = made(model)
    sub = made(model, parent_id=root)
    assert (listed(model), listed(model, "active")) == ([root], [root, sub])


@pytest.mark.parametrize("holds", [True, False])
def test_the_list_may_leave_out_sub_milestones(holds: bool) -> None:
    """With every filter; `meta.total` counts what is listed."""
    model = account(list_holds_subs=holds)
    root = made(model)
    sub = made(model, parent_id=root)
    wanted = [root, sub] if holds else [root]
    assert listed(model) == listed(model, "active") == wanted
    assert model.listing(PROJECT).total == len(wanted)


@pytest.mark.parametrize("holds", [True, False])
def test_the_unfiltered_list_may_leave_out_archived_ones(holds: bool) -> None:
    model = account(list_holds_archived=holds)
    milestone = made(model)
    model.update(PROJECT, milestone, {"status": "archived"})
    assert listed(model) == ([milestone] if holds else [])
    assert listed(model, "archived") == [milestone]
    assert [row["id"] for row in model.everything(PROJECT)] == [milestone]
    assert model.live(PROJECT) == []


def test_the_list_may_begin_with_the_newest() -> None:
    for newest_first in (False, True):
        model = account(newest_first=newest_first)
        ids = [made(model), made(model)]
        assert listed(model) == (ids[::-1] if newest_first else ids)


@pytest.mark.parametrize("delay", [0.0, 30.0])
def test_a_new_milestone_may_be_listed_late(clock: FakeClock, delay: float) -> None:
    """Its id answers at once all the same, and it is listed from the delay on."""
    model = account(clock, listing_delay=delay)
    milestone = made(model)
    assert listed(model) == ([] if delay else [milestone])
    assert model.get(PROJECT, milestone)["id"] == milestone
    clock.sleep(delay)
    assert listed(model) == [milestone]


@pytest.mark.parametrize("field", ["description", "start_date", "due_date"])
def test_null_may_clear_or_be_refused(field: str) -> None:
    sent: dict[str, Any] = {field: "text" if field == "description" else DUE}
    clears, refuses = account(null_clears=True), account(null_clears=False)
    cleared = clears.update(PROJECT, made(clears, "n", **sent), {field: None})
    assert cleared[field] is None
    assert refused(refuses, made(refuses, "n", **sent), {field: None}) == 400


@pytest.mark.parametrize("longest", [None, 255])
def test_a_name_may_have_a_longest_length(longest: int | None) -> None:
    model = account(max_name_length=longest)
    milestone = made(model, "n" * 255)
    if longest is None:
        model.update(PROJECT, milestone, {"name": "n" * 256})
    else:
        assert refused(model, milestone, {"name": "n" * 256}) == 400


@pytest.mark.parametrize(
    ("dates", "word"),
    [
        ({}, "upcoming"),
        ({"start_date": "2026-02-01"}, "started"),
        ({"start_date": "2026-04-01"}, "upcoming"),
        ({"due_date": "2026-02-28"}, "past_due"),
    ],
)
def test_the_two_vocabularies_of_status(dates: dict[str, Any], word: str) -> None:
    """One account says active for every open milestone, another says where it stands."""
    for vocabulary, expected in (("active", "active"), ("lifecycle", word)):
        model = account(status_vocabulary=vocabulary)
        milestone = made(model, **dates)
        assert model.get(PROJECT, milestone)["status"] == expected
        assert listed(model, "active") == [milestone]
        for other in ("completed", "archived"):
            assert model.update(PROJECT, milestone, {"status": other})["status"] == other


@pytest.mark.parametrize(
    ("key", "present"),
    [
        ("parent_id", {"parent_id"}),
        ("parent_milestone_id", {"parent_milestone_id"}),
        ("both", {"parent_id", "parent_milestone_id"}),
    ],
)
def test_the_two_names_of_the_parent(key: str, present: set[str]) -> None:
    model = account(parent_key=key)
    root = made(model)
    row = model.get(PROJECT, made(model, parent_id=root))
    assert {name: row[name] for name in row if name.startswith("parent")} == dict.fromkeys(
        present, root
    )


@pytest.mark.parametrize(
    ("style", "due"),
    [
        ("Z", "2026-04-14T22:00:00Z"),
        (".000Z", "2026-04-14T22:00:00.000Z"),
        ("+00:00", "2026-04-14T22:00:00+00:00"),
    ],
)
def test_dates_come_back_in_the_style_of_the_account(style: str, due: str) -> None:
    """Whatever form and offset they were sent in, the moment is the same."""
    model = account(date_style=style)
    row = model.get(PROJECT, made(model, due_date="2026-04-15T00:00:00+02:00"))
    assert row["due_date"] == due
    assert str(row["created_at"]).endswith(style)


@pytest.mark.parametrize(
    ("switches", "echoed", "kept"),
    [
        ({}, " raw\n", " raw\n"),
        ({"trims_text": True}, "raw", "raw"),
        ({"echo_differs": True}, " raw\n", "raw"),
    ],
)
def test_text_may_be_trimmed_and_the_echo_may_hide_it(
    switches: dict[str, Any], echoed: str, kept: str
) -> None:
    model = account(**switches)
    answer = model.create(PROJECT, {"name": "n", "description": " raw\n"})
    milestone = str(answer["id"])
    changed = model.update(PROJECT, milestone, {"description": " raw\n"})
    assert answer["description"] == changed["description"] == echoed
    assert model.get(PROJECT, milestone)["description"] == kept


@pytest.mark.parametrize("shows", [True, False])
def test_date_mode_may_be_missing(shows: bool) -> None:
    """The object table has it, no example does."""
    model = account(shows_date_mode=shows)
    assert ("date_mode" in model.get(PROJECT, made(model))) == shows


def test_what_people_do_in_the_user_interface() -> None:
    """A milestone may vanish, and runs may hang on one."""
    model = account()
    kept, gone = made(model), made(model)
    run: dict[str, object] = {"id": "run_1", "name": "Smoke", "status": "done", "pass_rate": 72}
    model.link_run(kept, run)
    model.remove(gone)
    assert listed(model) == [kept]
    assert model.get(PROJECT, kept)["linked_runs"] == [run]


def test_planted_records_come_back_as_they_are() -> None:
    model = account()
    bad: dict[str, object] = {"id": 7, "name": None, "status": "active", "due_date": "soon"}
    model.plant(PROJECT, bad)
    assert model.listing(PROJECT).rows == [bad]


@given(st.integers(0, 25), st.integers(1, 9), st.booleans(), st.booleans())
def test_pages_partition_the_list(count: int, per_page: int, subs: bool, newest: bool) -> None:
    """Every page together give each listed milestone once, as many as `total` says."""
    model = account(list_holds_subs=subs, newest_first=newest)
    root = made(model)
    for number in range(count):
        made(model, parent_id=root if number % 3 == 1 else None)
    pages = -(-len(listed(model)) // per_page)
    found = [model.listing(PROJECT, None, page, per_page) for page in range(1, pages + 1)]
    assert [row["id"] for page in found for row in page.rows] == listed(model)
    assert {page.total for page in found} == {len(listed(model))}
    assert model.listing(PROJECT, None, pages + 1, per_page).rows == []


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "status_vocabulary": st.sampled_from(["active", "lifecycle"]),
            "parent_key": st.sampled_from(["parent_id", "parent_milestone_id", "both"]),
            "date_style": st.sampled_from(["Z", ".000Z", "+00:00"]),
            "shows_date_mode": st.booleans(),
        },
    )
)
def test_every_dialect_is_read_as_the_same_milestone(switches: dict[str, Any]) -> None:
    """How an account words its answers makes no difference to what is read from them."""
    read = []
    for model in (account(), account(**switches)):
        root = made(model, "root")
        sub = made(model, "sub", parent_id=root, start_date=START, due_date=DUE)
        for milestone in (root, sub):
            one = parse_target(model.get(PROJECT, milestone))
            assert not isinstance(one, BadRecord)
            read.append((one.id, one.values, one.parent_id, one.created_at))
    assert read[:2] == read[2:]
