"""Sends the notices that are due, to each address for itself; one sender at a time.

What was told is noted after an address took it, so a sender that dies loses nothing. An address
that does not take a notice rests, for longer each time, and keeps no other from being told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import structlog
from pydantic import SecretStr

from mappings.errors import Busy
from mappings.locks import sender_lock
from mappings.notice_addresses import Addresses, Rest
from mappings.overview import overview
from mappings.rows import ANY_ADDRESS, Pair, PairIdentity, Told
from mappings.runs import RunLog
from mappings.store import Store
from worker.clients.notify import TIMEOUT, mark_of, send
from worker.clock import Clock
from worker.notices import Notice, Topics, decide, may_need_notice, notice_of, told_after, topics_of

BEGINS_FOR: Final = 5.0
"""Seconds after which one that hurries sends no other notice: the next look goes on."""
PATIENCE: Final = BEGINS_FOR + TIMEOUT
"""Seconds for which one that does not hurry waits for another sender."""
_AGAIN: Final = 0.2
FIRST_REST: Final = timedelta(minutes=1)
LONGEST_REST: Final = timedelta(hours=1)

log = structlog.get_logger(__name__)

Send = Callable[[Notice], bool]
"""Sends a notice to one address; gives whether that took it."""


def senders(addresses: Sequence[SecretStr]) -> dict[str, Send]:
    """What sends to each of these addresses, by its mark."""

    def sender(address: SecretStr) -> Send:
        return lambda one: send(address, one.title, one.text, one.as_json())

    return {mark_of(address): sender(address) for address in addresses}


def rest_after(failures: int, now: datetime) -> Rest:
    """How long an address rests that failed so many times in a row: twice as long each time."""
    doubled = FIRST_REST * 2 ** min(failures - 1, 10)
    return Rest(failures, now + min(doubled, LONGEST_REST))


def rests(rest: Rest | None, now: datetime) -> bool:
    """Whether an address is left alone; the end of a rest is never further away than the longest
    one, unless the clock was set back."""
    return rest is not None and timedelta(0) < rest.until - now <= LONGEST_REST


@dataclass(frozen=True)
class Notices:
    """Tells people about pairs.

    ``senders`` are the addresses by their marks. ``several`` pairs are configured: a command in a
    notice then names its project.
    """

    store: Store
    runs: RunLog
    senders: Mapping[str, Send]
    gap: timedelta
    clock: Clock
    several: bool = False

    @cached_property
    def _addresses(self) -> Addresses:
        return Addresses(self.store.engine)

    def look(
        self, schedules: Mapping[PairIdentity, str], *, kept: bool, hurries: bool = False
    ) -> None:
        """Tell what is due about pairs, each with its cron line; ``kept`` is as in `topics_of`.

        Who ``hurries`` looks again soon: that one waits for no other sender, and sends for some
        seconds only.
        """
        due = self._worth_it(schedules)
        began = self.clock.monotonic()
        until = began if hurries else began + PATIENCE
        while due:
            try:
                with sender_lock(self.store.engine):
                    ends = self.clock.monotonic() + BEGINS_FOR if hurries else float("inf")
                    self._tell({one: schedules[one] for one in due}, kept, ends)
                    return
            except Busy as busy:
                if self.clock.monotonic() >= until:
                    log.info("notices are left to the next look", because=busy.message)
                    return
            self.clock.sleep(_AGAIN)

    def _worth_it(self, schedules: Mapping[PairIdentity, str]) -> list[PairIdentity]:
        """The pairs about which there may be something to tell, after a few queries for all."""
        pairs = [pair for pair in self.store.all_pairs() if pair.identity in schedules]
        found, now = overview(self.store.engine, pairs, brief=True), self.clock.now()
        return [
            pair.identity
            for pair in pairs
            if may_need_notice(pair, found[pair.id], schedules[pair.identity], now)
        ]

    def _tell(self, schedules: Mapping[PairIdentity, str], kept: bool, ends: float) -> None:
        """Tell about these pairs, until it is time to end."""
        # From another pair on after each failure: a notice that is never taken stops no other one.
        failures = sum(rest.failures for rest in self._addresses.resting().values())
        first, due = failures % len(schedules), list(schedules)
        for identity in (*due[first:], *due[:first]):
            if self.clock.monotonic() >= ends:
                return
            pair, now, schedule = self.store.pair(identity), self.clock.now(), schedules[identity]
            project = identity.testrail_project if self.several else None
            topics = topics_of(
                self.store, self.runs, pair, now, schedule, kept=kept, project=project
            )
            self._tell_of(pair, topics, project, ends)

    def _tell_of(self, pair: Pair, topics: Topics, project: int | None, ends: float) -> None:
        """Tell each address what is due there about a pair, and remember that."""
        told = {address: pair.told(address) for address in self.senders}
        for address, before in list(told.items()):
            now = self.clock.now()
            event = decide(topics, before, now, self.gap)
            if event is not None:
                notice = notice_of(event, pair, topics, before.topics or (), project)
                if self.clock.monotonic() >= ends or not self._is_taken(address, notice):
                    continue
                log.info("notice sent", event_=event, pair=str(pair.id), topics=len(topics))
            after = told_after(event, topics, before, self.clock.now())
            if after != before:
                told[address] = after
                self._remember(pair, told)

    def _is_taken(self, address: str, notice: Notice) -> bool:
        """Send to an address that does not rest; whether it took it."""
        rest = self._addresses.resting().get(address)
        if rests(rest, self.clock.now()):
            return False
        taken = self.senders[address](notice)
        if not taken:
            failures = 1 if rest is None else rest.failures + 1
            self._addresses.note(address, rest_after(failures, self.clock.now()))
        elif rest is not None:
            self._addresses.note(address, None)
        return taken

    def _remember(self, pair: Pair, told: Mapping[str, Told]) -> None:
        # What the addresses of others were told stays, for another process may have other settings.
        others = {a: one for a, one in (pair.noticed or {}).items() if a != ANY_ADDRESS}
        every = {address: one for address, one in {**others, **told}.items() if one.at is not None}
        self.store.update_pair(pair.id, noticed={a: one.as_json() for a, one in every.items()})
