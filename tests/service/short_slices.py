"""``python -m tests.service.short_slices ARGUMENTS``: celery whose slices last two seconds."""

from __future__ import annotations

from celery.__main__ import main

from worker.tasks import slices

SECONDS = 2.0

if __name__ == "__main__":
    slices.SLICE = SECONDS  # type: ignore[misc]
    main()
