"""How far runs are that go on: writes done, of the writes that are planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.facts import words

if TYPE_CHECKING:
    from mappings.run_record import RunRecord
    from worker.bootstrap import Deployment


@dataclass(frozen=True, slots=True)
class Progress:
    """How many writes are done, of how many planned, and about how many seconds the others take.

    A milestone may take two writes, so that milestones are no measure. What is planned is not
    known while both sides are read.
    """

    done: int
    planned: int | None
    seconds_left: float = 0.0

    @property
    def text(self) -> str:
        """How far it is, in words."""
        if self.planned is None:
            return f"{words.number_of(self.done, 'write', 'writes')} done"
        return f"{self.done} of {words.number_of(self.planned, 'write', 'writes')} done"

    @property
    def time_left(self) -> str:
        """About how long it still takes, in words; empty where nobody knows."""
        return words.about(self.seconds_left) if self.seconds_left else ""


def progress_of(deployment: Deployment, runs: Sequence[RunRecord]) -> Mapping[str, Progress]:
    """How far each of these runs is, by its id. Raises StoreError.

    A value that is refused together with others is sent alone, which nobody planned: no more is
    said to be done than was planned.
    """
    every = deployment.store.journal.writes_done([run.id for run in runs])
    found = {}
    for run in runs:
        done = every.get(run.id, 0)
        if run.planned is None:
            found[run.id] = Progress(done, None)
        else:
            left = max(run.planned - done, 0)
            seconds = left * deployment.seconds_per_request
            found[run.id] = Progress(min(done, run.planned), run.planned, seconds)
    return found
