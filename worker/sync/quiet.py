"""Ends a sync early if nothing has changed since the last sync that had nothing to do.

The plan is a function of the API answers, the links, the settings and the time (`decide.plan` is
pure). A sync that has nothing to do therefore stores what it read: a digest of each answer, and
what stands for the links and the settings (a *quiet reading*). The next sync sends the same
requests and compares the digests. If all are equal, its plan would be empty again, so it decodes no
answer and reads no link; most scheduled syncs end like this. At the first answer that differs it
reads as usual, and uses the answers that it already has instead of asking again (`read.answers`).

Links and time are taken before the first request: a write to a link after that moment must win
over what this sync decides from the answers (R8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Self

from mappings.fingerprints import digest
from mappings.links import Links
from mappings.quiet import QuietReading
from mappings.rows import Pair
from worker.sync.context import PairContext, PlannedRun, Start, plan_run
from worker.sync.decide.action import InStep, Plan
from worker.sync.decide.snapshot import Snapshot
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.options import Options
from worker.sync.ports import SourceListing
from worker.sync.read.scope import Scope

NOTHING = SourceListing({})


def plan_routine(context: PairContext, pair: Pair, options: Options, scope: Scope) -> PlannedRun:
    """`plan_run` for a sync whose plan no person looks at, so that an early end is possible."""
    quiet = Quiet.of(context, pair, options, scope)
    if quiet is None:
        return plan_run(context, pair, options, scope)
    again = quiet.again()
    if again is not None:
        return again
    planned = plan_run(context, pair, options, scope, quiet.start())
    quiet.keep(planned)
    return planned


@dataclass(frozen=True, slots=True)
class Quiet:
    """What the plan of a sync depends on beside the answers, as it was before the first request.

    ``links`` stands for the links of its pair, ``with_target`` says that the target is listed,
    ``requests`` is how many requests each client had sent by then.
    """

    context: PairContext
    pair: Pair
    options: Options
    with_target: bool
    links: str
    now: datetime
    requests: Mapping[str, int]

    @classmethod
    def of(cls, context: PairContext, pair: Pair, options: Options, scope: Scope) -> Self | None:
        """That of this sync; None if it must read and decide in any case.

        It must where the plan also depends on something else: on an earlier slice of the run, or
        on other pairs that write into the same project.
        """
        is_plain = options.is_routine and scope == Scope(list_target=scope.list_target)
        if not is_plain or pair.rules != context.rules.fingerprint or context.answers.begun:
            return None
        if context.store.targets_of_others(pair, most=1):
            return None
        links = context.store.quiet.links_of(pair.id)
        now, sent = context.clock.now(), context.requests
        return cls(context, pair, options, scope.list_target, links, now, sent)

    @property
    def key(self) -> str:
        """Equal for syncs with equal settings and options, by the same version of milesync."""
        context, options = self.context, self.options.as_json()
        facts = (context.rules.fingerprint, context.policy, context.submilestones)
        return digest((_milesync(), *facts, sorted(options.items())))

    def again(self) -> PlannedRun | None:
        """The empty plan, if both sides answer as they did before, else None.

        Raises ApiError, BudgetExhausted and StoreError, as a reading does.
        """
        found = self.context.store.quiet.find(self.pair.id, with_target=self.with_target)
        if found is None or not self._is_as(found):
            return None
        source, target = self.context.source, self.context.target
        if not (source.repeats(found.answered) and target.repeats(found.answered)):
            return None
        snapshot = Snapshot(
            self.context.rules,
            NOTHING,
            Links(),
            TargetSnapshot(listed=found.listed),
            self.now,
            self.options,
            self.context.policy,
        )
        plan = Plan((), found.not_exact, in_step=InStep(exempt=found.exempt, unnamed=found.in_step))
        reads, none = self.context.requests_since(self.requests), dict.fromkeys(self.requests, 0)
        return PlannedRun(snapshot, plan, reads, none, 0, self.context.seconds_per_request)

    def start(self) -> Start | None:
        """The links and the time from before the first request, for a sync that reads after all.

        None if a link was written since: then the answers so far are forgotten, and asked for anew.
        """
        links = self.context.store.outlines(self.pair.id)
        if self.context.store.quiet.links_of(self.pair.id) == self.links:
            return Start(links, self.now, self.requests)
        self.context.answers.forget_repeated()
        return None

    def _is_as(self, found: QuietReading) -> bool:
        ends = found.until is not None and found.until <= self.now.timestamp()
        same = (found.key, found.links) == (self.key, self.links)
        return same and found.at <= self.now and not ends

    def keep(self, planned: PlannedRun) -> None:
        """Store the reading of a plan that has nothing to do.

        Not if a request was repeated or recalled: then the digests are not all that was read.
        """
        answered, snapshot = self.context.answers.answered, planned.snapshot
        plan = planned.plan
        whole = snapshot.source.complete and snapshot.target.complete
        if not whole or plan.actions or plan.guards:
            return
        if answered is None or len(answered) != sum(planned.reads.values()):
            return
        ends = [one.agreed_until for one in snapshot.links.outlines.values() if one.agreed_until]
        reading = QuietReading(
            self.key,
            self.links,
            self.now,
            min(ends, default=None),
            snapshot.target.listed,
            len(plan.in_step),
            plan.in_step.exempt,
            plan.not_exact,
            answered,
        )
        self.context.store.quiet.keep(self.pair.id, reading, with_target=self.with_target)


def _milesync() -> str:
    """The installed version; another one may make another plan of the same answers."""
    try:
        return version("milesync")
    except PackageNotFoundError:  # run from a source tree
        return ""
