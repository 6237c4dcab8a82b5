"""GET /: where every pair stands, on one page."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mappings.errors import MilesyncError
from mappings.overview import Overview, overview
from mappings.rows import Pair
from worker.settings import ProjectPair
from worker.web.service import Service, service_of

_RUNS: Final = 5
_PROBLEMS: Final = 20


async def show(request: Request) -> Response:
    """The page; 503 with the reason where the database does not answer."""
    service = service_of(request)
    try:
        rows = await run_in_threadpool(_rows, service)
    except MilesyncError as error:
        return HTMLResponse(_template().render(rows=[], error=error.message), 503)
    return HTMLResponse(_template().render(rows=rows, error=None))


@cache
def _template() -> Any:
    pages = Environment(loader=PackageLoader("worker.web"), autoescape=True)
    return pages.get_template("status.html")


def _rows(service: Service) -> list[dict[str, Any]]:
    here = service.deployment
    counts = overview(here.store.engine)
    recorded = {pair.identity: pair for pair in here.store.all_pairs()}
    return [
        _row(service, configured, recorded.get(here.identity(configured)), counts)
        for configured in here.settings.projects
    ]


def _row(
    service: Service, configured: ProjectPair, pair: Pair | None, counts: Overview
) -> dict[str, Any]:
    row: dict[str, Any] = {"configured": configured, "pair": pair, "runs": [], "problems": []}
    if pair is not None:
        row["runs"] = service.deployment.runs.latest(pair.id, _RUNS)
        row["links"] = counts.links.get(pair.id, {})
        row["troubles"] = counts.problems.get(pair.id, {})
        row["synced_at"] = counts.synced_at.get(pair.id)
        row["problems"] = list(row["runs"][0].problems)[:_PROBLEMS] if row["runs"] else []
    return row
