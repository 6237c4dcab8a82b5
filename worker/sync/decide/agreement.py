"""The note that both sides of a milestone agree: when it is taken, and what it says. Pure.

With the fingerprint of the target it keeps the words under which a run counts the milestone, and
until when time alone does not change them. While it stands nothing is looked at (`unchanged.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import replace

from mappings.lifecycle import lifecycle_changes_at
from mappings.milestone import FIELDS, TargetMilestone
from worker.sync.decide.action import Action
from worker.sync.decide.differences import Comparison
from worker.sync.decide.losses import Children, exempt_of, losses_of
from worker.sync.decide.snapshot import Snapshot

EXEMPT = "exempt:"
"""Begins the words that count fields which are Testably's own to say, and not losses."""


def agree(
    snapshot: Snapshot, compared: Comparison, live: TargetMilestone | None, own: Set[str]
) -> bool:
    """Whether nothing is left to decide about a linked milestone while both sides stay as they are.

    ``own`` are the fields that the target says. Only a whole reading tells it: of a parent, its
    sub-milestones are a part, those that ``only`` leaves out as well.
    """
    link = compared.link
    is_whole = snapshot.whole_project and snapshot.options.only is None
    if live is None or not is_whole or compared.kept or link.has_open_matter:
        return False
    if snapshot.places[link.testrail_id].problem is not None:
        return False
    desired = snapshot.desired(snapshot.source.milestones[link.testrail_id])
    names = [name for name in FIELDS if name != "status" or name not in own]
    return all(link.last_applied.get(name) == desired[name] for name in names)


def noted(action: Action, snapshot: Snapshot, children: Children) -> Action:
    """With the note that both sides agree, where they do and it does not stand there yet."""
    link, live = action.link, snapshot.target.milestones.get(action.testably_id or "")
    if not action.agrees or link is None or live is None:
        return action
    words, until = _words(action, snapshot, children), _until(action, snapshot, children)
    agreed = link.agreed(live, words, until)
    before = snapshot.link(action.testrail_id).agreement
    return replace(action, link=agreed, agrees=not action.learned and agreed.agreement != before)


def _words(action: Action, snapshot: Snapshot, children: Children) -> str:
    exempt = exempt_of(action, snapshot).items()
    words = [EXEMPT + name for name, number in exempt for _ in range(number)]
    return " ".join([*losses_of(action, snapshot, children), *words])


def _until(action: Action, snapshot: Snapshot, children: Children) -> int | None:
    """In Unix seconds; None for ever. Of a parent the lifecycle is not counted."""
    source = snapshot.source.milestones[action.testrail_id]
    if source.id in children or action.testably_id in snapshot.parents:
        return None
    return lifecycle_changes_at(source, snapshot.rules, snapshot.now)


def counted(snapshot: Snapshot) -> tuple[Counter[str], Counter[str]]:
    """What the notes of all that agrees count: losses by kind, and exempt fields by kind."""
    lost: Counter[str] = Counter()
    exempt: Counter[str] = Counter()
    outlines = snapshot.links.outlines
    notes = Counter(outlines[id_].agreed_counts for id_ in snapshot.source.unchanged)
    for words, number in notes.items():
        for word in words.split():
            if word.startswith(EXEMPT):
                exempt[word.removeprefix(EXEMPT)] += number
            else:
                lost[word] += number
    return lost, exempt
