"""One write to the target, the way every write is made: journal, send, record.

Commit what is about to be written, then send it, then commit what the target answered (R1). A
permit at the rate limiter comes first, then the lease of the link (R8), then a look at the clock:
so that a lease never waits for the rate limiter, and a request never outlives its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from mappings.dates import moment
from mappings.link import Link
from mappings.milestone import TargetMilestone, Values
from mappings.rows import Change, ChangeState, Pair, adoption
from mappings.store import Store
from worker.clock import Clock
from worker.errors import ApiError, Done, RateLimited, TimedOut, Transient, Unreachable
from worker.sync.apply.vocabulary import OpenWord
from worker.sync.lanes import Lanes
from worker.sync.ports import Target

GRACE = timedelta(seconds=10)
"""How long after its deadline a request may still be carried out by the server (R2)."""
STALL = timedelta(seconds=5)
"""A lease older than this before its request is sent is given back: the machine was asleep."""
BACK_OFF = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between the attempts at what is safe to repeat."""

MOST_LIMITED = 3
"""A milestone that is tried once in this run gives up at so many 429s."""

log = structlog.get_logger(__name__)


class LostLeaseError(Exception):
    """Somebody else changed or holds the link; nothing was sent."""


@dataclass(slots=True)
class Patience:
    """Counts the failures of one write; waits before the next attempt, if there is one."""

    sleep: Callable[[float], None]
    repeats: bool = True
    on_failure: Callable[[], None] = lambda: None
    failures: int = 0
    limited: int = 0

    def allows(self, error: ApiError) -> bool:
        """Whether it is tried again; a 429 was not carried out, and tells nothing of the write."""
        self.on_failure()
        if isinstance(error, RateLimited):
            self.limited += 1
            return not error.stays and (self.repeats or self.limited < MOST_LIMITED)
        if not (self.repeats and error.may_pass) or self.failures >= len(BACK_OFF):
            return False
        self.sleep(BACK_OFF[self.failures])
        self.failures += 1
        return True


@dataclass(frozen=True, slots=True)
class Attempt:
    """A journaled request and what came back: an answer, or the error.

    It was sent at ``sent_at``, or ``started`` on the clock that only goes forward.
    """

    link: Link
    change_id: int
    sent_at: datetime
    started: float
    answer: TargetMilestone | None = None
    error: ApiError | None = None

    @property
    def failure(self) -> ApiError:
        """The error of an attempt that has no answer."""
        assert self.error is not None  # noqa: S101  (an attempt has an answer or an error)
        return self.error

    @property
    def state(self) -> ChangeState:
        """What the journal says of it."""
        if self.error is None:
            return ChangeState.DONE
        if self.error.done is Done.MAYBE:
            return ChangeState.AMBIGUOUS
        transient = isinstance(self.error, Transient | Unreachable)
        return ChangeState.NOT_DONE if transient else ChangeState.REFUSED


