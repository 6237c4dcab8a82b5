"""GET /needs-you: everything that waits for a person, over all pairs, with what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from mappings.failures import failures
from worker.bootstrap import Deployment
from worker.facts.matters import Matter, by_milestone
from worker.web.pages.frame import Pager, page
from worker.web.pages.pairs import Known, every_pair
from worker.web.service import service_of

THINGS: Final = 50
"""So many on one page."""


@dataclass(frozen=True, slots=True)
class Part:
    """A pair with some of what it needs a person for.

    ``things`` are by milestone; ``is_still`` says that what keeps the pair itself is among them.
    """

    known: Known
    is_still: bool
    things: Sequence[Matter]


@page("needs_you.html")
def show(request: Request) -> dict[str, Any]:
    """The page; the worst pairs first."""
    here = service_of(request).deployment
    waiting = [one for one in every_pair(here) if one.needs_you]
    pager = Pager.of(request, sum(one.needs_you for one in waiting), THINGS)
    return {
        "parts": list(_parts(here, waiting, pager.offset, pager.offset + pager.size)),
        "pager": pager,
        "things": pager.total,
        "still": sum(one.is_still for one in waiting),
    }


def _parts(here: Deployment, waiting: Sequence[Known], first: int, end: int) -> Iterator[Part]:
    """What the things from ``first`` to ``end`` of the whole list are, by pair."""
    before = 0
    for one in waiting:
        start, stop = first - before, end - before
        before += one.needs_you
        if stop > 0 and start < one.needs_you:
            yield _part(here, one, max(start, 0), stop)


def _part(here: Deployment, one: Known, first: int, end: int) -> Part:
    assert one.pair is not None  # noqa: S101  (what never ran needs nobody)
    project = here.project_to_name(one.configured.testrail)
    listed = failures(here.store, one.pair, one.standing.last_run, project, end)["failures"]
    shown = by_milestone(listed)[max(first - one.is_still, 0) : end - one.is_still]
    return Part(one, one.is_still and first == 0, shown)
