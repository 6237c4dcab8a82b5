"""Which milestones a record that cannot be read in Testably may be."""

from __future__ import annotations

from collections import defaultdict
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
    named: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for source in () if options.create_anyway else listing.milestones.values():
        named[source.name.strip(), source.parent_id is None].append(source.id)
    found = {}
    for record in records:
        ids = named.get((record.name.strip(), record.parent_id is None), [])
        description = record.raw.get("description")
        text = description if isinstance(description, str) else None
        marked = marked_id(text, rules.testrail_url)
        called = f'{record.id or "A record"} ("{record.name}")'
        why = f"{called} in Testably cannot be read: its {record.reason}."
        found.update({id_: why for id_ in (*ids, marked) if id_ is not None})
    return found
