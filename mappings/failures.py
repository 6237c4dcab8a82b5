"""What needs a person, one entry for each thing: for `milesync failures` and the pages alike."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from mappings.commands import for_project
from mappings.errors import as_sentences
from mappings.link import Link
from mappings.link_record import Failure
from mappings.overview import LastRun, Standing, stands_still
from mappings.problem import ProblemKind
from mappings.rows import Pair
from mappings.store import Store

Listed = dict[str, Any]


def failures(
    store: Store,
    pair: Pair,
    last_run: LastRun | None,
    project: int | None,
    most: int | None = None,
) -> dict[str, list[Listed]]:
    """A pair's ``failures`` and ``accepted`` in the contract's form, of at most so many links.

    ``project`` is what the next steps name, as in `for_project`. Raises StoreError.
    """
    found: dict[str, list[Listed]] = {"failures": [], "accepted": []}
    for link in store.links_with_problems(pair.id, most):
        for name, listed in failures_of_link(link, project).items():
            found[name] += listed
    if last_run is not None:
        found["failures"] += _of_run(last_run, project)
    return found


def failures_of_link(link: Link, project: int | None) -> dict[str, list[Listed]]:
    """The ``failures`` and ``accepted`` of one milestone, in the contract's form."""
    found: dict[str, list[Listed]] = {"failures": [], "accepted": []}
    for one in link.failures:
        found["accepted" if one.accepted else "failures"].append(_of_link(link, one, project))
    return found


def _of_link(link: Link, one: Failure, project: int | None) -> Listed:
    return {
        "testrail_id": link.testrail_id,
        "testably_id": link.testably_id,
        "name": link.name,
        "kind": one.kind.value,
        "field": one.field,
        "reason": for_project(one.reason, project),
        "since": one.since,
        "count": one.count,
        "next_step": one.kind.advice(link.testrail_id, project),
    }


def _of_run(run: LastRun, project: int | None) -> list[Listed]:
    """What the last whole run could say of no link: unread lists, records without an id."""
    since = run.finished_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return [
        {
            **{name: one.get(name) for name in ("testrail_id", "testably_id", "name", "kind")},
            "field": None,
            "reason": one.get("reason"),
            "since": since,
            "count": 1,
            "next_step": ProblemKind[str(one["kind"]).upper()].advice(None, project),
        }
        for one in run.nameless
    ]


def why_it_stands_still(pair: Pair, standing: Standing, project: int | None) -> str | None:
    """What keeps a pair as a whole from going on, and what to do; None if nothing does.

    ``project`` is what its commands name, as in `for_project`.
    """
    if not stands_still(pair, standing):
        return None
    error = standing.last_run.error if standing.last_run is not None else None
    told = "Its last run did not come to its end."
    if error:
        told = as_sentences(error["message"], error.get("hint", ""))
    return for_project(pair.paused_because or told, project)
