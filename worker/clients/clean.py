"""Values from outside in a form that every database can store (R11)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from worker.clients.bounds import DEEPEST
from worker.clients.decode import HugeNumber

_LARGEST: Final = 2**63
_LONGEST_SHOWN: Final = 40
_NAMES: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}


def clean_text(text: str) -> str:
    """The text as a database can store it: UTF-8, and without NUL."""
    cleaned = text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if cleaned == text else cleaned  # one object for both saves memory


def clean(value: object, depth: int = 0) -> object:
    """A JSON value that SQLite and PostgreSQL both store: numbers of 64 bits, finite, or as text.

    What lies deeper than the bound is left out.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list | dict) and depth > DEEPEST:
        return None
    if isinstance(value, list):
        return [clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): clean(item, depth + 1) for key, item in value.items()}
    return _clean_number(value)


def clean_record(record: Mapping[str, object]) -> dict[str, object]:
    """A record without its nested ``milestones``, which are records of their own."""
    return {clean_text(key): clean(v) for key, v in record.items() if key != "milestones"}


def _clean_number(value: object) -> object:
    is_none = isinstance(value, float) and not math.isfinite(value)
    is_long = type(value) is int and not -_LARGEST <= value < _LARGEST
    return number_text(value) if is_none or is_long else value  # type: ignore[arg-type]


def number_text(number: float) -> str:
    """A number of any size as a short text that says what it is."""
    if isinstance(number, HugeNumber):
        return repr(number)
    if isinstance(number, float):
        return repr(number) if math.isfinite(number) else _NAMES.get(number, "NaN")
    digits = number.bit_length() * math.log10(2)
    if digits < _LONGEST_SHOWN:
        return str(number)
    return f"a whole number of about {digits:,.0f} digits"
