"""The settings: ``milesync.toml``, a ``.env`` beside it and ``MILESYNC_*`` variables.

``values``    what one setting may be (text in, typed value out)
``schedule``  the same for a cron line
``model``     which settings there are, with their defaults
``effective`` what a process does with them: its pairs, accounts and secrets
``load``      where they come from, and what is said when one is wrong
``template``  the commented example that ``milesync init`` writes

A setting has two names: the key in the file (``testably.rate_limit``) and the variable
(``MILESYNC_TESTABLY_RATE_LIMIT``); `worker.settings.model.variable` turns one into the other.
"""

from worker.settings.amounts import Rate
from worker.settings.effective import Settings
from worker.settings.load import load_settings
from worker.settings.model import (
    LogSettings,
    ProjectPair,
    SourceSettings,
    SyncSettings,
    TargetSettings,
    WebSettings,
)
from worker.settings.template import settings_template
from worker.settings.values import Listen, redacted

__all__ = [
    "Listen",
    "LogSettings",
    "ProjectPair",
    "Rate",
    "Settings",
    "SourceSettings",
    "SyncSettings",
    "TargetSettings",
    "WebSettings",
    "load_settings",
    "redacted",
    "settings_template",
]
