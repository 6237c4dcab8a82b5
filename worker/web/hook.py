"""What one webhook call says, as values. Nothing in here can fail with anything but BadCall.

TestRail sends what an administrator wrote into a payload template, so every value may be a
number, a text, empty or missing. The call is only a hint; what it is about is read from the API.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

LARGEST_BODY: Final = 256 * 1024
_MOST_DIGITS: Final = 20
_LARGEST_ID: Final = 2**63 - 1
_LONGEST_EVENT: Final = 80
_LONGEST_NAME: Final = 120


class BadCall(Exception):
    """The call is answered with ``status`` and this text."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Call:
    """A call from somebody who knows the secret. ``project`` may be any whole number."""

    event: str
    project: int
    milestone: int | None


def check_length(announced: str | None) -> None:
    """Raises BadCall, 413, for a Content-Length of more than `LARGEST_BODY`."""
    digits = (announced or "").lstrip("0")
    if digits.isascii() and digits.isdigit():
        # a number of more digits is too large as well, and int() refuses thousands of them
        check_size(int(digits[:_MOST_DIGITS]))


def check_size(size: int) -> None:
    """Raises BadCall, 413, for more bytes than `LARGEST_BODY`."""
    if size > LARGEST_BODY:
        raise BadCall(413, f"more than {LARGEST_BODY} bytes")


def check_headers(given: Sequence[bytes], secret: SecretStr) -> None:
    """Raises BadCall, 401, if the secret's headers are more than one, or the one is wrong."""
    if len(given) > 1 or (given and not _same(given[0], secret)):
        raise BadCall(401, "wrong secret")


def read_call(body: bytes, secret: SecretStr | None) -> Call:
    """The call in ``body``, which has to hold ``secret``; None where the header held it.

    Raises BadCall: 401 for a wrong or missing secret, 422 for what is no JSON or has no project.
    """
    values = _parse(body)
    if secret is not None and not _same(_bytes((values or {}).get("secret")), secret):
        raise BadCall(401, "wrong or missing secret")
    if values is None:
        raise BadCall(422, "not a JSON object")
    project = _id(values.get("project_id"))
    if project is None:
        raise BadCall(422, "no project_id")
    milestone = _id(values.get("milestone_id"))
    if milestone is not None and not 0 < milestone <= _LARGEST_ID:
        milestone = None
    return Call(_word(values.get("event")), project, milestone)


def delivery_name(header: str | None) -> str | None:
    """The delivery id, shortened to a hash where a database might not take it; None without one."""
    text = (header or "").strip()
    if not text:
        return None
    if text.isascii() and text.isprintable() and len(text) <= _LONGEST_NAME:
        return text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _parse(body: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _bytes(value: object) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""


def _same(given: bytes, secret: SecretStr) -> bool:
    return hmac.compare_digest(given, secret.get_secret_value().encode("utf-8", "surrogatepass"))


def _id(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():  # 1.0
        return int(value)
    text = value.strip() if isinstance(value, str) else ""
    # a longer one is no id, and int() is slow or refuses
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _word(value: object) -> str:
    """A short text that any database and log takes."""
    text = value if isinstance(value, str) else ""
    return "".join(char for char in text if char.isascii() and char.isprintable())[:_LONGEST_EVENT]
