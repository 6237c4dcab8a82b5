"""What is said of a run by how it ended: only one that came to its end has done all it had to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker.facts import words

_NOTHING: Final = {
    "running": "nothing so far",
    "unfinished": "nothing so far",
    "aborted": "no milestone was finished",
    "failed": "no milestone was finished",
}
"""What is said of a run that has counted no milestone, unless it came to its end; the counts of
one that died may lack its last second."""


def counted(counts: Mapping[str, int], state: str) -> str:
    """What came of the milestones of a run in this state: ``30 new, 3 changed``."""
    return words.counted(counts, _NOTHING.get(state, "nothing to do"))


def inexact(counts: Mapping[str, int], state: str) -> str:
    """What a run could not carry exactly; one that did not come to its end cannot have yet."""
    return f"{inexact_title(state)}: {words.not_exact(counts)}"


def inexact_title(state: str) -> str:
    """What stands before the losses of a run in this state."""
    return "Cannot be carried exactly" if state in _NOTHING else "Not carried exactly"
