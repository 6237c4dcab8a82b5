"""The proof that both sides agree (R10): read both afresh, and look at the differences.

Ids may come from the links, values never do. Only what differs is read a second time, and only
what then still differs is called a difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from mappings.link_record import ASKED, LinkState
from mappings.milestone import SourceMilestone, TargetMilestone
from mappings.problem import ProblemKind
from mappings.rows import PairIdentity
from worker.errors import AnswerTooLarge, NotFound, Refused, TurnedAway, UnknownId
from worker.sync.context import PairContext, read_snapshot
from worker.sync.decide.action import Action, Guard, Kind, Plan
from worker.sync.decide.guards import rules_guard
from worker.sync.decide.losses import exempt_of
from worker.sync.decide.plan import make_plan
from worker.sync.decide.snapshot import Snapshot
from worker.sync.decide.verdict import MILESTONE, Difference, Verdict
from worker.sync.options import Options
from worker.sync.provable import require_read, require_whole
from worker.sync.read.scope import Scope, with_fresh

SECOND_LOOKS = 200
"""So many milestones that differ are read again singly; of more, the lists are believed."""
_UNTOLD = (TurnedAway, Refused, AnswerTooLarge)
"""What tells nothing of a milestone that is read again, and will not pass meanwhile."""


@dataclass(frozen=True, slots=True)
class Found:
    """One field that the two sides have otherwise, as `verify` names it.

    ``waits`` says that its milestone waits for a person, so that no run writes it.
    """

    testrail_id: int
    testably_id: str
    field: str
    expected: str | None
    actual: str | None
    kind: str
    waits: bool = False

    @classmethod
    def of(cls, action: Action, one: Difference) -> Found:
        """A difference with the milestone that it is about."""
        ids = (action.testrail_id, action.testably_id or "")
        values, verdict = (one.desired, one.live), one.verdict.value
        return cls(*ids, one.field, *values, verdict, _waits(action))

    @property
    def is_whole(self) -> bool:
        """Whether it is about the milestone as a whole, of which neither side has a value."""
        return self.field == MILESTONE

    def as_json(self) -> dict[str, Any]:
        """As in ``verify --json``."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "waits"}


@dataclass(frozen=True, slots=True)
class Missing:
    """A source milestone without a target, and why; ``kind`` is held where an undo holds it."""

    testrail_id: int | None
    name: str
    reason: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Extra:
    """A target with our marker whose source is gone, or is mirrored by another target.

    ``kind`` says why it is still there: that of a difference, or of a problem. ``waits`` is as in
    `Found`.
    """

    testably_id: str
    name: str
    reason: str = ""
    kind: str = ProblemKind.SECOND_TARGET.value
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Verification:
    """What a comparison of both sides found.

    ``exempt`` counts the fields that are Testably's own to say, ``kept`` are edits that a
    setting leaves, ``accepted`` what a person lives with. ``guards`` say what would stop a sync.
    """

    identity: PairIdentity
    compared: int = 0
    differences: tuple[Found, ...] = ()
    missing: tuple[Missing, ...] = ()
    extra: tuple[Extra, ...] = ()
    kept: tuple[Found, ...] = ()
    accepted: tuple[Found, ...] = ()
    exempt: Mapping[str, int] | None = None
    held: int = 0
    guards: tuple[Guard, ...] = ()

    @property
    def in_step(self) -> bool:
        """Whether both sides agree."""
        return not (self.differences or self.missing or self.extra)

    def as_json(self) -> dict[str, Any]:
        """The project's object in ``verify --json``."""
        return {
            "testrail_project": self.identity.testrail_project,
            "testably_project": self.identity.testably_project,
            "in_step": self.in_step,
            "compared": self.compared,
            "differences": [one.as_json() for one in self.differences],
            "missing": [{"testrail_id": m.testrail_id, "name": m.name} for m in self.missing],
            "extra": [{"testably_id": e.testably_id, "name": e.name} for e in self.extra],
            "exempt": dict(self.exempt or {}),
            "kept": [one.as_json() for one in self.kept],
            "accepted": [one.as_json() for one in self.accepted],
        }


def verify(context: PairContext) -> Verification:
    """Read both sides and compare them; notes in the store what was learned, and the proof.

    Raises ApiError where a side cannot be read whole: then nothing can be proved.
    """
    pair = context.store.pair(context.identity)
    snapshot = read_snapshot(context, pair, Options(), Scope(every_absence=True))
    require_whole(snapshot)
    plan = make_plan(snapshot)
    suspects = [action for action in plan.actions if _is_suspect(action)]
    if suspects:
        snapshot = second_look(context, snapshot, suspects[:SECOND_LOOKS])
        plan = make_plan(snapshot)
    require_read(snapshot, plan)
    keep_learned(context, pair.id, snapshot, plan)
    found = verification(context.identity, snapshot, plan)
    changed = rules_guard(pair.rules, context.rules.fingerprint, by_person=False)
    if changed is not None:
        found = replace(found, guards=(changed, *found.guards))
    seen = {"proved_at" if found.in_step else "drifted_at": snapshot.now}
    context.store.update_pair(pair.id, **seen)
    return found


def keep_learned(context: PairContext, pair_id: int, snapshot: Snapshot, plan: Plan) -> None:
    """Record what a reading taught about links that need no write; a lease is not disturbed.

    Of writes that got no answer, those are done whose values it shows.
    """
    context.store.journal.carried_out(snapshot.carried_out, context.clock.now())
    idle = [action for action in plan.actions if not action.is_change]
    agreed = [action.link for action in idle if action.agrees and action.link]
    learned = [action.link for action in idle if action.learned and action.link]
    context.store.note_agreement(pair_id, agreed)
    context.store.save_many(pair_id, learned, context.clock.now())


