"""When two texts say the same: a target may trim a text and write its letters another way. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Final


def same_text(one: str | None, other: str | None) -> bool:
    """Whether two texts differ at most in form."""
    return _plain(one) == _plain(other)


_RUN_OF_MARKS: Final = re.compile(r"[^\w\s]{100}")
"""Longer than any letter's accents. Normalising a run of marks takes the square of its length."""


def _plain(text: str | None) -> str:
    lines = (text or "").replace("\r\n", "\n").strip()
    if lines.isascii() or _RUN_OF_MARKS.search(lines):
        return lines
    return unicodedata.normalize("NFC", lines)
