"""Which settings there are: the type, the default, one line of explanation and an example each.

The error messages and the example file are made from what stands here. Where a setting has a
default, its first example is that default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
)

from worker.errors import SettingsError, UsageError
from worker.settings import network, values
from worker.settings.schedule import cron

PREFIX: Final = "MILESYNC_"
SHORTEST_SECRET: Final = 16
"""Characters of what the web process asks callers for: a shorter one can be guessed."""
DEFAULT_SCHEDULE: Final = "*/15 * * * *"
_ACCOUNT: Final = ("TESTRAIL_USER", "TESTRAIL_API_KEY", "TESTABLY_TOKEN")
_NAMED_BY_TABLE: Final = ("testrail", "testably", "log")
_NAMED_BY_TABLE_TOO: Final = (("web", "hosts"), ("web", "token"))


def _maybe(parse: Callable[[object], object]) -> BeforeValidator:
    """What `parse` makes of a value; None stays None."""
    return BeforeValidator(lambda value: None if value is None else parse(value))


_Zone = Annotated[ZoneInfo | None, _maybe(values.zone)]
_Cron = Annotated[str, BeforeValidator(cron)]
_Flag = Annotated[bool, BeforeValidator(values.flag)]
_Rate = Annotated[values.Rate, BeforeValidator(values.rate)]
_Text = Annotated[str | None, _maybe(values.plain_text)]
_Secret = Annotated[SecretStr | None, _maybe(values.secret)]
_Token = Annotated[SecretStr | None, _maybe(values.token)]
_Word = BeforeValidator(values.word)


def variable(key: Sequence[str | int]) -> str:
    """The variable of a key in the file: ``("sync", "schedule")`` → ``MILESYNC_SCHEDULE``."""
    by_table = key[0] in _NAMED_BY_TABLE or tuple(key) in _NAMED_BY_TABLE_TOO
    words = key if by_table else key[-1:]
    return PREFIX + "_".join(str(word) for word in words).upper()


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )


class SourceSettings(_Section):
    """``[testrail]``: where the milestones come from."""

    url: Annotated[str | None, _maybe(values.source_url)] = Field(
        None,
        description="The address of TestRail; a sub-directory is allowed.",
        examples=["https://example.testrail.io"],
    )
    user: _Text = Field(
        None,
        description="The user whose API key is used, as a rule an e-mail address.",
        examples=["lead@example.com"],
    )
    api_key: _Secret = Field(None, description="That user's API key (My Settings, API Keys).")
    timezone: _Zone = Field(
        None,
        description="An IANA time zone: dates become the calendar days that people there see.",
        examples=["none", "Europe/Berlin"],
    )
    submilestones: Annotated[Literal["auto", "list", "each"], _Word] = Field(
        "auto",
        description="How sub-milestones are found: auto, list (trust the list), each (always ask).",
        examples=["auto"],
    )
    rate_limit: _Rate = Field(
        values.Rate(180, 60.0),
        description="Requests and a window, for the whole TestRail instance.",
        examples=["180/60s"],
    )


class TargetSettings(_Section):
    """``[testably]``: where the milestones go."""

    url: Annotated[str, BeforeValidator(values.target_url)] = Field(
        "https://api.testably.app",
        description="The address of Testably's API.",
        examples=["https://api.testably.app"],
    )
    token: _Token = Field(None, description="The bearer token; it must be allowed to write.")
    rate_limit: _Rate = Field(
        values.Rate(60, 60.0),
        description="Requests and a window, for each token.",
        examples=["60/60s"],
    )


class SyncSettings(_Section):
    """``[sync]``: how and when the two are kept in step."""

    @property
    def kept_for(self) -> timedelta | None:
        """How long runs are kept; None is for ever."""
        return None if self.retention == "never" else self.retention

    schedule: _Cron = Field(
        DEFAULT_SCHEDULE,
        description="When each project pair is synced in the background: cron, in UTC.",
        examples=[DEFAULT_SCHEDULE],
    )
    drift_check: Annotated[values.DriftCheck, BeforeValidator(values.drift_check)] = Field(
        values.span("1h"),
        description="How old a scheduled run's last look at Testably may be; or always, or never.",
        examples=["1h"],
    )
    retention: Annotated[values.Retention, BeforeValidator(values.retention)] = Field(
        values.span("400d"),
        description="How long runs and their changes are kept: 90d or more is wise; or never.",
        examples=["400d"],
    )
    notify: Annotated[tuple[SecretStr, ...], BeforeValidator(values.addresses)] = Field(
        (),
        description="Where notices go: https://… is a JSON webhook, other schemes are apprise's.",
    )
    notify_gap: Annotated[timedelta, BeforeValidator(values.span)] = Field(
        values.span("15m"),
        description="The least time between two notices; what is over is told at once.",
        examples=["15m"],
    )
    on_target_edit: Annotated[Literal["source", "target"], _Word] = Field(
        "source",
        description="Whose value wins where somebody edited Testably: source or target.",
        examples=["source"],
    )
    on_source_delete: Annotated[Literal["archive", "keep"], _Word] = Field(
        "archive",
        description="What becomes of a milestone that TestRail no longer has: archive or keep.",
        examples=["archive"],
    )
    description_footer: _Flag = Field(
        True,
        description="Put TestRail's address, refs and moments below each description.",
        examples=[True],
    )
    http_timeout: Annotated[float, BeforeValidator(values.seconds)] = Field(
        30.0, description="Seconds in all for one request.", examples=[30]
    )
    allow_http: Annotated[tuple[str, ...], BeforeValidator(network.hosts)] = Field(
        (),
        description="Hosts to which credentials may go over http, without TLS; with commas.",
        examples=["testrail.intranet.example"],
    )


class WebSettings(_Section):
    """``[web]``: the web process."""

    listen: Annotated[values.Listen, BeforeValidator(values.listen)] = Field(
        values.Listen("127.0.0.1", 8000),
        description="Where the web process listens.",
        examples=["127.0.0.1:8000"],
    )
    webhook_secret: _Secret = Field(
        None, description="What TestRail's webhooks must send; without it they are refused."
    )
    hosts: Annotated[tuple[str, ...], BeforeValidator(network.hosts_or_any)] = Field(
        network.LOOPBACK_NAMES,
        description="The host names that it answers to, with commas; * for any.",
        examples=[",".join(network.LOOPBACK_NAMES)],
    )
    token: _Token = Field(
        None, description="What pages, /metrics and /readyz ask for, unless on loopback."
    )

    def answers_to(self, host: str | None) -> bool:
        """Whether a call to this host, in the form of `network.host_of`, is answered."""
        return network.ANY_HOST in self.hosts or host in self.hosts

    def require_strong_secrets(self) -> None:
        """Raises SettingsError for a secret that can be guessed."""
        held = {"WEBHOOK_SECRET": self.webhook_secret, "WEB_TOKEN": self.token}
        for name, secret in held.items():
            if secret is not None and len(secret.get_secret_value()) < SHORTEST_SECRET:
                raise SettingsError(
                    f"{PREFIX}{name} is shorter than {SHORTEST_SECRET} characters.",
                    "Make one at random, for example with `openssl rand -hex 24`.",
                )

    @property
    def notices(self) -> list[str]:
        """What an operator should know of who can reach what; nothing of it is an error."""
        found = []
        if self.webhook_secret is None:
            found.append("Webhooks are refused with 503: MILESYNC_WEBHOOK_SECRET is not set.")
        if self.token is None:
            found.append(
                "MILESYNC_WEB_TOKEN is not set: the pages, /metrics and /readyz are answered on a"
                " loopback address only."
            )
        if not network.is_loopback(self.listen.host) and network.are_loopback(self.hosts):
            found.append(
                f"It listens on {self.listen} and answers to {', '.join(self.hosts)} only; other"
                " names go into MILESYNC_WEB_HOSTS."
            )
        return found


class LogSettings(_Section):
    """``[log]``: the log, which goes to stderr."""

    level: Annotated[Literal["debug", "info", "warning", "error"], _Word] = Field(
        "info", description="debug, info, warning or error.", examples=["info"]
    )
    format: Annotated[Literal["console", "json"] | None, _Word] = Field(
        None,
        description="console or json; by default console on a terminal, else json.",
        examples=["console"],
    )


class ProjectPair(_Section):
    """``[[projects]]``: a TestRail project and the Testably project it goes to.

    What is effective for this pair: its own option, else the setting for all pairs.
    """

    testrail: Annotated[int, BeforeValidator(values.source_project)] = Field(
        description="The number of the project in TestRail.", examples=[1]
    )
    testably: Annotated[str, BeforeValidator(values.target_project)] = Field(
        description="The id of the project in Testably.", examples=["proj_abc123"]
    )
    timezone: _Zone = Field(
        None, description="Instead of testrail.timezone.", examples=["Europe/Berlin"]
    )
    schedule: _Cron = Field(
        DEFAULT_SCHEDULE, description="Instead of sync.schedule.", examples=[DEFAULT_SCHEDULE]
    )
    enabled: _Flag = Field(
        True, description="false leaves this pair out of every run.", examples=[True]
    )
    testably_token: _Token = Field(None, description="Instead of testably.token.")
    testrail_user: _Text = Field(
        None, description="Instead of testrail.user.", examples=["lead@example.com"]
    )
    testrail_api_key: _Secret = Field(None, description="Instead of testrail.api_key.")

    def __str__(self) -> str:
        return f"{self.testrail}={self.testably}"


def _database_url(value: object, info: ValidationInfo) -> SecretStr:
    base = (info.context or {}).get("base", Path.cwd())
    return values.database_url(value, base)


def _no_pair_twice(pairs: tuple[ProjectPair, ...]) -> tuple[ProjectPair, ...]:
    names = [str(pair) for pair in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"name the same pair twice: {', '.join(twice)}")
    return pairs


class FileSettings(_Section):
    """Everything that ``milesync.toml`` may hold."""

    testrail: SourceSettings = SourceSettings()
    testably: TargetSettings = TargetSettings()
    sync: SyncSettings = SyncSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    database_url: Annotated[SecretStr, BeforeValidator(_database_url)] = Field(
        SecretStr("sqlite:///milesync.db"),
        validate_default=True,
        description="SQLite for one machine, or postgresql+psycopg://user:password@host/name.",
        examples=["sqlite:///milesync.db"],
    )
    redis_url: Annotated[SecretStr | None, _maybe(values.redis_url)] = Field(
        None,
        description="The broker of the workers and the rate limiter that all processes share.",
        examples=["redis://localhost:6379/0"],
    )
    projects: Annotated[tuple[ProjectPair, ...], AfterValidator(_no_pair_twice)] = ()


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
            raise SettingsError(
                f"{variable(['projects'])} is not set: no project pair is configured.",
                "`milesync init` asks for everything that is needed. By hand: "
                f"{variable(['projects'])}=1=proj_abc123,2=proj_def456",
            )
        if ids:
            return self._named(ids)
        if enabled := tuple(pair for pair in self.projects if pair.enabled):
            return enabled
        raise SettingsError("Every project pair is disabled.", "Set enabled = true on one.")

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
        """Every secret, passwords inside of URLs too: what `worker.log` keeps out of the log."""
        urls = [url for url in (self.database_url, self.redis_url) if url]
        owned = [self.testrail.api_key, self.testably.token]
        owned += [self.web.webhook_secret, self.web.token]
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
