"""What a run says of itself: the facts of section "migrate --json" of the contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from mappings.errors import Busy, MilesyncError
from mappings.problem import ProblemKind
from mappings.rows import PairIdentity
from worker.errors import BudgetExhausted, GuardTripped, Interrupted
from worker.sync.apply.outcome import DONE, Outcome, Result, lasting
from worker.sync.decide.action import Action, Kind, Plan
from worker.sync.decide.losses import lost_by
from worker.sync.decide.snapshot import Snapshot


class State(StrEnum):
    """How a run ended, the better first."""

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    UNFINISHED = "unfinished"
    """A slice of background work ended; its continuation goes on."""
    ABORTED = "aborted"
    FAILED = "failed"


def worst(states: Iterable[State]) -> State:
    """The state of several runs together."""
    order = list(State)
    return max(states, key=order.index, default=State.SUCCEEDED)


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run of one pair: counts by result, requests by API, and what needs a person.

    ``held_accepted`` are those of the held milestones that a person lives with.
    """

    identity: PairIdentity
    run: str | None
    state: State
    counts: Mapping[str, int] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Mapping[str, Any], ...] = ()
    not_exact: Mapping[str, int] = field(default_factory=dict)
    error: MilesyncError | None = None
    verified: Mapping[str, Any] | None = None
    held_accepted: int = 0

    @property
    def tries_again(self) -> bool:
        """Whether something did not get through that goes by itself, so that a later run does it.

        What waits for another milestone is none of it: that one tells, or is for a person.
        """
        return any(_goes_by_itself(problem) for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """The project's object in ``migrate --json``; ``verified`` is None without a proof."""
        document: dict[str, Any] = {
            "run": self.run,
            "state": self.state.value,
            "testrail_project": self.identity.testrail_project,
            "testably_project": self.identity.testably_project,
            **{result.value: self.counts.get(result.value, 0) for result in Result},
            "requests": {name: self.requests.get(name, 0) for name in ("testrail", "testably")},
            "problems": [dict(problem) for problem in self.problems],
            "not_exact": dict(self.not_exact),
            "verified": self.verified and dict(self.verified),
        }
        if self.error is not None:
            document["error"] = error_json(self.error)
        return document


def _goes_by_itself(problem: Mapping[str, Any]) -> bool:
    waits = problem.get("result") == Result.WAITING and problem["kind"] != ProblemKind.WAITING
    return waits or problem["kind"] in _UNREAD


OnEnd = Callable[[RunReport], object]
"""Is called with the report of a run once that has ended, whatever ended it."""
_ARRIVING = frozenset({Kind.CREATE, Kind.ADOPT})
_MET = (ProblemKind.REJECTED, ProblemKind.ALTERED)
_NONE: Mapping[int, Result] = {}
_UNREAD = (ProblemKind.SOURCE_INCOMPLETE, ProblemKind.TARGET_INCOMPLETE)


def count(outcomes: Iterable[Outcome], in_step: int = 0) -> dict[str, int]:
    """How many milestones there are of each result; ``in_step`` more agree as before."""
    found = Counter(outcome.result.value for outcome in outcomes)
    found[Result.UNCHANGED.value] += in_step
    return {result.value: found[result.value] for result in Result}


def after_proof(
    outcomes: Iterable[Outcome],
    told: Iterable[Outcome],
    pushed: Iterable[Outcome] = (),
    found: Mapping[int, Result] = _NONE,
) -> list[Outcome]:
    """What came of a run's milestones by its end, each once.

    What it wrote stays written, and so does what the proof that it ended with has ``pushed``; of
    all else that proof, by what it ``told``, has the last word. What then agrees was written as
    well where a reading has ``found`` that, though no answer said so. A milestone that nothing was
    done about, and that has no target, is none of the run's.
    """
    outcomes, told = list(outcomes), list(told)
    wrote = {one.action.testrail_id: one for one in pushed if one.result in DONE}
    last = {one.action.testrail_id: one.result for one in told}
    known = {one.action.testrail_id for one in outcomes}

    def by_its_end(outcome: Outcome) -> Outcome:
        id_ = outcome.action.testrail_id
        if outcome.result in DONE or not id_:
            return outcome
        ended = replace(outcome, result=last.get(id_, Result.UNCHANGED))
        return wrote.get(id_) or _as_found(ended, found)

    seen = [one for one in told if one.action.testrail_id not in wrote and not _is_left_out(one)]
    seen = [_as_found(one, found) for one in seen]
    others = (one for one in (*seen, *wrote.values()) if one.action.testrail_id not in known)
    return [*map(by_its_end, outcomes), *others]


def _as_found(outcome: Outcome, found: Mapping[int, Result]) -> Outcome:
    result = found.get(outcome.action.testrail_id)
    if result is None or outcome.result is not Result.UNCHANGED:
        return outcome
    return replace(outcome, result=result)


def _is_left_out(outcome: Outcome) -> bool:
    return outcome.action.kind in _ARRIVING and outcome.result is Result.UNCHANGED


def problems_of(
    outcomes: Iterable[Outcome], ended: Iterable[Outcome] = ()
) -> tuple[dict[str, Any], ...]:
    """Everything a person should read, one entry each; ``ended`` tells what the run came to."""
    results = {one.action.testrail_id: one.result for one in ended if one.action.testrail_id}
    return tuple(
        {
            "testrail_id": outcome.action.testrail_id or None,
            "testably_id": outcome.testably_id,
            "name": outcome.action.name,
            "kind": problem.kind.value,
            "reason": problem.reason,
            "result": results.get(outcome.action.testrail_id, outcome.result).value,
        }
        for outcome in outcomes
        for problem in outcome.problems
    )


def not_exact_after(planned: Mapping[str, int], outcomes: Iterable[Outcome]) -> dict[str, int]:
    """What a run could not carry exactly, by kind: as ``planned``, and what it met as it wrote."""
    counts = Counter(planned)
    for outcome in outcomes:
        kinds = {problem.kind.value for problem in outcome.problems if problem.kind in _MET}
        if outcome.action.kind is not Kind.ARCHIVE:
            counts.update(kinds.difference(lost_by(outcome.action)))
    return dict(sorted(counts.items()))


def gaps_of(snapshot: Snapshot) -> tuple[dict[str, Any], ...]:
    """What could not be read whole, and so was not concluded from, as problems."""
    found = []
    if snapshot.whole_project and not snapshot.source.complete:
        found.append((ProblemKind.SOURCE_INCOMPLETE, snapshot.source.incomplete_because))
    if not snapshot.target.complete:
        why = snapshot.target.incomplete_because or "it came incomplete"
        text = f"Testably's list could not be read whole ({why}), so nothing is created."
        found.append((ProblemKind.TARGET_INCOMPLETE, text))
    return tuple(_nameless(kind, reason) for kind, reason in found)


def unproved(reason: str) -> dict[str, Any]:
    """That the proof at the end of a run could not be read whole, as a problem."""
    return _nameless(ProblemKind.NOT_PROVED, f"Whether both sides agree is not known: {reason}")


def _nameless(kind: ProblemKind, reason: str) -> dict[str, Any]:
    blank = {"testrail_id": None, "testably_id": None, "name": ""}
    return {**blank, "kind": kind.value, "reason": reason}


def state_after(outcomes: Iterable[Outcome], snapshot: Snapshot | None = None) -> State:
    """The state of a run that came to its end; partial where something needs a person."""
    partial = any(outcome.needs_person for outcome in outcomes)
    unread = snapshot is not None and bool(gaps_of(snapshot))
    return State.PARTIAL if partial or unread else State.SUCCEEDED


def state_of(error: BaseException) -> State:
    """The state of a run that an error ended."""
    if isinstance(error, BudgetExhausted):
        return State.UNFINISHED
    stopped_itself = isinstance(error, GuardTripped | Busy) or not isinstance(error, Exception)
    return State.ABORTED if stopped_itself else State.FAILED


def ended_by(error: BaseException, *, in_background: bool) -> tuple[State, MilesyncError]:
    """The state that an error leaves a run in, and what people are told.

    Nobody goes on with what a person began: without a slice to follow, it has failed.
    """
    if in_background or not isinstance(error, BudgetExhausted):
        return state_of(error), told(error)
    own = "" if error.hint == error.default_hint else f"{error.hint} "
    hint = f"{own}{Interrupted.default_hint}"
    return State.FAILED, type(error)(error.message, error.wait, hint)


def told(error: BaseException) -> MilesyncError:
    """An error as it is told to people; what nobody foresaw is a fault of milesync."""
    if isinstance(error, MilesyncError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return getattr(error, "error", None) or Interrupted("The run was interrupted.")
    return MilesyncError(f"{type(error).__name__}: {error}", "This is a fault of milesync.")


def unrecorded(
    identity: PairIdentity, error: BaseException | None, run: str | None = None
) -> RunReport:
    """The report of a run that could not be begun, or whose end could not be recorded."""
    if error is None:
        return RunReport(identity, run, State.ABORTED)
    return RunReport(identity, run, state_of(error), error=told(error))


def error_json(error: MilesyncError) -> dict[str, str]:
    """An error as the contract shows it."""
    return {"kind": error.kind, "message": error.message, "hint": error.hint}


def plan_json(
    identity: PairIdentity,
    plan: Plan,
    requests: Mapping[str, int],
    minutes: float,
    actions: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The project's object in ``plan --json``; ``requests`` are migrate's, its reads included.

    ``actions`` are those of `actions_json`, where they are made already.
    """
    document: dict[str, Any] = {
        "testrail_project": identity.testrail_project,
        "testably_project": identity.testably_project,
        "actions": list(actions_json(plan)) if actions is None else actions,
        "requests": dict(requests),
        "minutes": round(minutes, 2),
        "not_exact": dict(plan.not_exact),
    }
    if plan.guards:
        document["guards"] = [
            {"kind": guard.kind, "message": guard.message, "hint": guard.hint}
            for guard in plan.guards
        ]
    return document


def actions_json(plan: Plan) -> Iterator[dict[str, Any]]:
    """Every action of a plan as ``plan --json`` shows it."""
    yield from map(action_json, plan.actions)
    yield from map(action_json, plan.in_step)


def notes_of(action: Action) -> list[str]:
    """What stays although the action goes on."""
    problem = [action.problem.reason] if action.problem else []
    stays = [*problem, *(one.reason for one in lasting(action))]
    if action.kind is Kind.SKIP:
        return []
    return [reason for reason in dict.fromkeys(stays) if reason != action.reason]


def action_json(action: Action) -> dict[str, Any]:
    """One action as ``plan --json`` shows it."""
    return {
        "action": action.kind.value,
        "testrail_id": action.testrail_id or None,
        "testably_id": action.testably_id,
        "name": action.name,
        "reason": action.reason,
        "fields": {
            name: {"before": action.before.get(name), "after": value}
            for name, value in action.push.items()
        },
        "parent_id": action.parent_id,
        "edited": sorted(action.overwritten),
        **({"notices": notices} if (notices := notes_of(action)) else {}),
    }
