"""Everything that can go wrong, one class for each thing a person would do about it.

MilesyncError                    what happened, and a hint: what to do next
├── SettingsError                a setting is wrong or missing (exit code 2)
├── UsageError                   the command was called wrongly (exit code 2)
├── StoreError                   the database cannot be used
├── Busy                         somebody else is running this pair
├── GuardTripped                 a run stopped itself before its first write
├── Interrupted                  a person or a supervisor ended it
├── RedisAway                    Redis did not answer, or not as it should
├── BudgetExhausted              no request may be sent soon enough
│   └── NoLimiter                nor is it known when: Redis, which knows, is away
└── ApiError                     a call to TestRail or Testably did not succeed
    ├── CredentialsRefused       401
    ├── TurnedAway               not let through
    │   ├── AccessDenied         403
    │   └── Redirected           3xx: never followed, so credentials stay on their host
    ├── NotFound                 404
    │   └── MilestoneNotFound    of one milestone, while its project still answers
    ├── Refused                  any other 4xx: the API understood, and said no
    ├── UnknownId                TestRail's 400 for an id it does not know
    ├── TakesNoWrites            one write after the other failed: no milestone is to blame
    ├── AnswerTooLarge           more than the bound on one answer
    ├── Unreachable              the connection was never made
    │   └── Misdirected          only a corrected setting helps, no repetition
    │       ├── CertificateRefused  the server's certificate is not trusted
    │       ├── WrongProtocol    http is spoken where https is expected, or the reverse
    │       └── ProxyRefused     a proxy wants a user and a password, or lets nobody through
    └── Transient                may succeed when it is asked again
        ├── RateLimited          429
        ├── Maintenance          409 and its like: not now
        ├── ServerTrouble        5xx
        ├── TimedOut             no complete answer within the deadline
        ├── ConnectionLost       cut while sending or receiving
        └── UnreadableAnswer     HTML, or JSON that is cut off or has the wrong shape
            └── EmptyAnswer      nothing, though it says that it was done
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final

from mappings.errors import Busy, MilesyncError, StoreError

__all__ = [
    "AccessDenied",
    "AnswerTooLarge",
    "ApiError",
    "BudgetExhausted",
    "Busy",
    "CertificateRefused",
    "ConnectionLost",
    "CredentialsRefused",
    "Done",
    "EmptyAnswer",
    "GuardTripped",
    "Interrupted",
    "Maintenance",
    "MilestoneNotFound",
    "MilesyncError",
    "Misdirected",
    "NoLimiter",
    "NotFound",
    "NotReviewed",
    "ProxyRefused",
    "RateLimited",
    "Redirected",
    "RedisAway",
    "Refused",
    "ServerTrouble",
    "SettingsError",
    "StoreError",
    "TakesNoWrites",
    "TimedOut",
    "Transient",
    "TurnedAway",
    "UnknownId",
    "Unreachable",
    "UnreadableAnswer",
    "UsageError",
    "WrongProtocol",
]


class Done(StrEnum):
    """Whether the server carried out a write whose call failed."""

    NO = "no"
    MAYBE = "maybe"


class SettingsError(MilesyncError):
    kind = "settings"
    default_hint = (
        "Correct the setting; `milesync init --config example.toml --json` writes a commented "
        "example."
    )


class UsageError(MilesyncError):
    kind = "usage"
    default_hint = "See `milesync --help`."


class GuardTripped(MilesyncError):
    kind = "guard"
    default_hint = "Read `milesync plan`; nothing was written."


class NotReviewed(GuardTripped):
    """What was reviewed is not applied, and nothing else either: it says nothing of the pairs."""


class Interrupted(MilesyncError):
    kind = "interrupted"
    default_hint = "What was done is recorded; run it again and it goes on from there."


class BudgetExhausted(MilesyncError):
    """No request may be sent within the time this caller may wait; ``wait`` is in seconds."""

    kind = "budget"
    default_hint = "The work goes on by itself once the rate limit allows it."

    def __init__(self, message: str, wait: float, hint: str = "") -> None:
        super().__init__(message, hint)
        self.wait = wait


class NoLimiter(BudgetExhausted):
    """Redis, which keeps the rate limiter, did not answer: nobody knows what is allowed."""

    kind = "redis"


class LimiterAway(NoLimiter):
    """The same, but it has answered before, and so it may come back."""


class RedisAway(MilesyncError):
    """Redis did not answer, or not as it should."""

    kind = "redis"


NO_DATABASE: Final = "The database did not answer; the log says why."
NO_REDIS: Final = "Redis did not answer; the log says why."
_HIDDEN: Final = {StoreError.kind: NO_DATABASE, NoLimiter.kind: NO_REDIS}
"""Kinds of error whose own words hold an address."""


def text_for_others(error: Mapping[str, Any]) -> str:
    """The error of a run for pages and notices: a server's own words hold its address."""
    return _HIDDEN.get(str(error.get("kind")), str(error.get("message")))


