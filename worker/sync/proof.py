"""The proof at the end of a migration: both sides read once more, and compared (R10)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mappings.link_record import LinkState
from mappings.rows import Pair
from worker.errors import ApiError
from worker.sync.apply.outcome import Outcome, unattempted
from worker.sync.context import PairContext, read_snapshot
from worker.sync.decide.action import Action, Kind, Plan
from worker.sync.decide.plan import make_plan
from worker.sync.decide.snapshot import Snapshot
from worker.sync.decide.verdict import Verdict
from worker.sync.options import Options
from worker.sync.provable import require_read, require_whole
from worker.sync.read.scope import Scope
from worker.sync.verify import Verification, keep_learned, second_look, verification

Apply = Callable[[Snapshot, Plan], Iterable[Outcome]]


@dataclass(frozen=True, slots=True)
class Proof:
    """What the proof found: the contract's ``verified``, and the plan that it was read from.

    ``found`` is None where both sides could not be read whole, for the ``reason``. ``outcomes``
    are what a person should read after it: what it pushed, and what it left as it is; None after
    a proof that read nothing itself.
    """

    scope: str
    found: Verification | None = None
    plan: Plan | None = None
    snapshot: Snapshot | None = None
    changed_since: int = 0
    outcomes: tuple[Outcome, ...] | None = None
    reason: str = ""

    @property
    def in_step(self) -> bool | None:
        """Whether both sides agree; None if that is not known."""
        return None if self.found is None else self.found.in_step and not self.changed_since

    @property
    def is_whole(self) -> bool:
        """Whether it speaks of everything, and nothing was edited while it was made."""
        return self.scope == "all" and not self.changed_since

    @property
    def proved_at(self) -> datetime | None:
        """When the reading began that found everything in step; None if none did."""
        if self.snapshot is None or not (self.is_whole and self.in_step):
            return None
        return self.snapshot.read_at or self.snapshot.now

    def as_json(self) -> dict[str, Any]:
        """The contract's ``verified``."""
        found = self.found
        document: dict[str, Any] = {
            "in_step": self.in_step,
            "compared": found.compared if found else 0,
            "exempt": dict(found.exempt or {}) if found else {},
            "changed_since": self.changed_since,
            "scope": self.scope,
        }
        return document if found else {**document, "reason": self.reason}


def scope_of(options: Options) -> str:
    """Of what a run speaks: everything, or what ``--only`` left."""
    return "all" if options.only is None else options.only.value


def its_own(context: PairContext, options: Options, snapshot: Snapshot, plan: Plan) -> Proof:
    """The proof by a run that read both sides and pushed nothing."""
    try:
        require_read(snapshot, plan)
    except ApiError as error:
        return Proof(scope_of(options), reason=error.message)
    found = verification(context.identity, snapshot, plan)
    return Proof(scope_of(options), found, plan, snapshot)


def prove(
    context: PairContext,
    pair: Pair,
    options: Options,
    apply: Apply,
    reading: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Proof:
    """Read both sides once more, inside of ``reading``, and compare.

    What is to be pushed (somebody edited meanwhile) or adopted is so once by ``apply``, which gives
    what came of it, and compared again, each milestone by itself; what is to be pushed then is
    counted as changed since. Of a run that is to do what was ``reviewed`` nothing is pushed here.
    """
    scope = scope_of(options)
    outcomes: Iterable[Outcome] = ()
    try:
        with reading():
            snapshot = read_snapshot(context, pair, options, Scope(every_absence=True))
        require_whole(snapshot)
        plan = make_plan(snapshot)
        keep_learned(context, pair.id, snapshot, plan)
        differing = tuple(_to_do_at_once(plan, snapshot))
        if differing and not plan.guards:
            if not options.reviewed:
                outcomes = apply(snapshot, replace(plan, actions=differing))
            snapshot = _compared_again(context, pair, snapshot, differing)
            plan = make_plan(snapshot)
            keep_learned(context, pair.id, snapshot, plan)
        require_read(snapshot, plan)
    except ApiError as error:
        return Proof(scope, reason=error.message)
    found = verification(context.identity, snapshot, plan)
    return Proof(scope, found, plan, snapshot, _changed_since(plan), _after(plan, outcomes))


def _after(plan: Plan, pushed: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """What a person should read after the proof, by its plan and by what it pushed."""
    tried = {outcome.action.testrail_id: outcome for outcome in pushed}
    return tuple(
        tried.get(action.testrail_id, unattempted(action))
        if action.is_change
        else unattempted(action)
        for action in plan.actions
    )


def _compared_again(
    context: PairContext, pair: Pair, snapshot: Snapshot, differing: Collection[Action]
) -> Snapshot:
    """The snapshot with what differed read once more, and with the links as they are now."""
    touched = snapshot.links.complete.keys() | snapshot.source.milestones.keys()
    links = snapshot.links.with_complete(context.store.links(pair.id, touched))
    ids = {action.testrail_id: links.get(action.testrail_id) for action in differing}
    found = [
        replace(action, testably_id=link.testably_id)
        for action in differing
        if (link := ids[action.testrail_id]) is not None
    ]
    fresh = second_look(context, snapshot, found)
    began_at = snapshot.read_at or snapshot.now
    return replace(fresh, links=links, now=context.clock.now(), read_at=began_at, _desired={})


def _to_do_at_once(plan: Plan, snapshot: Snapshot) -> Iterator[Action]:
    """What the proof does itself: changes, and adoptions of what has another id by now.

    By the name alone nothing is adopted that the plan did not show, and below that nothing is
    created.
    """
    left = set()
    for action in plan.changes:  # parents come first
        if action.kind is Kind.ADOPT and not _is_marked(action, snapshot):
            left.add(action.testrail_id)
        elif action.kind is not Kind.CREATE or action.parent_id not in left:
            yield action


def _is_marked(action: Action, snapshot: Snapshot) -> bool:
    marked = snapshot.marked.get(action.testrail_id, ())
    return any(target.id == action.testably_id for target in marked)


def _changed_since(plan: Plan) -> int:
    """How much there is to push that no write of this run has failed at.

    Nor has one failed at its parent: what is below that could not be created.
    """
    failed: set[int | None] = set()
    pushed = 0
    for action in plan.actions:  # parents come first
        waits = action.kind is Kind.CREATE and action.parent_id in failed
        if _is_pushed(action) and not waits:
            pushed += 1
        elif action.kind in (Kind.CREATE, Kind.ADOPT):
            failed.add(action.testrail_id)
    return pushed


def _is_pushed(action: Action) -> bool:
    """Whether there is something to push that no write of this run has failed at."""
    link = action.link
    if action.problem is not None or (link is not None and link.problem is not None):
        return False
    if action.kind in (Kind.CREATE, Kind.ADOPT):
        return link is None or link.state is not LinkState.CREATING
    return any(one.verdict is Verdict.PUSH for one in action.differences)
