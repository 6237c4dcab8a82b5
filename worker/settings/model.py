"""Which settings there are: the type, the default, one line of explanation and an example each.

The error messages and the example file are made from what stands here. Where a setting has a
default, its first example is that default.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal
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

from worker.errors import SettingsError
from worker.settings import amounts, network, values
from worker.settings.schedule import cron

PREFIX: Final = "MILESYNC_"
SHORTEST_SECRET: Final = 16
"""Characters of what the web process asks callers for: a shorter one can be guessed."""
DEFAULT_SCHEDULE: Final = "*/15 * * * *"
_NAMED_BY_TABLE: Final = ("testrail", "testably", "log")
_NAMED_BY_TABLE_TOO: Final = (("web", "hosts"), ("web", "token"))


def _maybe(parse: Callable[[object], object]) -> BeforeValidator:
    """What `parse` makes of a value; None stays None."""
    return BeforeValidator(lambda value: None if value is None else parse(value))


_Zone = Annotated[ZoneInfo | None, _maybe(values.zone)]
_Cron = Annotated[str, BeforeValidator(cron)]
_Flag = Annotated[bool, BeforeValidator(values.flag)]
_Rate = Annotated[amounts.Rate, BeforeValidator(amounts.rate)]
_Account = Annotated[str | None, _maybe(values.account)]
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
    user: _Account = Field(
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
        amounts.Rate(180, 60.0),
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
        amounts.Rate(60, 60.0),
        description="Requests and a window, for each token.",
        examples=["60/60s"],
    )


class SyncSettings(_Section):
    """``[sync]``: how and when the two are kept in step."""

    @property
    def kept_for(self) -> timedelta | None:
        """How long runs are kept; None is for ever."""
        return None if self.retention == "never" else self.retention

    @property
    def most_in_flight(self) -> int:
        """How many requests to Testably one run may have in flight."""
        return amounts.MOST_IN_FLIGHT if self.concurrency == "auto" else self.concurrency

    schedule: _Cron = Field(
        DEFAULT_SCHEDULE,
        description="When each project pair is synced in the background: cron, in UTC.",
        examples=[DEFAULT_SCHEDULE],
    )
    drift_check: Annotated[amounts.DriftCheck, BeforeValidator(amounts.drift_check)] = Field(
        amounts.span("1h"),
        description="How old a scheduled run's last look at Testably may be; or always, or never.",
        examples=["1h"],
    )
    retention: Annotated[amounts.Retention, BeforeValidator(amounts.retention)] = Field(
        amounts.span("400d"),
        description="How long runs and their changes are kept: 90d or more is wise; or never.",
        examples=["400d"],
    )
    notify: Annotated[tuple[SecretStr, ...], BeforeValidator(values.addresses)] = Field(
        (),
        description="Where notices go: https://… is a JSON webhook, other schemes are apprise's.",
    )
    notify_gap: Annotated[timedelta, BeforeValidator(amounts.span)] = Field(
        amounts.span("15m"),
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
    concurrency: Annotated[amounts.Concurrency, BeforeValidator(amounts.concurrency)] = Field(
        "auto",
        description="Requests in flight to Testably in one run: auto, or a number up to 32.",
        examples=["auto"],
    )
    http_timeout: Annotated[float, BeforeValidator(amounts.seconds)] = Field(
        30.0, description="Seconds in all for one request, at most 600.", examples=[30]
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
    testrail_user: _Account = Field(
        None, description="Instead of testrail.user.", examples=["lead@example.com"]
    )
    testrail_api_key: _Secret = Field(None, description="Instead of testrail.api_key.")

    def __str__(self) -> str:
        return f"{self.testrail}={self.testably}"


def _database_url(value: object, info: ValidationInfo) -> SecretStr:
    base = (info.context or {}).get("base", Path.cwd())
    return values.database_url(value, base)


def _no_pair_twice(pairs: tuple[ProjectPair, ...]) -> tuple[ProjectPair, ...]:
    names = Counter(str(pair) for pair in pairs)
    if twice := sorted(name for name, number in names.items() if number > 1):
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
