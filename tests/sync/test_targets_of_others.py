"""Two TestRail projects that go into one Testably project: no target is both pairs' (R7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.problem import ProblemKind
from tests.support.world import PROJECT, World
from worker.sync.context import PairContext
from worker.sync.options import Options, Trigger
from worker.sync.report import State
from worker.sync.run import Run, run_pair

NAME = "Release X"


@pytest.fixture
def both(world: World) -> tuple[PairContext, PairContext]:
    """A milestone of this name in each TestRail project; each pair's context."""
    world.rail.projects.add(2)
    for project in (1, 2):
        world.rail.add(project, {"name": NAME, "description": f"Of {project}"})
    one = world.context()
    return one, replace(one, identity=replace(one.identity, testrail_project=2))


def links(context: PairContext) -> list[Link]:
    return list(context.store.links(context.store.pair(context.identity).id).values())


def held(world: World, target: str, by: PairContext, testrail_id: int = 77) -> None:
    """Somebody's run of a pair links a target at this moment."""
    link = Link(testrail_id, state=LinkState.LINKED, testably_id=target)
    assert world.store.save(world.store.pair(by.identity).id, link, world.clock.now())


@pytest.mark.parametrize("proves", [False, True])
def test_what_both_pairs_plan_to_adopt_is_the_first_ones(
    world: World, both: tuple[PairContext, PairContext], proves: bool
) -> None:
    """Both have planned before either writes. The second looks again, and makes its own.

    At once where the run ends with a proof that reads both sides, as it has written something.
    """
    theirs = str(world.ably.create(PROJECT, {"name": NAME})["id"])
    if proves:
        world.rail.add(2, {"name": "Another"})
    options = Options(Trigger.MIGRATION, adopt_by_name=True)
    with Run(both[0], options) as first, Run(both[1], options) as second:
        for run in (first, second):
            run.plan()
        for run in (first, second):
            run.apply()
    assert (first.report.state, first.report.counts["adopted"]) == (State.SUCCEEDED, 1)
    assert second.report.counts["adopted"] == 0
    if not proves:
        assert (second.report.state, second.report.counts["waiting"]) == (State.PARTIAL, 1)
        [problem] = second.report.problems
        assert (problem["kind"], theirs in problem["reason"]) == (ProblemKind.HELD_UP, True)
        [listed] = world.store.links_with_problems(second.pair.id)
        assert listed.problem is not None
        assert listed.problem.reason == problem["reason"]
        assert run_pair(both[1], options).counts["created"] == 1
    [one], [other, *_] = links(both[0]), links(both[1])
    assert one.testably_id == theirs != other.testably_id is not None
    for context in both:
        again = run_pair(context, Options(Trigger.MANUAL))
        assert (again.state, again.counts["updated"]) == (State.SUCCEEDED, 0)
    assert str(world.ably.get(PROJECT, theirs)["description"]).startswith("Of 1")


@pytest.mark.parametrize("options", [{}, {"create_anyway": True}])
def test_what_another_pair_linked_before_the_answer_came_is_made_again(
    world: World, both: tuple[PairContext, PairContext], options: dict[str, Any]
) -> None:
    """Without a footer it can be taken for a person's; the create is looked for, and in vain."""
    if options:
        world.ably.create(PROJECT, {"name": NAME})
    taken: list[str] = []

    def linked_meanwhile(method: str) -> None:
        if method == "POST" and not taken:
            taken.append(str(world.ably.everything(PROJECT)[-1]["id"]))
            held(world, taken[0], both[1])

    world.target.after = linked_meanwhile
    one = replace(both[0], rules=replace(world.rules, footer=False))
    report = run_pair(one, Options(Trigger.MIGRATION, **options))
    assert (report.state, report.counts["created"]) == (State.SUCCEEDED, 1)
    [link] = links(one)
    assert link.state is LinkState.LINKED
    assert link.testably_id not in taken
    assert world.to_ably.count("POST") == 2
