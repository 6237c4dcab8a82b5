"""What every source and every target must do: the clients over HTTP, and those in memory.

Each kind stands over a sandbox model of its own, which the tests fill and misbehave with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from mappings.milestone import TargetMilestone
from tests.support.clock import NOW, FakeClock
from tests.support.in_memory import InMemorySource, InMemoryTarget
from tests.support.transports import plenty
from worker.clients.credentials import basic_auth, bearer
from worker.clients.testably import Testably
from worker.clients.testrail import HEADERS, TestRail
from worker.clients.transport import Transport
from worker.errors import (
    AccessDenied,
    ApiError,
    ConnectionLost,
    CredentialsRefused,
    Done,
    MilestoneNotFound,
    NotFound,
    RateLimited,
    Redirected,
    Refused,
    ServerTrouble,
    UnknownId,
    UnreadableAnswer,
)
from worker.sandbox.faults import Faults
from worker.sandbox.rules import Problem, Record
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.switches import TestablySwitches, TestRailSwitches
from worker.sandbox.testably_app import TOKEN
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_app import API_KEY, USER
from worker.sandbox.testrail_model import TestRailModel
from worker.sync.options import Phase
from worker.sync.ports import OfOne, Source, Target, newest_of
from worker.sync.read.answers import Answers

PROJECT = "proj_abc123"


@contextmanager
def a_reading(answers: Answers) -> Iterator[dict[str, str]]:
    """Inside, both sides are read; for the digests of what was told."""
    with answers.reading(None, Phase.READING, NOW):
        yield {}


VALUES = {
    "name": "v2.0",
    "description": "Line one\nLine two – ü",
    "start_date": None,
    "due_date": "2026-04-15T00:00:00Z",
    "status": "completed",
}


@dataclass
class SourceSide:
    """A source, and the model and faults behind it; ``answers`` are those of its readings."""

    source: Source
    model: TestRailModel
    faults: Faults
    answers: Answers


@dataclass
class TargetSide:
    """A target, and the model and faults behind it; ``answers`` are those of its readings."""

    target: Target
    model: TestablyModel
    faults: Faults
    answers: Answers

    def create(self, name: str = "v2.0", parent_id: str | None = None) -> str:
        self.target.wait_for_permit()
        return self.target.create(PROJECT, {**VALUES, "name": name}, parent_id).id


class Builder:
    """Builds sides of one kind, and closes what they opened."""

    def __init__(self, kind: str, stack: ExitStack) -> None:
        self._http = kind == "http"
        self._stack = stack
        self._clock = FakeClock()

    def source(self, switches: TestRailSwitches | None = None) -> SourceSide:
        model, faults, answers = TestRailModel(switches=switches), Faults(), Answers()
        if not self._http:
            return SourceSide(InMemorySource(model, faults, answers), model, faults, answers)
        server = self._stack.enter_context(serve_testrail(model, faults=faults))
        credentials = basic_auth(USER, SecretStr(API_KEY))
        http = Transport(
            "TestRail",
            server.url,
            credentials,
            rate_limiter=plenty(self._clock),
            clock=self._clock,
            headers=HEADERS,
            answers=answers,
        )
        return SourceSide(TestRail(self._stack.enter_context(http)), model, faults, answers)

    def target(self, switches: TestablySwitches | None = None) -> TargetSide:
        model, faults, answers = TestablyModel(switches=switches), Faults(), Answers()
        if not self._http:
            target = InMemoryTarget(model, self._clock, faults, answers=answers)
            return TargetSide(target, model, faults, answers)
        server = self._stack.enter_context(serve_testably(model, faults=faults, rate=None))
        http = Transport(
            "Testably",
            server.url,
            bearer(SecretStr(TOKEN)),
            rate_limiter=plenty(self._clock),
            clock=self._clock,
            answers=answers,
        )
        return TargetSide(Testably(self._stack.enter_context(http)), model, faults, answers)


@pytest.fixture(params=["http", "in_memory"])
def build(request: pytest.FixtureRequest) -> Iterator[Builder]:
    with ExitStack() as stack:
        yield Builder(request.param, stack)


# --- the source -------------------------------------------------------------------------------


def fill(model: TestRailModel, roots: int) -> None:
    """``roots`` milestones in project 1, the first with two sub-milestones."""
    ids = [model.add(1, {"name": f"Release {number}"})["id"] for number in range(roots)]
    for name in ("RC 1", "RC 2"):
        model.add(1, {"name": name, "parent_id": ids[0]})


@pytest.mark.parametrize("sub_milestones", ["nested", "flat", "roots_only"])
@pytest.mark.parametrize("roots", [1, 3, 250, 251])
def test_a_project_is_read_whole(build: Builder, sub_milestones: str, roots: int) -> None:
    """However an instance gives sub-milestones, each id comes once and with its parent."""
    side = build.source(TestRailSwitches(sub_milestones=sub_milestones))  # type: ignore[arg-type]
    fill(side.model, roots)
    found = side.source.read_project(1)
    parents = [one.parent_id for one in found.milestones.values() if one.parent_id is not None]
    assert (len(found.milestones), len(parents), len(set(parents))) == (roots + 2, 2, 1)
    assert (found.complete, found.problems) == (True, ())
    assert all(key == one.id for key, one in found.milestones.items())


def test_an_empty_project_is_an_empty_and_complete_listing(build: Builder) -> None:
    side = build.source()
    found = side.source.read_project(1)
    assert (dict(found.milestones), found.complete, side.source.requests) == ({}, True, 1)


def test_a_source_repeats_what_it_was_asked(build: Builder) -> None:
    """As long as it is answered the same; a reading does not ask again what was asked so."""
    side = build.source()
    fill(side.model, 251)
    with a_reading(side.answers) as told:
        before = dict(side.source.read_project(1).milestones)
        told.update(side.answers.answered or {})
    asked = side.source.requests
    assert len(told) == asked == 2
    with a_reading(side.answers):
        assert side.source.repeats(told)
        assert side.source.requests == 2 * asked
    side.model.update(max(before), {"name": "Renamed"})
    with a_reading(side.answers):
        assert not side.source.repeats(told)
        assert side.source.read_project(1).milestones[max(before)].name == "Renamed"
        assert side.source.requests == 3 * asked


def test_a_milestone_comes_with_its_sub_milestones(build: Builder) -> None:
    side = build.source()
    fill(side.model, 1)
    root = next(iter(side.source.read_project(1).milestones))
    assert len(side.source.get_milestone(root).milestones) == 3


def test_a_deleted_milestone_is_an_unknown_id(build: Builder) -> None:
    side = build.source()
    fill(side.model, 2)
    last = max(side.source.read_project(1).milestones)
    side.model.delete(last)
    with pytest.raises(UnknownId) as raised:
        side.source.get_milestone(last)
    assert (raised.value.api, raised.value.status) == ("TestRail", 400)


def test_an_unknown_project_is_no_empty_listing(build: Builder) -> None:
    with pytest.raises(ApiError):
        build.source().source.read_project(99)


def test_a_bad_record_stops_no_other(build: Builder) -> None:
    side = build.source()
    fill(side.model, 1)
    side.model.plant({"id": 900, "name": "   "}, 1)
    found = side.source.read_project(1)
    assert (len(found.milestones), [bad.id for bad in found.problems]) == (3, [900])


# --- the target -------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["Z", ".000Z", "+00:00"])
@pytest.mark.parametrize("parent_key", ["parent_id", "parent_milestone_id", "both"])
def test_what_was_created_is_read_back(build: Builder, style: str, parent_key: str) -> None:
    """The same values, whichever of its vocabularies Testably answers in; never a status."""
    switches = TestablySwitches(date_style=style, parent_key=parent_key)  # type: ignore[arg-type]
    side = build.target(switches)
    root, child = side.create("root"), ""
    child = side.create("child", root)
    read = side.target.get(PROJECT, child)
    assert read.values == {**VALUES, "name": "child", "status": "active"}
    assert read.parent_id == root
    assert [sub.id for sub in side.target.get(PROJECT, root).sub_milestones] == [child]


@pytest.mark.parametrize("count", [0, 1, 100, 101])
def test_a_list_is_read_whole(build: Builder, count: int) -> None:
    """With one request for each hundred, and one at least."""
    side = build.target()
    for number in range(count):
        side.model.create(PROJECT, {"name": f"Release {number}"})
    found = side.target.list_all(PROJECT)
    assert (len(found.milestones), found.complete) == (count, True)
    assert side.target.requests == max(1, -(-count // 100))


@pytest.mark.parametrize("cap", [None, 2, 3])
@pytest.mark.parametrize("total", ["exact", "missing", "too_small"])
@pytest.mark.parametrize("count", [1, 4, 5])
def test_a_list_is_read_whole_whatever_it_counts(
    build: Builder, count: int, total: str, cap: int | None
) -> None:
    """Also where the server gives fewer rows a page than were asked for."""
    side = build.target(TestablySwitches(total=total, most_per_page=cap))  # type: ignore[arg-type]
    for number in range(count):
        side.model.create(PROJECT, {"name": f"Release {number}"})
    found = side.target.list_all(PROJECT)
    assert (len(found.milestones), found.complete) == (count, True)


def test_a_list_that_always_counts_more_is_incomplete(build: Builder) -> None:
    """It serves for what it holds, after three tries."""
    side = build.target(TestablySwitches(total="growing"))
    side.create()
    found = side.target.list_all(PROJECT)
    assert (len(found.milestones), found.complete) == (1, False)
    assert side.target.requests == 1 + 3 * 2
    assert found.incomplete_because


@pytest.mark.parametrize("offset", [-600.0, 600.0])
def test_a_listing_tells_the_targets_own_time(build: Builder, offset: float) -> None:
    side = build.target(TestablySwitches(clock_offset=offset))
    first = side.target.get(PROJECT, side.create())
    assert newest_of(side.target.list_all(PROJECT).milestones.values()) == first.created_at
    side.model.switches = TestablySwitches(hides_created_at=True)
    assert newest_of(side.target.list_all(PROJECT).milestones.values()) is None


def test_a_list_can_be_of_one_status(build: Builder) -> None:
    side = build.target()
    side.create("open")
    archived = side.create("gone")
    side.target.update(PROJECT, archived, {"status": "archived"})
    assert list(side.target.list_all(PROJECT, "archived").milestones) == [archived]


def test_an_update_changes_what_it_names_and_nothing_else(build: Builder) -> None:
    side = build.target()
    created = side.create()
    observed = side.target.update(PROJECT, created, {"status": "completed", "due_date": None})
    assert observed.values == {**VALUES, "due_date": None}
    assert side.target.get(PROJECT, created).values == observed.values


def test_a_null_may_be_refused(build: Builder) -> None:
    side = build.target(TestablySwitches(null_clears=False))
    created = side.create()
    with pytest.raises(Refused) as raised:
        side.target.update(PROJECT, created, {"due_date": None})
    assert raised.value.done is Done.NO


def test_a_milestone_that_is_gone_is_not_found(build: Builder) -> None:
    side = build.target()
    created = side.create()
    side.model.remove(created)
    with pytest.raises(NotFound):
        side.target.get(PROJECT, created)
    with pytest.raises(MilestoneNotFound):
        side.target.update(PROJECT, created, {"name": "x"})


def test_of_several_each_is_told_and_what_concerns_all_is_raised(
    build: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = build.target()
    ids = {number: side.create(f"Release {number}") for number in range(4)}
    side.model.remove(ids[2])
    came: dict[int, TargetMilestone | OfOne] = {}
    side.target.get_each(PROJECT, ids, came.__setitem__)
    assert isinstance(came.pop(2), NotFound)
    told = {key: one.id for key, one in came.items() if isinstance(one, TargetMilestone)}
    assert told == {key: ids[key] for key in (0, 1, 3)}
    side.faults.script("redirect", method="GET", contains=ids[1])
    side.target.get_each(PROJECT, ids, came.__setitem__)
    assert isinstance(came[1], Redirected)

    def refused(status: int) -> None:
        def answer(*_: object, **__: object) -> Record:
            raise Problem(status, "No")

        monkeypatch.setattr(side.model, "get", answer)

    refused(410)
    side.target.get_each(PROJECT, ids, came.__setitem__)
    assert all(isinstance(one, Refused) for one in came.values())
    refused(401)
    with pytest.raises(CredentialsRefused):
        side.target.get_each(PROJECT, ids, came.__setitem__)


def test_a_404_to_a_write_concerns_one_milestone_only_while_its_project_answers(
    build: Builder,
) -> None:
    """So that one that is gone stops no other, and a project that is gone stops the run."""
    side = build.target()
    created = side.create()
    side.target.check_project(PROJECT)
    side.model.projects.clear()
    for attempt in (
        lambda: side.target.update(PROJECT, created, {"name": "x"}),
        lambda: side.target.create(PROJECT, VALUES, created),
        lambda: side.target.check_project(PROJECT),
    ):
        with pytest.raises(NotFound) as raised:
            attempt()
        assert type(raised.value) is NotFound


def test_a_project_that_is_not_there_says_so(build: Builder) -> None:
    with pytest.raises((NotFound, AccessDenied)):
        build.target().target.list_all("proj_other")


WRITE_FAULTS = [
    ("server_error", ServerTrouble, Done.MAYBE, 0),
    ("server_error_after", ServerTrouble, Done.MAYBE, 1),
    ("html", UnreadableAnswer, Done.MAYBE, 0),
    ("reset", ConnectionLost, Done.MAYBE, 0),
    ("reset_after", ConnectionLost, Done.MAYBE, 1),
    ("cut_body", ConnectionLost, Done.MAYBE, 1),
    ("redirect", Redirected, Done.MAYBE, 0),
    ("redirect_after", Redirected, Done.MAYBE, 1),
    ("rate_limited", RateLimited, Done.NO, 0),
    ("rate_limited_bare", RateLimited, Done.NO, 0),
]


@pytest.mark.parametrize(("fault", "kind", "done", "made"), WRITE_FAULTS)
def test_a_create_that_fails_is_sent_once(
    build: Builder, fault: str, kind: type[ApiError], done: Done, made: int
) -> None:
    """And says truly whether it may have been carried out."""
    side = build.target()
    side.faults.script(fault, method="POST")
    side.target.wait_for_permit()
    with pytest.raises(kind) as raised:
        side.target.create(PROJECT, VALUES, None)
    assert (raised.value.done, side.target.requests) == (done, 1)
    assert len(side.model.everything(PROJECT)) == made
    assert done is Done.MAYBE or made == 0


@pytest.mark.parametrize("what", ["nothing", "a list", "a single one"])
def test_a_target_repeats_what_it_was_asked(build: Builder, what: str) -> None:
    """As long as it is answered the same; a reading does not ask again what was asked so."""
    side = build.target()
    ids = [side.create(f"v{number}") for number in range(101)]

    def read() -> str:
        names = [one.name for one in side.target.list_all(PROJECT).milestones.values()]
        return f"{sorted(names)} {side.target.get(PROJECT, ids[0]).name}"

    with a_reading(side.answers) as told:
        read()
        told.update(side.answers.answered or {})
    assert len(told) == 3
    if what != "nothing":
        side.model.update(PROJECT, ids[0] if what == "a single one" else ids[-1], {"name": "v0.1"})
    before = side.target.requests
    with a_reading(side.answers):
        assert side.target.repeats(told) is (what == "nothing")
        if what != "nothing":
            assert "v0.1" in read()
        assert side.target.requests == before + 3
