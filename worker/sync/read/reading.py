"""One reading of both sides: the API responses that this slice and earlier ones of its run got."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Final, NamedTuple

import structlog

from mappings.answers import AnswerStore, Kept
from mappings.journal import Journal
from mappings.run_record import RunRecord
from worker.errors import ApiError, BudgetExhausted, GuardTripped
from worker.sync.options import Phase

OK: Final = 200
_NOT_FOUND: Final = 404
_BEGUN: Final = "begun"
_LONG: Final = 100
"""Answers. The later slices of a run do not repeat a reading of so many."""
_MOST_BYTES: Final = 128 * 1024 * 1024
"""Compressed bytes of one reading: the largest project takes a tenth of that."""
_MOST_IN_MEMORY: Final = 8 * 1024 * 1024
_MOST_REPEATED: Final = 32 * 1024 * 1024
"""Compressed bytes that `repeat` may hold: beyond that it gives up."""

log = structlog.get_logger(__name__)


class CachedAnswer(NamedTuple):
    """The API's answer to a request, sent by slice ``part`` (from 1) of the reading."""

    status: int
    body: bytes
    part: int


@dataclass(frozen=True, slots=True)
class Begun:
    """When a reading of several slices began, and the newest journaled change at that time.

    ``target_change`` is the newest change when the target was first read: later than ``change``
    where that had to be begun anew. `Answers.reading` says what ``about`` are.
    """

    run_id: str
    at: datetime
    change: int
    target_change: int
    about: Collection[int] = ()

    def written_by_others(self, journal: Journal, pair_id: int) -> set[int]:
        """The milestones that other runs have written since the reading began.

        Answers of earlier slices do not show these writes. So this run must lose the
        compare-and-set (R8) on these milestones, as it would if it had read all in one slice.
        """
        return journal.written_by_others(pair_id, self.run_id, self.change)

    @property
    def kept(self) -> Kept:
        """As it is stored beside the answers."""
        facts = {
            "at": self.at.isoformat(),
            "change": self.change,
            "target_change": self.target_change,
            "about": sorted(self.about),
        }
        return Kept(_BEGUN, 1, 1, OK, zlib.compress(json.dumps(facts).encode()))

    @classmethod
    def find(cls, store: AnswerStore, run: RunRecord, phase: str) -> Begun | None:
        """That of the run's reading in this phase, if an earlier slice has begun it."""
        kept = store.find(run.id, phase, _BEGUN, 1)
        if kept is None:
            return None
        facts = json.loads(zlib.decompress(kept.body))
        at, change = datetime.fromisoformat(facts["at"]), facts["change"]
        target_change, about = facts.get("target_change", change), facts.get("about", ())
        return cls(run.id, at, change, target_change, about)


