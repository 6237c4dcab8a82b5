"""What creates in doubt are to be linked to, as far as one reading shows it (R2). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from mappings.link import Link
from mappings.link_record import LinkState
from worker.sync.decide.doubt import doubt_of
from worker.sync.decide.in_doubt import Fate, judge
from worker.sync.decide.snapshot import Snapshot, living


def found_for_creates(snapshot: Snapshot) -> Mapping[int, str]:
    """The targets that creates are to be linked to about which a person was asked.

    By the TestRail ids: what a person has left, and what carries the marker of a create by now
    where nothing else was asked about. The run takes two looks before it links one.
    """
    links = snapshot.links
    in_doubt = [link for link in links.complete.values() if link.state is LinkState.CREATING]
    told = {link.testrail_id for link in in_doubt if _is_told(link, snapshot)}
    marked = {link.testrail_id for link in in_doubt if _is_marked(link, snapshot)}
    if not (told or marked):
        return {}
    doubts = [doubt_of(link, links, snapshot.rules, told | marked) for link in in_doubt]
    judged = judge(doubts, snapshot.free, snapshot.rules)
    found = {i: judged[i] for i in told | marked if judged[i].fate is Fate.FOUND}
    return {i: one.targets[0].id for i, one in found.items() if one.by_person or i in marked}


def _is_told(link: Link, snapshot: Snapshot) -> bool:
    """Whether a person has said something, and all that was asked about could be read."""
    unread = snapshot.target.unproved.keys() & set(link.attempt_asked or ())
    return (link.is_decided or link.is_asked_again) and not unread


def _is_marked(link: Link, snapshot: Snapshot) -> bool:
    """Whether the one target that a person is asked about lives, and alone carries its marker.

    So it does once its record can be read again. Where there were several, a person tells.
    """
    if not link.awaits_person or not snapshot.target.listed_whole:
        return False
    marked = snapshot.marked.get(link.testrail_id, ())
    asked = link.attempt_asked or ()
    is_unread = link.testrail_id in snapshot.target.unreadable.marked
    return not is_unread and [one.id for one in living(marked)] == list(asked) and len(marked) == 1
