"""Causes that an error of Redis tells, and what a person does about each.

The words in capitals are Redis's own prefixes of its errors (https://redis.io/docs, RESP protocol);
the others are those of the operating system and of redis-py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from worker.errors import RedisAway


@dataclass(frozen=True, slots=True)
class Cause:
    """What is the matter where the text of an error has these words."""

    words: str
    hint: str


CAUSES: Final = (
    Cause(
        r"WRONGPASS|NOAUTH|AUTH|invalid (username|password)|Authentication required",
        "Correct the user and the password in MILESYNC_REDIS_URL.",
    ),
    Cause(
        r"NOPERM",
        "Allow the account in MILESYNC_REDIS_URL all commands on the keys milesync*, its queues"
        " and _kombu*.",
    ),
    Cause(
        r"\bOOM\b|MISCONF|No space left",
        "Redis takes no more writes: give it memory, or room on its disk.",
    ),
    Cause(r"LOADING", "Redis starts at this moment: run the same command again in a while."),
    Cause(
        r"READONLY",
        "It is a read-only copy: name the one that takes writes in MILESYNC_REDIS_URL.",
    ),
    Cause(
        r"\bSSL\b|\bTLS\b|certificate",
        "Let MILESYNC_REDIS_URL begin with rediss:// where Redis speaks TLS, else with redis://.",
    ),
    Cause(
        r"[Tt]imeout|timed out",
        "Check the host and the port in MILESYNC_REDIS_URL and what lies between; with rediss://,"
        " also that Redis speaks TLS there.",
    ),
    Cause(
        r"Name or service not known|No address associated|name resolution|getaddrinfo",
        "Correct the name of the host in MILESYNC_REDIS_URL.",
    ),
)
USUAL: Final = "Check that Redis runs, and its host and port in MILESYNC_REDIS_URL."


def redis_words(error: BaseException) -> tuple[str, str]:
    """What Redis or its client said, on one line, and what to do about it."""
    said = re.sub(r"(://)[^\s/@]*@", r"\1***@", str(error))
    text = " ".join(said.split())[:300].rstrip(".") or type(error).__name__
    hints = (cause.hint for cause in CAUSES if re.search(cause.words, text))
    return text, next(hints, USUAL)


def ping(client: Redis) -> None:
    """Raises RedisAway where Redis does not answer."""
    try:
        client.ping()
    except RedisError as error:
        said, hint = redis_words(error)
        raise RedisAway(f"Redis did not answer: {said}.", hint) from None
