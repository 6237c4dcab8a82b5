"""Fingerprints: equal for two readings of a milestone that say the same."""

from __future__ import annotations

import hashlib
from typing import Final

from mappings.milestone import SourceMilestone, TargetMilestone, Values

_EMPTY: Final = hashlib.blake2b(digest_size=12)


def fingerprint_of_source(source: SourceMilestone) -> str:
    """Equal for two readings of a TestRail milestone that say the same."""
    facts = (
        source.name,
        source.description,
        source.start_on,
        source.started_on,
        source.due_on,
        source.completed_on,
        source.is_started,
        source.is_completed,
        source.parent_id,
        source.refs,
    )
    return digest(facts)


def fingerprint_of_target(target: TargetMilestone) -> str:
    """Equal for two readings of a Testably milestone that say the same."""
    facts = (
        target.name,
        target.description,
        target.start_date,
        target.due_date,
        target.status,
        target.parent_id,
        target.date_mode,
    )
    return digest(facts)


def digest_of(values: Values) -> str:
    """Equal for the same values."""
    return digest(tuple(part for name in sorted(values) for part in (name, values[name])))


def digest(facts: tuple[object, ...]) -> str:
    """Equal for the same facts of the same types; takes whatever JSON can hold."""
    made = _EMPTY.copy()  # quicker than to make a new one, which takes longer than to hash a row
    made.update(repr(facts).encode())
    return made.hexdigest()
