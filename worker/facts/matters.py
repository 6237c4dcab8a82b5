"""What is the matter with milestones, by milestone. Pure.

Wherever people are told how many need them it is the milestones that are counted, each once
however much is the matter with it, and with them what is about no milestone, such as a list that
came incomplete. The JSON and the metrics count the entries of `failures`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.facts import words


@dataclass(frozen=True, slots=True)
class Matter:
    """Everything that is the matter with one milestone, or one thing about none.

    ``entries`` are those of `failures`, or the problems of a run; at least one.
    """

    entries: Sequence[Mapping[str, Any]]

    @property
    def testrail_id(self) -> int | None:
        """The milestone's id in TestRail; None where it is about none, or about one without."""
        found: int | None = self.entries[0].get("testrail_id")
        return found

    @property
    def testably_id(self) -> str | None:
        """The milestone's id in Testably, where it has one."""
        return next((one["testably_id"] for one in self.entries if one.get("testably_id")), None)

    @property
    def name(self) -> str:
        """The milestone's name, as far as it is known."""
        return next((one["name"] for one in self.entries if one.get("name")), "")

    @property
    def result(self) -> str | None:
        """What came of the milestone in the run whose problems these are."""
        return self.entries[0].get("result")


def by_milestone(entries: Iterable[Mapping[str, Any]]) -> list[Matter]:
    """The entries of each milestone together, in the order of the first."""
    found: dict[object, list[Mapping[str, Any]]] = {}
    for number, one in enumerate(entries):
        id_ = one.get("testrail_id")
        found.setdefault(("of none", number) if id_ is None else id_, []).append(one)
    return [Matter(some) for some in found.values()]


def needing(problems: Iterable[Mapping[str, Any]]) -> list[Matter]:
    """What of a run's problems needs a person."""
    return by_milestone(one for one in problems if _needs_person(one))


def kept(problems: Iterable[Mapping[str, Any]]) -> list[Matter]:
    """The milestones of which a run left edits in Testably as they are, by the setting."""
    from mappings.problem import ProblemKind

    return by_milestone(one for one in problems if one["kind"] == ProblemKind.TARGET_EDIT_KEPT)


def _needs_person(problem: Mapping[str, Any]) -> bool:
    from mappings.problem import ProblemKind

    kind = str(problem["kind"]).upper()
    return kind not in ProblemKind.__members__ or ProblemKind[kind].needs_person


def shown_counts(
    counts: Mapping[str, int], problems: Sequence[Mapping[str, Any]], *, is_undo: bool = False
) -> tuple[dict[str, int], dict[str, int]]:
    """A run's counts as people are told them, and what they are told of those that need them.

    Who needs a person is counted there alone, unless something was written; ``needs_you`` is what
    `needing` finds, and of a run that goes on, whose problems are not recorded yet, its counts.
    What an undo took back is held as well, and is not counted twice.
    """
    from worker.sync.apply.outcome import DONE, NEEDS_PERSON, Result

    shown, waiting = Counter(counts), needing(problems)
    among = Counter(one.result for one in waiting)
    shown.subtract({result: n for result, n in among.items() if result and result not in DONE})
    known = {one.testrail_id for one in waiting}
    left = [one for one in kept(problems) if one.testrail_id not in known]
    shown["kept"] = sum(one.result == Result.UNCHANGED for one in left)
    shown[Result.UNCHANGED.value] -= shown["kept"]
    blocked = sum(max(shown.pop(result.value, 0), 0) for result in NEEDS_PERSON)
    shown["needs_you"] = len(waiting) + blocked
    if is_undo:
        del shown[Result.HELD.value]
    written = sum(among[result.value] for result in DONE)
    return dict(shown), among_them(written, among[Result.HELD.value])


def among_them(written: int, held: int) -> dict[str, int]:
    """What people are told of those that need them: so many of them were written, or are held."""
    return {"written too": written, words.HELD: held}
