"""Where a milestone stands, as TestRail and as Testably say it: shown beside each other."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from mappings.lifecycle import lifecycle, shown_lifecycle
from mappings.milestone import SourceMilestone, Values

if TYPE_CHECKING:
    from mappings.link import Link
    from mappings.rows import Pair
    from worker.bootstrap import Deployment
    from worker.sync.decide.action import Action
    from worker.sync.decide.snapshot import Snapshot

COLUMNS: Final = ("testrail_lifecycle", "testably_status")
Both = dict[str, str | None]
"""TestRail's lifecycle, by its flags and due date, and the status that Testably shows."""


def of_link(link: Link, zone: ZoneInfo | None, now: datetime) -> Both:
    """As both sides were read last. None where there is no milestone, or none that can be read."""
    from worker.clients.records import parse_source

    source = parse_source(dict(link.raw), link.parent_id) if link.raw else None
    readable = source if isinstance(source, SourceMilestone) else None
    shown = link.observed if link.has_target else {}
    return _both(readable, shown, zone, now)


def of_action(snapshot: Snapshot, action: Action, *, written: bool = True) -> Both:
    """As both sides were read; ``written`` says that the target has what the action writes."""
    live = snapshot.target.milestones.get(action.testably_id or "")
    link = action.link or snapshot.link(action.testrail_id)
    before = live.values if live is not None else link.observed if link.has_target else {}
    late = {"status": action.desired["status"]} if written and action.status_later else {}
    shown = {**before, **(action.push if written else {}), **late}
    source = snapshot.source.milestones.get(action.testrail_id)
    return _both(source, shown, snapshot.rules.timezone, snapshot.now)


def zone_of(deployment: Deployment, pair: Pair) -> ZoneInfo | None:
    """The time zone in which a pair's dates are days, as it is configured."""
    configured = deployment.settings.projects
    found = (one.timezone for one in configured if deployment.identity(one) == pair.identity)
    return next(found, None)


def _both(
    source: SourceMilestone | None, shown: Values, zone: ZoneInfo | None, now: datetime
) -> Both:
    said = None if source is None else lifecycle(source, now, zone).value
    word = shown_lifecycle(shown, now, zone) if shown else None
    return {
        "testrail_lifecycle": said,
        "testably_status": word.value if word is not None else shown.get("status"),
    }
