"""The settings of one process: which pairs it works on, with which accounts and secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from pydantic import SecretStr

from worker.errors import SettingsError, UsageError
from worker.settings.model import PREFIX, FileSettings, ProjectPair, variable

_ACCOUNT: Final = ("TESTRAIL_USER", "TESTRAIL_API_KEY", "TESTABLY_TOKEN")


class Settings(FileSettings):
    """The settings of one process; secrets are never part of the text of it.

    ``source_file`` is the file that was read, if there was one; ``warnings`` are lines for the
    log about what was ignored.
    """

    source_file: Path | None = None
    warnings: tuple[str, ...] = ()

    def require_projects(self, ids: Sequence[int] | None = None) -> tuple[ProjectPair, ...]:
        """The pairs of these TestRail projects, disabled ones too; else all that are enabled.

        Raises UsageError for a project that is not configured, SettingsError if there is none.
        """
        if not self.projects:
            raise self._without_pairs()
        if ids:
            return self._named(ids)
        if enabled := tuple(pair for pair in self.projects if pair.enabled):
            return enabled
        raise SettingsError("Every project pair is disabled.", "Set enabled = true on one.")

    def _without_pairs(self) -> SettingsError:
        """That no pair is configured: most often it is the wrong folder."""
        name = variable(["projects"])
        by_hand = f"By hand: {name}=1=proj_abc123,2=proj_def456"
        if self.source_file is not None:
            return SettingsError(
                f"No project pair is configured: {self.source_file} has no [[projects]], and "
                f"{name} names none.",
                f"Put [[projects]] into that file. {by_hand}",
            )
        return SettingsError(
            f"No project pair is configured: there is no milesync.toml in this folder, and {name} "
            "names none.",
            "Change to the folder of your milesync.toml, or name it with --config FILE; "
            f"`milesync init` asks for everything that is needed for a new one. {by_hand}",
        )

    def _named(self, ids: Sequence[int]) -> tuple[ProjectPair, ...]:
        known = dict.fromkeys(pair.testrail for pair in self.projects)
        if unknown := [str(id_) for id_ in dict.fromkeys(ids) if id_ not in known]:
            raise UsageError(
                f"TestRail project {', '.join(unknown)} is not configured.",
                f"Configured are: {', '.join(map(str, known))}.",
            )
        return tuple(pair for pair in self.projects if pair.testrail in ids)

    def require_credentials(self, pairs: Sequence[ProjectPair] | None = None) -> None:
        """Raises SettingsError naming each variable that calls for these pairs would lack.

        Without ``pairs``: those that are enabled, and the settings for all where there is none.
        """
        chosen = [pair for pair in self.projects if pair.enabled] if pairs is None else pairs
        accounts = [
            (pair.testrail_user, pair.testrail_api_key, pair.testably_token) for pair in chosen
        ] or [(self.testrail.user, self.testrail.api_key, self.testably.token)]
        missing = [] if self.testrail.url else ["TESTRAIL_URL"]
        for account in accounts:
            missing += [name for name, held in zip(_ACCOUNT, account, strict=True) if not held]
        if missing:
            names = ", ".join(PREFIX + name for name in dict.fromkeys(missing))
            raise SettingsError(
                f"Not set: {names}.",
                "Set them in the environment or in a .env beside milesync.toml.",
            )

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret, passwords inside of URLs and the addresses of notices too.

        It is what `worker.log` keeps out of the log.
        """
        urls = [url for url in (self.database_url, self.redis_url) if url]
        owned = [self.testrail.api_key, self.testably.token]
        owned += [self.web.webhook_secret, self.web.token, *self.sync.notify]
        for pair in self.projects:
            owned += [pair.testably_token, pair.testrail_api_key]
        texts = [found.get_secret_value() for found in owned if found]
        for url in urls:
            texts += _passwords(url.get_secret_value())
        return tuple(SecretStr(text) for text in dict.fromkeys(texts))


def _passwords(url: str) -> list[str]:
    """The passwords in a URL, as they stand there and decoded."""
    account, at, _ = url.partition("//")[2].partition("@")
    password = account.partition(":")[2] if at else ""
    texts = [password, *re.findall(r"[?&]password=([^&]*)", url)]
    return [form for text in texts if text for form in (text, unquote(text))]
