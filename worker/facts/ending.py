"""What is said of a run by how it ended: only one that came to its end has done all it had to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.facts import words
from worker.facts.matters import shown_counts

_NOTHING: Final = {
    "running": "nothing so far",
    "unfinished": "nothing so far",
    "aborted": "no milestone was finished",
    "failed": "no milestone was finished",
}
"""What is said of a run that has counted no milestone, unless it came to its end; the counts of
one that died may lack its last second."""


def counted(
    counts: Mapping[str, int],
    problems: Sequence[Mapping[str, Any]],
    state: str,
    *,
    is_undo: bool = False,
) -> str:
    """What came of the milestones of a run in this state: ``30 new, 3 changed, 1 needs you``."""
    shown, among = shown_counts(counts, problems, is_undo=is_undo)
    return words.counted(shown, _NOTHING.get(state, "nothing to do"), among)


def inexact(counts: Mapping[str, int], state: str) -> str:
    """What a run could not carry exactly; one that did not come to its end cannot have yet."""
    return f"{inexact_title(state)}: {words.not_exact(counts)}"


def inexact_title(state: str) -> str:
    """What stands before the losses of a run in this state."""
    return "Cannot be carried exactly" if state in _NOTHING else "Not carried exactly"


def proof(verified: Mapping[str, Any], kept: int = 0) -> str:
    """What the proof that a run ended with has found, in a sentence.

    ``kept`` milestones differ in edits that a setting lets win.
    """
    if verified["in_step"] is None:
        return f"Whether both sides agree could not be read: {verified['reason']}"
    compared = f"{verified['compared']} compared{_of_scope(verified)}"
    if verified["in_step"]:
        return f"Both sides were read and agree{_but(kept)}: {compared}."
    since = verified["changed_since"]
    if since:
        return f"Both sides were read: {compared}; {since} changed while the run was going on."
    return f"Both sides were read and differ: {compared}; `milesync failures` says where."


def proof_at(verified: Mapping[str, Any], when: str, kept: int = 0) -> str:
    """The same in the words of a report, with the time of the proof."""
    number = verified["compared"]
    noun = "milestone" if number == 1 else "milestones"
    compared = f"{number} {noun} compared{_of_scope(verified)}"
    if verified["in_step"]:
        return f"Both sides were read again on {when}: no difference{_but(kept)} ({compared})."
    if verified["in_step"] is None or verified["changed_since"]:
        return f"{when}: {proof(verified)}"
    return f"Both sides were read again on {when} and differ in what is listed below ({compared})."


def _but(kept: int) -> str:
    """What both sides do not agree on although they are in step."""
    milestones = words.number_of(kept, "milestone", "milestones")
    return f", but for {milestones} kept as edited" if kept else ""


def _of_scope(verified: Mapping[str, Any]) -> str:
    """What a proof was narrowed to, if it was."""
    scope = verified.get("scope", "all")
    return "" if scope == "all" else f", {scope} ones alone"