class ApiError(MilesyncError):
    """A call that did not succeed.

    ``api`` is ``"TestRail"`` or ``"Testably"``; ``status`` the HTTP status, or None where no
    answer came; ``done`` says whether a write may have been carried out all the same.
    ``may_pass``: it may succeed when it is asked again.
    """

    kind = "api"
    may_pass: ClassVar[bool] = False
    hints: ClassVar[Mapping[str, str]] = {}
    """What to do next at each side, where that differs."""

    def __init__(
        self,
        api: str,
        message: str,
        *,
        status: int | None = None,
        hint: str = "",
        done: Done = Done.NO,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint or self.hints.get(api, ""))
        self.api = api
        self.status = status
        self.done = done
        self.retry_after = retry_after


class CredentialsRefused(ApiError):
    kind = "credentials"
    hints: ClassVar = {
        "TestRail": "Check MILESYNC_TESTRAIL_USER and MILESYNC_TESTRAIL_API_KEY.",
        "Testably": "Check MILESYNC_TESTABLY_TOKEN.",
    }


class TurnedAway(ApiError):
    """The request was not let through: one address may be meant, or everything."""


class AccessDenied(TurnedAway):
    kind = "access_denied"
    default_hint = (
        "Give this account access to the project: to read in TestRail, to write in Testably."
    )


class NotFound(ApiError):
    kind = "not_found"
    default_hint = (
        "Check the base URL and the project id in MILESYNC_PROJECTS; `milesync projects` lists the"
        " projects that there are."
    )


class MilestoneNotFound(NotFound):
    """It concerns this one milestone (R6); of the project itself `NotFound` is raised."""

    default_hint = "It is gone in Testably, or its parent is; the next run looks for it again."


class Refused(ApiError):
    kind = "refused"
    default_hint = "Correct the milestone at the source; it is tried again when it changes."


class UnknownId(ApiError):
    kind = "unknown_id"
    default_hint = "Check the id; TestRail answers 400 for one that does not exist."


class Redirected(TurnedAway):
    kind = "redirected"
    default_hint = "Set the base URL to the address that the server really has."


class AnswerTooLarge(ApiError):
    kind = "too_large"
    default_hint = "Check that the base URL is the API's."


class Unreachable(ApiError):
    kind = "unreachable"
    default_hint = "Check the base URL, the network and any proxy."
    may_pass = True


class Misdirected(Unreachable):
    may_pass = False


class CertificateRefused(Misdirected):
    kind = "certificate"


class WrongProtocol(Misdirected):
    kind = "wrong_protocol"


class ProxyRefused(Misdirected):
    kind = "proxy"


class Transient(ApiError):
    kind = "transient"
    may_pass = True
    default_hint = "Run the same command again; nothing is done twice."


class RateLimited(Transient):
    """429. ``stays``: it has been waited for so long that no call is repeated for it any more."""

    kind = "rate_limited"
    stays: bool = False


class Maintenance(Transient):
    kind = "maintenance"
    default_hint = "It is busy or under maintenance; run the same command again afterwards."


class ServerTrouble(Transient):
    kind = "server_error"


class TimedOut(Transient):
    kind = "timeout"
    default_hint = "Run it again; raise MILESYNC_HTTP_TIMEOUT if the server is slow."


class ConnectionLost(Transient):
    kind = "connection_lost"


class UnreadableAnswer(Transient):
    kind = "unreadable"
    default_hint = "A proxy or login page may be in the way; check the base URL."


class EmptyAnswer(UnreadableAnswer):
    """The status says that it was done, and nothing says what came of it."""


class TakesNoWrites(ApiError):
    """So many milestones failed one after the other that no milestone is to blame (R6)."""

    kind = "takes_no_writes"
    default_hint = "No milestone is to blame; run it again once Testably takes writes."
