"""What the fields of a milestone are called by people. Pure; the JSON has Testably's own names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FIELD_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("name",),
    "description": ("description",),
    "start_date": ("start", "start date"),
    "due_date": ("due", "due date"),
    "status": ("status",),
    "parent_id": ("parent",),
}
"""Of each field, what stands beside a value first, and last what stands in a sentence."""
