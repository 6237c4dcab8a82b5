"""The log of a run: one line for every write, whatever kind it is, with ids and without names."""

from __future__ import annotations

from structlog.testing import capture_logs

from mappings.footer import marker_url
from tests.support.world import PROJECT, World
from tests.sync.test_undo import taken_back
from worker.sync.options import Trigger


def test_every_write_is_one_line(world: World) -> None:
    """As many lines as requests that write, and one for an adoption, which sends none by itself."""
    one = world.add("Confidential", is_completed=True)
    other = world.add("Confidential too")
    marker = f"---\nTestRail: {marker_url(world.context().rules.testrail_url, other)}"
    world.ably.create(PROJECT, {"name": "Confidential too", "description": marker})
    with capture_logs() as lines:
        first = world.run(Trigger.MIGRATION)
        sent = sum(world.to_ably.writes.values())
        world.edit(one, name="Confidential, edited")
        world.run()  # it forgets the requests before it; an undo does not
        taken_back(world, first)
        sent += sum(world.to_ably.writes.values())
    writes = [line for line in lines if line["event"] == "write"]
    actions = [line["action"] for line in writes]
    assert {"create", "status", "adopt", "update", "undo"} <= set(actions)
    assert len(actions) - actions.count("adopt") == sent
    assert {line["testrail_id"] for line in writes} == {one, other}
    assert all(line["testably_id"] for line in writes)
    assert all(line["log_level"] == "info" for line in writes)
    assert "Confidential" not in str(writes)
