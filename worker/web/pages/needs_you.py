"""GET /needs-you: everything that waits for a person, over all pairs, with what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from mappings.failures import failures
from mappings.overview import Condition
from worker.bootstrap import Deployment
from worker.facts.matters import Matter, by_milestone
from worker.facts.runs import run_json
from worker.web.pages.frame import Pager, page
from worker.web.pages.pairs import Known, every_pair
from worker.web.service import service_of

THINGS: Final = 50
"""So many on one page."""


@dataclass(frozen=True, slots=True)
class Part:
    """A pair with some of what it needs a person for.

    ``things`` are by milestone. ``stopped`` is its last run, where that failed or refused
    credentials keep it from running.
    """

    known: Known
    stopped: dict[str, Any] | None
    things: Sequence[Matter]


@page("needs_you.html")
def show(request: Request) -> dict[str, Any]:
    """The page; the worst pairs first."""
    here = service_of(request).deployment
    waiting = [one for one in every_pair(here) if _size(one)]
    pager = Pager.of(request, sum(_size(one) for one in waiting), THINGS)
    return {
        "parts": list(_parts(here, waiting, pager.offset, pager.offset + pager.size)),
        "pager": pager,
        "things": sum(one.standing.concerned for one in waiting),
        "still": sum(_stands_still(one) for one in waiting),
    }


def _size(one: Known) -> int:
    """How many things of a pair the list has."""
    return one.standing.concerned + _stands_still(one) if one.configured.enabled else 0


def _stands_still(one: Known) -> bool:
    return one.pair is not None and one.condition in (Condition.PAUSED, Condition.FAILED)


def _parts(here: Deployment, waiting: Sequence[Known], first: int, end: int) -> Iterator[Part]:
    """What the things from ``first`` to ``end`` of the whole list are, by pair."""
    before = 0
    for one in waiting:
        start, stop = first - before, end - before
        before += _size(one)
        if stop > 0 and start < _size(one):
            yield _part(here, one, max(start, 0), stop)


def _part(here: Deployment, one: Known, first: int, end: int) -> Part:
    assert one.pair is not None  # noqa: S101  (what never ran needs nobody)
    stands_still = _stands_still(one)
    last = one.standing.last_run
    run = here.runs.get(last.run) if stands_still and first == 0 and last is not None else None
    project = here.project_to_name(one.configured.testrail)
    listed = failures(here.store, one.pair, last, project, end)["failures"]
    shown = by_milestone(listed)[max(first - stands_still, 0) : end - stands_still]
    return Part(one, run_json(run) if run else None, shown)