@dataclass(frozen=True, slots=True)
class TargetWriter:
    """The writes of one run of one pair.

    ``require_pair`` is called once a write has its permit, and may raise: the wait can be long.
    ``repeats`` says whether a write that failed for now is sent again at once; ``on_failure`` is
    called after each attempt that failed, ``on_success`` once the target has taken one.
    """

    pair: Pair
    run_id: str
    target: Target
    store: Store
    clock: Clock
    require_pair: Callable[[], None] = lambda: None
    repeats: bool = True
    open_word: OpenWord = field(default_factory=OpenWord)
    lanes: Lanes = field(default_factory=Lanes)
    on_failure: Callable[[], None] = lambda: None
    on_success: Callable[[], None] = lambda: None

    @property
    def project(self) -> str:
        """The Testably project that is written to."""
        return self.pair.identity.testably_project

    def patience(self) -> Patience:
        """How often one write is tried."""
        return Patience(self.sleep, self.repeats, self.on_failure)

    def patch(
        self,
        link: Link,
        values: Values,
        before: Values,
        kind: str = "update",
        *,
        undoes: int | None = None,
        conclude: Callable[[Link], Link] = lambda link: link,
    ) -> Link:
        """PATCH a linked milestone with ``values``; returns the link with the target's answer.

        ``conclude`` may change the link before it is committed together with the answer. Repeats
        what is transient. Raises LostLeaseError, or the ApiError of the last attempt, which the
        journal then tells.
        """
        change = self._change(link, values, before, kind, undoes)
        patience = self.patience()
        while True:
            wire = self._wire(link, values)
            attempt = self.send(
                partial(_intend_patch, link.begin_update(values), change),
                partial(self.target.update, self.project, change.testably_id or "", wire),
            )
            if attempt.answer is not None:
                patched = attempt.link.updated(values, attempt.answer, self.since())
                return self.settle(conclude(patched), attempt)
            maybe = attempt.state is ChangeState.AMBIGUOUS
            kept = attempt.link if maybe else attempt.link.not_updated(link)
            link = self.settle(kept, attempt)
            if not patience.allows(attempt.failure):
                raise attempt.failure

    def _change(
        self, link: Link, values: Values, before: Values, kind: str, undoes: int | None
    ) -> Change:
        ids, now = (link.testrail_id, link.testably_id), self.clock.now()
        return Change(self.run_id, *ids, kind, before, values, now, undoes=undoes)

    def _wire(self, link: Link, values: Values) -> Values:
        """The values in the words that this target takes."""
        start = values.get("start_date", link.observed.get("start_date"))
        return self.open_word.sent_as(values, start, self.clock.now())

    def sleep(self, seconds: float) -> None:
        """Wait before another attempt, while other items go on."""
        with self.lanes.waiting():
            self.clock.sleep(seconds)

    def since(self) -> str:
        """The time now, ISO 8601 in UTC."""
        return moment(self.clock.now().isoformat())

    def keep(self, link: Link) -> Link:
        """Record what is known of a link; raises LostLeaseError if somebody changed it."""
        saved = self.store.save(self.pair.id, link, self.clock.now())
        if saved is None:
            raise LostLeaseError
        return saved

    def keep_all(self, links: Sequence[Link]) -> list[Link]:
        """Record what is known of many links; leaves out those that somebody changed."""
        return self.store.save_many(self.pair.id, links, self.clock.now())

    def note_agreement(self, links: Sequence[Link]) -> None:
        """Record the links whose both sides were found to agree."""
        self.store.note_agreement(self.pair.id, links)

    def adopt(self, link: Link, why: str) -> Link:
        """Record a link to a target that was there already; raises LostLeaseError."""
        ids = (link.testrail_id, link.testably_id)
        change = adoption(self.run_id, *ids, why, self.clock.now())
        saved = self.store.journal.adopt(self.pair.id, link, change)
        if saved is None:
            raise LostLeaseError
        tell_write("adopt", *ids, outcome="done")
        return saved

    def conclude(self, link: Link, state: ChangeState, echo: Values | None = None) -> Link:
        """Record what became of a create in doubt; raises LostLeaseError."""
        saved = self.store.journal.conclude(self.pair.id, link, state, self.clock.now(), echo=echo)
        if saved is None:
            raise LostLeaseError
        tell_write("resolve", link.testrail_id, link.testably_id, outcome=state.value)
        return saved

    def reload(self, testrail_id: int) -> Link:
        """The link as it stands in the database."""
        found = self.store.links(self.pair.id, [testrail_id])
        return found.get(testrail_id, Link(testrail_id))

    def look_again(self, testrail_id: int) -> None:
        """Have the next run read this milestone's target."""
        self.store.mark_to_look_again(self.pair.id, testrail_id)

    def wait_until(self, moment: datetime | None) -> None:
        """Return when the clock has passed ``moment``, or when the longest lease would be over.

        However the clock was set meanwhile, no lease and no request lasts longer than that.
        """
        if moment is not None:
            longest = timedelta(seconds=self.target.request_timeout) + STALL + GRACE
            left = min(moment - self.clock.now(), longest).total_seconds()
            self.clock.sleep(max(0.0, left + 0.001))

    def send(
        self,
        intend: Callable[[datetime], tuple[Link, Change]],
        request: Callable[[], TargetMilestone],
    ) -> Attempt:
        """Journal a write, lease its link and send it; `settle` then commits what came of it.

        ``intend`` gives the link and the change to journal at a time. Raises LostLeaseError, and
        EndedElsewhereError where another item ends the run.
        """
        self.lanes.require()
        with self.lanes.waiting():
            self.target.wait_for_permit()
        self.lanes.started()
        self.lanes.require()
        self.require_pair()
        now = self.clock.now()
        link, change = intend(now)
        until = self.deadline(now) + STALL + GRACE
        leased = self.store.journal.lease(self.pair.id, link, change, until)
        if leased is None:
            raise LostLeaseError
        sent_at = self.clock.now()
        if sent_at > now + STALL:
            stalled = TimedOut("Testably", "The machine stalled before the request was sent.")
            return Attempt(*leased, sent_at, self.clock.monotonic(), error=stalled)
        started = self.clock.monotonic()
        try:
            with self.lanes.waiting():
                answer = request()
            attempt = Attempt(*leased, sent_at, started, answer=answer)
        except ApiError as error:
            attempt = Attempt(*leased, sent_at, started, error=error)
        _tell_sent(attempt, change, self.target.last_status, self.clock.monotonic() - started)
        return attempt

    def deadline(self, sent_at: datetime) -> datetime:
        """When a request sent at this moment has been given up at the latest."""
        return sent_at + timedelta(seconds=self.target.request_timeout)

    def settle(self, link: Link, attempt: Attempt) -> Link:
        """Commit what came of an attempt, and let go of the link; raises LostLeaseError."""
        saved = self.store.journal.settle(
            self.pair.id,
            link,
            attempt.change_id,
            attempt.state,
            self.clock.now(),
            echo=attempt.answer.values if attempt.answer else None,
            note=attempt.error.message if attempt.error else "",
            is_new=link.testably_id != attempt.link.testably_id,
        )
        if attempt.answer is not None:
            self.on_success()
        if saved is None:
            raise LostLeaseError
        return saved


def _intend_patch(link: Link, change: Change, at: datetime) -> tuple[Link, Change]:
    return link, replace(change, at=at)


def tell_write(
    action: str, testrail_id: int, testably_id: str | None, **more: str | float | None
) -> None:
    """Log one write: run, pair and correlation come from the context; names stay out of it."""
    log.info("write", action=action, testrail_id=testrail_id, testably_id=testably_id, **more)


def _tell_sent(attempt: Attempt, change: Change, status: int | None, seconds: float) -> None:
    """Log a request and its answer."""
    error, answer = attempt.error, attempt.answer
    only_status = change.kind == "update" and set(change.after) == {"status"}
    tell_write(
        "status" if only_status else change.kind,
        attempt.link.testrail_id,
        answer.id if answer else attempt.link.testably_id,
        status=status if error is None else error.status,
        outcome="done" if error is None else error.kind,
        seconds=round(seconds, 3),
    )
