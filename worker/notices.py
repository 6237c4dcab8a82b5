"""Notices: people are told when a pair begins to need them, and when that is over.

One digest a pair: what needs a person, a run that stopped itself, credentials that were refused, a
pair that has not been synced for long. No address is told anything twice; what is over is told at
once. `worker.telling` sends what is decided here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from mappings.commands import for_project
from mappings.errors import as_sentences
from mappings.footer import marker_url
from mappings.link import Link
from mappings.link_record import Failure
from mappings.overview import ENDED_WELL, Standing, overview
from mappings.problem import ProblemKind
from mappings.rows import Pair, Told
from mappings.run_record import RunRecord
from mappings.runs import RunLog
from mappings.store import Store
from worker.stale import is_stale, why_stale

MOST_LINES: Final = 20
"""A digest names so many things; of the others it says how many there are."""
_OF_RUNS: Final = frozenset({"paused", "stopped", "stale"})
"""The topics that are about the pair's runs, not about a milestone."""
_NAMELESS: Final = "whole"
"""Begins the topics of what the last whole run found of no milestone."""
_HAS_READ: Final = (*ENDED_WELL, "aborted")
"""How a run ended that could read; one that failed says nothing of what was told before."""

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


def decide(now_topics: Topics, told: Told, now: datetime, gap: timedelta) -> str | None:
    """Which event is due at an address: something began to need a person, or all of it is over.

    What begins waits until ``gap`` has passed since the last notice; what is over does not. A last
    notice that is further in the future was sent before the clock was set back.
    """
    if told.topics is not None and not now_topics:
        return "over"
    begins = set(now_topics) - set(told.topics or ())
    if not begins or (told.at is not None and abs(now - told.at) < gap):
        return None
    return "needs_a_person"


def told_after(event: str | None, now_topics: Topics, told: Told, now: datetime) -> Told:
    """What an address was told once it took the notice of an event; None is for no event.

    What of it has ended begins anew when it comes again. Where all of that has ended, and something
    else began meanwhile, the address still has to hear that it is over.
    """
    if event is not None:
        return Told(sorted(now_topics) if now_topics else None, now)
    if told.topics is None:
        return told
    return Told([key for key in told.topics if key in now_topics], told.at)


def may_need_notice(pair: Pair, standing: Standing, schedule: str, now: datetime) -> bool:
    """Whether `topics_of` can find something, or something is over: told by a few columns.

    So that a sweep of thousands of pairs asks about those alone where there is something.
    """
    if pair.paused_because or pair.topics_told is not None or standing.needs_person:
        return True
    last = standing.last_run
    if last is None:
        return False
    return last.state not in ENDED_WELL or is_stale(schedule, last.finished_at, now)


def topics_of(
    store: Store,
    runs: RunLog,
    pair: Pair,
    now: datetime,
    schedule: str,
    *,
    kept: bool,
    project: int | None = None,
) -> Topics:
    """Everything about a pair that needs a person.

    ``schedule`` is its cron line, and ``kept`` says that whoever asks keeps to it, as in
    `why_stale`. ``project`` is what its commands name, as in `for_project`.
    """
    found: dict[str, str] = {}
    if pair.paused_because:
        found["paused"] = f"The pair is paused: {pair.paused_because}"
    elif (refused := _refused_credentials(runs, pair)) is not None:
        # the key of a pause, which is how a service tells the same
        why = as_sentences(refused["message"], refused["hint"])
        found["paused"] = f"Credentials were refused: {why}"
    stopped = _stopped_itself(runs, pair)
    if stopped is not None:
        why = as_sentences(stopped["message"], stopped["hint"])
        found["stopped"] = f"A run stopped itself: {why}"
    standing = overview(store.engine, [pair])[pair.id]
    first = partial(runs.first_began, pair.id)
    stale = why_stale(pair, standing, schedule, now, first, kept=kept)
    if stale is not None:
        found["stale"] = stale
    found |= _about_none(runs.last_whole(pair.id))
    for link in store.links_with_problems(pair.id):
        for one in link.failures:
            if not one.accepted:
                key = f"{link.testrail_id} {one.field or ''} {one.kind.value}"
                advice = one.kind.advice(link.testrail_id)
                found[key] = f"{_called(pair, link, one)}: {one.reason} {advice}"
    return {key: for_project(text, project) for key, text in found.items()}


