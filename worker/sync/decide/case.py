"""One milestone as the decision table asks about it, and what a rule answers. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from mappings.link import Link
from mappings.milestone import SourceMilestone, TargetMilestone
from mappings.problem import Problem, ProblemKind
from worker.sync.decide.action import Kind
from worker.sync.decide.placement import Place
from worker.sync.decide.snapshot import Snapshot, living


class Step(Enum):
    """What a rule leads to."""

    COMPARE = auto()
    """It is linked: its fields are compared."""
    ADOPT = auto()
    CREATE = auto()
    BLOCK = auto()
    """Nothing is done, for a reason."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule says of a milestone.

    ``kind`` and ``problem`` are those of a blocked one, ``lost`` says that its target was
    proved gone.
    """

    step: Step
    reason: str = ""
    testably_id: str | None = None
    kind: Kind = Kind.QUARANTINE
    problem: Problem | None = None
    lost: bool = False

    @property
    def arrives(self) -> bool:
        """Whether it has a target, or will get one in this run."""
        return self.step is not Step.BLOCK or self.testably_id is not None


@dataclass(frozen=True, slots=True)
class Question:
    """One source milestone, as the rules ask about it."""

    snapshot: Snapshot
    source: SourceMilestone
    link: Link
    case_of: Callable[[int], Case]
    found: Callable[[int], str | None] = lambda _: None
    """The target that was found for a create of which a person was asked, by TestRail id."""

    @property
    def place(self) -> Place:
        return self.snapshot.places[self.source.id]

    @property
    def lost(self) -> bool:
        """Whether its target was proved gone."""
        return self.link.testably_id in self.snapshot.target.gone

    @property
    def stays_lost(self) -> bool:
        """Whether its target was proved gone, and this reading, without a list, shows none."""
        unseen = not self.snapshot.target.listed and self.snapshot.live(self.link) is None
        return unseen and self.link.was_lost

    @property
    def target(self) -> str | None:
        """The id of its target, unless that was proved gone."""
        return None if self.lost else self.link.testably_id

    @property
    def by_marker(self) -> list[TargetMilestone]:
        """The unlinked targets that carry its marker, the living ones if there are any."""
        marked = self.snapshot.marked.get(self.source.id, ())
        return living(marked) or list(marked)

    @property
    def parent_target(self) -> str | None:
        """The target of its parent, if that has one now."""
        parent = self.place.parent_id
        return None if parent is None else self.case_of(parent).testably_id

    def new(self, reason: str) -> Case:
        """It is to be created."""
        return Case(Step.CREATE, reason=reason, lost=self.lost)


def blocked(kind: Kind, problem: ProblemKind, reason: str, testably_id: str | None = None) -> Case:
    """Nothing is done about it, for this reason."""
    return Case(Step.BLOCK, reason, testably_id, kind, Problem(problem, reason))
