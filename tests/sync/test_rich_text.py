"""A target that stores text in its own way: without loss it is in step, with loss it is altered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.world import World
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import Trigger
from worker.sync.report import State

TEXTS = (
    'See https://wiki.example/a?b=c&d=e --- and <b>more</b>\n\n\n* one\n\n* "two"\n',
    "Cafe\u0301 \u2014 'quoted' &amp; --- done",
    "---\nTestRail: quoted\n---",
    None,
)
WITHOUT_LOSS: list[dict[str, Any]] = [
    {"trims_text": True},
    {"dashes": True},
    {"collapses_blank_lines": True},
    {"html_entities": True},
    {"links_addresses": "markdown"},
    {"links_addresses": "html"},
    {"paragraphs": True},
    {"paragraphs": True, "html_entities": True, "links_addresses": "html"},
    {"html_entities": True, "links_addresses": "html"},
    {
        "trims_text": True,
        "dashes": True,
        "collapses_blank_lines": True,
        "html_entities": True,
        "links_addresses": "markdown",
    },
]


def several(world: World, switched: dict[str, Any]) -> list[int]:
    """Milestones with all of these texts, one of them with a sub-milestone."""
    world.behave(ably=TestablySwitches(**switched))
    ids = [
        world.add(f"Release {n} -- \u00e4", description=text, refs="RF-1, <RF-2>")
        for n, text in enumerate(TEXTS)
    ]
    return [*ids, world.add("Child & co", ids[0], description="Below")]


@pytest.mark.parametrize("switched", WITHOUT_LOSS, ids=str)
def test_what_is_stored_without_loss_is_in_step(world: World, switched: dict[str, Any]) -> None:
    """One POST each and nothing after it; a person's edit is seen all the same."""
    ids = several(world, switched)
    first = world.run(Trigger.MIGRATION)
    assert (first.state, world.to_ably.writes) == (State.SUCCEEDED, {"POST": len(ids)})
    assert not {"altered", "rejected"} & first.not_exact.keys()
    second = world.run()
    assert (second.state, world.to_ably.writes) == (State.SUCCEEDED, {})
    world.edit_target(ids[1], description="Cut")
    assert world.run().counts["updated"] == 1
    assert world.run().state is State.SUCCEEDED
    assert world.to_ably.writes == {}


@pytest.mark.parametrize("switched", WITHOUT_LOSS, ids=str)
def test_every_marker_is_found_however_it_is_stored(world: World, switched: dict[str, Any]) -> None:
    """After the loss of the database all are adopted, and nothing is written or doubled."""
    ids = several(world, switched)
    world.run(Trigger.MIGRATION)
    world.identity = replace(world.identity, testably_url="https://elsewhere.example")
    report = world.run(Trigger.MIGRATION)
    assert (report.state, report.counts["adopted"]) == (State.SUCCEEDED, len(ids))
    assert world.to_ably.writes == {}


@pytest.mark.parametrize(
    "switched",
    [{"cuts_name_at": 8}, {"cuts_description_at": 40}, {"cuts_name_at": 8, "dashes": True}],
)
def test_what_is_cut_is_altered(world: World, switched: dict[str, Any]) -> None:
    """It needs a person, and no run sends it again."""
    several(world, switched)
    assert world.run(Trigger.MIGRATION).not_exact["altered"] >= 1
    again = world.run()
    assert (again.state, world.to_ably.writes) == (State.PARTIAL, {})
