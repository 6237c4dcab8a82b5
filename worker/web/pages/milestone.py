"""GET /pairs/1/proj_a/milestones/7: one milestone, both sides and every write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request

from mappings.failures import failures_of_link
from mappings.paged import history_page, links_below
from mappings.problem import ProblemKind
from worker.bootstrap import Deployment
from worker.facts import lifecycles
from worker.facts.changes import fields_of
from worker.facts.milestones import both_sides, target_address
from worker.facts.runs import change_json
from worker.web.pages.frame import NotThere, Pager, asked_page, number, page
from worker.web.pages.pairs import Known, pair_of
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
    matters = failures_of_link(link, here.project_to_name(known.configured.testrail))
    return {
        "known": known,
        "link": link,
        "sides": both_sides(here, pair, link),
        "kept": _kept(here, known, id_),
        "lifecycle": lifecycles.of_link(link, zone, now),
        "matters": matters,
        "retry_helps": link.can_be_retried and _advise_retry(matters["failures"]),
        "parent": here.store.links(pair.id, [link.parent_id]).get(link.parent_id)
        if link.parent_id
        else None,
        "below": [one for one in below.values() if one.testrail_id != id_],
        "changes": [{**change_json(one), "fields": fields_of(change_json(one))} for one in changes],
        "pager": Pager.of(request, total, CHANGES),
        "testably_address": link.testably_id and target_address(pair.identity, link.testably_id),
    }


def _advise_retry(failures: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a retry is the next step of something; of what is tried anyhow it may be sooner."""
    return not failures or any("`milesync retry" in one["next_step"] for one in failures)


def _kept(here: Deployment, known: Known, testrail_id: int) -> list[str]:
    """What the last run left of edits in Testably that win: their values are not recorded."""
    last = known.standing.last_run
    run = here.runs.get(last.run) if last is not None else None
    return [
        str(one["reason"])
        for one in (run.problems if run is not None else ())
        if one.get("testrail_id") == testrail_id and one["kind"] == ProblemKind.TARGET_EDIT_KEPT
    ]
