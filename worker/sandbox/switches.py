"""What the vendors' documents leave open, and what instances are known to do differently.

The defaults are the friendlier guesses; the tests run with every field both ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TestRailSwitches:
    """How this instance behaves where the document is silent or instances differ.

    ``list_shape``: ``envelope`` (6.7 and later); ``array`` holds every row whatever limit and
    offset say; ``array_paged`` heeds them; ``array_cut`` is the first 250 rows, always;
    ``beta_header`` is the envelope for requests with ``x-api-ident: beta``, else ``array``.
    ``sub_milestones``: in the list they are ``nested`` in their parent, ``flat`` beside it, or
    missing (``roots_only``). ``filters_reach_nested``: whether filters apply to nested ones too.
    """

    __test__ = False

    list_shape: Literal["envelope", "array", "array_paged", "array_cut", "beta_header"] = "envelope"
    sub_milestones: Literal["nested", "flat", "roots_only"] = "nested"
    filters_reach_nested: bool = False


@dataclass(frozen=True, slots=True)
class TestablySwitches:
    """What the Testably page leaves open; the tests run with every field both ways.

    ``listing_delay``: seconds until a new milestone is listed. ``null_clears``: a null empties a
    field, else it is refused. ``archived_subs_lock_status``: archived sub-milestones keep a
    parent's status and dates read-only. ``parent_dates_read_only``: writing the dates of a parent
    is refused, else ignored. ``trims_text``: names and descriptions are stripped;
    ``echo_differs``: so they are, but the answer to a write still shows the text as it was sent.
    """

    __test__ = False

    list_holds_subs: bool = True
    list_holds_archived: bool = False
    newest_first: bool = False
    listing_delay: float = 0.0
    null_clears: bool = True
    archived_subs_lock_status: bool = True
    parent_dates_read_only: bool = True
    max_name_length: int | None = None
    trims_text: bool = False
    echo_differs: bool = False
    status_vocabulary: Literal["active", "lifecycle"] = "active"
    parent_key: Literal["parent_id", "parent_milestone_id", "both"] = "parent_id"
    date_style: Literal["Z", ".000Z", "+00:00"] = "Z"
    shows_date_mode: bool = True
