"""TestRail's rows as milestones: each id once, nested ones included, within the bounds of R11."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from mappings.milestone import BadRecord, SourceMilestone
from worker.clients.bad_records import bad_children, too_deep
from worker.clients.bounds import DEEPEST, MOST_PROBLEMS, MOST_ROWS, list_too_long
from worker.clients.records import parse_source
from worker.clients.same_rows import unchanged_source
from worker.sync.ports import NOTHING_KNOWN, Unchanged


@dataclass(frozen=True, slots=True)
class Same:
    """A row that has its known fingerprint."""

    id: int
    unchanged: Unchanged

    @property
    def parent_id(self) -> int | None:
        return self.unchanged.parent_id


Read = SourceMilestone | BadRecord | Same
_MOST_RECORDS: Final = 3 * MOST_ROWS
"""Records that are looked at, those that repeat among them."""


class SourceRows:
    """What rows were read as, page by page.

    An id that repeats counts once: the first record wins, and takes a ``parent_id`` that it lacks
    from a later one. A child without a ``parent_id`` belongs to the record around it.
    ``milestones`` are by id, and ``unchanged`` those that have their ``known`` fingerprint;
    ``because`` says why something may be missing, else it is empty.
    """

    def __init__(self, known: Mapping[int, str] = NOTHING_KNOWN) -> None:
        self.milestones: dict[int, SourceMilestone] = {}
        self.unchanged: dict[int, Unchanged] = {}
        self._known = known
        self.because = ""
        self._problems: dict[object, BadRecord] = {}
        self._rows = 0
        self._records = 0

    @property
    def problems(self) -> tuple[BadRecord, ...]:
        """What could not be read; of ids that a later row made readable there is none."""
        every = self._problems.items()
        return tuple(bad for key, bad in every if not self._is_read(key))

    def _is_read(self, id_: object) -> bool:
        return id_ in self.milestones or id_ in self.unchanged

    def add(self, rows: Iterable[object]) -> None:
        """Read these rows. Raises AnswerTooLarge where they are more than a project may have."""
        for row in rows:
            if self._take_same(row):
                continue
            for path, result in _walk(f"milestones[{self._rows}]", row, self._known):
                self._records += 1
                if self._is_too_much(result):
                    raise list_too_long("TestRail", f"{MOST_ROWS:,} milestones")
                self._keep(path, result)
            self._rows += 1

    def _take_same(self, row: object) -> bool:
        """Whether the row is the same, holds no others and is the first with its id."""
        if not isinstance(row, dict) or row.get("milestones"):
            return False
        same = unchanged_source(row, None, self._known)
        if same is None or self._is_read(row["id"]):
            return False
        self.unchanged[row["id"]] = same
        self._rows += 1
        self._records += 1
        return True

    def forget(self, id_: int) -> None:
        """Leave out a milestone that is gone by now."""
        self.milestones.pop(id_, None)
        self.unchanged.pop(id_, None)
        self._problems.pop(id_, None)

    def _is_too_much(self, result: Read) -> bool:
        """A milestone may come several times: in the list, then in its own record."""
        if self._records > _MOST_RECORDS:
            return True
        kept = len(self.milestones) + len(self.unchanged) + len(self._problems)
        return kept >= MOST_ROWS and not self._is_read(result.id)

    def _keep(self, path: str, result: Read) -> None:
        if isinstance(result, BadRecord):
            self._keep_problem(path, result)
            return
        id_, parent = result.id, result.parent_id
        first = self.milestones.get(id_) or self.unchanged.get(id_)
        if first is None:
            self._take(result)
        elif first.parent_id is None and parent is not None:
            if isinstance(first, SourceMilestone):
                self.milestones[id_] = replace(first, parent_id=parent)
            elif isinstance(result, SourceMilestone):
                del self.unchanged[id_]
                self._take(result)

    def _take(self, read: SourceMilestone | Same) -> None:
        if isinstance(read, Same):
            self.unchanged[read.id] = read.unchanged
        else:
            self.milestones[read.id] = read

    def _keep_problem(self, path: str, bad: BadRecord) -> None:
        if not isinstance(bad.id, int):
            self._miss("a record has no readable id")
        key = path if bad.id is None else bad.id
        if len(self._problems) >= MOST_PROBLEMS and key not in self._problems:
            self._miss(f"more than {MOST_PROBLEMS:,} records cannot be read")
            return
        self._problems.setdefault(key, replace(bad, path=f"{path}.{bad.path}".rstrip(".")))

    def _miss(self, because: str) -> None:
        self.because = self.because or because


def collect_source(
    rows: Iterable[object],
) -> tuple[dict[int, SourceMilestone], list[BadRecord]]:
    """The milestones of TestRail rows by id, nested ones included, and what could not be read."""
    read = SourceRows()
    read.add(rows)
    return read.milestones, list(read.problems)


def _walk(top: str, row: object, known: Mapping[int, str]) -> Iterator[tuple[str, Read]]:
    """Each record with its path, the enclosing one first; without recursion."""
    waiting: list[tuple[str, int, object, Read | None]] = [(top, 0, row, None)]
    while waiting:
        path, depth, record, around = waiting.pop()
        result = _within(around, record, known)
        yield path, result
        if not isinstance(record, dict) or not record.get("milestones"):
            continue
        children = record["milestones"]
        if not isinstance(children, list):
            yield path, bad_children(children)
        elif depth == DEEPEST:
            yield path, too_deep()
        else:
            places = [(f"{path}.milestones[{i}]", child) for i, child in enumerate(children)]
            waiting.extend((place, depth + 1, child, result) for place, child in reversed(places))


def _within(around: Read | None, record: object, known: Mapping[int, str]) -> Read:
    enclosing = around.id if around is not None and isinstance(around.id, int) else None
    if isinstance(record, dict) and (same := unchanged_source(record, enclosing, known)):
        return Same(record["id"], same)
    result = parse_source(record, enclosing)
    if around is None or enclosing is not None or isinstance(result, BadRecord):
        return result
    if result.parent_id is not None:
        return result
    # Without its parent it would be created at the root, from where it could never be moved.
    reason = "the milestone around it has no readable id"
    return BadRecord(result.id, result.name, "parent_id", "None", reason, raw=result.raw)
