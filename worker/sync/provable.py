"""Whether what was read can prove anything of both sides (R10). Pure."""

from __future__ import annotations

from mappings.problem import ProblemKind
from worker.errors import UnreadableAnswer
from worker.sync.decide.action import Action, Plan
from worker.sync.decide.snapshot import Snapshot


def require_whole(snapshot: Snapshot) -> None:
    """Raise UnreadableAnswer if a side was not read whole, so that nothing can be proved."""
    hint = "Nothing can be proved from a part; run `milesync verify` again."
    unreadable_id = any(problem.id is None for problem in snapshot.source.problems)
    if not (snapshot.source.complete or unreadable_id):
        because = snapshot.source.incomplete_because
        raise UnreadableAnswer("TestRail", f"The list is not complete: {because}", hint=hint)
    if not snapshot.target.complete:
        because = snapshot.target.incomplete_because or "it came incomplete"
        text = f"Testably's list could not be read whole: {because}."
        raise UnreadableAnswer("Testably", text, hint=hint)


def require_read(snapshot: Snapshot, plan: Plan) -> None:
    """Raise UnreadableAnswer if a milestone could not be read that counts for the proof."""
    for action in plan.actions:
        unread = _unread(snapshot, action)
        if unread is not None:
            api, why = unread
            hint = (
                f"Nothing can be proved from a part; see that {api} lets the account read it, "
                "then run `milesync verify` again."
            )
            raise UnreadableAnswer(api, f"{action.testrail_id}: {why}", hint=hint)


def _unread(snapshot: Snapshot, action: Action) -> tuple[str, str] | None:
    """Which side could not be read of a milestone, and why; None if both could."""
    kind = action.problem.kind if action.problem is not None else None
    if kind is ProblemKind.ABSENCE_UNPROVED:
        return "TestRail", action.reason
    if kind is ProblemKind.UNREAD:
        return "Testably", action.reason
    # whatever else is wrong with it: what it shows was last seen long ago
    why = snapshot.target.unproved.get(action.testably_id or "")
    if why is None or action.testrail_id not in snapshot.source.milestones:
        return None
    return "Testably", why
