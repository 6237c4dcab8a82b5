"""Notices: people are told when a pair begins to need them, and when that is over.

One digest a pair: what needs a person, a run that stopped itself, credentials that were refused, a
pair that has not been synced for long. Nothing is told twice; what is over is told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from mappings.overview import ENDED_WELL
from mappings.rows import Pair
from mappings.run_record import RunRecord
from mappings.runs import RunLog
from mappings.store import Store

MOST_LINES: Final = 20
"""A digest names so many things; of the others it says how many there are."""
STALE_PERIODS: Final = 3
"""So many schedules without a run that ended well make a pair stale…"""
STALE_LEAST: Final = timedelta(hours=1)
"""…but never in less than this."""

_HAS_READ: Final = (*ENDED_WELL, "aborted")
"""How a run ended that could read; one that failed says nothing of what was told before."""

log = structlog.get_logger(__name__)

Topics = Mapping[str, str]
"""What there is to tell of a pair: a stable key, and a sentence."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message about one pair. ``event`` is ``needs_a_person``, ``over`` or ``test``."""

    event: str
    title: str
    lines: Sequence[str] = ()
    testrail_project: int | None = None
    testably_project: str | None = None

    @property
    def text(self) -> str:
        """The message as plain text."""
        return "\n".join([self.title, *self.lines])

    def as_json(self) -> dict[str, Any]:
        """What a plain JSON webhook gets."""
        return {
            "event": self.event,
            "title": self.title,
            "message": "\n".join(self.lines),
            "testrail_project": self.testrail_project,
            "testably_project": self.testably_project,
        }


def decide(
    now_topics: Topics, told: Sequence[str], told_at: datetime | None, now: datetime, gap: timedelta
) -> str | None:
    """Which event is due: something began to need a person, or all of it is over.

    What begins waits until ``gap`` has passed since the last notice; what is over does not.
    """
    if told and not now_topics:
        return "over"
    begins = set(now_topics) - set(told)
    if not begins or (told_at is not None and told and now - told_at < gap):
        return None
    return "needs_a_person"


def topics_of(
    store: Store, runs: RunLog, pair: Pair, now: datetime, period: timedelta | None
) -> Topics:
    """Everything about a pair that needs a person.

    ``period`` is its schedule's; without one nobody can say that it is stale, but what was told
    to be stale stays so until a run has ended well.
    """
    found: dict[str, str] = {}
    if pair.paused_because:
        found["paused"] = f"The pair is paused: {pair.paused_because}"
    latest = [run for run in runs.latest(pair.id, 20) if run.exclusive and run.finished_at]
    refused = None if pair.paused_because else _refused_credentials(latest)
    if refused:  # the key of a pause, which is how a service tells the same
        found["paused"] = f"Credentials were refused: {refused['message']} {refused['hint']}"
    read = next((run for run in latest if run.state in _HAS_READ), None)
    if read is not None and _stopped_itself(read):
        error = read.error or {}
        found["stopped"] = f"A run stopped itself: {error.get('message')} {error.get('hint')}"
    since = _synced_at(latest)
    if since is not None and _is_stale(pair, latest[0], now - since, period):
        found["stale"] = f"No run has ended well since {since:%Y-%m-%d %H:%M} UTC."
    for link in store.links_with_problems(pair.id):
        for one in link.failures:
            if not one.accepted:
                key = f"{link.testrail_id} {one.field or ''} {one.kind.value}"
                where = f" ({one.field.replace('_', ' ')})" if one.field else ""
                step = one.kind.advice(link.testrail_id)
                found[key] = f"{link.testrail_id} {link.name}{where}: {one.reason} {step}"
    return found


def _stopped_itself(run: RunRecord) -> bool:
    """Whether a run that nobody watched stopped before its first write."""
    kind = (run.error or {}).get("kind")
    return run.state == "aborted" and kind == "guard" and run.trigger != "migration"


def _refused_credentials(latest: Sequence[RunRecord]) -> Mapping[str, Any] | None:
    """The error of a run that nobody watched, if none since could use the credentials."""
    for run in latest:
        error = run.error or {}
        if error.get("kind") == "credentials" and run.trigger != "migration":
            return error
        if run.state in _HAS_READ:
            break
    return None


def _is_stale(pair: Pair, last: RunRecord, age: timedelta, period: timedelta | None) -> bool:
    if period is not None:
        return age > max(STALE_PERIODS * period, STALE_LEAST)
    return "stale" in (pair.noticed or ()) and last.state not in ENDED_WELL


def _synced_at(latest: Sequence[RunRecord]) -> datetime | None:
    ended = (run.finished_at for run in latest if run.state in ENDED_WELL)
    return next((at for at in ended if at is not None), None)


def notice_of(event: str, pair: Pair, topics: Topics, told: Sequence[str]) -> Notice:
    """The digest of a pair: what is new first, then what still is as it was."""
    identity = pair.identity
    name = f"{pair.testrail_name} " if pair.testrail_name else ""
    where = f"{name}(project {identity.testrail_project} → {identity.testably_project})"
    ids = (identity.testrail_project, identity.testably_project)
    if event == "over":
        return Notice(event, f"milesync: {where} needs nobody any more.", (), *ids)
    new = [text for key, text in topics.items() if key not in told]
    old = [text for key, text in topics.items() if key in told]
    lines = [*new, *old]
    number = len(lines)
    things = "one thing needs" if number == 1 else f"{number} things need"
    shown = [f"- {line}" for line in lines[:MOST_LINES]]
    shown += [f"- … and {number - MOST_LINES} more."] if number > MOST_LINES else []
    advice = "`milesync failures` lists them."
    return Notice(event, f"milesync: {where}: {things} a person.", (*shown, advice), *ids)


@dataclass(frozen=True, slots=True)
class Notices:
    """Tells people about pairs. ``send`` gives whether every address took a notice."""

    store: Store
    runs: RunLog
    send: Callable[[Notice], bool]
    gap: timedelta
    now: Callable[[], datetime]

    def look(self, pair: Pair, period: timedelta | None) -> None:
        """Tell what is due about a pair, and remember that; ``period`` is its schedule's."""
        topics = topics_of(self.store, self.runs, pair, self.now(), period)
        told = list(pair.noticed or ())
        event = decide(topics, told, pair.noticed_at, self.now(), self.gap)
        if event is None:
            still = [key for key in told if key in topics]
            if still != told:
                self.store.update_pair(pair.id, noticed=still)
            return
        if self.send(notice_of(event, pair, topics, told)):
            self.store.update_pair(pair.id, noticed=sorted(topics), noticed_at=self.now())
            log.info("told people", event_=event, pair=str(pair.id), topics=len(topics))
