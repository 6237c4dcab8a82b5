"""What both APIs answer while a run reads, kept from one slice of the run to the next.

A reading asks its questions in the same order in each slice: those that an earlier slice has
answers to are not sent again. So the readers need not know of slices; only whoever reads a list
page by page has to see that it is still the same list (`worker.clients.passes`).
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Final, NamedTuple

import structlog

from mappings.answers import AnswerStore, Kept
from mappings.errors import LostLock
from mappings.journal import Journal
from mappings.run_record import RunRecord
from worker.errors import ApiError, BudgetExhausted, GuardTripped
from worker.sync.options import Phase

OK: Final = 200
_NOT_FOUND: Final = 404
_BEGUN: Final = "begun"
_LONG: Final = 100
"""Answers. A reading of so many is not made again by the later slices of its run."""
_MOST_BYTES: Final = 128 * 1024 * 1024
"""Compressed, of one reading: a project of the most milestones takes a tenth of that."""
_MOST_IN_MEMORY: Final = 8 * 1024 * 1024

log = structlog.get_logger(__name__)


class Told(NamedTuple):
    """An answer that an earlier slice got; ``part`` counts the slices of the reading, from 1."""

    status: int
    body: bytes
    part: int


@dataclass(frozen=True, slots=True)
class Begun:
    """When a reading that goes on began, and after which change of its pair."""

    run_id: str
    at: datetime
    change: int

    def written_by_others(self, journal: Journal, pair_id: int) -> set[int]:
        """The milestones that others have written since.

        That is not in what was read before; so this run's own write of them has to lose the
        compare-and-set (R8), as if all had been read in one go.
        """
        return journal.written_by_others(pair_id, self.run_id, self.change)

    @property
    def body(self) -> bytes:
        return json.dumps({"at": self.at.isoformat(), "change": self.change}).encode()

    @classmethod
    def of(cls, run_id: str, body: bytes) -> Begun:
        facts = json.loads(body)
        return cls(run_id, datetime.fromisoformat(facts["at"]), facts["change"])


class Answers:
    """The answers of one process's reading; outside of a reading nothing is kept or recalled."""

    def __init__(self, store: AnswerStore | None = None) -> None:
        self._store = store
        self._reading: _Reading | None = None
        self._whole: _Reading | None = None
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
        reading = self._reading = _Reading(store, run, phase, now, check, require_project)
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

    # --- for whoever sends requests

    def before_request(self) -> None:
        """Raises what ends the reading here."""
        if self._reading is not None:
            self._reading.before_request()

    def recall(self, name: str, *, anew: bool = False) -> Told | None:
        """The answer to this question, if an earlier slice has it; each is asked for once.

        ``anew``: what was answered earlier does not count.
        """
        return None if self._reading is None else self._reading.recall(name, anew=anew)

    def keep(self, name: str, body: bytes, status: int = OK) -> int:
        """Keep what was answered to the question that was recalled last; the part it belongs to."""
        return 1 if self._reading is None else self._reading.keep(name, status, body)


@dataclass(slots=True)
class _Reading:
    store: AnswerStore | None
    run: RunRecord | None
    phase: Phase
    now: datetime
    check: Callable[[], None]
    require_project: Callable[[], object]
    part: int = 1
    size: int = 0
    begun: Begun | None = None
    begins: Kept | None = None
    asked: Counter[str] = field(default_factory=Counter)
    new: list[Kept] = field(default_factory=list)
    in_memory: int = 0
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        if self.store is None or self.run is None:
            return
        progress = self.store.progress(self.run.id, self.phase)
        self.part, self.size = progress.parts + 1, progress.size
        if not progress.parts:
            here = Begun(self.run.id, self.now, self.store.newest_change())
            self.begins = Kept(_BEGUN, 1, 1, OK, zlib.compress(here.body))
            return
        told = self.recall(_BEGUN)
        assert told is not None  # noqa: S101  (it is kept before everything else)
        self.begun = Begun.of(self.run.id, told.body)
        log.info("the reading goes on", part=self.part)

    def before_request(self) -> None:
        with self._lock:  # several pages may be under way
            self.check()

    def recall(self, name: str, *, anew: bool = False) -> Told | None:
        if self.store is None or self.run is None:
            return None
        with self._lock:
            self.asked[name] += 1
            number = self.asked[name]
        if anew or self.part == 1:
            return None
        kept = self.store.find(self.run.id, self.phase, name, number)
        return None if kept is None else Told(kept.status, zlib.decompress(kept.body), kept.part)

    def keep(self, name: str, status: int, body: bytes) -> int:
        if self.store is not None:
            packed = zlib.compress(body, 1)
            with self._lock:
                self.new.append(Kept(name, self.asked[name], self.part, status, packed))
                self.in_memory += len(packed)
                if self.in_memory > _MOST_IN_MEMORY:
                    self._write(with_denied=False)
        return self.part

    # --- its end

    def end(self) -> None:
        """All is read. It is kept where it would take long to read it again for the next slice."""
        if self.is_long:
            if self.part > 1:
                self.keep_for_next_slice()
        elif self.store is not None and self.run is not None and self.size:
            self.store.forget(self.run.id, self.phase)

    @property
    def is_long(self) -> bool:
        """Whether the slices that apply the plan are not to read again."""
        return self.phase is Phase.READING and (self.part > 1 or len(self.new) >= _LONG)

    def keep_for_next_slice(self) -> None:
        """Keep what is new of a reading that came to its end."""
        if self.new:
            self._write()

    def save(self) -> None:
        """Keep what is new of a reading that ends here."""
        self.check = lambda: None
        denied = any(one.status == _NOT_FOUND for one in self.new)
        self._write(with_denied=not denied or self._has_project())

    def require_room(self) -> None:
        """Raise GuardTripped if more is kept than may be: then the reading cannot go on."""
        if self.size > _MOST_BYTES:
            raise GuardTripped(
                f"What both sides list takes more than {_MOST_BYTES // 1024 // 1024} MiB, too"
                " much to be kept from one slice of a run to the next.",
                "Run `milesync migrate` for this project: a command reads it in one go.",
            )

    def _has_project(self) -> bool:
        """Whether Testably still knows the project, and so is right about what it denied (R4)."""
        try:
            self.require_project()
        except (ApiError, BudgetExhausted):
            return False
        return True

    def _write(self, *, with_denied: bool = True) -> None:
        """Keep what is new; without it, not what is denied, until more is known."""
        if self.store is None or self.run is None:
            return
        left = [] if with_denied else [one for one in self.new if one.status == _NOT_FOUND]
        new = [one for one in (self.begins, *self.new) if one is not None and one not in left]
        self.store.keep(self.run, self.phase, new)
        self.size += sum(len(one.body) for one in new)
        self.begins, self.new, self.in_memory = None, left, 0
