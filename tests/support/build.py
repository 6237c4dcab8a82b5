"""Short ways to say what stands where: milestones, links and scenes for the pure modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mappings.fingerprints import fingerprint_of_source
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.links import Links
from mappings.milestone import (
    BadRecord,
    MappingRules,
    SourceMilestone,
    TargetMilestone,
    desired_values,
)
from tests.support.clock import NOW
from worker.sync.decide.action import Action, Plan
from worker.sync.decide.plan import make_plan
from worker.sync.decide.snapshot import Snapshot
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.options import Options, Policy
from worker.sync.ports import SourceListing

RULES = MappingRules("https://rail.example")
JANUARY, FEBRUARY = 1_767_225_600, 1_769_904_000
"""2026-01-01 and 2026-02-01, midnight in UTC."""


def source(id_: int = 1, name: str = "", **fields: Any) -> SourceMilestone:
    """A TestRail milestone; its name follows its id unless it is given."""
    return SourceMilestone(id_, name or f"Release {id_}", **fields)


def bad(id_: int | str | None = 9, name: str = "Bad") -> BadRecord:
    """A record that cannot be read."""
    return BadRecord(id_, name, f"milestones[{id_}].name", "''", "name is blank")


def target(
    of: SourceMilestone,
    id_: str = "",
    *,
    rules: MappingRules = RULES,
    has_children: bool = False,
    **changed: Any,
) -> TargetMilestone:
    """The target of a milestone, in step with it except for what is ``changed``."""
    desired = desired_values(of, rules, has_children=has_children)
    values: dict[str, Any] = {**desired, "updated_at": "2026-03-01T10:00:00Z"}
    return TargetMilestone(id_ or f"ms_{of.id}", **{**values, **changed})


def link(of: SourceMilestone, to: TargetMilestone, **changed: Any) -> Link:
    """The link of two sides that were in step when it was last written."""
    known = Link(
        of.id,
        to.id,
        LinkState.LINKED,
        name=of.name,
        last_applied=desired_values(of, RULES, has_children=changed.get("has_children", False)),
        observed=to.values,
        observed_at=to.updated_at,
        parent_id=of.parent_id,
        target_parent=to.parent_id,
        source_fingerprint=fingerprint_of_source(of),
        version=1,
    )
    return replace(known, **changed)


def snapshot(
    sources: Iterable[SourceMilestone] = (),
    targets: Iterable[TargetMilestone] = (),
    links: Iterable[Link] = (),
    *,
    problems: Iterable[BadRecord] = (),
    source_complete: bool = True,
    options: Options | None = None,
    policy: Policy | None = None,
    rules: MappingRules = RULES,
    view: Mapping[str, Any] | None = None,
    **rest: Any,
) -> Snapshot:
    """A situation; ``view`` says what else is known of the target."""
    return Snapshot(
        rules=rules,
        source=SourceListing(
            {one.id: one for one in sources}, tuple(problems), complete=source_complete
        ),
        links=Links({one.testrail_id: one for one in links}),
        target=TargetSnapshot({one.id: one for one in targets}, **(view or {})),
        now=NOW,
        options=options or Options(),
        policy=policy or Policy(),
        **rest,
    )


@dataclass
class Planned:
    """A plan, to be asked by TestRail id."""

    plan: Plan
    by_id: Mapping[int, Action] = field(init=False)

    def __post_init__(self) -> None:
        self.by_id = {action.testrail_id: action for action in self.plan.actions}

    def __getitem__(self, testrail_id: int) -> Action:
        return self.by_id[testrail_id]

    @property
    def kinds(self) -> dict[int, str]:
        return {id_: action.kind.value for id_, action in self.by_id.items()}


def plan(*given: Any, **rest: Any) -> Planned:
    """The plan of a scene that `scene` builds."""
    return Planned(make_plan(snapshot(*given, **rest)))


def trouble_of(action: Action) -> str | None:
    """The kind of an action's trouble."""
    return action.problem.kind if action.problem else None
