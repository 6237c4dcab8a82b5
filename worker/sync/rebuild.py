"""Recovers the links of a lost database from the footers in the target; writes nothing there."""

from __future__ import annotations

from dataclasses import replace

from mappings.rows import Change, ChangeState
from worker.sync.action import Action, Kind
from worker.sync.outcome import Outcome, Result
from worker.sync.report import RunReport, state_after
from worker.sync.run import Mirror, OpenRun, open_run
from worker.sync.scene import Options, Trigger

TOLD = frozenset({"several_marked", "second_target"})
"""What a rebuild tells; everything else is for the next run to tell."""


def rebuild(mirror: Mirror) -> RunReport:
    """Link every target that carries a marker to its milestone.

    What was last pushed stays unknown: the next run treats a difference by the policy for
    edits. Raises Busy, ApiError. Two targets with one marker are reported, and not linked.
    """
    with open_run(mirror, Options(trigger=Trigger.MANUAL)) as run:
        prepared = run.prepare()
        for number, action in enumerate(prepared.plan.actions):
            outcome = _rebuilt(run, action)
            if outcome is not None:
                run.outcomes[number] = outcome
        run.close(state_after(run.outcomes.values(), prepared.scene))
    return run.report


def _rebuilt(run: OpenRun, action: Action) -> Outcome | None:
    if action.kind is Kind.ADOPT and action.link is not None:
        adopted = _link(run, action)
        return Outcome(action, Result.ADOPTED if adopted else Result.UNCHANGED, action.testably_id)
    troubles = (*((action.trouble,) if action.trouble else ()), *action.notices)
    told = tuple(trouble for trouble in troubles if trouble.kind in TOLD)
    if action.kind is Kind.CONFLICT and told:
        return Outcome(action, Result.CONFLICTS, None, told)
    if action.testably_id is not None:
        return Outcome(action, Result.UNCHANGED, action.testably_id, told)
    return None


def _link(run: OpenRun, action: Action) -> bool:
    assert action.link is not None  # noqa: S101  (the caller looked)
    assert run.prepared is not None  # noqa: S101
    actual = run.prepared.scene.target.milestones[action.testably_id or ""]
    link = replace(action.link, pushed={}, echoed={}, target_parent=actual.parent_id, intended=None)
    now = run.mirror.clock.now()
    change = Change(
        run.record.id,
        action.testrail_id,
        action.testably_id,
        "adopt",
        {},
        {},
        now,
        state=ChangeState.DONE,
        note=action.reason,
        settled_at=now,
    )
    return run.mirror.store.claim(run.pair.id, link, change, None) is not None
