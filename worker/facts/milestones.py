"""One milestone with both sides beside each other, as they were read last.

What differs, and what that means, is asked of the plan that the recorded values give (R10).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from mappings.link import Link
from mappings.milestone import FIELDS, SourceMilestone
from worker.facts import words
from worker.facts.recorded import family_of, snapshot_of, source_of
from worker.sync.decide.action import Action
from worker.sync.decide.plan import make_plan
from worker.sync.decide.snapshot import Snapshot
from worker.sync.decide.verdict import MILESTONE, Difference, Verdict

if TYPE_CHECKING:
    from mappings.rows import Pair, PairIdentity
    from worker.bootstrap import Deployment

SAME: Final = "same"
NOT_READ: Final = "not read"
NOT_THERE: Final = "–"
"""What stands for the value of a side that could not be read, and of one that has none."""
_TARGET_ID: Final = re.compile(r"\bms_\w+")


@dataclass(frozen=True, slots=True)
class Row:
    """One field: what TestRail says of it in Testably's terms, and what Testably has.

    ``verdict`` is what the difference means, in the words of the JSON, or ``same``; None where
    nothing was compared. ``text`` says it in words, ``counts`` whether the pair is out of step
    by it. ``blanks`` are the words for either side where it has no value.
    """

    field: str
    testrail: str | None
    testably: str | None
    verdict: str | None = None
    text: str = ""
    counts: bool = False
    blanks: tuple[str, str] = (words.EMPTY, words.EMPTY)

    @property
    def sides(self) -> tuple[str, str]:
        """Both values on a line each; of the milestone as a whole neither side has one."""
        if self.field == MILESTONE:
            return "–", "–"
        said, shown = self.blanks
        return words.value_shown(self.testrail, said), words.value_shown(self.testably, shown)


@dataclass(frozen=True, slots=True)
class BothSides:
    """A milestone field by field; ``reason`` is what the next run would do about it, and why."""

    rows: tuple[Row, ...]
    reason: str = ""


def target_address(pair: PairIdentity, testably_id: str) -> str:
    """Where Testably's API has a milestone: the only address of it that is documented."""
    id_ = quote(testably_id, safe="")
    return f"{pair.testably_url}/v1/projects/{pair.testably_project}/milestones/{id_}"


def in_parts(text: str, pair: PairIdentity) -> Iterator[tuple[str, str | None]]:
    """A sentence in parts: each Testably id in it with its address, the rest with None."""
    at = 0
    for found in _TARGET_ID.finditer(text):
        yield text[at : found.start()], None
        yield found[0], target_address(pair, found[0])
        at = found.end()
    yield text[at:], None


def both_sides(deployment: Deployment, pair: Pair, link: Link) -> BothSides:
    """The two sides of a recorded milestone. Raises StoreError."""
    snapshot = snapshot_of(deployment, pair, family_of(deployment, pair, link))
    if link.testrail_id not in snapshot.source.milestones:
        return sides_of(snapshot, link, None)
    actions = make_plan(snapshot).actions
    return sides_of(snapshot, link, next(a for a in actions if a.testrail_id == link.testrail_id))


def sides_of(snapshot: Snapshot, link: Link, action: Action | None) -> BothSides:
    """The two sides as they were recorded, with what the plan for it says differs."""
    source = source_of(link)
    if source is None or action is None or not link.has_target:
        reason = action.reason if action else ""
        return BothSides(tuple(_uncompared(snapshot, source, link)), reason)
    return BothSides(tuple(_rows(snapshot, source, link, action)), action.reason)


def _rows(snapshot: Snapshot, source: SourceMilestone, link: Link, action: Action) -> Iterator[Row]:
    found = {one.field: one for one in action.differences}
    for name, desired in snapshot.desired(source).items():
        yield _row(found[name], action) if name in found else _same(link, name, desired)
    yield from (_row(one, action) for name, one in found.items() if name not in FIELDS)


def _row(one: Difference, action: Action) -> Row:
    text = words.verdict(one.verdict.value)
    if one.cause:
        text = f"{text}: {one.cause.value}"
    if one.verdict is Verdict.PUSH and one.field not in action.push:
        text = "differs, and is not written now"
    facts = (one.field, one.desired, one.live, one.verdict.value)
    return Row(*facts, text, counts=one.verdict.counts)


def _same(link: Link, name: str, desired: str | None) -> Row:
    return Row(name, desired, link.observed.get(name, desired), SAME, "the same")


def _uncompared(snapshot: Snapshot, source: SourceMilestone | None, link: Link) -> Iterator[Row]:
    """What is known of either side; nothing of one that was not read, or is not there."""
    desired = snapshot.desired(source) if source is not None else {}
    shown = link.observed if link.has_target else {}
    absent = NOT_READ if link.has_target else NOT_THERE
    for name in FIELDS:
        known = ((name in desired, NOT_READ), (name in shown, absent))
        said, has = (words.EMPTY if is_known else otherwise for is_known, otherwise in known)
        yield Row(name, desired.get(name), shown.get(name), blanks=(said, has))