@dataclass(slots=True)
class Reading:
    """The requests and answers of one slice. Others use it through `Answers`, which documents it.

    ``digests`` maps each request to the digest of its answer. ``repeated`` holds, compressed, the
    answers to requests that `repeat` has sent ahead, until the reading itself makes the request.
    """

    store: AnswerStore | None
    run: RunRecord | None
    phase: str
    now: datetime
    check: Callable[[], None]
    require_project: Callable[[], object]
    about: Collection[int] = ()
    part: int = 1
    size: int = 0
    began: Begun | None = None
    """When it began, in whichever slice; None where nothing is kept."""
    begins: Kept | None = None
    asked: Counter[str] = field(default_factory=Counter)
    new: dict[tuple[str, int], Kept] = field(default_factory=dict)
    in_memory: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, bytes | ApiError] = field(default_factory=dict)
    repeated_size: int = 0
    is_repeatable: bool = True
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        if self.store is None or self.run is None:
            return
        progress = self.store.progress(self.run.id, self.phase)
        begun = Begun.find(self.store, self.run, self.phase) if progress.parts else None
        if begun is not None and set(self.about) <= set(begun.about):
            self.began = begun
            self.part, self.size = progress.parts + 1, progress.size
            log.info("the reading goes on", reading=self.phase, part=self.part)
            return
        if progress.parts:
            self.store.forget(self.run.id, self.phase)
            log.info("the reading begins anew", reading=self.phase)
        change = self.store.newest_change()
        self.began = Begun(self.run.id, self.now, change, change, self.about)
        self.begins = self.began.kept

    @property
    def begun(self) -> Begun | None:
        """When it began, if an earlier slice began it."""
        return self.began if self.part > 1 else None

    def before_request(self) -> None:
        with self._lock:  # several pages may be under way
            self.check()

    def recall(self, name: str, *, anew: bool = False) -> CachedAnswer | None:
        if name in self.repeated:
            return self._told(self.repeated.pop(name))
        self.forget_repeated()  # the reading takes another course than the earlier one did
        if self.store is None or self.run is None:
            return None
        with self._lock:
            self.asked[name] += 1
            number = self.asked[name]
        if anew or self.part == 1:
            return None
        kept = self.store.find(self.run.id, self.phase, name, number)
        if kept is None:
            return None
        return CachedAnswer(kept.status, zlib.decompress(kept.body), kept.part)

    def _told(self, answer: bytes | ApiError) -> CachedAnswer:
        if isinstance(answer, ApiError):
            raise answer
        return CachedAnswer(OK, zlib.decompress(answer), self.part)

    def keep(self, name: str, status: int, body: bytes, *, repeatable: bool) -> int:
        with self._lock:
            self._note(name, body, repeatable=repeatable and status == OK)
        if self.store is not None:
            self._keep(name, status, zlib.compress(body, 1))
        return self.part

    def _keep(self, name: str, status: int, packed: bytes) -> None:
        number = self.asked[name]
        with self._lock:
            self.new[name, number] = Kept(name, number, self.part, status, packed)
            self.in_memory += len(packed)
            if self.in_memory > _MOST_IN_MEMORY:
                self._write(with_denied=False)

    def _note(self, name: str, body: bytes, *, repeatable: bool) -> None:
        self.is_repeatable &= repeatable and name not in self.digests
        if self.is_repeatable:
            self.digests[name] = digest_of(body)
        else:
            self.digests.clear()

    # --- the requests of an earlier reading, sent ahead

    def repeat(self, name: str, digest: str, ask: Callable[[], bytes]) -> bool:
        try:
            body = ask()
        except ApiError as error:
            self.repeated[name] = error
            return False
        packed = self.repeated[name] = zlib.compress(body, 1)
        self._note(name, body, repeatable=True)
        if self.store is not None:
            self.asked[name] += 1
            self._keep(name, OK, packed)
        self.repeated_size += len(packed)
        return self.digests.get(name) == digest and self.repeated_size <= _MOST_REPEATED

    def forget_repeated(self) -> None:
        for name in self.repeated:
            self.digests.pop(name, None)
            self.new.pop((name, 1), None)
            self.asked.pop(name, None)
        self.repeated.clear()

    @property
    def answered(self) -> Mapping[str, str] | None:
        is_whole = self.part == 1 and self.is_repeatable and not self.repeated
        return self.digests if is_whole else None

    # --- its end

    def end(self, *, in_vain: bool = False) -> None:
        """End a reading; store it only where later slices would take long to repeat it."""
        if self.is_long or (in_vain and self.part > 1):
            if self.part > 1:
                self.keep_for_next_slice()
        elif self.store is not None and self.run is not None and self.size:
            self.store.forget(self.run.id, self.phase)

    @property
    def is_long(self) -> bool:
        """Whether the slices that apply the plan use these answers instead of reading again."""
        return self.phase is Phase.READING and (self.part > 1 or len(self.new) >= _LONG)

    def keep_for_next_slice(self) -> None:
        """Store the new answers of a complete reading."""
        if self.new:
            self._write()

    def save(self) -> None:
        """Store the new answers of a reading that was cut off here."""
        self.check = lambda: None
        denied = any(one.status == _NOT_FOUND for one in self.new.values())
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
        """Whether Testably still knows the project; only then does its 404 prove absence (R4)."""
        try:
            self.require_project()
        except (ApiError, BudgetExhausted):
            return False
        return True

    def _write(self, *, with_denied: bool = True) -> None:
        """Store the new answers; ``with_denied`` says whether those of 404 are stored too."""
        if self.store is None or self.run is None:
            return
        denied = {key: one for key, one in self.new.items() if one.status == _NOT_FOUND}
        left = {} if with_denied else denied
        new = [one for key, one in self.new.items() if key not in left]
        kept = new if self.begins is None else [self.begins, *new]
        self.store.keep(self.run, self.phase, kept)
        self.size += sum(len(one.body) for one in kept)
        self.begins, self.new, self.in_memory = None, left, 0


def digest_of(body: bytes) -> str:
    """Equal for equal answers."""
    return hashlib.sha256(body).hexdigest()[:32]
