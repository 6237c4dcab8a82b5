"""How what could not be read in Testably is found by the milestones that it may be. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mappings.text import plain_name

ANYWHERE: Final = ""
"""In place of a parent's id: what could not be read may belong below any."""
UNKNOWN_PLACE: Final = "*"
"""In place of the id of a record's parent, where that could not be read."""


def of_marker(testrail_id: int) -> str:
    """The key of an unreadable record that carries the marker of this TestRail milestone."""
    return f"#{testrail_id}"


def of_name(name: str, parent: str | None) -> str:
    """The key of an unreadable record of this name below this target, or among the roots."""
    return f"{parent or ''}/{plain_name(name)}"


def why_of_name(unread_for: Mapping[str, str], name: str, parent: str | None) -> str | None:
    """Why one of this name can be there already, below this target or among the roots."""
    below = unread_for.get(of_name(name, parent))
    return below or unread_for.get(of_name(name, UNKNOWN_PLACE))
