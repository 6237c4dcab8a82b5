"""``python -m tests.service.ahead SECONDS ARGUMENTS``: Celery on a machine whose clock is ahead."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Any

import celery.worker.request
from celery.__main__ import main

AHEAD = dt.timedelta(seconds=float(sys.argv.pop(1)))


class Wrong(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return super().now(tz) + AHEAD


if __name__ == "__main__":
    celery.worker.request.datetime = Wrong
    main()
