"""GET /runs/ID: one run; live while it runs."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request

from mappings.locks import settle_dead
from mappings.paged import written
from mappings.rows import Pair
from mappings.run_record import RUNNING, UNFINISHED
from worker.bootstrap import Deployment
from worker.facts.changes import fields_of
from worker.facts.matters import kept, needing
from worker.facts.progress import progress_of
from worker.facts.runs import DONE, Facts, by_milestone, change_json, run_json, what_was
from worker.web.pages.frame import NotThere, Pager, asked_page, page
from worker.web.pages.pairs import Known
from worker.web.service import service_of

MILESTONES: Final = 100
PROBLEMS: Final = 200
"""So many on one page."""


@page("run.html")
def show(request: Request) -> dict[str, Any]:
    """The page of a run."""
    here = service_of(request).deployment
    settle_dead(here.runs)
    run = here.runs.get(request.path_params["run"])
    if run is None:
        raise NotThere(f"There is no run {request.path_params['run']}.")
    pair = next(pair for pair in here.store.all_pairs() if pair.id == run.pair_id)
    first = (min(asked_page(request), 10**9) - 1) * MILESTONES
    changes, total = written(here.store.engine, run.id, MILESTONES, first)
    is_open = run.state in (RUNNING, UNFINISHED)
    return {
        "run": {**run_json(run), "verified": run.verified, "not_exact": run.not_exact},
        "known": _known(here, pair),
        "pair": pair,
        "groups": _groups(_items(here, pair, [change_json(one) for one in changes])),
        "pager": Pager.of(request, total, MILESTONES),
        "needing": needing(run.problems),
        "kept": kept(run.problems),
        "most": PROBLEMS,
        "is_open": is_open,
        "progress": progress_of(here, [run])[run.id] if is_open else None,
        "name": here.runs.shortest_name(run.id),
    }


def _known(here: Deployment, pair: Pair) -> Known | None:
    """The pair as it is configured, if it still is."""
    configured = (one for one in here.settings.projects if here.identity(one) == pair.identity)
    return next((Known(one, pair) for one in configured), None)


def _items(here: Deployment, pair: Pair, changes: list[Facts]) -> list[Facts]:
    links = here.store.links(pair.id, {change["testrail_id"] for change in changes})
    return [
        {
            "testrail_id": testrail_id,
            "testably_id": found[-1]["testably_id"],
            "name": links[testrail_id].name if testrail_id in links else "",
            "outcome": what_was(found),
            "changes": [field for one in found if one["state"] == DONE for field in fields_of(one)],
            "not_done": [one for one in found if one["state"] != DONE],
        }
        for testrail_id, found in by_milestone(changes).items()
        if testrail_id is not None
    ]


def _groups(items: list[Facts]) -> dict[str, list[Facts]]:
    """The milestones by what became of them."""
    found: dict[str, list[Facts]] = {}
    for item in items:
        found.setdefault(item["outcome"], []).append(item)
    return found
