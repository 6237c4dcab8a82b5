"""What people have left for creates in doubt, as far as one reading shows it (R2). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from mappings.link import Link
from mappings.link_record import LinkState
from worker.sync.decide.doubt import doubt_of
from worker.sync.decide.in_doubt import Fate, judge
from worker.sync.decide.snapshot import Snapshot


def left_by_people(snapshot: Snapshot) -> Mapping[int, str]:
    """The targets that creates are to be linked to of which a person has decided.

    By the TestRail ids. The run takes two looks before it does so.
    """
    links = snapshot.links
    in_doubt = [link for link in links.complete.values() if link.state is LinkState.CREATING]
    told = {link.testrail_id for link in in_doubt if _is_told(link, snapshot)}
    if not told:
        return {}
    doubts = [doubt_of(link, links, snapshot.rules, told) for link in in_doubt]
    judged = judge(doubts, snapshot.free, snapshot.rules)
    found = {id_: judged[id_] for id_ in told if judged[id_].fate is Fate.FOUND}
    return {id_: one.targets[0].id for id_, one in found.items() if one.by_person}


def _is_told(link: Link, snapshot: Snapshot) -> bool:
    """Whether a person has said something, and all that was asked about could be read."""
    unread = snapshot.target.unproved.keys() & set(link.attempt_asked or ())
    return (link.is_decided or link.is_asked_again) and not unread
