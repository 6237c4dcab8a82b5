"""JSON from outside, decoded within bounds (R11); a number of any length spoils no other record."""

from __future__ import annotations

import json
from typing import Final

from worker.clients.bounds import MOST_OBJECTS, MOST_VALUES, TooMuchError

_LONGEST_NUMBER: Final = 400
"""Digits that are taken as a number. Python refuses to convert some thousands of them."""


def decode(body: bytes) -> object:
    """The value that a body holds. Raises ValueError where it holds none, TooMuchError beyond R11.

    The bounds are looked at before anything is decoded, since decoding is what takes the memory.
    A whole number of hundreds of digits becomes an infinite one, as 1e400 does.
    """
    if body.count(b"{") + body.count(b"[") > MOST_OBJECTS:
        raise TooMuchError(f"more than {MOST_OBJECTS:,} objects")
    if body.count(b",") > MOST_VALUES:
        raise TooMuchError(f"more than {MOST_VALUES:,} values")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise TooMuchError("JSON that is nested too deep") from error
    except ValueError:
        return json.loads(body, parse_int=_whole_number)


def _whole_number(digits: str) -> float:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else float(digits)
