"""Which word for an open status the target takes: its page has two vocabularies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mappings.dates import moment
from mappings.milestone import ACTIVE, Values
from mappings.rows import Pair
from mappings.store import Store

TABLE = "table"
"""Remembered of a pair whose target takes the words of its object table."""


@dataclass(slots=True)
class OpenWord:
    """``active``, or by the start date ``started`` or ``upcoming``, whichever was taken last.

    ``remember`` keeps with the pair which vocabulary was taken and then seen.
    """

    uses_table: bool = False
    remember: Callable[[str | None], None] = lambda _: None

    def sent_as(self, values: Values, start: str | None, now: datetime) -> Values:
        """The values as the request holds them; ``start`` is the milestone's start date."""
        if not self.uses_table or values.get("status") != ACTIVE:
            return values
        begun = start is not None and start <= moment(now.isoformat())
        return {**values, "status": "started" if begun else "upcoming"}

    def turn(self) -> None:
        """Use the other vocabulary from now on."""
        self.uses_table = not self.uses_table

    def keep(self) -> None:
        """The word was taken and is shown: the next run begins with it."""
        self.remember(TABLE if self.uses_table else None)


def open_word_of(store: Store, pair: Pair) -> OpenWord:
    """The vocabulary that this pair's target took last; what is learned is kept with it."""
    known = (store.find_pair(pair.identity) or pair).open_word
    return OpenWord(known == TABLE, lambda word: store.update_pair(pair.id, open_word=word))
