"""A run finds nothing to do where it reads what an earlier one read that found nothing to do.

A plan follows from what both sides answer, the links, the settings and the time (`decide.plan`).
Where all of these are as they were, it is not made again: the questions are asked as they were
asked then, and their answers are compared as they came, byte by byte. No link is read for it, and
nothing is decoded. That is most runs of a schedule. As soon as an answer differs, the run reads
as any other does, and does not ask again what it was answered already (`read.answers`).

Links and time are those of before the first question: who writes a link after that has to win over
what is decided from the answers (R8).
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
from worker.sync.decide.snapshot import Snapshot, TargetSnapshot
from worker.sync.options import Options
from worker.sync.ports import SourceListing
from worker.sync.read.scope import Scope

NOTHING = SourceListing({})


def plan_routine(context: PairContext, pair: Pair, options: Options, scope: Scope) -> PlannedRun:
    """`plan_run`, for a run at whose plan nobody looks: what is in step it may only count."""
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
    """What a plan follows from beside the answers, as it was before the run asked anything.

    ``links`` stands for the links of its pair, ``with_target`` says that the target is listed,
    ``requests`` are those that were sent before.
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
        """That of this run; None where it is to read and decide whatever was before.

        So it does where something of the plan is from elsewhere: from an earlier slice of the run,
        or from other pairs that write into the same project.
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
        """Equal for runs under the same settings, by the same milesync."""
        context, options = self.context, self.options.as_json()
        facts = (context.rules.fingerprint, context.policy, context.submilestones)
        return digest((_milesync(), *facts, sorted(options.items())))

    def again(self) -> PlannedRun | None:
        """The plan of nothing, if both sides answer as they did; raises what a reading raises."""
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
        """With what the run reads after all: the links as they were before it asked anything.

        If somebody has written one since, what was answered before that is asked for anew.
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
        """Remember what was read, if there was nothing to do about it.

        Each request must have been a question of its own: else something was read beside them.
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
    """Which milesync decides: another may decide otherwise."""
    try:
        return version("milesync")
    except PackageNotFoundError:  # it runs from its source
        return ""
