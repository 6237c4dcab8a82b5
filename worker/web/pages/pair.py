"""GET /pairs/1/proj_a: one pair and its runs. …/milestones: its milestones."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request

from mappings.paged import links_page
from worker.facts import lifecycles
from worker.facts.runs import run_json
from worker.web.pages.frame import Pager, asked_text, page
from worker.web.pages.pairs import cards, pair_of
from worker.web.service import service_of

RUNS: Final = 25
MILESTONES: Final = 100
"""So many on one page."""


@page("pair.html")
def show(request: Request) -> dict[str, Any]:
    """The page of a pair."""
    service = service_of(request)
    known = pair_of(request)
    runs = service.deployment.runs
    ids = [known.pair.id] if known.pair else []
    pager = Pager.of(request, runs.count(ids), RUNS)
    found = runs.of_pairs(ids, pager.size, pager.offset)
    return {
        "card": cards(service, [known])[0],
        "known": known,
        "runs": [{**run_json(run), "not_exact": run.not_exact} for run in found],
        "pager": pager,
        "rate": service.settings.testably.rate_limit,
    }


@page("milestones.html")
def show_milestones(request: Request) -> dict[str, Any]:
    """The milestones of a pair; narrowed to those whose name or id has the text ``q``."""
    here = service_of(request).deployment
    known = pair_of(request)
    text = asked_text(request)
    engine, id_ = here.store.engine, known.pair.id if known.pair else 0
    _, total = links_page(engine, id_, text, limit=0)
    pager = Pager.of(request, total, MILESTONES, q=text)
    found, _ = links_page(engine, id_, text, limit=pager.size, offset=pager.offset)
    zone, now = known.configured.timezone, here.clock.now()
    return {
        "known": known,
        "links": [(link, lifecycles.of_link(link, zone, now)) for link in found],
        "pager": pager,
        "text": text,
    }
