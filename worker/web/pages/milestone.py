"""GET /pairs/1/proj_a/milestones/7: one milestone, both sides and every write."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request

from mappings.failures import failures_of_link
from mappings.paged import history_page, links_below
from mappings.rows import PairIdentity
from worker.facts import lifecycles
from worker.facts.milestones import both_sides
from worker.facts.runs import change_json
from worker.web.pages.frame import NotThere, Pager, asked_page, number, page
from worker.web.pages.pairs import pair_of
from worker.web.pages.run import fields_of
from worker.web.service import service_of

CHANGES: Final = 50
"""So many on one page."""


@page("milestone.html")
def show(request: Request) -> dict[str, Any]:
    """The page of a milestone."""
    here = service_of(request).deployment
    known, id_ = pair_of(request), number(request, "milestone")
    pair = known.pair
    link = here.store.links(pair.id, [id_]).get(id_) if pair else None
    if pair is None or link is None:
        raise NotThere(f"Milestone {id_} is not recorded in this pair.")
    first = (min(asked_page(request), 10**9) - 1) * CHANGES
    changes, total = history_page(here.store.engine, pair.id, id_, CHANGES, first)
    zone, now = known.configured.timezone, here.clock.now()
    below = links_below(here.store.engine, pair.id, link)
    return {
        "known": known,
        "link": link,
        "sides": both_sides(here, known.configured, pair, link),
        "lifecycle": lifecycles.of_link(link, zone, now),
        "matters": failures_of_link(link),
        "parent": here.store.links(pair.id, [link.parent_id]).get(link.parent_id)
        if link.parent_id
        else None,
        "below": [one for one in below.values() if one.testrail_id != id_],
        "changes": [{**change_json(one), "fields": fields_of(change_json(one))} for one in changes],
        "pager": Pager.of(request, total, CHANGES),
        "testably_address": _api_address(pair.identity, link.testably_id),
    }


def _api_address(pair: PairIdentity, testably_id: str | None) -> str | None:
    """Where Testably's API has the milestone: the only address of it that is documented."""
    if testably_id is None:
        return None
    id_ = quote(testably_id, safe="")
    return f"{pair.testably_url}/v1/projects/{pair.testably_project}/milestones/{id_}"
