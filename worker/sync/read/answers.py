"""Caches the API responses of a reading, so that the next slice of the run does not ask again.

A reading makes its requests in the same order in each slice. A request that an earlier slice has
an answer to is not sent. So the readers need not know of slices; only the code that reads a list
page by page must check that it is still the same list (`worker.clients.passes`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from mappings.answers import AnswerStore
from mappings.errors import LostLock
from mappings.journal import Journal
from mappings.run_record import RunRecord
from worker.errors import BudgetExhausted
from worker.sync.options import Phase
from worker.sync.read.reading import OK, Begun, CachedAnswer, Reading


class InVainError(Exception):
    """A reading came to its end, and what it read is not whole: not all can be concluded."""


class Answers:
    """The cached answers of the reading under way; outside of a reading it caches nothing."""

    def __init__(self, store: AnswerStore | None = None) -> None:
        self._store = store
        self._reading: Reading | None = None
        self._whole: Reading | None = None
        """The last long reading that came to its end."""
        self.began: Begun | None = None
        """When the plan's reading began that came to its end; of a run that goes on in slices."""

    @contextmanager
    def reading(
        self,
        run: RunRecord | None,
        phase: str,
        now: datetime,
        check: Callable[[], None] = lambda: None,
        require_project: Callable[[], object] = lambda: None,
        about: Collection[int] = (),
    ) -> Iterator[None]:
        """Read inside of this context. ``check`` is called before each request; it may raise.

        With a ``run``, the answers are stored if the reading is cut off, and its next slice uses
        them. ``require_project`` raises ApiError where Testably does not know the project: then a
        404 of Testably proves nothing (R4), and is not stored.

        ``about`` are the changes (their ids in the journal) whose outcome the reading is to show:
        what earlier slices read for fewer does not count. A reading of several slices that ends
        with InVainError is not made again by later ones: they are told the same.
        """
        store = None if run is None else self._store
        reading = self._reading = Reading(store, run, phase, now, check, require_project, about)
        try:
            yield
        except LostLock:
            raise
        except InVainError:
            reading.end(in_vain=True)
            raise
        except Exception as error:
            reading.save()
            if isinstance(error, BudgetExhausted):
                reading.require_room()
            raise
        else:
            reading.end()
            if phase is Phase.READING:
                self._whole = reading if reading.is_long else None
                self.began = reading.began
        finally:
            self._reading = None

    def keep_for_next_slice(self) -> None:
        """Store the last complete reading, if it was long, because the run goes on."""
        if self._whole is not None:
            self._whole.keep_for_next_slice()

    def is_begun(self, run: RunRecord, phase: str) -> bool:
        """Whether an earlier slice of the run has begun the reading of this phase."""
        return self._store is not None and self._store.progress(run.id, phase).parts > 0

    def forget_overwritten(self, run: RunRecord, journal: Journal) -> None:
        """Forget what the target answered to the plan's reading before the run itself wrote."""
        begun = None if self._store is None else Begun.find(self._store, run, Phase.READING)
        if self._store is None or begun is None:
            return
        if journal.has_written(run.id, begun.target_change):
            self._forget_target(run, Phase.READING)

    def forget_target(self, run: RunRecord) -> None:
        """Forget all that the target answered to earlier slices of the run, in every reading."""
        self._forget_target(run)

    def _forget_target(self, run: RunRecord, phase: str = "") -> None:
        if self._store is None:
            return
        begun = Begun.find(self._store, run, Phase.READING)
        self._store.forget(run.id, phase, api="Testably")
        if begun is not None:
            anew = replace(begun, target_change=self._store.newest_change())
            self._store.keep(run, Phase.READING, [anew.kept])

    @property
    def begun(self) -> Begun | None:
        """When the reading began, if an earlier slice began it; else None."""
        return None if self._reading is None else self._reading.begun

    @property
    def answered(self) -> Mapping[str, str] | None:
        """The digest of the answer to each request of this reading, in the order of requests.

        None where a later run could not repeat the requests and compare: outside of a reading, in
        one that an earlier slice began, or where an answer was an error, a request was made twice,
        or a request that `repeat` sent ahead was not needed.
        """
        return None if self._reading is None else self._reading.answered

    # --- for the clients, which send the requests

    def before_request(self) -> None:
        """Call ``check`` of the reading; raises what it raises."""
        if self._reading is not None:
            self._reading.before_request()

    def recall(self, name: str, *, anew: bool = False) -> CachedAnswer | None:
        """The answer that an earlier slice or `repeat` got to this request; each is given once.

        ``anew`` leaves out answers of earlier slices. Raises the ApiError that `repeat` got. The
        first request that `repeat` has not sent makes the rest of its answers void.
        """
        return None if self._reading is None else self._reading.recall(name, anew=anew)

    def keep(self, name: str, body: bytes, status: int = OK, *, repeatable: bool = True) -> int:
        """Cache the answer to the request that `recall` was last asked for; returns its slice.

        ``repeatable`` says whether a later run can repeat the request from its name alone.
        """
        if self._reading is None:
            return 1
        return self._reading.keep(name, status, body, repeatable=repeatable)

    def forget_repeated(self) -> None:
        """Forget the answers that `repeat` got, so that their requests are sent again."""
        if self._reading is not None:
            self._reading.forget_repeated()

    def repeat(self, name: str, digest: str, ask: Callable[[], bytes]) -> bool:
        """Send the request by ``ask``; whether its answer has this digest (False outside).

        `recall` later gives that answer, or raises the ApiError that ``ask`` raised, so that the
        request is not sent twice.
        """
        return self._reading is not None and self._reading.repeat(name, digest, ask)
