"""One write of one milestone, and what comes of it: done, in doubt, failed, or another's.

A milestone depends on nothing but its link and its parent's, so whatever one does concerns no
other (R6). Only what concerns the whole run is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from mappings.failing import failure_counts
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.problem import Effect, Problem, ProblemKind
from worker.errors import AnswerTooLarge, ApiError, MilestoneNotFound, Refused, TurnedAway
from worker.sync.apply import updates
from worker.sync.apply.attempts import Attempts, Failure
from worker.sync.apply.links import RunLinks
from worker.sync.apply.outcome import (
    HELD_UP,
    NOT_CREATED,
    Outcome,
    Result,
    done,
    in_doubt,
    waiting,
)
from worker.sync.apply.writer import LostLeaseError, TargetWriter
from worker.sync.decide.action import Action

TAKEN = "The next run looks again: meanwhile another milestone was linked to"

Step = Callable[[TargetWriter, Action, Link], Link]
Item = tuple[int, Action]
"""An action with its number in the plan, under which its outcome is kept."""


@dataclass(slots=True)
class Items:
    """Does items, several of which may be under way; ``outcomes`` holds what has come of each.

    A failure that was counted after ``counted_since`` belongs to this run: it is not counted
    again, nor the milestone tried again. ``check`` is called before each item and may raise.
    """

    writer: TargetWriter
    links: RunLinks
    outcomes: dict[int, Outcome]
    attempts: Attempts
    counted_since: datetime
    check: Callable[[], None]
    on_outcome: Callable[[Outcome], None]
    leased: list[tuple[Item, Step, Result]] = field(default_factory=list)

    def do(self, item: Item, step: Step, result: Result) -> None:
        """Write one item once and report it; a create in doubt is left open."""
        number, action = item
        self.check()
        tried = self._tried_already(action)
        if tried is not None:
            self.finish(number, waiting(action, tried.kind, tried.reason))
            return
        link = self.links.of(action)
        try:
            written = step(self._writer_of(number, link), action, link)
        except LostLeaseError:
            self._lost(item, step, result)
        except updates.LeftError as error:
            self.finish(number, self._left(action, error.problem))
        except ApiError as error:
            self.finish(number, self._failed(item, error))
        else:
            self.links.put(written)
            if result in (Result.UPDATED, Result.UNCHANGED):
                result = Result.UPDATED if number in self.attempts.taken else Result.UNCHANGED
            self._took(item, written, result)

    def _writer_of(self, number: int, link: Link) -> TargetWriter:
        """What writes this item: once, where it has failed before or the target seems away (R6)."""
        self.attempts.begin(number)
        repeats = not (link.has_count or self.attempts.is_sparing)
        on_failure = partial(self.attempts.failed_once, number)
        on_success = partial(self.attempts.succeeded, number)
        return replace(self.writer, repeats=repeats, on_failure=on_failure, on_success=on_success)

    def finish(self, number: int, outcome: Outcome) -> None:
        """Keep what came of an item, and tell it."""
        self.outcomes[number] = outcome
        self.on_outcome(outcome)

    def retry_leased(self) -> None:
        """Somebody held these links: a lease outlives its request, so wait each out, once."""
        for item, step, result in self.leased.copy():
            fresh = self.links.reload(item[1].testrail_id)
            self.writer.wait_until(fresh.lease_until)
            self.attempts.require_writes()
            self.do(item, step, result)
            outcome = self.outcomes[item[0]]
            if outcome.has(HELD_UP.kind):
                self.finish(item[0], outcome)

    def count_failures(self, *, against: bool) -> None:
        """Record the failures of this run with the links, and count those that count (R6).

        ``against`` is False where what was met is the account's: then no milestone is to blame.
        """
        now = self.writer.clock.now()
        for number, failed in self.attempts.failed.items():
            outcome = self.outcomes[number]
            if not any(problem.kind.is_failure for problem in outcome.problems):
                continue
            link = self.links.reload(outcome.action.testrail_id)
            wrote, since = self.attempts.another_succeeded(number), self.counted_since
            counts = against and failure_counts(link.problem, now, wrote=wrote, once_since=since)
            counted = link.failed(failed.kind, failed.why, now, counts=counts)
            self.links.keep(counted)
            self.outcomes[number] = outcome.with_failure(counted.problem)

    # --- what came of it

    def _took(self, item: Item, link: Link, result: Result) -> None:
        number, action = item
        if link.state is LinkState.CREATING:
            self.outcomes[number] = in_doubt(action)
            failure = Failure(ProblemKind.CREATE_FAILS, NOT_CREATED, link.has_count)
            self.attempts.note(number, failure)
            return
        self.finish(number, done(action, result, link))

    def _tried_already(self, action: Action) -> Problem | None:
        """The failure of a milestone with a count that was tried in this run already (R6)."""
        known = self.links.known.get(action.testrail_id)
        problem = known.problem if known is not None else None
        if known is None or problem is None or not problem.has_count or action.link is None:
            return None
        same = known.source_fingerprint == action.link.source_fingerprint
        counted = problem.counted_at is not None and problem.counted_at > self.counted_since
        return problem if same and counted else None

    def _left(self, action: Action, problem: Problem) -> Outcome:
        """Nothing was sent: a person decides, or the next run reads it again (R12)."""
        passes = problem.kind.effect is Effect.PASSES
        if passes:
            self.writer.look_again(action.testrail_id)
        self.links.note(self.links.reload(action.testrail_id), problem)
        result = Result.WAITING if passes else Result.CONFLICTS
        return Outcome(action, result, action.testably_id, (problem,))

    def _failed(self, item: Item, error: ApiError) -> Outcome:
        """One item failed: set it aside or let it wait; raise what concerns the whole run."""
        number, action = item
        link = self.links.reload(action.testrail_id)
        if isinstance(error, Refused):
            refused = link.refused(error.message, self.writer.clock.now())
            self.links.keep(refused)
            problems = (refused.problem,) if refused.problem else ()
            return Outcome(action, Result.QUARANTINED, action.testably_id, problems)
        self.attempts.require_permits(error)
        if not (
            error.may_pass or isinstance(error, TurnedAway | MilestoneNotFound | AnswerTooLarge)
        ):
            raise error
        kind = ProblemKind[error.kind.upper()]
        outcome = waiting(action, kind, f"{error.message} The next run tries it again.")
        self.links.keep(link.to_look_again())
        self.attempts.note(number, Failure(kind, error.message, link.has_count, error))
        return outcome

    def _lost(self, item: Item, step: Step, result: Result) -> None:
        """Somebody else holds the link or has changed it."""
        number, action = item
        expected = self.links.of(action).version
        fresh = self.links.reload(action.testrail_id)
        if fresh.version == expected and fresh.lease_until is not None:
            self.leased.append((item, step, result))
            self.outcomes[number] = Outcome(action, Result.WAITING, action.testably_id, (HELD_UP,))
            return
        self.writer.look_again(action.testrail_id)
        if fresh.state is LinkState.CREATING:
            self.outcomes[number] = in_doubt(action)
        elif fresh.version == expected:  # nobody has its link, so somebody has its target
            outcome = waiting(action, ProblemKind.HELD_UP, f"{TAKEN} {action.testably_id}.")
            self.links.note(self.links.reload(action.testrail_id), outcome.problems[0])
            self.finish(number, outcome)
        else:
            self.finish(number, Outcome(action, Result.UNCHANGED, fresh.testably_id))