# --- a second look


def _is_suspect(action: Action) -> bool:
    """Whether it would make the pair out of step, or its target be taken for an extra one."""
    if any(one.verdict.counts for one in action.differences):
        return True
    return action.kind in (Kind.CREATE, Kind.ARCHIVE) or action.problem is not None


def second_look(context: PairContext, snapshot: Snapshot, suspects: Iterable[Action]) -> Snapshot:
    """The snapshot with these milestones read once more, each by itself."""
    sources: dict[int, SourceMilestone | None] = {}
    targets: dict[str, TargetMilestone | None] = {}
    project = context.identity.testably_project
    for action in suspects:
        source = snapshot.source.milestones.get(action.testrail_id)
        if source is not None:
            sources[source.id] = _source_again(context, source)
        if action.testably_id is not None:
            with suppress(*_UNTOLD):  # what the lists told of it stands
                targets[action.testably_id] = _target_again(context, snapshot, action.testably_id)
    if None in targets.values():
        context.target.check_project(project)  # raises if that is gone as well (R4)
    return with_fresh(snapshot, sources, targets)


def _target_again(
    context: PairContext, snapshot: Snapshot, testably_id: str
) -> TargetMilestone | None:
    """None if it is not found. Of its sub-milestones it tells what a plan's reading does."""
    row = snapshot.target.milestones.get(testably_id)
    try:
        again = context.target.get(context.identity.testably_project, testably_id)
    except NotFound:
        return None
    return again if row is None else replace(again, sub_milestones=row.sub_milestones)


def _source_again(context: PairContext, source: SourceMilestone) -> SourceMilestone | None:
    """None if it has been deleted in the meantime. Its place was told by the list."""
    try:
        again = context.source.get_milestone(source.id).milestones.get(source.id)
    except UnknownId:
        return None
    except (NotFound, *_UNTOLD):
        return source
    return source if again is None else replace(again, parent_id=source.parent_id)


# --- what it comes to


def verification(identity: PairIdentity, snapshot: Snapshot, plan: Plan) -> Verification:
    """The differences of a plan, sorted by what they mean."""
    compared = len(plan.in_step)
    differences: list[Found] = []
    kept: list[Found] = []
    accepted: list[Found] = []
    missing: list[Missing] = []
    extra: list[Extra] = []
    exempt: Counter[str] = Counter(plan.in_step.exempt)
    for action in plan.actions:
        is_there = action.testrail_id in snapshot.source.milestones
        for one in action.differences:
            found = Found.of(action, one)
            if one.verdict is Verdict.KEPT:
                kept.append(found)
            elif one.verdict is Verdict.ACCEPTED:
                accepted.append(found)
            elif one.verdict.counts and is_there and action.testably_id is not None:
                differences.append(found)
        too_many = _extra(snapshot, action, is_there=is_there)
        extra += too_many
        if _is_missing(action, is_there=is_there) and (is_there or not too_many):
            kind = Verdict.HELD.value if action.is_held else ""
            missing.append(Missing(action.testrail_id or None, action.name, action.reason, kind))
        elif is_there:
            compared += 1
            exempt.update(exempt_of(action, snapshot))
    held = sum(action.is_held for action in plan.actions)
    lists = (tuple(differences), tuple(missing), tuple(extra), tuple(kept), tuple(accepted))
    return Verification(identity, compared, *lists, dict(exempt), held, plan.guards)


def _is_missing(action: Action, *, is_there: bool) -> bool:
    """Whether a milestone of the source has no target that it can be compared with."""
    unknown = {ProblemKind.BAD_RECORD, ProblemKind.IN_DOUBT, *ASKED}
    if action.problem is not None and action.problem.kind in unknown:
        return True
    if action.is_held:
        counts = any(one.verdict.counts for one in action.differences)
        return counts and action.testably_id is None
    return is_there and action.testably_id is None


def _extra(snapshot: Snapshot, action: Action, *, is_there: bool) -> list[Extra]:
    in_doubt = action.link is not None and action.link.state is LinkState.CREATING
    if action.kind is Kind.CREATE or (in_doubt and is_there):  # what it left is missing so far
        return []
    if action.is_left:  # what an undo left standing carries its marker, and is left with it
        return []
    others = [t for t in snapshot.duplicates(action.testrail_id) if t.id != action.testably_id]
    if action.is_held and is_there and action.testably_id is None and len(others) == 1:
        return []  # its own, which an undo unlinked
    found = [Extra(t.id, t.name, action.reason) for t in others]
    if action.testably_id is not None:
        unreadable = snapshot.target.unreadable.living.get(action.testrail_id, ())
        found += [Extra(id_, action.name, action.reason) for id_ in unreadable]
    kinds = [one.verdict.value for one in action.differences if one.verdict.counts]
    if action.problem is not None and action.problem.kind is ProblemKind.IN_USE:
        kinds = [ProblemKind.IN_USE.value]
    if kinds and not is_there and action.testably_id is not None:
        facts = (action.testably_id, action.name, action.reason, kinds[0])
        found.append(Extra(*facts, _waits(action)))
    return found


def _waits(action: Action) -> bool:
    """Whether nothing is written to the milestone before a person has seen to it."""
    return action.kind in (Kind.QUARANTINE, Kind.CONFLICT)
