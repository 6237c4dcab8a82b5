"""When a pair is stale: its schedule has come round, and no run of it has ended well.

The notices, the pages and the metrics all ask here. The schedule is the pair's, whoever keeps to
it: the beat, or a timer of the operating system that runs `milesync sync`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Final

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
