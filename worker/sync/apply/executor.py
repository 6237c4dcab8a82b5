"""Runs a plan, pass by pass: what needs no write, then writes, archives, and statuses last.

Parents come before children, and what has failed before comes after all the rest (`order.py`).
Each milestone is written in short transactions of its own (`items.py`). A child whose parent has
no target waits: it is never created at the root, since it could not be moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

from mappings.errors import LostLock, MilesyncError
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.milestone import MappingRules
from mappings.problem import ProblemKind
from worker.errors import RateLimited
from worker.sync.apply import updates
from worker.sync.apply.attempts import Attempts
from worker.sync.apply.creates import Creates, Looking, Resolution, at_once
from worker.sync.apply.items import Item, Items
from worker.sync.apply.links import RunLinks
from worker.sync.apply.order import Order
from worker.sync.apply.outcome import (
    HELD_UP,
    NEEDS_PERSON,
    NOT_CREATED,
    Outcome,
    Result,
    in_doubt,
    unattempted,
    waiting,
)
from worker.sync.apply.writer import TargetWriter
from worker.sync.decide.action import Action, Kind, Plan
from worker.sync.decide.plan import plan_again
from worker.sync.decide.snapshot import Snapshot

ROUNDS = 4
"""How often creates in doubt are resolved, and those that left nothing are tried again."""

NOT_THERE = "What a person had left for its create is not there any more; the next run looks again."


class Executor:
    """Applies a plan that was made from ``snapshot``.

    ``outcomes`` holds what has come of it so far, also after an error. Failures that were counted
    after ``counted_since`` are those of this run. ``check`` is called before each item and may
    raise. ``archive_in_use`` archives also what people work in (R12). Creates in doubt are looked
    for inside of ``looking``; with None they stay in doubt, and wait for another run.
    """

    def __init__(
        self,
        writer: TargetWriter,
        rules: MappingRules,
        snapshot: Snapshot,
        outcomes: dict[int, Outcome],
        attempts: Attempts,
        counted_since: datetime,
        *,
        archive_in_use: bool = False,
        check: Callable[[], None] = lambda: None,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
        looking: Looking | None = at_once,
    ) -> None:
        self._snapshot = snapshot
        self._order = Order()
        self._archive_in_use = archive_in_use
        self._outcomes, self._attempts, self._check = outcomes, attempts, check
        self._lanes, self._looking = writer.lanes, looking
        self._links = RunLinks(writer, snapshot.links.with_complete({}))
        self._creates = Creates(writer, rules, snapshot.target, snapshot.links.by_target)
        self._items = Items(
            writer, self._links, outcomes, attempts, counted_since, check, on_outcome
        )

    def apply(self, plan: Plan) -> None:
        """Do everything in the plan. Raises ApiError where nothing more can be done at all."""
        self._order = Order.of(plan.actions)
        try:
            self._run_passes(list(enumerate(plan.actions)))
        except LostLock:
            raise
        except MilesyncError as error:
            is_of_all = isinstance(error, RateLimited) or self._attempts.is_denied
            self._items.count_failures(against=not is_of_all)
            raise
        self._items.count_failures(against=True)

    # --- the passes

    def _run_passes(self, items: list[Item]) -> None:
        self._record(item for item in items if not item[1].is_change)
        changes = [item for item in items if item[1].is_change]
        self._change(items, [item for item in changes if not self._order.has_failed(item[1])])
        if again := [item for item in changes if self._order.has_failed(item[1])]:
            self._change(items, again)
        parents = self._links.parents()
        self._side_by_side(items, partial(self._complete, parents))
        self._items.retry_leased()
        self._attempts.require_writes()
        self._attempts.require_access()

    def _change(self, items: list[Item], some: list[Item]) -> None:
        """Do ``some`` of the items: what is written first, then what is archived."""
        writes = [item for item in some if item[1].kind is not Kind.ARCHIVE]
        self._write_all(items, writes)
        for item in self._open(writes):
            self._leave(item)
        for item in some:
            if item[1].kind is Kind.ARCHIVE:
                self._attempts.require_writes()
                self._archive_item(item)

    def _record(self, idle: Iterable[Item]) -> None:
        """Record what needs no write, and report what nothing is done about."""
        idle = list(idle)
        self._links.note_carried_out(self._snapshot.carried_out)
        self._links.note_agreement(a.link for _, a in idle if a.agrees and a.link)
        self._links.keep_all(a.link for _, a in idle if a.learned and a.link)
        for number, action in idle:
            self._items.finish(number, unattempted(action))

    def _write_all(self, items: list[Item], writes: list[Item]) -> None:
        """Roots, children, and what is in doubt; created again is what certainly left nothing.

        Where all fails, it is seen what became of the creates before the target is blamed.
        """
        for _ in range(ROUNDS):
            self._side_by_side(self._open(writes), self._write)
            resolved = self._resolve_creates(items)
            self._attempts.require_writes()
            if not resolved:
                return
        self._side_by_side(self._open(writes), partial(self._write, again=False))

    def _side_by_side(self, items: Iterable[Item], do: Callable[[Item], None]) -> None:
        """Do the items as long as the target takes writes; a child waits for its parent."""

        def do_if_up(item: Item) -> None:
            if not self._attempts.is_down:
                do(item)

        self._lanes.each(items, do_if_up, _ids)

    def _open(self, writes: list[Item]) -> list[Item]:
        """What is not finished, in order."""
        is_open = (item for item in writes if self._is_open(item[0]))
        return sorted(is_open, key=lambda item: self._order.rank(item[1]))

    def _is_open(self, number: int) -> bool:
        outcome = self._outcomes.get(number)
        return outcome is None or outcome.has(ProblemKind.IN_DOUBT)

    # --- writes

    def _write(self, item: Item, *, again: bool = True) -> None:
        """Do the item if it can be done now; ``again`` lets a create be repeated."""
        kind = item[1].kind
        if kind is Kind.ADOPT:
            if self._links.of(item[1]).state is not LinkState.CREATING:
                self._items.do(item, updates.adopt, Result.ADOPTED)
        elif kind is Kind.UPDATE:
            self._items.do(item, updates.update, Result.UPDATED)
        elif self._can_be_created(item, again=again):
            self._items.do(item, self._create, Result.CREATED)

    def _can_be_created(self, item: Item, *, again: bool) -> bool:
        number, action = item
        link, parent = self._links.of(action), action.parent_id
        parent_is_there = parent is None or self._links.target_of(parent) is not None
        if link.state is LinkState.CREATING or not parent_is_there:
            return False
        if number not in self._outcomes:
            return True
        return again and not link.has_count and not self._attempts.is_sparing

    def _create(self, writer: TargetWriter, action: Action, link: Link) -> Link:
        parent = self._links.target_of(action.parent_id)
        below = link.below(action.parent_id)
        made = self._creates.create(below, action.desired, parent, writer.patience())
        if made.state is not LinkState.CREATING:
            writer.on_success()
        return made

    # --- creates in doubt

    def _resolve_creates(self, items: list[Item]) -> bool:
        """Find out what became of creates in doubt; False if looking again would tell no more."""
        by_id = {item[1].testrail_id: item for item in items}
        opens = (action for number, action in by_id.values() if self._is_open(number))
        found = {action.testrail_id for action in opens if action.kind is Kind.ADOPT}
        ready = self._links.pending(by_id.keys(), found)
        if not ready or self._looking is None:
            return False
        self._check()
        resolved = self._creates.resolve(self._links.known, ready, self._looking)
        for resolution in resolved:
            self._links.put(resolution.link)
        for number, action in self._compared(by_id, resolved):
            items[number] = by_id[action.testrail_id] = number, action
        for resolution in resolved:
            item = by_id.get(resolution.link.testrail_id)
            if item is not None:
                self._take_resolved(item, resolution)
        return bool(resolved) or not self._creates.unread

    def _compared(
        self, by_id: Mapping[int, Item], resolved: Iterable[Resolution]
    ) -> Iterator[Item]:
        """The creates whose targets are people's, or were edited: as what is adopted, compared."""
        every = {one.link.testrail_id: one.shown for one in resolved if one.shown is not None}
        shown = {i: to for i, to in every.items() if i in by_id and _arrives(by_id[i][1])}
        if not shown:
            return
        seen = {**self._snapshot.target.milestones, **{to.id: to for to in shown.values()}}
        target = replace(self._snapshot.target, milestones=seen)
        now = replace(self._snapshot, target=target, links=self._links.known)
        for action in list(plan_again(now, shown)):
            if action.link is not None:
                self._links.keep(action.link)
            yield by_id[action.testrail_id][0], replace(action, kind=Kind.ADOPT)

    def _take_resolved(self, item: Item, resolution: Resolution) -> None:
        number, action = item
        link, problem = resolution.link, resolution.problem
        if problem is not None:
            self._attempts.may_have_taken(number)
            self._items.finish(number, Outcome(action, Result.CONFLICTS, None, (problem,)))
        elif link.state is LinkState.LINKED and _arrives(action):
            if number in self._outcomes:
                self._attempts.succeeded(number)
            result = Result.CREATED if self._links.was_created(link) else Result.ADOPTED
            left = updates.catch_up(action, link) if action.kind is Kind.CREATE else action
            self._items.do((number, left), updates.update, result)

        elif link.state is LinkState.UNLINKED and action.kind is Kind.ADOPT:
            outcome = waiting(action, ProblemKind.HELD_UP, NOT_THERE)
            self._links.note(link, outcome.problems[0])
            self._items.finish(number, outcome)

    def _leave(self, item: Item) -> None:
        """Say why the milestone could not be created."""
        number, action = item
        link = self._links.of(action)
        if link.state is LinkState.CREATING:
            outcome = in_doubt(action, self._creates.why_unread(link, self._links.known))
        elif number in self._attempts.failed:
            self._items.finish(number, waiting(action, ProblemKind.CREATE_FAILS, NOT_CREATED))
            return
        else:
            why = f"It waits for its parent {action.parent_id}, which has no target yet."
            outcome = waiting(action, ProblemKind.WAITING, why)
        if not link.has_count:
            self._links.note(link, outcome.problems[0])
        self._items.finish(number, outcome)

    # --- archives and late statuses

    def _archive_item(self, item: Item) -> None:
        """Archive; where a create was cut off, there may be nothing, or nobody knows yet."""
        number, action = item
        link = self._links.of(action)
        if link.has_target:
            self._items.do(item, self._archive, Result.ARCHIVED)
        elif number not in self._outcomes and link.state is LinkState.CREATING:
            self._leave(item)
        elif number not in self._outcomes:
            self._items.finish(number, Outcome(action, Result.UNCHANGED))

    def _archive(self, writer: TargetWriter, action: Action, link: Link) -> Link:
        read_at = self._snapshot.read_at or self._snapshot.now
        is_old = writer.clock.now() - read_at > updates.FRESH
        in_use = self._archive_in_use
        again = action.archives_unread or (is_old and not in_use)
        return updates.archive(writer, action, link, read_again=again, even_in_use=in_use)

    def _complete(self, parents: set[str | None], item: Item) -> None:
        """Write what waited until it is known what has sub-milestones."""
        number, action = item
        link, earlier = self._links.known.get(action.testrail_id), self._outcomes.get(number)
        if link is None or earlier is None or not updates.is_due_late(action, link):
            return
        if not link.has_target or link.testably_id in parents or earlier.has(HELD_UP.kind):
            return
        self._items.do(item, updates.finish_late, earlier.result)
        self._add_to(number, earlier)

    def _add_to(self, number: int, earlier: Outcome) -> None:
        """What failed before the status was written still needs the next run."""
        if earlier.result not in NEEDS_PERSON:
            return
        for problem in earlier.problems[:1]:
            if not problem.kind.is_failure:
                self._links.note(self._links.known[earlier.action.testrail_id], problem)
        now = self._outcomes[number]
        problems = tuple(dict.fromkeys((*earlier.problems, *now.problems)))
        self._outcomes[number] = replace(now, problems=problems)


def _arrives(action: Action) -> bool:
    """Whether the milestone is to get a target."""
    return action.kind in (Kind.CREATE, Kind.ADOPT)


def _ids(item: Item) -> tuple[int, int | None]:
    return item[1].testrail_id, item[1].parent_id
