"""The report of runs as one HTML file that needs nothing else: for a screen, a phone and paper."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from mappings.errors import MilesyncError
from mappings.footer import marker_url
from worker.facts import ending, stays, words
from worker.facts.milestones import in_parts, target_address
from worker.facts.runs import took
from worker.facts.timeline import HEAD, NAMES, ROW, WIDTH

if TYPE_CHECKING:
    from mappings.rows import PairIdentity
    from worker.bootstrap import Deployment
    from worker.facts.report import PairReport
    from worker.sync.report import RunReport

_SIZES: Final = {"width": WIDTH, "names": NAMES, "row": ROW, "head": HEAD}


def page_of(deployment: Deployment, ended: Sequence[RunReport]) -> str:
    """The page about runs that have ended, or could not begin. Raises StoreError."""
    from worker.facts.report import report_of

    found: list[PairReport] = []
    failed: list[tuple[PairIdentity, MilesyncError | None]] = []
    for one in ended:
        run = deployment.runs.get(one.run) if one.run else None
        if run is None:
            failed.append((one.identity, one.error))
        else:
            found.append(report_of(deployment, run))
    return _render(found, failed)


def _render(
    reports: Sequence[PairReport], failed: Sequence[tuple[PairIdentity, MilesyncError | None]]
) -> str:
    from jinja2 import Environment, PackageLoader

    pages = Environment(loader=PackageLoader("worker.cli"), autoescape=True, lstrip_blocks=True)
    pages.globals.update(words=words, stays=stays, ending=ending, took=took, sizes=_SIZES)
    pages.globals.update(address=_source_address, target_address=_target_address)
    pages.globals.update(in_parts=in_parts)
    pages.filters.update(minute=_minute, day=_day)
    made_at = datetime.now(UTC)
    page = pages.get_template("report.html")
    return page.render(reports=reports, failed=failed, made_at=made_at)


def _source_address(report: PairReport, testrail_id: int) -> str:
    return marker_url(report.pair.identity.testrail_url, testrail_id)


def _target_address(report: PairReport, testably_id: str) -> str:
    return target_address(report.pair.identity, testably_id)


def _minute(at: datetime | str | None) -> str:
    """A moment in UTC to the minute."""
    if at is None:
        return "never"
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{moment.astimezone(UTC):%-d %B %Y %H:%M} UTC"


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%-d %B %Y}"
