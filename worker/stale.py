"""When a pair is stale: its schedule has come round, and no run of it has ended well.

`status`, the notices, the pages and the metrics all ask here. The schedule is the pair's, whoever
keeps to it: the beat, or a timer of the operating system that runs `milesync sync`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from mappings.overview import ENDED_WELL, Standing
from mappings.rows import Pair
from worker.errors import text_for_others
from worker.settings.schedule import moments

MISSED: Final = 3
"""So many moments of the schedule without a run that ended well make a pair stale…"""
GRACE: Final = timedelta(minutes=10)
"""…once the run of the last one has had this long to end well…"""
LEAST: Final = timedelta(hours=1)
"""…and never in less than this."""


def is_stale(schedule: str, since: datetime, now: datetime) -> bool:
    """Whether a pair with this cron line, whose last good run ended at ``since``, is stale."""
    if now - since <= LEAST:
        return False
    third = next(islice(moments(schedule, since), MISSED - 1, None))
    return now - third > GRACE


def why_stale(
    pair: Pair,
    standing: Standing,
    schedule: str,
    now: datetime,
    first_began: Callable[[], datetime | None],
    *,
    kept: bool,
) -> str | None:
    """That a pair is stale, as a sentence for notices and people; None if it is not.

    ``first_began`` gives when its first run began. ``kept`` says that somebody keeps to the
    schedule, as a last run that came by it tells too. Where nobody does, a pair whose last run
    ended well is not stale, unless people were told so: nobody may have meant to run it since.
    """
    last, well = standing.last_run, standing.synced_at
    if last is None:
        return None
    ended_well = last.state in ENDED_WELL
    kept |= last.trigger == "schedule" or "stale" in (pair.topics_told or ())
    if ended_well and not kept:
        return None
    since = well or first_began()
    if since is None or not is_stale(schedule, since, now):
        return None
    since_text = f"{since:%Y-%m-%d %H:%M} UTC"
    never = f"No run has ever ended well; the first began on {since_text}."
    ended = never if well is None else f"No run has ended well since {since_text}."
    why = "" if ended_well or not last.error else f" The last one: {text_for_others(last.error)}"
    return f"The pair is stale. {ended}{why}"
