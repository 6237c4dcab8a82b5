"""What was there before a create, found by what it could be mistaken for (R2). Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from mappings.milestone import TargetMilestone
from mappings.stored_text import reduced
from mappings.text import plain_text

MENTION: Final = re.compile(r"/milestones/view/(\d+)")
"""The end of a TestRail milestone's address, with its id."""


class ThereBefore:
    """Targets by their names and by the TestRail ids that their descriptions mention.

    It is built once for many creates. Targets without a name, of which nothing can be read, can be
    mistaken for any create.
    """

    def __init__(self, targets: Iterable[TargetMilestone]) -> None:
        self._named: dict[str, list[str]] = defaultdict(list)
        self._mentioning: dict[int, list[str]] = defaultdict(list)
        self._nameless: list[str] = []
        for target in targets:
            if is_nameless(target):
                self._nameless.append(target.id)
            else:
                self._named[reduced(target.name)].append(target.id)
            for id_ in _mentioned(target):
                self._mentioning[id_].append(target.id)

    def near(self, name: str, testrail_id: int) -> tuple[str, ...]:
        """The ids that a create of this name for this milestone could be mistaken for, sorted.

        They are the same as `stored_text.can_be_name` tells, and those that mention the milestone.
        """
        sent = reduced(name)
        found = {*self._nameless, *self._mentioning.get(testrail_id, ())}
        for length in range(len(sent) + 1):
            if length or not sent:
                found.update(self._named.get(sent[:length], ()))
        return tuple(sorted(found))


def is_nameless(target: TargetMilestone) -> bool:
    """Whether nothing is known of its name: it is a record that cannot be read."""
    return not target.name.strip()


def _mentioned(target: TargetMilestone) -> Iterator[int]:
    shown = target.description or ""
    if MENTION.search(shown):
        yield from {int(id_) for id_ in MENTION.findall(plain_text(shown))}
