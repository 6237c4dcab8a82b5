"""The rows of the store as values, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import Any, Final

from sqlalchemy import RowMapping

from mappings.link import Link
from mappings.link_record import LinkState, Sent
from mappings.milestone import Values
from mappings.problem import FieldProblem, Problem, ProblemKind
from mappings.sharing import EMPTY, PackedRecord, unless_equal


@dataclass(frozen=True, slots=True)
class PairIdentity:
    """What makes a project pair: both base URLs and both project ids."""

    testrail_url: str
    testrail_project: int
    testably_url: str
    testably_project: str


ANY_ADDRESS: Final = ""
"""Stands for the addresses that have nothing of their own: before, all were told the same."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an address was told of a pair, and when it was told something last.

    ``topics`` are None where it has heard that all is over, or was never told anything.
    """

    topics: Sequence[str] | None = None
    at: datetime | None = None

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Told:
        """From what `as_json` gave."""
        return cls(kept["topics"], datetime.fromisoformat(kept["at"]))

    def as_json(self) -> dict[str, Any]:
        """For the database; of an address that was told something."""
        return {"topics": self.topics, "at": self.at and self.at.isoformat()}


@dataclass(frozen=True, slots=True)
class Pair:
    """A recorded project pair. ``rules`` is the mapping that was last applied by a person.

    ``proved_at`` is when both sides were last found to agree, ``drifted_at`` when they were last
    found to differ. A pair is paused while ``paused_because`` is set; ``refused_credentials``
    tells the refused ones from others, and is no part of any message. The names are the
    projects' own, as far as they were ever read. ``noticed`` is what each address of notices was
    told of it.
    """

    id: int
    identity: PairIdentity
    rules: str | None = None
    listed_at: datetime | None = None
    proved_at: datetime | None = None
    paused_because: str | None = None
    paused_at: datetime | None = None
    refused_credentials: str | None = None
    testrail_name: str | None = None
    testably_name: str | None = None
    open_word: str | None = None
    drifted_at: datetime | None = None
    noticed: Mapping[str, Told] | None = None

    def told(self, address: str) -> Told:
        """What this address was told."""
        noticed = self.noticed or {}
        return noticed.get(address) or noticed.get(ANY_ADDRESS) or Told()

    @property
    def topics_told(self) -> frozenset[str] | None:
        """What any address was told and of which it has not heard that all is over; or None."""
        open_ = [one.topics for one in (self.noticed or {}).values() if one.topics is not None]
        return frozenset(chain(*open_)) if open_ else None


class ChangeState(StrEnum):
    """What became of a journaled write."""

    INTENDED = "intended"
    DONE = "done"
    REFUSED = "refused"
    NOT_DONE = "not_done"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Change:
    """One write to the target: the values before and after, and what the target echoed.

    A create below a parent may give that other values to show: ``parent_before`` are those that
    the run had read of it.
    """

    run_id: str
    testrail_id: int
    testably_id: str | None
    kind: str
    before: Values
    after: Values
    at: datetime
    state: ChangeState = ChangeState.INTENDED
    echo: Values | None = None
    note: str = ""
    undoes: int | None = None
    settled_at: datetime | None = None
    id: int | None = None
    pair_id: int | None = None
    parent_before: Values | None = None


def adoption(
    run_id: str, testrail_id: int, testably_id: str | None, why: str, now: datetime
) -> Change:
    """The record that a target was adopted: nothing is sent, so that it is done at once."""
    ids = (run_id, testrail_id, testably_id)
    return Change(*ids, "adopt", {}, {}, now, ChangeState.DONE, note=why, settled_at=now)


def identity_columns(identity: PairIdentity) -> Mapping[str, Any]:
    """What identifies a pair, as columns."""
    return {
        "testrail_url": identity.testrail_url,
        "testrail_project": identity.testrail_project,
        "testably_url": identity.testably_url,
        "testably_project": identity.testably_project,
    }


def pair_of(row: RowMapping) -> Pair:
    """A pair from its row."""
    identity = PairIdentity(
        row["testrail_url"],
        row["testrail_project"],
        row["testably_url"],
        row["testably_project"],
    )
    others = {name: row[name] for name in PAIR_COLUMNS}
    if others["noticed"] is not None:
        others["noticed"] = {a: Told.from_json(one) for a, one in others["noticed"].items()}
    return Pair(row["id"], identity, **others)


PAIR_COLUMNS = (
    "rules",
    "listed_at",
    "proved_at",
    "paused_because",
    "paused_at",
    "refused_credentials",
    "testrail_name",
    "testably_name",
    "open_word",
    "drifted_at",
    "noticed",
)
COLUMN_OF = {
    "testrail_id": "testrail_id",
    "testably_id": "testably_id",
    "name": "name",
    "last_applied": "pushed",
    "observed": "echoed",
    "observed_at": "echoed_at",
    "in_flight": "intended",
    "parent_id": "parent_id",
    "target_parent": "target_parent",
    "has_children": "has_children",
    "source_fingerprint": "source_print",
    "target_fingerprint": "target_print",
    "agreed_counts": "agreed_counts",
    "agreed_until": "agreed_until",
    "raw": "raw",
    "attempt_at": "attempt_at",
    "attempt_deadline": "attempt_deadline",
    "attempt_newest": "attempt_newest",
    "attempt_before": "attempt_before",
    "attempt_asked": "attempt_asked",
    "attempt_parent": "attempt_parent",
    "attempts": "attempts",
    "change_id": "change_id",
    "look_again": "look_again",
    "lease_until": "claim_until",
    "version": "version",
}
"""The column of each attribute of a link that is kept as it is."""


def link_columns(link: Link) -> dict[str, Any]:
    """A link as a row, without its id and pair."""
    columns = {column: getattr(link, name) for name, column in COLUMN_OF.items()}
    problem = link.problem
    found = link.failures
    return columns | {
        "state": link.state.value,
        "sent": {name: [sent.value, sent.count] for name, sent in link.sent.items()},
        "field_problems": {name: p.as_json() for name, p in link.field_problems.items()},
        "trouble_kind": problem and problem.kind.value,
        "trouble_reason": problem and problem.reason,
        "trouble_since": problem and problem.since,
        "trouble_count": problem and problem.count,
        "trouble_at": problem and problem.counted_at,
        "open_problems": sum(not one.accepted for one in found),
        "accepted_problems": sum(one.accepted for one in found),
    }


def link_of(row: RowMapping) -> Link:
    """A link from its row."""
    problem = None
    if row["trouble_kind"] is not None:
        problem = Problem(
            ProblemKind[row["trouble_kind"].upper()],
            row["trouble_reason"],
            row["trouble_since"],
            row["trouble_count"] or 1,
            row["trouble_at"],
        )
    kept = row["field_problems"]
    facts = {name: row[column] for name, column in COLUMN_OF.items()}
    facts["raw"] = PackedRecord(facts["raw"])
    for ids in ("attempt_before", "attempt_asked"):
        facts[ids] = None if facts[ids] is None else tuple(facts[ids])
    facts["observed"] = unless_equal(facts["observed"], facts["last_applied"])
    return Link(
        state=LinkState(row["state"]),
        problem=problem,
        sent={name: Sent(*pair) for name, pair in row["sent"].items()} or EMPTY,
        field_problems={n: FieldProblem.from_json(one) for n, one in kept.items()} or EMPTY,
        **facts,
    )


def change_of(row: RowMapping) -> Change:
    """A change from its row."""
    values = {name: row[name] for name in row if name != "state"}
    return Change(state=ChangeState(row["state"]), **values)


def change_columns(pair_id: int, change: Change) -> dict[str, Any]:
    """A change as a row, without its id."""
    return {
        "pair_id": pair_id,
        "run_id": change.run_id,
        "testrail_id": change.testrail_id,
        "testably_id": change.testably_id,
        "kind": change.kind,
        "state": change.state.value,
        "before": dict(change.before),
        "after": dict(change.after),
        "echo": None if change.echo is None else dict(change.echo),
        "parent_before": None if change.parent_before is None else dict(change.parent_before),
        "note": change.note,
        "undoes": change.undoes,
        "at": change.at,
        "settled_at": change.settled_at,
    }
