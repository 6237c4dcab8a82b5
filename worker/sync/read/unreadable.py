"""Which milestones a record that cannot be read in Testably may be."""

from __future__ import annotations

from collections.abc import Iterable

from mappings.footer import marked_id
from mappings.milestone import BadRecord, MappingRules
from worker.sync.options import Options
from worker.sync.ports import SourceListing


def unread_for(
    records: Iterable[BadRecord], listing: SourceListing, rules: MappingRules, options: Options
) -> dict[int, str]:
    """By TestRail id, why its milestone may be there already: a record has its marker or its name.

    ``records`` are those that no link holds. A name does not count where a person said that all is
    to be created; it is compared among roots, and among sub-milestones.
    """
    found: dict[int, str] = {}
    named: dict[tuple[str, bool], str] = {}
    for record in records:
        called = f'{record.id or "A record"} ("{record.name}")'
        why = f"{called} in Testably cannot be read: its {record.reason}."
        named[record.name.strip(), record.parent_id is None] = why
        text = record.raw.get("description")
        marked = marked_id(text, rules.testrail_url) if isinstance(text, str) else None
        if marked is not None:
            found[marked] = why
    if named and not options.create_anyway:
        for source in listing.milestones.values():
            same = named.get((source.name.strip(), source.parent_id is None))
            if same is not None:
                found.setdefault(source.id, same)
    return found
