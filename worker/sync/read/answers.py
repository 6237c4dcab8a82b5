"""What both APIs answer while a run reads, kept from one slice of the run to the next.

A reading asks its questions in the same order in each slice: those that an earlier slice has
answers to are not sent again. So the readers need not know of slices; only whoever reads a list
page by page has to see that it is still the same list (`worker.clients.passes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from mappings.answers import AnswerStore
from mappings.errors import LostLock
from mappings.run_record import RunRecord
from worker.errors import BudgetExhausted
from worker.sync.options import Phase
from worker.sync.read.reading import OK, Begun, Reading, Told


class Answers:
    """The answers of one process's reading; outside of a reading nothing is kept or recalled."""

    def __init__(self, store: AnswerStore | None = None) -> None:
        self._store = store
        self._reading: Reading | None = None
        self._whole: Reading | None = None
        """The last long reading that came to its end."""

    @contextmanager
    def reading(
        self,
        run: RunRecord | None,
        phase: Phase,
        now: datetime,
        check: Callable[[], None] = lambda: None,
        require_project: Callable[[], object] = lambda: None,
    ) -> Iterator[None]:
        """Read inside. ``check`` is called before each request, and may raise to end the slice.

        With a ``run``, what was answered is kept if the reading does not come to its end, and
        recalled in its next slice. ``require_project`` raises ApiError where Testably does not
        know the project: then what it denied proves nothing (R4), and is not kept.
        """
        store = None if run is None else self._store
        reading = self._reading = Reading(store, run, phase, now, check, require_project)
        try:
            yield
        except LostLock:
            raise
        except Exception as error:
            reading.save()
            if isinstance(error, BudgetExhausted):
                reading.require_room()
            raise
        else:
            reading.end()
            self._whole = reading if reading.is_long else None
        finally:
            self._reading = None

    def keep_for_next_slice(self) -> None:
        """Keep the last reading, if it was long: the run goes on in another slice."""
        if self._whole is not None:
            self._whole.keep_for_next_slice()

    def is_begun(self, run: RunRecord, phase: Phase) -> bool:
        """Whether an earlier slice of the run has begun to read in this phase."""
        return self._store is not None and self._store.progress(run.id, phase).parts > 0

    @property
    def begun(self) -> Begun | None:
        """When the reading began, if that was in an earlier slice."""
        return None if self._reading is None else self._reading.begun

    @property
    def answered(self) -> Mapping[str, str] | None:
        """The digest of the answer to each question of this reading, as they came.

        None where there is no asking the same again: outside of a reading, of one that goes on
        from an earlier slice, or where something was denied, or asked twice, or asked in vain.
        """
        return None if self._reading is None else self._reading.answered

    # --- for whoever sends requests

    def before_request(self) -> None:
        """Raises what ends the reading here."""
        if self._reading is not None:
            self._reading.before_request()

    def recall(self, name: str, *, anew: bool = False) -> Told | None:
        """The answer to this question, if an earlier slice or `repeat` has it; each is told once.

        ``anew``: what an earlier slice was answered does not count, but what `repeat` was does.
        Raises the ApiError that `repeat` met. With the first question that was not repeated,
        what is left of those that were is forgotten.
        """
        return None if self._reading is None else self._reading.recall(name, anew=anew)

    def keep(self, name: str, body: bytes, status: int = OK, *, repeatable: bool = True) -> int:
        """Keep what was answered to the question that was recalled last; the part it belongs to.

        ``repeatable``: whether the same question can be asked without knowing more than its name.
        """
        if self._reading is None:
            return 1
        return self._reading.keep(name, status, body, repeatable=repeatable)

    def forget_repeated(self) -> None:
        """Have everything asked anew that `repeat` has asked."""
        if self._reading is not None:
            self._reading.forget_repeated()

    def repeat(self, name: str, digest: str, ask: Callable[[], bytes]) -> bool:
        """Whether ``ask`` still brings the answer with this digest; False outside of a reading.

        Whatever it brings, an ApiError too, is what `recall` gives or raises when the reading comes
        to this question.
        """
        return self._reading is not None and self._reading.repeat(name, digest, ask)
