"""Settings that are amounts: lengths of time, rates, numbers; as in `values`, a typed value out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from worker.settings.values import word

DriftCheck = timedelta | Literal["always", "never"]
Retention = timedelta | Literal["never"]
Concurrency = int | Literal["auto"]
MOST_IN_FLIGHT: Final = 32
"""Requests in flight to Testably in one run, at most."""

LONGEST: Final = timedelta(days=36_500)
"""The longest length of time: counted back from now or on, it is still in the calendar."""
LONGEST_REQUEST: Final = 600.0
"""Seconds in all for one request, at most: far less than a lease may last (R8)."""
_MOST_REQUESTS: Final = 1_000_000
_LONGEST_WINDOW: Final = 86_400.0

_UNIT_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN: Final = r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhd]?)"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``requests`` in any ``seconds``."""

    requests: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.requests}/{self.seconds:g}s"


def span(value: object) -> timedelta:
    """A length of time: ``90s``, ``15m``, ``1h``, ``1d``, or a plain number of seconds.

    At most LONGEST.
    """
    if isinstance(value, timedelta):
        return value
    found = _in_seconds(value)
    if found > LONGEST.total_seconds():
        raise ValueError(f"must be at most {LONGEST.days}d")
    return timedelta(seconds=found)


def _in_seconds(value: object) -> float:
    """A length of time, however long: no calendar may have room for it."""
    found = re.fullmatch(_SPAN, str(value).strip().lower(), re.ASCII)
    if not found:
        raise ValueError("is not a length of time")
    return float(found[1]) * _UNIT_SECONDS[found[2]]


def drift_check(value: object) -> DriftCheck:
    """A length of time, ``always`` or ``never``."""
    known = word(value)
    return known if known in ("always", "never") else span(value)


def retention(value: object) -> Retention:
    """A length of time of a day or more, or ``never``."""
    known = word(value)
    if known == "never":
        return "never"
    found = span(value)
    if found < timedelta(days=1):
        raise ValueError("must be a day or more, or never")
    return found


def concurrency(value: object) -> Concurrency:
    """A number from 1 to MOST_IN_FLIGHT, or ``auto``."""
    known = str(word(value))
    if known == "auto":
        return "auto"
    if not re.fullmatch(r"\d{1,3}", known, re.ASCII) or not 1 <= int(known) <= MOST_IN_FLIGHT:
        raise ValueError(f"must be auto, or a number from 1 to {MOST_IN_FLIGHT}")
    return int(known)


def seconds(value: object) -> float:
    """More than no time, and at most LONGEST_REQUEST, in seconds."""
    found = _in_seconds(value)
    if found <= 0:
        raise ValueError("must be more than 0 seconds")
    if found > LONGEST_REQUEST:
        raise ValueError(f"must be at most {LONGEST_REQUEST:g} seconds")
    return found


def rate(value: object) -> Rate:
    """Requests and a window of at most a day: ``180/60s``, ``60/1m``, ``100/0.5s``."""
    if isinstance(value, Rate):
        return value
    requests, _, window = str(value).strip().partition("/")
    if not re.fullmatch(r"\d{1,9}\s*", requests, re.ASCII) or not re.fullmatch(
        rf"\s*{_SPAN}", window.lower(), re.ASCII
    ):
        raise ValueError("is not a rate")
    found = Rate(int(requests), _in_seconds(window))
    if not found.requests or not found.seconds:
        raise ValueError("allows nothing: both numbers must be more than 0")
    if found.requests > _MOST_REQUESTS or found.seconds > _LONGEST_WINDOW:
        raise ValueError(f"must be at most {_MOST_REQUESTS} requests, in a window of a day or less")
    return found
