"""Everything a plan is made from, as values: what `gather` found and what a person allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mappings.link import Link
from mappings.milestone import MappingRules, TargetMilestone
from worker.sync.options import Options, Policy
from worker.sync.ports import SourceListing


@dataclass(frozen=True, slots=True)
class TargetSnapshot:
    """What is known of the target.

    ``listed`` is False in a scheduled run that trusts the last listing: a target that is not in
    ``milestones`` then stands as it was last echoed. ``gone`` are ids proved to be gone,
    ``unproved`` ids that could not be read, with the reason.
    """

    milestones: Mapping[str, TargetMilestone] = field(default_factory=dict)
    listed: bool = True
    complete: bool = True
    gone: frozenset[str] = frozenset()
    unproved: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The situation of one pair at one time."""

    rules: MappingRules
    source: SourceListing
    links: Mapping[int, Link]
    target: TargetSnapshot
    now: datetime
    options: Options = field(default_factory=Options)
    policy: Policy = field(default_factory=Policy)
    gone: frozenset[int] = frozenset()
    """Source ids proved to be gone: missing from a complete list, and answered with 400."""
    unproved: Mapping[int, str] = field(default_factory=dict)
    """Source ids missing from a complete list whose absence could not be proved, and why."""
    agreed: frozenset[int] = frozenset()
    """Source ids whose both sides are as they were when they last agreed: nothing to decide."""
    whole_project: bool = True
    """False for a refresh of single milestones: then absence means nothing."""