def _about_none(last: RunRecord | None) -> Topics:
    """What the last whole run told that is about no milestone with an id."""
    found = {}
    for problem in last.problems if last is not None else ():
        if problem.get("testrail_id") is None:
            kind = ProblemKind[str(problem["kind"]).upper()]
            found[f"{_NAMELESS} {kind.value}"] = f"{problem['reason']} {kind.advice(None)}"
    return found


def _called(pair: Pair, link: Link, one: Failure) -> str:
    """A milestone by its id and name, or by its address in TestRail if it has no name."""
    name = " ".join(link.name.split())
    name_or_url = name or f"(no name) {marker_url(pair.identity.testrail_url, link.testrail_id)}"
    return f"{link.testrail_id} {name_or_url}" + (
        f" ({one.field.replace('_', ' ')})" if one.field else ""
    )


def _refused_credentials(runs: RunLog, pair: Pair) -> Mapping[str, Any] | None:
    """The error of a run that nobody watched, if none since could use the credentials."""
    refused = runs.last_whole(pair.id, error="credentials", unwatched=True)
    return _unless_since(refused, runs.last_whole(pair.id, states=_HAS_READ))


def _stopped_itself(runs: RunLog, pair: Pair) -> Mapping[str, Any] | None:
    """The guard that stopped a run that nobody watched, if none has come to its end since."""
    stopped = runs.last_whole(pair.id, states=("aborted",), error="guard", unwatched=True)
    return _unless_since(stopped, runs.last_whole(pair.id, states=ENDED_WELL))


def _unless_since(run: RunRecord | None, better: RunRecord | None) -> Mapping[str, Any] | None:
    """The error that a run ended with, unless a better one began after it."""
    if run is None or (better is not None and better.started_at > run.started_at):
        return None
    return run.error


def notice_of(
    event: str, pair: Pair, topics: Topics, reported: Sequence[str], project: int | None = None
) -> Notice:
    """The digest of a pair: what is new first, then what still is as it was."""
    identity = pair.identity
    named = f"project {identity.testrail_project} → {identity.testably_project}"
    where = f"{pair.testrail_name} ({named})" if pair.testrail_name else named
    ids = (identity.testrail_project, identity.testably_project)
    if event == "over":
        return Notice(event, f"milesync: {where} needs nobody any more.", (), *ids)
    lines = _by_milestone(topics, reported)
    number = len(lines)
    things = "one thing needs" if number == 1 else f"{number} things need"
    shown = [f"- {line}" for line in lines[:MOST_LINES]]
    shown += [f"- … and {number - MOST_LINES} more."] if number > MOST_LINES else []
    of_runs = _OF_RUNS & topics.keys()
    advice = ["`milesync failures` lists what needs a person."] if topics.keys() - of_runs else []
    advice += ["`milesync status` shows the last runs."] if of_runs else []
    last_line = for_project(" ".join(advice), project)
    return Notice(event, f"milesync: {where}: {things} a person.", (*shown, last_line), *ids)


def _by_milestone(topics: Topics, reported: Sequence[str]) -> list[str]:
    """What there is to tell, each milestone once: those with something new first."""
    found: dict[str, list[str]] = defaultdict(list)
    for key in topics:
        about = key.partition(" ")[0]
        found[about if about.isdecimal() else key].append(key)
    new = [keys for keys in found.values() if not all(key in reported for key in keys)]
    old = [keys for keys in found.values() if all(key in reported for key in keys)]
    lines = ["\n  ".join(topics[key] for key in keys) for keys in new]
    return [*lines, *("Still: " + "\n  ".join(topics[key] for key in keys) for keys in old)]
