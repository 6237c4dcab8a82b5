"""JSON from outside, decoded within bounds (R11); a number of any size spoils no other record."""

from __future__ import annotations

import json
import math
import re
from typing import Final, Self

from worker.clients.bounds import MOST_OBJECTS, MOST_VALUES, TooMuchError

_LONGEST_NUMBER: Final = 400
"""Digits that are taken as a number. Python refuses to convert some thousands of them."""
_LONGEST_SHOWN: Final = 20
_TEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""A text in JSON; one that has no end goes to the end, so that this takes its length in time."""


class HugeNumber(float):
    """A number that is too large to be one here: an infinite one that says what it was."""

    def __new__(cls, said: str, text: str) -> Self:
        """Made of what a person is told of it, and of how it stood there."""
        made = super().__new__(cls, text)
        made.said = said
        return made

    said: str

    def __repr__(self) -> str:
        return self.said


def decode(body: bytes) -> object:
    """The value that a body holds. Raises ValueError where it holds none, TooMuchError beyond R11.

    The bounds are looked at before anything is decoded, since decoding is what takes the memory.
    A whole number of hundreds of digits becomes a `HugeNumber`, as 1e400 does.
    """
    if _too_much(body) and (what := _too_much(_without_texts(body))):
        raise TooMuchError(what)
    try:
        return json.loads(body, parse_float=_number)
    except RecursionError as error:
        raise TooMuchError("JSON that is nested too deep") from error
    except ValueError:
        return json.loads(body, parse_float=_number, parse_int=_whole_number)


def _too_much(body: bytes) -> str:
    """What a body holds more of than is read, if every mark in it is one of JSON's; else empty."""
    if body.count(b"{") + body.count(b"[") > MOST_OBJECTS:
        return f"more than {MOST_OBJECTS:,} objects"
    return f"more than {MOST_VALUES:,} values" if body.count(b",") > MOST_VALUES else ""


def _without_texts(body: bytes) -> bytes:
    """The marks of JSON in a body; all of it where it is not in UTF-8."""
    return body if b"\0" in body else _TEXT.sub(b"", body)


def _number(text: str) -> float:
    number = float(text)
    if not math.isinf(number):
        return number
    shown = text if len(text) <= _LONGEST_SHOWN else f"a number of {len(text):,} characters"
    return HugeNumber(shown, text)


def _whole_number(text: str) -> float:
    if len(text) <= _LONGEST_NUMBER:
        return int(text)
    return HugeNumber(f"a whole number of {len(text.lstrip('-')):,} digits", text)
