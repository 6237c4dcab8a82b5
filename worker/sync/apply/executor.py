"""Runs a plan, pass by pass: what needs no write, then writes, archives, and statuses last.

Within the writes parents come before children, and what failed before comes after what did not.
Each milestone is written in short transactions of its own and depends on nothing but its link and
its parent's, so one bad milestone never stops the others (R6). A child whose parent has no target
waits: it is never created at the root, since it could not be moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from mappings.errors import LostLock, MilesyncError
from mappings.link import Link, LinkState
from mappings.milestone import MappingRules
from mappings.problem import Problem, ProblemKind, failure_counts
from worker.errors import ApiError, MilestoneNotFound, Refused
from worker.sync.apply import updates
from worker.sync.apply.attempts import Attempts, Failure, may_pass
from worker.sync.apply.creates import Creates, Resolution
from worker.sync.apply.outcome import (
    HELD_UP,
    NEEDS_PERSON,
    NOT_CREATED,
    Outcome,
    Result,
    done,
    in_doubt,
    unattempted,
    waiting,
)
from worker.sync.apply.writer import LostLeaseError, TargetWriter
from worker.sync.decide.action import Action, Kind, Plan, is_completed
from worker.sync.decide.snapshot import TargetSnapshot

ROUNDS = 4
"""How often creates in doubt are resolved, and those that left nothing are tried again."""

Step = Callable[[TargetWriter, Action, Link], Link]
Item = tuple[int, Action]


@dataclass(slots=True)
class Applier:
    """Applies one plan; ``outcomes`` holds what has come of it so far, also after an error.

    ``links`` are the pair's links as they were read at ``read_at``, and mirror the store from
    then on; ``seen`` is the target as it was read then. A failure
    that was counted after ``counted_since`` belongs to this run: it is not counted again, nor the
    milestone tried again. ``check`` is called before each item and may raise.
    """

    writer: TargetWriter
    rules: MappingRules
    links: dict[int, Link]
    read_at: datetime
    counted_since: datetime
    seen: TargetSnapshot = field(default_factory=TargetSnapshot)
    archive_in_use: bool = False
    check: Callable[[], None] = lambda: None
    on_outcome: Callable[[Outcome], None] = lambda _: None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    attempts: Attempts = field(default_factory=Attempts)
    _leased: list[tuple[Item, Step, Result]] = field(default_factory=list)
    _creates: Creates = field(init=False)

    def __post_init__(self) -> None:
        self._creates = Creates(self.writer, self.rules, self.seen)

    def apply(self, plan: Plan) -> None:
        """Do everything in the plan. Raises ApiError where nothing more can be done at all."""
        try:
            self._run_passes(list(enumerate(plan.actions)))
        except LostLock:
            raise
        except MilesyncError:
            self._count_failures(against=not self.attempts.is_down)
            raise
        self._count_failures(against=True)

    # --- the passes

    def _run_passes(self, items: list[Item]) -> None:
        writes = [item for item in items if _is_write(item[1])]
        archives = [item for item in items if item[1].kind is Kind.ARCHIVE]
        self._record(i for i in items if not _is_write(i[1]) and i[1].kind is not Kind.ARCHIVE)
        self._write_all(items, writes)
        for item in self._open(writes):
            self._leave(item)
        for item in archives:
            self._take_away(item)
        parents = self._parents()
        for item in items:
            self._complete(item, parents)
        for item, step, result in self._leased.copy():
            self._retry_leased(item, step, result)
        self.attempts.require_writes()

    def _record(self, idle: Iterable[Item]) -> None:
        """Record what needs no write, and report what nothing is done about."""
        idle = list(idle)
        learned = [action.link for _, action in idle if action.learned and action.link]
        self.writer.note_agreement([a.link for _, a in idle if a.agrees and a.link])
        saved = self.writer.keep_all(learned)
        self.links.update({link.testrail_id: link for link in saved})
        for number, action in idle:
            self._finish(number, unattempted(action))

    def _write_all(self, items: list[Item], writes: list[Item]) -> None:
        """Roots, children, and what is in doubt; created again is what certainly left nothing.

        Where all fails, it is seen what became of the creates before the target is blamed.
        """
        for _ in range(ROUNDS):
            for item in self._open(writes):
                if self.attempts.is_down:
                    break
                self._write(item)
            resolved = self._resolve_creates(items)
            self.attempts.require_writes()
            if not resolved:
                return
        for item in self._open(writes):
            self._write(item, again=False)

    def _open(self, writes: list[Item]) -> list[Item]:
        """What is not finished: roots before children, what failed before last (R6)."""
        return sorted((item for item in writes if self._is_open(item[0])), key=self._rank)

    def _is_open(self, number: int) -> bool:
        outcome = self.outcomes.get(number)
        return outcome is None or outcome.has(ProblemKind.IN_DOUBT)

    def _rank(self, item: Item) -> tuple[bool, bool, bool]:
        link = item[1].link or Link(item[1].testrail_id)
        return item[1].parent_id is not None, link.has_count, link.has_failed

    # --- one item of each pass

    def _write(self, item: Item, *, again: bool = True) -> None:
        """Do the item if it can be done now; ``again`` lets a create be repeated."""
        kind = item[1].kind
        if kind is Kind.ADOPT:
            self._do(item, updates.adopt, Result.ADOPTED)
        elif kind is Kind.UPDATE:
            self._do(item, updates.update, Result.UPDATED)
        elif self._can_be_created(item, again=again):
            self._do(item, self._create, Result.CREATED)

    def _can_be_created(self, item: Item, *, again: bool) -> bool:
        number, action = item
        link = self._link_for(action)
        parent_is_there = action.parent_id is None or self._target_of(action.parent_id) is not None
        if link.state is LinkState.CREATING or not parent_is_there:
            return False
        if number not in self.outcomes:
            return True
        return again and not link.has_count and not self.attempts.is_sparing

    def _resolve_creates(self, items: list[Item]) -> bool:
        """Find out what became of creates in doubt; False if there were none."""
        by_id = {item[1].testrail_id: item for item in items}
        ready = {id_ for id_, link in self.links.items() if self._is_pending(link, by_id)}
        if not ready:
            return False
        self.check()
        for resolution in self._creates.resolve(self.links, ready):
            link = resolution.link
            self.links[link.testrail_id] = link
            if link.testrail_id in by_id:
                self._take_resolved(by_id[link.testrail_id], resolution)
        return True

    def _is_pending(self, link: Link, by_id: dict[int, Item]) -> bool:
        """Whether to look for what a create left: not while another process is at it."""
        if link.state is not LinkState.CREATING or link.awaits_person:
            return False
        leased = link.lease_until is not None and link.lease_until > self.writer.clock.now()
        return link.testrail_id in by_id or not leased

    def _take_resolved(self, item: Item, resolution: Resolution) -> None:
        number, action = item
        link, problem = resolution.link, resolution.problem
        if problem is not None:
            result = Result.CONFLICTS if resolution.is_conflict else Result.QUARANTINED
            self._finish(number, Outcome(action, result, None, (problem,)))
        elif link.state is LinkState.LINKED and action.kind is Kind.CREATE:
            posted = number in self.outcomes
            if posted:
                self.attempts.succeeded()
            result = Result.CREATED if posted else Result.ADOPTED
            self._do((number, updates.catch_up(action, link)), updates.update, result)

    def _leave(self, item: Item) -> None:
        """Say why the milestone could not be created."""
        number, action = item
        link = self._link_for(action)
        if link.state is LinkState.CREATING:
            outcome = in_doubt(action)
        elif number in self.attempts.failed:
            self._finish(number, waiting(action, ProblemKind.CREATE_FAILS, NOT_CREATED))
            return
        else:
            why = f"It waits for its parent {action.parent_id}, which has no target yet."
            outcome = waiting(action, ProblemKind.WAITING, why)
        if not link.has_count:
            self._note(link, outcome.problems[0])
        self._finish(number, outcome)

    def _take_away(self, item: Item) -> None:
        """Archive; where a create was cut off, there may be nothing, or nobody knows yet."""
        number, action = item
        link = self._link_for(action)
        if link.has_target:
            self._do(item, self._archive, Result.ARCHIVED)
        elif number not in self.outcomes and link.state is LinkState.CREATING:
            self._leave(item)
        elif number not in self.outcomes:
            self._finish(number, Outcome(action, Result.UNCHANGED))

    def _parents(self) -> set[str | None]:
        """Target ids with living sub-milestones, as it is known once all else is done."""
        alive = (k for k in self.links.values() if k.state is not LinkState.ARCHIVED)
        return {link.target_parent for link in alive if link.has_target}

    def _complete(self, item: Item, parents: set[str | None]) -> None:
        """Write the status that waited until it is known what has sub-milestones."""
        number, action = item
        link, earlier = self.links.get(action.testrail_id), self.outcomes.get(number)
        if not _to_complete(action) or link is None or earlier is None:
            return
        if not link.has_target or link.testably_id in parents or earlier.has(HELD_UP.kind):
            return
        unseen = action.kind is not Kind.CREATE and "status" not in link.last_applied
        if unseen or link.observed.get("status") != action.desired["status"]:
            self._do(item, updates.finish_status, earlier.result)
            self._add_to(number, earlier)

    def _add_to(self, number: int, earlier: Outcome) -> None:
        """What failed before the status was written still needs the next run."""
        if earlier.result not in NEEDS_PERSON:
            return
        for problem in earlier.problems[:1]:
            if not problem.kind.is_failure:
                self._note(self.links[earlier.action.testrail_id], problem)
        now = self.outcomes[number]
        problems = tuple(dict.fromkeys((*earlier.problems, *now.problems)))
        self.outcomes[number] = replace(now, problems=problems)

    def _retry_leased(self, item: Item, step: Step, result: Result) -> None:
        """Somebody held its link: a lease outlives its request, so wait it out, once."""
        fresh = self._reload(item[1].testrail_id)
        self.writer.wait_until(fresh.lease_until)
        self._do(item, step, result)
        outcome = self.outcomes[item[0]]
        if outcome.has(HELD_UP.kind):
            self._finish(item[0], outcome)

    # --- one write

    def _create(self, writer: TargetWriter, action: Action, link: Link) -> Link:
        parent = self._target_of(action.parent_id)
        below, repeats = link.below(action.parent_id), writer.repeats
        return self._creates.create(below, action.desired, parent, repeats=repeats)

    def _archive(self, writer: TargetWriter, action: Action, link: Link) -> Link:
        is_old = writer.clock.now() - self.read_at > updates.FRESH
        return updates.archive(writer, action, link, read_again=is_old and not self.archive_in_use)

    def _do(self, item: Item, step: Step, result: Result) -> None:
        """Write one item once and report it; a create in doubt is left open."""
        number, action = item
        self.check()
        self.attempts.require_writes()
        tried = self._tried_already(action)
        if tried is not None:
            self._finish(number, waiting(action, tried.kind, tried.reason))
            return
        link = self._link_for(action)
        once = link.has_count or self.attempts.is_sparing
        try:
            written = step(self.writer.sending_once() if once else self.writer, action, link)
        except LostLeaseError:
            self._lost(item, step, result)
        except updates.InUseError as error:
            self._finish(number, self._in_use(action, str(error)))
        except ApiError as error:
            self._finish(number, self._failed(item, error))
        else:
            self.links[action.testrail_id] = written
            is_late = step is updates.finish_status
            self._took(item, written, result, sent=is_late or action.sends)

    def _took(self, item: Item, link: Link, result: Result, *, sent: bool) -> None:
        number, action = item
        if link.state is LinkState.CREATING:
            self.outcomes[number] = in_doubt(action)
            failure = Failure(ProblemKind.CREATE_FAILS, NOT_CREATED, link.has_count)
            self.attempts.note(number, failure)
            return
        if sent:
            self.attempts.succeeded()
        self._finish(number, done(action, result, link))

    # --- what went wrong

    def _tried_already(self, action: Action) -> Problem | None:
        """The failure of a milestone with a count that was tried in this run already (R6)."""
        known = self.links.get(action.testrail_id)
        problem = known.problem if known is not None else None
        if known is None or problem is None or not problem.has_count or action.link is None:
            return None
        same = known.source_fingerprint == action.link.source_fingerprint
        counted = problem.counted_at is not None and problem.counted_at > self.counted_since
        return problem if same and counted else None

    def _in_use(self, action: Action, why: str) -> Outcome:
        problem = updates.in_use(why)
        self._note(self._reload(action.testrail_id), problem)
        return Outcome(action, Result.CONFLICTS, action.testably_id, (problem,))

    def _failed(self, item: Item, error: ApiError) -> Outcome:
        """One item failed: set it aside or let it wait; raise what concerns the whole run."""
        number, action = item
        link = self._reload(action.testrail_id)
        if isinstance(error, Refused):
            refused = link.refused(error.message, self.writer.clock.now())
            self._keep(refused)
            problems = (refused.problem,) if refused.problem else ()
            return Outcome(action, Result.QUARANTINED, action.testably_id, problems)
        gone = isinstance(error, MilestoneNotFound)
        if not (gone or may_pass(error)):
            raise error
        kind = ProblemKind[error.kind.upper()]
        outcome = waiting(action, kind, f"{error.message} The next run tries it again.")
        self._keep(link.to_look_again())
        if gone:
            self._note(self.links[link.testrail_id], outcome.problems[0])
        else:
            self.attempts.note(number, Failure(kind, error.message, link.has_count))
        return outcome

    def _count_failures(self, *, against: bool) -> None:
        """Record the failures of this run with the links, and count those that count (R6).

        ``against`` is False where the target took no writes: then no milestone is to blame.
        """
        now = self.writer.clock.now()
        for number, failed in self.attempts.failed.items():
            outcome = self.outcomes[number]
            if not any(problem.kind.is_failure for problem in outcome.problems):
                continue
            link = self._reload(outcome.action.testrail_id)
            wrote, since = self.attempts.another_succeeded(number), self.counted_since
            counts = against and failure_counts(link.problem, now, wrote=wrote, once_since=since)
            counted = link.failed(failed.kind, failed.why, now, counts=counts)
            self._keep(counted)
            self.outcomes[number] = outcome.with_failure(counted.problem)

    def _lost(self, item: Item, step: Step, result: Result) -> None:
        """Somebody else holds the link or has changed it."""
        number, action = item
        expected = self._link_for(action).version
        fresh = self._reload(action.testrail_id)
        if fresh.version == expected and fresh.lease_until is not None:
            self._leased.append((item, step, result))
            self.outcomes[number] = Outcome(action, Result.WAITING, action.testably_id, (HELD_UP,))
            return
        self.writer.look_again(action.testrail_id)
        if fresh.state is LinkState.CREATING:
            self.outcomes[number] = in_doubt(action)
        else:
            self._finish(number, Outcome(action, Result.UNCHANGED, fresh.testably_id))

    # --- what is known

    def _finish(self, number: int, outcome: Outcome) -> None:
        self.outcomes[number] = outcome
        self.on_outcome(outcome)

    def _note(self, link: Link, problem: Problem) -> None:
        """Record why nothing could be done, so that `failures` lists it."""
        self._keep(link.with_problem(problem, self.writer.clock.now()))

    def _keep(self, link: Link) -> None:
        with suppress(LostLeaseError):  # whoever changed it has seen to it
            self.links[link.testrail_id] = self.writer.keep(link)

    def _link_for(self, action: Action) -> Link:
        """The action's link, with whatever this run has done to it since it was planned."""
        planned = action.link or Link(action.testrail_id, name=action.name)
        now = self.links.get(action.testrail_id)
        if now is None or now.version == planned.version:
            return planned
        return planned.brought_up_to(now)

    def _reload(self, testrail_id: int) -> Link:
        link = self.writer.reload(testrail_id)
        self.links[testrail_id] = link
        return link

    def _target_of(self, testrail_id: int | None) -> str | None:
        link = self.links.get(testrail_id) if testrail_id is not None else None
        return link.testably_id if link is not None else None


def _is_write(action: Action) -> bool:
    return action.kind in (Kind.CREATE, Kind.ADOPT, Kind.UPDATE)


def _to_complete(action: Action) -> bool:
    created = action.kind is Kind.CREATE
    return is_completed(action.desired) if created else action.status_later
