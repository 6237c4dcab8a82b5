"""The files that `milesync init` writes: a commented milesync.toml, and .env with the secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from worker.cli.interview import ChosenPair
from worker.cli.questions import (
    NOTHING,
    PROJECTS,
    QUESTIONS,
    SCHEDULE,
    SECRETS,
    TARGET_DEFAULT,
    TARGET_URL,
    URL,
    USER,
    ZONE,
    cleaned,
    refused,
)
from worker.errors import UsageError
from worker.settings.env_file import read_env_file, without_quotes
from worker.settings.explain import shown
from worker.settings.files import read_settings_file
from worker.settings.model import DEFAULT_SCHEDULE, PREFIX
from worker.settings.template import settings_template

_IN_FILE: Final[Mapping[str, tuple[str, str]]] = {
    URL: ("testrail", "url"),
    USER: ("testrail", "user"),
    ZONE: ("testrail", "timezone"),
    TARGET_URL: ("testably", "url"),
    SCHEDULE: ("sync", "schedule"),
}
_DEFAULTS: Final = {ZONE: NOTHING, TARGET_URL: TARGET_DEFAULT, SCHEDULE: DEFAULT_SCHEDULE}
_HEAD: Final = """\
# The secrets of milesync, for their owner alone (mode 600). Keep this file out of version control.
"""
_SERVICE: Final = """\
# For the service: made at random, to be used by taking the # away.
"""


def given_by(
    testrail_url: str | None,
    testrail_user: str | None,
    testably_url: str | None,
    pairs: Sequence[str] | None,
    timezone: str | None,
    schedule: str | None,
) -> dict[str, str]:
    """The options of `init` as variables. Raises UsageError for one that is wrong."""
    options = {
        "--testrail-url": (URL, testrail_url),
        "--testrail-user": (USER, testrail_user),
        "--testably-url": (TARGET_URL, testably_url),
        "--timezone": (ZONE, timezone),
        "--schedule": (SCHEDULE, schedule),
    }
    given = {PROJECTS: ",".join(pairs)} if pairs else {}
    for option, (name, text) in options.items():
        if text is not None:
            if (wrong := refused(option, name, text)) is not None:
                raise UsageError(wrong, "See `milesync init --help`.")
            given[name] = text
    pairs_in(given)
    return given


def pairs_in(given: Mapping[str, str]) -> list[ChosenPair]:
    """The pairs that are given as text. Raises UsageError."""
    from worker.cli.interview import pair_of

    texts = [text for text in given.get(PROJECTS, "").split(",") if text.strip()]
    try:
        return [pair_of(text, None, None) for text in texts]
    except ValueError as error:
        said = f"--pair: {shown(given[PROJECTS])} {error}."
        raise UsageError(said, "Example: --pair 1=proj_abc123") from None


def known_variables(file: Path) -> dict[str, str]:
    """What the environment, or the ``.env`` beside the settings file, has set."""
    beside = file.parent / ".env"
    kept = read_env_file(read_settings_file(beside), PREFIX)[0] if beside.is_file() else {}
    every = {**kept, **without_quotes(os.environ, PREFIX)[0]}
    return {name: text for name, text in every.items() if text.strip()}


def shadowed(values: Mapping[str, str]) -> list[str]:
    """The variables that the environment sets to something else than what was answered."""
    return [name for name in QUESTIONS if name in os.environ and os.environ[name] != values[name]]


def toml_text(values: Mapping[str, str], pairs: Sequence[ChosenPair]) -> str:
    """The settings file: every setting explained, those that were answered filled in."""
    answered = {name: cleaned(name, values[name]) for name in _IN_FILE if name in values}
    filled = {
        _IN_FILE[name]: text for name, text in answered.items() if text != _DEFAULTS.get(name)
    }
    tables = [
        (pair.testrail, pair.testably, f"{pair.testrail_name} → {pair.testably_name}".strip(" →"))
        for pair in pairs
    ]
    return settings_template(filled, tables)


def env_text(file: Path, values: Mapping[str, str], suggested: Mapping[str, str]) -> str:
    """The new ``.env``: what was in it, but for the settings that were answered, and the secrets.

    A secret that the environment holds stays there.
    """
    old = file.read_text(encoding="utf-8-sig").splitlines() if file.is_file() else []
    kept = [line for line in old if line.partition("=")[0].strip() not in QUESTIONS]
    own = [f"{name}={_quoted(values[name])}" for name in SECRETS if name not in os.environ]
    known = "\n".join(old)
    offered = [f"#{name}={text}" for name, text in suggested.items() if f"{name}=" not in known]
    parts = [*kept] if kept else [_HEAD.rstrip()]
    parts += own
    if offered:
        parts += [_SERVICE.rstrip(), *offered]
    return "\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    """A value as milesync, docker compose and honcho read it alike, wherever there is a way."""
    if all(char.isalnum() or char in "-_.:/+=@%" for char in text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
