"""Runs a plan: parents before children, then archives, and statuses that wait for them last.

One item at a time, each its own short transactions; one bad item never stops the others. A child
whose parent has no target waits: it is never created at the root, since it could not be moved.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from mappings.link import Link, LinkState
from mappings.milestone import MappingRules, same_value
from mappings.problem import Problem, ProblemKind
from worker.errors import ApiError, NotFound, Refused, Transient, Unreachable
from worker.sync.apply import updates
from worker.sync.apply.creates import POSTED, Creates, Resolution
from worker.sync.apply.outcome import NEEDS_PERSON, Outcome, Result, lasting, remaining, unattempted
from worker.sync.apply.writer import LostLeaseError, TargetWriter
from worker.sync.decide.action import Action, Kind, Plan, is_completed
from worker.sync.decide.snapshot import TargetSnapshot

FAILURES_IN_A_ROW = 5
"""So many items in a row that fail for transient reasons mean that the target is down."""
ROUNDS = 4
"""How often ambiguous creates are settled and tried again in one run."""

Step = Callable[[Action, Link], Link]
Item = tuple[int, Action]


class StoppedError(Exception):
    """The run was asked to stop; what was done until now is done."""


@dataclass(slots=True)
class Applier:
    """Applies one plan; ``outcomes`` holds what has come of it so far, also after an error.

    ``links`` are the pair's links and ``seen`` the target as they were read at ``read_at``.
    ``check`` is called before each item and may raise StoppedError.
    """

    writer: TargetWriter
    rules: MappingRules
    links: dict[int, Link]
    read_at: datetime
    seen: TargetSnapshot = field(default_factory=TargetSnapshot)
    archive_in_use: bool = False
    check: Callable[[], None] = lambda: None
    on_outcome: Callable[[Outcome], None] = lambda _: None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    _before: dict[int, Link] = field(default_factory=dict)
    _posted: set[int] = field(default_factory=set)
    _resolved: dict[int, Resolution] = field(default_factory=dict)
    _planned: frozenset[int] = frozenset()
    _leased: list[tuple[Item, Step, Result]] = field(default_factory=list)
    _failures: int = 0
    _creates: Creates = field(init=False)

    def __post_init__(self) -> None:
        self._creates = Creates(self.writer, self.rules, self.seen)

    def apply(self, plan: Plan) -> None:
        """Do everything in the plan. Raises ApiError where nothing more can be done at all."""
        self._before = dict(self.links)
        items = list(enumerate(plan.actions))
        self._planned = frozenset(action.testrail_id for action in plan.actions)
        self._learn(items)
        self._create_and_update([item for item in items if _is_write(item[1])])
        self._tell_undecided(items)
        for item in items:
            if item[1].kind is Kind.ARCHIVE:
                self._take_away(item)
        self._complete(items)
        self._retry_leased()

    # --- the order of things

    def _learn(self, items: list[Item]) -> None:
        """Record what needs no write, and report what nothing is done about."""
        idle = [
            item for item in items if not _is_write(item[1]) and item[1].kind is not Kind.ARCHIVE
        ]
        learned = [action.link for _, action in idle if action.learned and action.link]
        self.writer.note_agreement([a.link for _, a in idle if a.agrees and a.link])
        saved = self.writer.keep_all(learned)
        self.links.update({link.testrail_id: link for link in saved})
        for number, action in idle:
            self._finish(number, unattempted(action))

    def _create_and_update(self, queue: list[Item]) -> None:
        for _ in range(ROUNDS):
            queue = [item for item in queue if not self._step(item)]
            if not self._resolve_creates():
                break
        for item in [item for item in queue if not self._step(item)]:
            self._finish(item[0], self._left_waiting(item[1]))

    def _step(self, item: Item) -> bool:
        """Do the item if it can be done now; True when nothing is left to do about it."""
        action = item[1]
        if action.kind is Kind.ADOPT:
            return self._do(item, self._adopt, Result.ADOPTED)
        if action.kind is Kind.UPDATE:
            return self._do(item, self._update, Result.UPDATED)
        if action.testrail_id in self._resolved:
            return self._take_resolved(item, self._resolved.pop(action.testrail_id))
        link = self._link_for(action)
        if link.state is LinkState.CREATING or not self._parent_is_there(action):
            return False
        return self._do(item, self._create, Result.CREATED)

    def _take_resolved(self, item: Item, settled: Resolution) -> bool:
        number, action = item
        if settled.problem is not None:
            result = Result.CONFLICTS if settled.is_conflict else Result.QUARANTINED
            self._finish(number, Outcome(action, result, None, (settled.problem,)))
            return True
        if settled.link.state is LinkState.LINKED:
            result = Result.CREATED if action.testrail_id in self._posted else Result.ADOPTED
            return self._do((number, _catch_up(action, settled.link)), self._update, result)
        return self._step(item)

    def _take_away(self, item: Item) -> None:
        """Archive; where a create was cut off, there may be nothing, or nobody knows yet."""
        number, action = item
        link = self._link_for(action)
        if link.has_target:
            self._do(item, self._archive, Result.ARCHIVED)
        elif number not in self.outcomes:
            creating = link.state is LinkState.CREATING
            nothing = Outcome(action, Result.UNCHANGED)
            self._finish(number, self._left_waiting(action) if creating else nothing)

    def _tell_undecided(self, items: list[Item]) -> None:
        """Creates that a person has to look at although their sources are gone."""
        for item in items:
            settled = self._resolved.get(item[1].testrail_id)
            if settled is not None and settled.problem is not None:
                self._take_resolved(item, settled)

    def _resolve_creates(self) -> bool:
        """Find out what became of ambiguous creates; False if there were none."""
        ready = {id_ for id_, link in self.links.items() if self._is_pending(link)}
        if not ready:
            return False
        self.check()
        for settled in self._creates.resolve(self.links, ready):
            self.links[settled.link.testrail_id] = settled.link
            self._resolved[settled.link.testrail_id] = settled
        return True

    def _is_pending(self, link: Link) -> bool:
        """Whether to look for what a create left: not while another process is at it."""
        if link.state is not LinkState.CREATING or link.awaits_person:
            return False
        now = self.writer.clock.now()
        held = link.lease_until is not None and link.lease_until > now
        return link.testrail_id in self._planned or not held

    def _complete(self, items: list[Item]) -> None:
        """Write the statuses that waited until it is known what has sub-milestones."""
        alive = (k for k in self.links.values() if k.state is not LinkState.ARCHIVED)
        parents = {k.target_parent for k in alive if k.has_target}
        for number, action in items:
            link = self.links.get(action.testrail_id)
            if not (_to_complete(action) and link is not None and link.has_target):
                continue
            if link.testably_id in parents:
                continue
            unseen = action.kind is not Kind.CREATE and "status" not in link.last_applied
            differs = link.observed.get("status") != action.desired["status"]
            if number in self.outcomes and (unseen or differs):
                earlier = self.outcomes[number]
                self._do((number, action), self._finish_status, earlier.result)
                self._add_to(number, earlier)

    def _add_to(self, number: int, earlier: Outcome) -> None:
        """What failed before the status was written still needs the next run."""
        if earlier.result not in NEEDS_PERSON:
            return
        for problem in earlier.problems[:1]:
            self._note(self.links.get(earlier.action.testrail_id), problem)
        now = self.outcomes[number]
        problems = tuple(dict.fromkeys((*earlier.problems, *now.problems)))
        self.outcomes[number] = replace(now, problems=problems)

    # --- one item

    def _create(self, action: Action, link: Link) -> Link:
        self._posted.add(action.testrail_id)
        parent = self._target_of(action.parent_id)
        below = link.below(action.parent_id)
        return self._creates.create(below, action.desired, parent)

    def _adopt(self, action: Action, link: Link) -> Link:
        return updates.adopt(self.writer, action, link)

    def _update(self, action: Action, link: Link) -> Link:
        return updates.update(self.writer, action, link)

    def _finish_status(self, action: Action, link: Link) -> Link:
        return updates.finish_status(self.writer, action, link)

    def _archive(self, action: Action, link: Link) -> Link:
        is_old = self.writer.clock.now() - self.read_at > updates.FRESH
        read_again = is_old and not self.archive_in_use
        return updates.archive(self.writer, action, link, read_again=read_again)

    def _do(self, item: Item, step: Step, result: Result) -> bool:
        """Do one item and report it; False if its outcome is not known yet."""
        number, action = item
        self.check()
        try:
            link = step(action, self._link_for(action))
        except LostLeaseError:
            return self._lost(item, step, result)
        except updates.InUseError as error:
            self._finish(number, self._in_use(action, str(error)))
            return True
        except ApiError as error:
            self._finish(number, self._failed(action, error))
            return True
        self._failures = 0
        self.links[action.testrail_id] = link
        if link.state is LinkState.CREATING:
            return False
        self._finish(number, _done(action, result, link))
        return True

    def _in_use(self, action: Action, why: str) -> Outcome:
        problem = updates.in_use(why)
        link = self._reload(action.testrail_id)
        now = self.writer.clock.now()
        with suppress(LostLeaseError):  # whoever changed it has seen to it
            self.links[action.testrail_id] = self.writer.keep(link.with_problem(problem, now))
        return Outcome(action, Result.CONFLICTS, action.testably_id, (problem,))

    def _failed(self, action: Action, error: ApiError) -> Outcome:
        """One item failed: set it aside or let it wait; raise what concerns the whole run."""
        link = self._reload(action.testrail_id)
        gone = isinstance(error, NotFound) and (action.testably_id or action.parent_id)
        if isinstance(error, Refused):
            problem = self._failing(link, Problem(ProblemKind.REFUSED, error.message))
            return Outcome(action, Result.QUARANTINED, action.testably_id, (problem,))
        if not (gone or isinstance(error, Transient | Unreachable)):
            raise error
        self._failures += not gone
        if self._failures >= FAILURES_IN_A_ROW:
            raise error
        kind = ProblemKind[error.kind.upper()]
        problem = Problem(kind, f"{error.message} The next run tries it again.")
        return Outcome(
            action,
            Result.WAITING,
            action.testably_id,
            (self._failing(link.to_look_again(), problem),),
        )

    def _failing(self, link: Link, problem: Problem) -> Problem:
        before = self._before.get(link.testrail_id)
        failed = link.failed(problem, self.writer.clock.now(), before.problem if before else None)
        with suppress(LostLeaseError):  # whoever changed it has seen to it
            self.links[link.testrail_id] = self.writer.keep(failed)
        return failed.problem or problem

    def _lost(self, item: Item, step: Step, result: Result) -> bool:
        """Somebody else holds the link or has changed it."""
        number, action = item
        expected = self._link_for(action).version
        fresh = self._reload(action.testrail_id)
        if fresh.version == expected and fresh.lease_until is not None:
            self._leased.append((item, step, result))
            return True
        self.writer.look_again(action.testrail_id)
        self._finish(number, Outcome(action, Result.UNCHANGED, fresh.testably_id))
        return fresh.state is not LinkState.CREATING

    def _retry_leased(self) -> None:
        """Items whose link somebody held: a claim outlives its request, so wait it out, once."""
        leased, self._leased = self._leased, []
        for item, step, result in leased:
            fresh = self._reload(item[1].testrail_id)
            self.writer.wait_until(fresh.lease_until)
            self._do(item, step, result)
        for (number, action), _, _ in self._leased:
            problem = Problem(
                ProblemKind.HELD_UP, "Another process is writing to it; the next run looks again."
            )
            self._finish(number, Outcome(action, Result.WAITING, action.testably_id, (problem,)))

    # --- what is known

    def _finish(self, number: int, outcome: Outcome) -> None:
        self.outcomes[number] = outcome
        self.on_outcome(outcome)

    def _note(self, link: Link | None, problem: Problem) -> None:
        """Record why nothing could be done, so that `failures` lists it."""
        if link is None:
            return
        noted = link.with_problem(problem, self.writer.clock.now())
        with suppress(LostLeaseError):  # whoever changed it has seen to it
            self.links[link.testrail_id] = self.writer.keep(noted)

    def _left_waiting(self, action: Action) -> Outcome:
        link = self.links.get(action.testrail_id)
        if link is not None and link.state is LinkState.CREATING:
            text = "Whether Testably has created it is not known yet; the next run looks first."
            problem = Problem(ProblemKind.IN_DOUBT, text)
        else:
            text = f"It waits for its parent {action.parent_id}, which has no target yet."
            problem = Problem(ProblemKind.WAITING, text)
        self._note(self._link_for(action), problem)
        return Outcome(action, Result.WAITING, None, (problem, *lasting(action)))

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

    def _parent_is_there(self, action: Action) -> bool:
        return action.parent_id is None or self._target_of(action.parent_id) is not None


def _is_write(action: Action) -> bool:
    return action.kind in (Kind.CREATE, Kind.ADOPT, Kind.UPDATE)


def _catch_up(action: Action, link: Link) -> Action:
    """What the source has changed since the create that was in doubt; a status comes later.

    What was found without its marker gets its description, and the marker in it, sent once.
    """
    desired, sent = action.desired, link.last_applied
    push = {n: desired[n] for n in POSTED if not same_value(n, desired[n], sent.get(n, desired[n]))}
    shown = link.observed.get("description")
    if not same_value("description", desired["description"], shown):
        push["description"] = desired["description"]
    return replace(action, push=push, before={name: link.observed.get(name) for name in push})


def _to_complete(action: Action) -> bool:
    created = action.kind is Kind.CREATE
    return is_completed(action.desired) if created else action.status_later


def _done(action: Action, result: Result, link: Link) -> Outcome:
    if result is Result.ARCHIVED and link.state is not LinkState.ARCHIVED:
        result = Result.UNCHANGED
    kept = tuple(p for p in lasting(action) if p.kind is ProblemKind.TARGET_EDIT_KEPT)
    return Outcome(action, result, link.testably_id, (*remaining(link), *kept))
