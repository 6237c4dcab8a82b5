"""The queue: ``celery -A worker.tasks worker`` and ``celery -A worker.tasks beat``.

``celery_app``  the bare app and its configuration, read from the settings when first needed
``beat``        the schedule
``jobs``        the tasks, and how to ask for them
``slices``      one slice of a run, and what comes after it
``refresh``     one milestone read afresh
``agreed``      what a person agreed to when a run was handed over
``paused``      pairs whose credentials were refused
``recall``      what a slice leaves for the next one
``hints``       many hints, little work
"""

from worker.tasks.celery_app import app, process_settings, redis_of, require_broker, use_settings
from worker.tasks.jobs import ask, go_on, refresh_milestone, sweep_deliveries, sync_project

__all__ = [
    "app",
    "ask",
    "go_on",
    "process_settings",
    "redis_of",
    "refresh_milestone",
    "require_broker",
    "sweep_deliveries",
    "sync_project",
    "use_settings",
]
