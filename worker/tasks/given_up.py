"""Runs that the service does not go on with: each is closed with why, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from worker.bootstrap import Deployment

NOT_CONFIGURED: Final = {
    "kind": "settings",
    "message": "This pair is not configured any more, or not enabled.",
    "hint": "",
}
OTHER_ADDRESSES: Final = {
    "kind": "settings",
    "message": "MILESYNC_TESTRAIL_URL or MILESYNC_TESTABLY_URL was changed since this run began, "
    "and with other addresses it would be about another project pair: it does not go on.",
    "hint": "Run it again with the addresses that are meant. What it wrote stays where it is; to "
    "undo that, set the former addresses first.",
}

log = structlog.get_logger(__name__)


def give_up(deployment: Deployment, run: str, error: Mapping[str, str]) -> None:
    """Close a run that waits. One that has ended, or that somebody is at, is left as it is."""
    if deployment.runs.abort_waiting(run, error):
        log.warning("the run does not go on", run=run, because=error["message"])
    else:
        log.info("skipped: the run has ended, or somebody is at it", run=run)
