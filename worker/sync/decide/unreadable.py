"""What could not be read in Testably, as far as it tells which milestones it may be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mappings.text import plain_name

ANYWHERE: Final = ""
"""In place of a parent's id: what could not be read may belong below any."""
UNKNOWN_PLACE: Final = "*"
"""In place of the id of a record's parent, where that could not be read."""


def place_of(name: str, parent: str | None) -> str:
    """A name below this target, or among the roots, as a key of `Unreadable.named`."""
    return f"{parent or ''}/{plain_name(name)}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a milestone may be in Testably already, although no readable record shows it.

    ``below`` has the reasons by the id of the parent's target, or `ANYWHERE`; ``marked`` by the
    TestRail id that a record's marker names, ``named`` by the `place_of` its name; ``living`` has
    the ids of those marked records that are not archived.
    """

    below: Mapping[str, str] = field(default_factory=dict)
    marked: Mapping[int, str] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)
    living: Mapping[int, Sequence[str]] = field(default_factory=dict)

    def why_below(self, parent: str | None) -> str | None:
        """Why a sub-milestone of this target can be there already."""
        return self.below.get(ANYWHERE) or self.below.get(parent or ANYWHERE)

    def why_named(self, name: str, parent: str | None) -> str | None:
        """Why one of this name can be there already, below this target or among the roots."""
        below = self.named.get(place_of(name, parent))
        return below or self.named.get(place_of(name, UNKNOWN_PLACE))


ALL_READ: Final = Unreadable()
"""Nothing that could not be read."""
