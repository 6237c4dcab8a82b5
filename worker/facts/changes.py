"""One field's change as people read it: on one line, or as a difference. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

_LONGEST_VALUE: Final = 60
"""Characters of a value that are shown on a line with the other; longer ones as a difference."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a milestone, before and after; both as they are written."""

    name: str
    before: str | None
    after: str | None
    edited: bool = False

    @property
    def is_short(self) -> bool:
        """Whether both values fit on one line."""
        both = (self.before or "", self.after or "")
        return all(len(text) <= _LONGEST_VALUE and "\n" not in text for text in both)

    def difference(self) -> Iterator[tuple[str, str]]:
        """The lines that differ, each with a minus or a plus in front."""
        old, new = (self.before or "").splitlines(), (self.after or "").splitlines()
        for step, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if step != "equal":
                yield from (("-", line) for line in old[i:j])
                yield from (("+", line) for line in new[k:m])


def fields_of(change: Mapping[str, Any]) -> list[FieldChange]:
    """The fields that a write has changed."""
    return [
        FieldChange(name, change["before"].get(name), after)
        for name, after in change["after"].items()
        if change["before"].get(name) != after
    ]
