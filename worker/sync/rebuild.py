"""Recovers the links of a lost database from the footers in the target; writes nothing there."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.problem import ProblemKind
from mappings.rows import adoption
from worker.sync.apply.outcome import Outcome, Result, unattempted
from worker.sync.context import PairContext
from worker.sync.decide.action import Action, Kind
from worker.sync.decide.snapshot import Snapshot
from worker.sync.options import Options, Phase, Trigger
from worker.sync.report import OnEnd, RunReport, state_after
from worker.sync.run import Run

TOLD = frozenset({ProblemKind.SEVERAL_MARKED, ProblemKind.SECOND_TARGET})
"""What a rebuild tells; everything else is for the next run to tell."""


def rebuild(context: PairContext, on_end: OnEnd = lambda _: None) -> RunReport:
    """Link every target that carries a marker to its milestone.

    What was last pushed stays unknown: the next run treats a difference by the policy for
    edits. Raises Busy, ApiError. Two targets with one marker are reported, and not linked; so is
    what could not be read, and what is below it. ``on_end`` is as in `undo`.
    """
    run = Run(context, Options(trigger=Trigger.REBUILD))
    try:
        with run:
            _rebuild_all(run)
    finally:
        on_end(run.report)
    return run.report


def _rebuild_all(run: Run) -> None:
    planned = run.plan()
    run.enter(Phase.APPLYING)
    run.recording.in_step = planned.plan.in_step
    unread = _unread(planned.plan.actions)
    for number, action in enumerate(planned.plan.actions):
        run.check()
        outcome = unread.get(number) or _rebuilt(run, planned.snapshot, action)
        if outcome is not None:
            run.outcomes[number] = outcome
    _keep_told(run)
    run.close(state_after(run.outcomes.values(), planned.snapshot))


def _keep_told(run: Run) -> None:
    """Record what is told with its links, so that `failures` lists it as well (R10)."""
    told = [outcome.action for outcome in run.outcomes.values() if outcome.problems]
    links = [action.link for action in told if action.link and not action.is_change]
    run.context.store.save_many(run.pair.id, links, run.context.clock.now())


def _unread(actions: Sequence[Action]) -> dict[int, Outcome]:
    """What waits as it could not be read, or its parent could not, by its number in the plan."""
    kinds = {
        number: action.problem.kind
        for number, action in enumerate(actions)
        if action.problem is not None
    }
    unread = {actions[n].testrail_id for n, kind in kinds.items() if kind is ProblemKind.UNREAD}
    return {
        number: unattempted(actions[number])
        for number, kind in kinds.items()
        if kind is ProblemKind.UNREAD
        or (kind is ProblemKind.WAITING and actions[number].parent_id in unread)
    }


def _rebuilt(run: Run, snapshot: Snapshot, action: Action) -> Outcome | None:
    if action.kind is Kind.ADOPT and action.link is not None:
        adopted = _link(run, snapshot, action)
        return Outcome(action, Result.ADOPTED if adopted else Result.UNCHANGED, action.testably_id)
    problem = action.problem
    told = (problem,) if problem is not None and problem.kind in TOLD else ()
    if action.kind is Kind.CONFLICT and told:
        return Outcome(action, Result.CONFLICTS, None, told)
    if action.testably_id is not None:
        return Outcome(action, Result.UNCHANGED, action.testably_id, told)
    return None


def _link(run: Run, snapshot: Snapshot, action: Action) -> bool:
    assert action.link is not None  # noqa: S101  (the caller looked)
    actual = snapshot.target.milestones[action.testably_id or ""]
    link = action.link.rebuilt(actual)
    ids = (action.testrail_id, action.testably_id)
    change = adoption(run.id, *ids, action.reason, run.context.clock.now())
    return run.context.store.journal.adopt(run.pair.id, link, change) is not None
