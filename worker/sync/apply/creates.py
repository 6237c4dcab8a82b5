"""A create whose outcome may stay unknown: the whole protocol (R2), in the order it happens.

```
lease → POST ─┬─ created ─────────────────────────────► linked
              ├─ refused (certainly not carried out) ─► sent again, or given up
              └─ in doubt
                   → its time-out and a grace are over, and nothing of this run is in flight
                   → two complete looks, shared by all creates in doubt
                   ├─ it is found ────────────────────► linked
                   ├─ nothing can be it ──────────────► not created: it may be sent again
                   └─ it cannot be told ──────────────► a person decides, then `milesync retry`
```

`Creates.create` is the first half and `Creates.resolve` the second; `tell` decides, and is pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from mappings.footer import marked_id
from mappings.link import Link, LinkState
from mappings.milestone import (
    ARCHIVED,
    COMPLETED,
    FIELDS,
    MappingRules,
    TargetMilestone,
    Values,
    same_value,
)
from mappings.problem import Problem, ProblemKind
from mappings.rows import Change, ChangeState
from mappings.stored_text import can_be_description, can_be_name, reduced
from worker.errors import NotFound, Transient
from worker.sync.apply.writer import GRACE, STALL, Attempt, LostLeaseError, Patience, TargetWriter
from worker.sync.decide.snapshot import TargetSnapshot, living
from worker.sync.ports import TargetListing

POSTED = FIELDS[:-1]
"""What POST takes; it takes no status."""
LOOK_GAP = timedelta(seconds=3)
"""Between the two looks, so that a list that lags has time to catch up."""
AMBIGUOUS_ATTEMPTS = 6
"""A create that was cut off so often without leaving anything behind is set aside."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of a create in doubt: its link as it stands, and what is wrong with it."""

    link: Link
    problem: Problem | None = None

    @property
    def is_conflict(self) -> bool:
        """Whether a person has to tell what it left behind."""
        return self.link.awaits_person


@dataclass(frozen=True, slots=True)
class _Sent:
    """A create that this run sent: until when it may arrive, and what was there before.

    ``until`` is on the clock that only goes forward.
    """

    until: float
    before: Collection[str]


@dataclass(slots=True)
class Creates:
    """The creates of one run. ``seen`` is what the last complete listing showed."""

    writer: TargetWriter
    rules: MappingRules
    seen: TargetSnapshot
    _sent: dict[int, _Sent] = field(default_factory=dict)

    # --- lease, POST

    def create(self, link: Link, desired: Values, parent: str | None) -> Link:
        """POST a milestone below ``parent``; its link: linked, or in doubt.

        Repeats only what was certainly not carried out. Raises LostLeaseError, or the ApiError
        of the last attempt, with the link recorded as not created.
        """
        writer = self.writer
        posted = {name: desired[name] for name in POSTED}
        patience = Patience(writer.clock)

        def intend(at: datetime) -> tuple[Link, Change]:
            deadline = writer.deadline(at) + STALL
            creating = link.begin_create(posted, at, deadline, self.seen.newest)
            change = Change(writer.run_id, link.testrail_id, None, "create", {}, posted, at)
            return creating, change

        while True:
            attempt = writer.send(
                intend, lambda: writer.target.create(writer.project, posted, parent)
            )
            self._remember(attempt)
            if attempt.answer is not None:
                made = attempt.link.created(attempt.answer, parent, writer.since())
                return writer.settle(made, attempt)
            if attempt.state is ChangeState.AMBIGUOUS:
                in_doubt = attempt.link.in_doubt(writer.deadline(attempt.sent_at))
                return writer.settle(in_doubt, attempt)
            link = writer.settle(attempt.link.not_created(), attempt)
            if not patience.allows(attempt.failure):
                raise attempt.failure

    def _remember(self, attempt: Attempt) -> None:
        until = attempt.started + self._longest
        before = self.seen.milestones.keys()
        self._sent[attempt.link.testrail_id] = _Sent(until, before)

    # --- in doubt: wait, look twice, conclude

    def resolve(self, links: Mapping[int, Link], ready: Collection[int]) -> list[Resolution]:
        """What became of the creates in doubt that are ``ready``, as far as it can be told.

        ``links`` are all links of the pair. Left out is what has to be looked for again. Raises
        ApiError where Testably's lists cannot be read.
        """
        in_doubt = [k for k in links.values() if k.state is LinkState.CREATING]
        self._wait([k for k in in_doubt if k.testrail_id in ready])
        doubts = [self._doubt(k, links, ready) for k in in_doubt]
        looks = _Looks(self.writer, {d.parent for d in doubts if d.parent is not None})
        if not looks.look_twice():
            return []
        found = tell(doubts, looks.free(), self.rules)
        self.seen = replace(self.seen, milestones=looks.seen, newest=looks.newest)
        resolved = []
        for doubt in doubts:
            told = found[doubt.link.testrail_id]
            if doubt.is_ready and told.verdict is not Verdict.OPEN:
                with suppress(LostLeaseError):  # whoever has it knows what became of it
                    resolved.append(self._conclude(doubt, told))
        return resolved

    def _doubt(self, link: Link, links: Mapping[int, Link], ready: Collection[int]) -> Doubt:
        parent = links.get(link.parent_id) if link.parent_id is not None else None
        sent = self._sent.get(link.testrail_id)
        return Doubt(
            link,
            parent.testably_id if parent is not None else None,
            is_ready=link.testrail_id in ready,
            before=frozenset() if sent is None else sent.before,
        )

    @property
    def _longest(self) -> float:
        """Seconds after which a request that is sent now cannot be carried out any more."""
        return self.writer.target.request_timeout + GRACE.total_seconds()

    def _wait(self, ready: Sequence[Link]) -> None:
        """Return when none of these can still be under way on the server."""
        clock = self.writer.clock
        self.writer.clock.sleep(max(0.0, *(self._left(k) for k in ready), 0.0))
        assert clock is self.writer.clock

    def _left(self, link: Link) -> float:
        """Seconds until a create cannot be under way any more; never more than the longest."""
        sent = self._sent.get(link.testrail_id)
        if link.attempt_deadline is None:
            return 0.0
        if sent is not None:
            return sent.until - self.writer.clock.monotonic()
        left = link.attempt_deadline + GRACE - self.writer.clock.now()
        return min(left.total_seconds(), self._longest)

    def _conclude(self, doubt: Doubt, told: Told) -> Resolution:
        writer, link = self.writer, doubt.link
        if told.verdict is Verdict.FOUND:
            (left,) = told.targets
            sure = not link.is_decided or _fit(doubt, left, reduced(left.name)) is Fit.STRONG
            made = link.found(left, doubt.parent, writer.since()) if sure else link.adopted(left)
            return Resolution(writer.conclude(made, ChangeState.DONE, left.values))
        if told.verdict is Verdict.PERSON:
            problem = Problem(told.kind, _why_asked(told.targets))
            asked = writer.keep(link.left_to_person(problem, writer.clock.now()))
            return Resolution(asked, problem)
        problem = None
        if link.attempts >= AMBIGUOUS_ATTEMPTS:
            reason = f"Testably failed {link.attempts} times while creating it, and left nothing."
            problem = Problem(
                ProblemKind.CREATE_FAILS, reason, writer.clock.now(), link.attempts
            )
        return Resolution(
            writer.conclude(link.not_created(problem), ChangeState.NOT_DONE), problem
        )
