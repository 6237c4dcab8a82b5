"""The settings that `milesync init` asks for, and what is said of a value that none can have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from worker.settings import values
from worker.settings.explain import key_of, refusal
from worker.settings.model import DEFAULT_SCHEDULE
from worker.settings.schedule import cron

URL, USER, KEY = "MILESYNC_TESTRAIL_URL", "MILESYNC_TESTRAIL_USER", "MILESYNC_TESTRAIL_API_KEY"
TARGET_URL, TOKEN = "MILESYNC_TESTABLY_URL", "MILESYNC_TESTABLY_TOKEN"
PROJECTS, ZONE = "MILESYNC_PROJECTS", "MILESYNC_TESTRAIL_TIMEZONE"
SCHEDULE = "MILESYNC_SCHEDULE"
SECRETS: Final = (KEY, TOKEN)
TARGET_DEFAULT: Final = "https://api.testably.app"
NOTHING: Final = "none"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for a setting; ``take`` raises ValueError for what it cannot be."""

    text: str
    take: Callable[[object], object]
    default: str | None = None


QUESTIONS: Final[Mapping[str, Question]] = {
    URL: Question("Address of TestRail, as https://example.testrail.io", values.source_url),
    USER: Question("TestRail user, as a rule an e-mail address", values.account),
    KEY: Question("TestRail API key, from My Settings there (not shown)", values.secret),
    TARGET_URL: Question("Address of Testably's API", values.target_url, TARGET_DEFAULT),
    TOKEN: Question("Testably token (not shown)", values.token),
    ZONE: Question("Time zone for dates, as Europe/Berlin", values.zone, NOTHING),
    SCHEDULE: Question("Schedule of the background service, cron in UTC", cron, DEFAULT_SCHEDULE),
}


def refused(place: str, name: str, text: str) -> str | None:
    """What is wrong with the text of a variable that is set at a ``place``; None if nothing is."""
    try:
        QUESTIONS[name].take(text)
    except ValueError as error:
        return refusal(place, key_of(name) or (), text, str(error))
    return None


def cleaned(name: str, text: str) -> str:
    """A setting as it will be read: of a pasted address, the part that is the address."""
    taken = QUESTIONS[name].take(text)
    return taken if isinstance(taken, str) else text
