"""What is looked at again although both sides agreed: whole families, and no others."""

from __future__ import annotations

from typing import Any

from mappings.link_record import LinkState
from mappings.links import Links, Outline
from mappings.milestone import BadRecord
from tests.support.build import RULES, link, source, target
from tests.support.clock import NOW
from worker.sync.decide.agreement import counted
from worker.sync.decide.snapshot import Snapshot
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.decide.unchanged import Families
from worker.sync.ports import SourceListing, Unchanged


def agreed(parents: dict[int, int | None], **more: Any) -> tuple[SourceListing, Links]:
    """Milestones that read as when both sides agreed, each linked to ``ms_<id>``."""
    above = {parent for parent in parents.values() if parent is not None}
    outlines = {
        id_: Outline(
            id_, f"ms_{id_}", "", "", f"ms_{parent}" if parent else None, id_ in above, 1, "", None
        )
        for id_, parent in parents.items()
    }
    unchanged = {id_: Unchanged(f"Release {id_}", parent) for id_, parent in parents.items()}
    return SourceListing({}, unchanged=unchanged, **more), Links(outlines=outlines)


TWO = {1: None, 2: 1, 3: None, 4: 3, 5: None}
"""Two families, and one without a family."""


def opened(listing: SourceListing, links: Links) -> set[int]:
    return Families(listing).open_at_source(listing, links, NOW)


def test_where_nothing_has_changed_every_family_stays_closed() -> None:
    assert opened(*agreed(TWO)) == set()


def test_a_record_that_cannot_be_read_opens_its_family() -> None:
    listing, links = agreed(TWO, problems=(BadRecord(9, "Bad", "", "", "", parent_id=3),))
    assert opened(listing, links) == {3, 4}


def test_a_milestone_that_is_gone_opens_the_family_that_its_target_hangs_in() -> None:
    """One that agreed until now, and one about which something was open, both."""
    listing, links = agreed(TWO)
    del listing.unchanged[2]  # type: ignore[attr-defined]
    assert opened(listing, links) == {1}
    links.put(link(source(6), target(source(6)), target_parent="ms_3"))
    assert opened(listing, links) == {1, 3, 4}


def test_a_link_that_is_archived_or_not_of_this_reading_opens_nothing() -> None:
    listing, links = agreed(TWO)
    gone = link(source(6), target(source(6)), target_parent="ms_3", state=LinkState.ARCHIVED)
    links.put(gone)
    assert opened(listing, links) == set()
    read = SourceListing({6: source(6)}, unchanged=listing.unchanged)
    links.put(link(source(6), target(source(6)), target_parent="ms_3"))
    assert opened(read, links) == set()


def test_a_milestone_that_hangs_elsewhere_or_has_other_children_opens_its_family() -> None:
    listing, links = agreed(TWO)
    links.outlines[4] = links.outlines[4]._replace(target_parent="ms_1")
    assert opened(listing, links) == {3, 4}
    listing, links = agreed(TWO)
    links.outlines[5] = links.outlines[5]._replace(has_children=True)
    assert opened(listing, links) == {5}
    listing, links = agreed(TWO)
    links.outlines[5] = links.outlines[5]._replace(agreed_until=int(NOW.timestamp()))
    assert opened(listing, links) == {5}
    links.outlines[5] = links.outlines[5]._replace(agreed_until=int(NOW.timestamp()) + 1)
    assert opened(listing, links) == set()


def test_a_circle_of_parents_is_one_family_with_whatever_hangs_below_it() -> None:
    families = Families(agreed({1: 2, 2: 3, 3: 2, 4: 1})[0])
    assert [families.top(id_) for id_ in (1, 2, 3, 4)] == [2, 2, 2, 2]


def test_what_agrees_is_counted_by_the_words_of_its_notes() -> None:
    """Of every milestone each word, losses apart from what is Testably's own to say."""
    listing, links = agreed({1: None, 2: None, 3: None, 4: None})
    words = ("nesting", "nesting dates exempt:parent_status", "", "exempt:parent_status dates")
    for id_, counts in enumerate(words, 1):
        links.outlines[id_] = links.outlines[id_]._replace(agreed_counts=counts)
    both = Snapshot(RULES, listing, links, TargetSnapshot(), NOW)
    assert counted(both) == ({"nesting": 2, "dates": 2}, {"parent_status": 2})
