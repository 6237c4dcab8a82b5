"""Where every pair stands by what is recorded: for `status`, the pages and the metrics alike (R10).

A few queries answer for all pairs together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, and_, func, literal, select
from sqlalchemy.exc import SQLAlchemyError

from mappings.causes import store_error
from mappings.link_record import LinkState
from mappings.problem import WHOLE, ProblemKind
from mappings.rows import Pair
from mappings.run_record import RUNNING, UNFINISHED, RunRecord
from mappings.run_rows import is_whole, run_of
from mappings.tables import UtcDateTime, links, pairs, runs

ENDED_WELL: Final = ("succeeded", "partial")


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run of the whole pair that has ended, with what it found of no milestone.

    ``nameless`` are its problems that no link can keep: a list that was not read whole, a record
    without an id. ``finished_at`` is UTC; ``trigger`` is what started it, ``error`` what ended it.
    """

    state: str
    finished_at: datetime
    nameless: Sequence[Mapping[str, Any]] = ()
    run: str = ""
    trigger: str = ""
    error: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one pair stands.

    ``links`` are counted by state and ``problems`` by kind, those alone that nobody has accepted;
    ``concerned`` are the milestones that they are about, with each thing that is about none.
    ``synced_at`` is when a run of the whole pair last came to its end, UTC. ``in_step`` is None if
    it is not known.
    """

    links: Mapping[str, int] = field(default_factory=dict)
    problems: Mapping[ProblemKind, int] = field(default_factory=dict)
    concerned: int = 0
    accepted: int = 0
    last_run: LastRun | None = None
    synced_at: datetime | None = None
    in_step: bool | None = None

    @property
    def needs_person(self) -> int:
        """How much there is in `milesync failures`."""
        return sum(self.problems.values())

    @property
    def held(self) -> int:
        """How many milestones an undo holds."""
        return self.links.get(LinkState.HELD.value, 0)

    @property
    def held_accepted(self) -> int:
        """How many of those a person lives with."""
        counting = sum(n for kind, n in self.problems.items() if kind.is_hold)
        return max(self.held - counting, 0)


class Condition(IntEnum):
    """What an operator should know of a pair first, the worst first."""

    PAUSED = 0
    """Refused credentials keep it from running."""
    FAILED = 1
    """Its last run of the whole pair did not come to its end."""
    NEEDS_PERSON = 2
    DIFFERS = 3
    UNKNOWN = 4
    IN_STEP = 5


def stands_still(pair: Pair, standing: Standing) -> bool:
    """Whether a person has to see to the pair itself, before anything of it goes on."""
    return condition(pair, standing) in (Condition.PAUSED, Condition.FAILED)


def condition(pair: Pair, standing: Standing) -> Condition:
    """The first of these that is so."""
    last = standing.last_run
    if pair.paused_because:
        return Condition.PAUSED
    if last is not None and last.state not in ENDED_WELL:
        return Condition.FAILED
    if standing.needs_person:
        return Condition.NEEDS_PERSON
    if standing.in_step is None:
        return Condition.UNKNOWN
    return Condition.IN_STEP if standing.in_step else Condition.DIFFERS


def overview(engine: Engine, known: Iterable[Pair], *, brief: bool = False) -> dict[int, Standing]:
    """The standing of each of these pairs, by pair id. Raises StoreError.

    ``brief`` leaves out what looks at every link and run: the counts of states and of what was
    accepted, and ``synced_at``.
    """
    recorded = list(known)
    ids = [pair.id for pair in recorded]
    try:
        with engine.connect() as connection:
            states = {} if brief else _nested(connection.execute(_states(ids)))
            problems = _problems(connection, ids)
            accepted = {} if brief else _by_pair(connection.execute(_accepted(ids)))
            last = _last_runs(connection, ids)
            synced = {} if brief else _by_pair(connection.execute(_synced(ids)))
    except SQLAlchemyError as error:
        raise store_error("The database did not answer", error) from error
    return {
        pair.id: _standing(
            pair,
            states.get(pair.id, {}),
            *problems[pair.id],
            accepted.get(pair.id, 0),
            last.get(pair.id),
            synced.get(pair.id),
        )
        for pair in recorded
    }


def latest_runs(
    engine: Engine, pair_ids: Sequence[int], limit: int = 5
) -> dict[int, list[RunRecord]]:
    """The newest runs of each of these pairs, newest first. Raises StoreError."""
    other = runs.alias()
    oldest = (
        select(other.c.started_at)
        .where(other.c.pair_id == pairs.c.id)
        .order_by(other.c.started_at.desc())
        .limit(1)
        .offset(limit - 1)
        .correlate(pairs)
        .scalar_subquery()
    )
    since = func.coalesce(oldest, literal(datetime(1970, 1, 1, tzinfo=UTC), UtcDateTime))
    query = (
        select(runs)
        .join(pairs, pairs.c.id == runs.c.pair_id)
        .where(pairs.c.id.in_(pair_ids), runs.c.started_at >= since)
        .order_by(runs.c.started_at.desc(), runs.c.id.desc())
    )
    found: dict[int, list[RunRecord]] = {pair_id: [] for pair_id in pair_ids}
    try:
        with engine.connect() as connection:
            for row in connection.execute(query).mappings():
                found[row["pair_id"]].append(run_of(row))
    except SQLAlchemyError as error:
        raise store_error("The database did not answer", error) from error
    return {pair_id: some[:limit] for pair_id, some in found.items()}


def _standing(
    pair: Pair,
    states: Mapping[str, int],
    problems: Counter[ProblemKind],
    milestones: int,
    accepted: int,
    last_run: LastRun | None,
    synced_at: datetime | None,
) -> Standing:
    nameless = last_run.nameless if last_run is not None else ()
    every = problems + Counter(ProblemKind[str(one["kind"]).upper()] for one in nameless)
    agree = in_step(pair, last_run, every.keys())
    concerned = milestones + len(nameless)
    return Standing(states, every, concerned, accepted, last_run, synced_at, agree)


_UNREAD_LINKS: Final = frozenset({ProblemKind.UNREAD, ProblemKind.ABSENCE_UNPROVED})
_UNREAD: Final = _UNREAD_LINKS | {
    ProblemKind.NOT_PROVED,
    ProblemKind.SOURCE_INCOMPLETE,
    ProblemKind.TARGET_INCOMPLETE,
}
"""What says that something could not be read, and nothing of whether it differs."""


def in_step(pair: Pair, last_run: LastRun | None, problems: Set[ProblemKind]) -> bool | None:
    """Whether both sides agree, as far as is recorded; None if that is not known.

    They do not while something that was read needs a person, or if a difference was found after
    the last proof. Nobody knows, until the next proof, after a run of the whole pair that may have
    mended that, or one that was stopped, failed, could not read all, or left something to a person
    who has seen to it since.
    """
    proved, drifted = pair.proved_at, pair.drifted_at
    ended_well = last_run is not None and last_run.state == "succeeded"
    ended_at = None if last_run is None else last_run.finished_at
    if problems - _UNREAD:
        return False
    if drifted is not None and (proved is None or drifted > proved):
        return None if ended_well and ended_at is not None and ended_at > drifted else False
    if proved is None or (ended_at is not None and ended_at > proved and not ended_well):
        return None
    return None if problems & _UNREAD_LINKS else True


# --- the queries


def _states(ids: Sequence[int]) -> Select[Any]:
    counted = select(links.c.pair_id, links.c.state, func.count())
    return counted.where(links.c.pair_id.in_(ids)).group_by(links.c.pair_id, links.c.state)


def _accepted(ids: Sequence[int]) -> Select[Any]:
    total = select(links.c.pair_id, func.sum(links.c.accepted_problems))
    some = and_(links.c.pair_id.in_(ids), links.c.accepted_problems > 0)
    return total.where(some).group_by(links.c.pair_id)


def _synced(ids: Sequence[int]) -> Select[Any]:
    """One look into an index for each pair: all runs of all pairs would be a hundred times more."""
    ended = and_(runs.c.state.in_(ENDED_WELL), runs.c.finished_at.is_not(None), is_whole())
    last = (
        select(runs.c.finished_at)
        .where(runs.c.pair_id == pairs.c.id, ended)
        .order_by(runs.c.finished_at.desc())
        .limit(1)
        .correlate(pairs)
        .scalar_subquery()
    )
    return select(pairs.c.id, last).where(pairs.c.id.in_(ids))


def _problems(
    connection: Connection, ids: Sequence[int]
) -> dict[int, tuple[Counter[ProblemKind], int]]:
    """What nobody has accepted, by kind: of a milestone as a whole, and of single fields; and of
    how many milestones."""
    found: dict[int, Counter[ProblemKind]] = {id_: Counter() for id_ in ids}
    milestones: Counter[int] = Counter()
    columns = (links.c.pair_id, links.c.trouble_kind, links.c.field_problems)
    query = select(*columns).where(links.c.pair_id.in_(ids), links.c.open_problems > 0)
    for pair_id, kind, of_fields in connection.execute(query):
        kinds = list(_kinds(kind, of_fields))
        found[pair_id].update(kinds)
        milestones[pair_id] += bool(kinds)
    return {id_: (kinds, milestones[id_]) for id_, kinds in found.items()}


def _kinds(kind: str | None, of_fields: Mapping[str, Mapping[str, Any]]) -> Iterable[ProblemKind]:
    if kind is not None:
        one = ProblemKind[kind.upper()]
        is_left = one.is_hold and of_fields.get(WHOLE, {"accepted": False})["accepted"]
        if one.needs_person and not is_left:
            yield one
    for name, problem in of_fields.items():
        if name != WHOLE and not problem["accepted"]:
            yield ProblemKind[problem["kind"].upper()]


def _last_runs(connection: Connection, ids: Sequence[int]) -> dict[int, LastRun]:
    """The newest run of each pair, of the whole of it, that has ended."""
    other = runs.alias()
    ended = and_(other.c.finished_at.is_not(None), other.c.state.not_in((RUNNING, UNFINISHED)))
    newest = (
        select(other.c.id)
        .where(other.c.pair_id == pairs.c.id, is_whole(other), ended)
        .order_by(other.c.started_at.desc(), other.c.id.desc())
        .limit(1)
        .correlate(pairs)
        .scalar_subquery()
    )
    facts = (runs.c.state, runs.c.finished_at, runs.c.problems, runs.c.id)
    columns = (pairs.c.id, *facts, runs.c.trigger, runs.c.error)
    query = select(*columns).select_from(pairs).join(runs, runs.c.id == newest)
    rows = connection.execute(query.where(pairs.c.id.in_(ids)))
    return {
        pair_id: LastRun(
            state, at, [one for one in problems or () if one.get("testrail_id") is None], *rest
        )
        for pair_id, state, at, problems, *rest in rows
    }


def _by_pair(rows: Any) -> dict[int, Any]:
    return {row[0]: row[1] for row in rows}


def _nested(rows: Any) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for pair_id, name, number in rows:
        found.setdefault(pair_id, {})[name] = number
    return found
