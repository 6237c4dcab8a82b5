"""Every switch of the Testably account that is not tried elsewhere, on and off, and as text."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import PROJECT, Ably, Rail
from tests.support.clock import FakeClock
from worker.sandbox.rules import Problem
from worker.sandbox.switches import TestablySwitches, TestRailSwitches, parse_switches
from worker.sandbox.testably_model import TestablyModel

TEXT = 'See https://example.com/a?b=1 & "more"\n\n---\nTestRail: https://rail.example/1'


def account(clock: FakeClock | None = None, **switches: Any) -> TestablyModel:
    return TestablyModel(clock=clock or FakeClock(), switches=TestablySwitches(**switches))


def made(model: TestablyModel, name: str = "v2.0", **given: object) -> str:
    return str(model.create(PROJECT, {"name": name, **given})["id"])


def listed(model: TestablyModel, status: str | None = None) -> list[object]:
    return [row["id"] for row in model.listing(PROJECT, status, per_page=100).rows]


def refused(model: TestablyModel, milestone: str, body: object) -> bool:
    try:
        model.update(PROJECT, milestone, body)
    except Problem as problem:
        return problem.status == 400
    return False


@pytest.mark.parametrize("shown", [True, False])
def test_the_unfiltered_list_may_hide_what_is_completed(shown: bool) -> None:
    model = account(list_holds_completed=shown)
    open_, done = made(model), made(model)
    model.update(PROJECT, done, {"status": "completed"})
    assert listed(model) == ([open_, done] if shown else [open_])
    assert listed(model, "completed") == [done]


def test_a_page_may_be_capped() -> None:
    model = account(most_per_page=2)
    for _ in range(3):
        made(model)
    page = model.listing(PROJECT, per_page=100)
    assert (len(page.rows), page.per_page, page.total) == (2, 2, 3)
    assert len(model.listing(PROJECT, page=2, per_page=100).rows) == 1


@pytest.mark.parametrize(
    ("total", "first", "beyond"),
    [("exact", 3, 3), ("missing", None, None), ("growing", 101, 201), ("too_small", 1, 1)],
)
def test_the_total_may_be_wrong(total: str, first: int | None, beyond: int | None) -> None:
    model = account(total=total)
    for _ in range(3):
        made(model)
    pages = [model.listing(PROJECT, page=number, per_page=100) for number in (1, 2)]
    assert [page.total for page in pages] == [first, beyond]
    assert [("total" in page.body["meta"]) for page in pages] == [first is not None] * 2  # type: ignore[operator]


STORED = [
    ({"cuts_name_at": 3}, {"name": "abcdef"}, {"name": "abc"}),
    ({"cuts_description_at": 4}, {"description": "abcdef"}, {"description": "abcd"}),
    ({"dashes": True}, {"description": "a\n---\nb"}, {"description": "a\n—\nb"}),
    ({"collapses_blank_lines": True}, {"description": "a\n\n \nb"}, {"description": "a\nb"}),
    ({"html_entities": True}, {"name": "a & <b>"}, {"name": "a &amp; &lt;b&gt;"}),
    (
        {"paragraphs": True},
        {"description": "a\nb\n\nc"},
        {"description": "<p>a<br />b</p><p>c</p>"},
    ),
    (
        {"links_addresses": "markdown"},
        {"description": "at http://x.example/1."},
        {"description": "at [http://x.example/1.](http://x.example/1.)"},
    ),
    (
        {"links_addresses": "html"},
        {"description": "at http://x.example/1 now"},
        {"description": 'at <a href="http://x.example/1">http://x.example/1</a> now'},
    ),
    (
        {"cuts_dates_to_day": True},
        {"due_date": "2026-04-15T23:30:00-02:00"},
        {"due_date": "2026-04-16T00:00:00Z"},
    ),
]


@pytest.mark.parametrize(("switches", "sent", "kept"), STORED)
def test_what_is_sent_may_be_stored_otherwise(
    switches: dict[str, Any], sent: dict[str, object], kept: dict[str, object]
) -> None:
    """By POST and by PATCH, in the answer and afterwards; without the switch it is kept."""
    for model, expected in ((account(**switches), kept), (account(), sent)):
        body = {"name": "x", **sent}
        answers = [model.create(PROJECT, body)]
        id_ = str(answers[0]["id"])
        answers.append(model.update(PROJECT, id_, sent))
        answers.append(model.get(PROJECT, id_))
        for answer in answers:
            shown = {name: answer[name] for name in sent}
            assert shown == expected or model.switches == TestablySwitches()


def test_several_ways_to_store_text_go_together() -> None:
    """A rich text editor before a short column: the marker may be lost in the end."""
    model = account(
        dashes=True,
        collapses_blank_lines=True,
        links_addresses="markdown",
        html_entities=True,
        cuts_description_at=60,
    )
    id_ = made(model, description=TEXT)
    assert model.get(PROJECT, id_)["description"] == (
        "See [https://example.com/a?b=1](https://example.com/a?b=1) &"
    )


def test_a_description_may_be_another_at_each_read() -> None:
    model = account(unsteady=True)
    one, empty = made(model, description="text"), made(model)
    shown = {str(model.get(PROJECT, one)["description"]) for _ in range(3)}
    assert len(shown) == 3
    assert all(re.fullmatch(r"text \(\d+\)", text) for text in shown)
    assert model.get(PROJECT, empty)["description"] is None


@pytest.mark.parametrize("offset", [-600.0, 0.0, 3600.0])
def test_the_account_has_a_clock_of_its_own(offset: float) -> None:
    model = account(clock_offset=offset, status_vocabulary="lifecycle")
    id_ = made(model, start_date="2026-03-01T12:30:00Z")
    answer = model.get(PROJECT, id_)
    times = {-600.0: "2026-03-01T11:50:00Z", 0.0: "2026-03-01T12:00:00Z"}
    assert answer["created_at"] == times.get(offset, "2026-03-01T13:00:00Z")
    assert answer["updated_at"] == answer["created_at"]
    assert answer["status"] == ("started" if offset > 0 else "upcoming")


def test_the_creation_time_may_be_hidden() -> None:
    model = account(hides_created_at=True)
    answer = model.get(PROJECT, made(model))
    assert "created_at" not in answer
    assert "updated_at" in answer


@pytest.mark.parametrize("word", ["active", "completed", "archived"])
def test_a_status_may_be_refused(word: str) -> None:
    model = account(refused_statuses=(word,))
    id_ = made(model)
    words = ("active", "completed", "archived")
    assert {one: refused(model, id_, {"status": one}) for one in words} == {
        one: one == word for one in words
    }


def test_a_status_may_be_refused_only_when_it_is_sent_alone() -> None:
    model = account(status_alone=False)
    id_ = made(model)
    assert refused(model, id_, {"status": "completed"})
    assert not refused(model, id_, {"status": "completed", "name": "v2.0"})
    assert model.get(PROJECT, id_)["status"] == "completed"


def test_the_object_tables_words_may_be_the_ones_that_are_taken() -> None:
    model = account(status_words="lifecycle")
    id_ = made(model)
    assert refused(model, id_, {"status": "active"})
    assert refused(model, id_, {"status": "past_due"})
    model.update(PROJECT, id_, {"status": "completed"})
    assert model.get(PROJECT, id_)["status"] == "completed"
    for word in ("started", "upcoming"):
        assert model.update(PROJECT, id_, {"status": word})["status"] == "active"
    assert not refused(model, id_, {"status": "archived"})
    assert listed(model, "archived") == [id_]


# --- lists beside the milestones --------------------------------------------------------------


def test_the_runs_of_a_project_name_their_milestones(ably: Ably) -> None:
    one, other = ably.made(), ably.made()
    ably.server.model.link_run(one, {"id": "run_1", "name": "Smoke", "status": "in_progress"})
    ably.server.model.link_run(other, {"id": "run_2", "name": "Full", "status": "completed"})
    url = f"{ably.server.url}/v1/projects/{PROJECT}/runs"
    rows = ably.http.get(url).json()["data"]
    assert [(row["id"], row["milestone_id"]) for row in rows] == [("run_1", one), ("run_2", other)]
    for asked in (f"milestone_id={other}", "status=completed"):
        (row,) = ably.http.get(f"{url}?{asked}").json()["data"]
        assert row["id"] == "run_2"
    assert ably.http.get(f"{ably.server.url}/v1/projects/other/runs").status_code == 404


def test_the_projects_of_an_account_are_those_that_its_token_may_see(ably: Ably) -> None:
    answer = ably.http.get(f"{ably.server.url}/v1/projects").json()
    assert [(row["id"], row["prefix"]) for row in answer["data"]] == [(PROJECT, "C123")]
    assert answer["meta"]["total"] == 1
    denied = ably.http.get(f"{ably.server.url}/v1/projects", headers={"Authorization": "Bearer x"})
    assert denied.status_code == 401


@pytest.mark.parametrize("shape", ["envelope", "array"])
def test_testrail_lists_its_projects(rail: Rail, shape: str) -> None:
    rail.server.model.projects |= {7, 9}
    rail.server.model.no_access.add(9)
    rail.server.model.switches = TestRailSwitches(list_shape=shape)  # type: ignore[arg-type]
    answer = rail.get("get_projects").json()
    rows = answer if shape == "array" else answer["projects"]
    assert [row["id"] for row in rows] == [1, 7]
    assert all(row["name"] and row["url"] for row in rows)


def test_the_projects_of_testrail_come_in_pages(rail: Rail) -> None:
    rail.server.model.projects |= {2, 3}
    first = rail.get("get_projects&limit=2").json()
    assert (len(first["projects"]), first["_links"]["next"]) == (
        2,
        "/api/v2/get_projects&limit=2&offset=2",
    )
    assert rail.get("get_projects&limit=2&offset=2").json()["_links"]["next"] is None


def test_an_instance_whose_api_is_off_says_so(rail: Rail) -> None:
    rail.server.model.switches = TestRailSwitches(api_is_on=False)
    answer = rail.get("get_milestones/1")
    assert answer.status_code == 403
    assert "Administration > Site Settings > API" in answer.json()["error"]


# --- as text ----------------------------------------------------------------------------------


def test_switches_are_read_from_text() -> None:
    rail, ably = parse_switches(
        [
            "sub_milestones=flat",
            "api_is_on=0",
            "list_holds_completed=false",
            "most_per_page=20",
            "clock_offset=-600.5",
            "refused_statuses=active,archived",
            "total=growing",
            "cuts_name_at=none",
        ]
    )
    assert rail == TestRailSwitches(sub_milestones="flat", api_is_on=False)
    assert ably == TestablySwitches(
        list_holds_completed=False,
        most_per_page=20,
        clock_offset=-600.5,
        refused_statuses=("active", "archived"),
        total="growing",
    )
    assert parse_switches([]) == (TestRailSwitches(), TestablySwitches())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unknown=1", "There is no switch 'unknown'; there are api_is_on, "),
        ("total=some", "total is one of exact, missing, growing, too_small."),
        ("dashes=maybe", "dashes cannot be 'maybe'; it is true or false."),
        ("most_per_page=few", "most_per_page cannot be 'few'; it is a whole number."),
        ("clock_offset", "clock_offset cannot be ''; it is a number."),
    ],
)
def test_a_switch_that_there_is_not_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_switches([text])


def test_every_switch_is_tried_with_another_value_in_some_test() -> None:
    every = Path(__file__).parents[1].rglob("test_*.py")
    tests = "".join(file.read_text() for file in every)
    names = [one.name for kind in (TestRailSwitches, TestablySwitches) for one in fields(kind)]
    assert [name for name in names if not re.search(rf"\b{name}\b", tests)] == []
