"""One step of an undo: what taking a run back means for one milestone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from mappings.field_names import FIELD_NAMES
from mappings.milestone import ARCHIVED, FIELDS, TargetMilestone, Values
from worker.sync.decide.snapshot import is_archived
from worker.sync.ports import OfOne
from worker.sync.read.below import why_unread

TURNS = range(3)
"""An undo goes over its steps so often, and each time does those whose turn it is."""
IN_DOUBT = (
    "Whether it was created is not known yet: `milesync sync` finds out. Undo the run again then, "
    "or the run that has created it."
)


@dataclass(frozen=True, slots=True)
class UndoStep:
    """What taking a run back means for one milestone.

    ``does`` is archive, restore, unlink or nothing; ``fields`` are the values to write and
    ``before`` those that stand there now. ``is_below`` says that it is a sub-milestone there;
    ``adopted`` ones are unlinked as well, unless something is left. ``blocked`` says why it is
    left, or those fields of it that are ``left``, and ``cannot`` that no force helps; ``live`` is
    the target as read, and ``goes`` says that the run created it.
    ``edited``: a person had written what is put back in these fields, over these values.
    ``beside``: the run did not write it, and it only gets back what its sub-milestones took.
    ``unwritten`` are the fields that the run did not write. ``used`` says why people would lose
    what they work in by the status that it had; then that is left (R12). ``later`` are the runs
    that have written since what those fields show.
    """

    testrail_id: int
    testably_id: str | None
    name: str
    does: str
    change_id: int
    fields: Values = field(default_factory=dict)
    before: Values = field(default_factory=dict)
    is_below: bool = False
    adopted: bool = False
    blocked: str | None = None
    left: frozenset[str] = frozenset()
    edited: Values = field(default_factory=dict)
    cannot: bool = False
    live: TargetMilestone | None = None
    goes: bool = False
    beside: bool = False
    unwritten: frozenset[str] = frozenset()
    used: str = ""
    later: Mapping[str, str] = field(default_factory=dict)

    @property
    def stays(self) -> frozenset[str]:
        """The fields that the undo does not put back: of these it stays known what was applied."""
        return self.left | self.unwritten

    @property
    def is_in_doubt(self) -> bool:
        """Whether a create of it, be it another run's, is in doubt."""
        return self.blocked == IN_DOUBT

    @property
    def turn(self) -> int:
        """Which of the `TURNS` it is done in: sub-milestones go before a parent, and come after."""
        if not self.is_below:
            return 1
        return 0 if self.archives else 2

    @property
    def archives(self) -> bool:
        """Whether it archives the milestone, be it that the run had brought it back."""
        return self.fields.get("status") == ARCHIVED

    @property
    def ends(self) -> bool:
        """Whether the milestone is archived once the step is done."""
        return self.archives or (self.live is not None and is_archived(self.live))


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """The steps of an undo, those of the milestones that were changed last first.

    ``read_at`` is when the reading of the targets began, ``force`` that a person forces it.
    """

    run_id: str
    steps: tuple[UndoStep, ...]
    read_at: datetime
    force: bool = False


def restoring(
    step: UndoStep, live: TargetMilestone, fields: Values, left: Collection[str]
) -> UndoStep:
    """The step that writes these fields, and leaves those to whoever has edited them.

    Or to the later runs that wrote them, and the status to who works in it.
    """
    now, in_use = live.values, frozenset({"status"} if step.used else ())
    others = {*left} - in_use
    edited = _listed(others - step.later.keys())
    why = [f"It was edited in Testably since: {edited}."] if edited else []
    for run in sorted({step.later[name] for name in others & step.later.keys()}):
        written = _listed({name for name in others if step.later.get(name) == run})
        why += [f"The later run {run} has changed since: {written}. Undo that one first."]
    why += [step.used] if step.used else []
    left = frozenset(left) | in_use
    return replace(
        step,
        does="restore" if fields else ("nothing" if left else step.does),
        fields=fields,
        before={name: now[name] for name in fields},
        blocked=" ".join(why) or None,
        left=left,
    )


def not_known(step: UndoStep, names: Collection[str]) -> UndoStep:
    """The step of a parent of which nobody knows what it had in these fields."""
    why = f"What it showed before its sub-milestones came is not known: {_listed(names)}."
    return replace(
        step,
        blocked=" ".join(filter(None, (step.blocked, why))),
        left=step.left | frozenset(names),
    )


def _listed(names: Collection[str]) -> str:
    return ", ".join(FIELD_NAMES[name][-1] for name in FIELDS if name in names)


def unarchived(step: UndoStep, why: str, *, cannot: bool = False) -> UndoStep:
    """The step without the status that archives it, and for this reason."""
    fields = {name: value for name, value in step.fields.items() if name != "status"}
    return replace(
        step,
        does="restore" if fields else "nothing",
        fields=fields,
        before={name: step.before[name] for name in fields},
        blocked=" ".join(filter(None, (step.blocked, why))),
        left=step.left | {"status"} if step.does == "restore" else frozenset(FIELDS),
        edited={name: value for name, value in step.edited.items() if name != "status"},
        cannot=cannot,
    )


def unread(blank: UndoStep, error: OfOne) -> UndoStep:
    """The step that leaves what cannot be read: nobody knows what stands there (R6)."""
    why = f"{blank.testably_id} in Testably cannot be read: {why_unread(error)}"
    return replace(blank, blocked=why, left=frozenset(FIELDS), cannot=True)
