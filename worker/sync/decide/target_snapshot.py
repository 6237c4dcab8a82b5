"""What is known of Testably at one time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mappings.milestone import TargetMilestone
from worker.sync.decide.unreadable import ALL_READ, Unreadable
from worker.sync.ports import AS_ASKED, Paging, Shown

NOT_PROVED_GONE: Final = (
    "Testably answers 404 to its id, but no list of this run tells that it has gone."
)
"""Why a target could not be read that is gone only if the lists lack it as well (R4)."""


@dataclass(frozen=True, slots=True)
class TargetSnapshot:
    """What is known of the target.

    ``listed`` is False in a scheduled run that trusts the last listing: what is not in
    ``milestones`` then stands as last observed. ``gone`` are ids proved to be gone, ``unproved``
    ids that could not be read, with the reason, ``unreadable`` what of these no link holds.
    ``foreign`` are ids that other pairs hold, ``unchanged`` those that agree as before,
    ``by_status`` what only the completed or archived list showed, ``singly`` what no list did,
    ``detailed`` what was read by itself, with what hangs on it (R12), ``newest`` the newest
    ``created_at``. ``incomplete_because`` says why it is not ``complete``.
    """

    milestones: Mapping[str, TargetMilestone] = field(default_factory=dict)
    unchanged: Mapping[str, Shown] = field(default_factory=dict)
    listed: bool = True
    complete: bool = True
    gone: frozenset[str] = frozenset()
    unproved: Mapping[str, str] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    by_status: frozenset[str] = frozenset()
    singly: frozenset[str] = frozenset()
    detailed: frozenset[str] = frozenset()
    newest: str | None = None
    paging: Paging = AS_ASKED
    incomplete_because: str = ""
    unreadable: Unreadable = ALL_READ

    @property
    def listed_whole(self) -> bool:
        """Whether its lists were read, and to their end."""
        return self.listed and self.complete

    def without_proof(self) -> TargetSnapshot:
        """With nothing gone, as no list was read with it: what answered 404 is unproved."""
        denied = dict.fromkeys(self.gone, NOT_PROVED_GONE)
        return replace(self, gone=frozenset(), unproved={**self.unproved, **denied})
