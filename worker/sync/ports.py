"""What the one path needs from the outside: a source, a target and a way to wait for a permit.

`worker.clients` implements these over HTTP, `tests/support/in_memory.py` in memory; both pass the
contract suite under ``tests/contract``. Every method may raise `worker.errors.ApiError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from mappings.milestone import BadRecord, SourceMilestone, TargetMilestone, Values
from worker.errors import AnswerTooLarge, NotFound, Refused, Transient, TurnedAway

if TYPE_CHECKING:
    from worker.sync.streak import Streak

NOTHING_KNOWN: Final[Mapping[int, str]] = MappingProxyType({})
NO_TARGET_KNOWN: Final[Mapping[str, str]] = MappingProxyType({})

OfOne = NotFound | TurnedAway | Transient | Refused | AnswerTooLarge
"""What may be answered of a single milestone without saying anything of another (R6)."""
OF_ONE: Final = (NotFound, TurnedAway, Transient, Refused, AnswerTooLarge)
"""The same, to be caught."""
TakeOne = Callable[[int, TargetMilestone | OfOne], None]


class Unchanged(NamedTuple):
    """What stays of a TestRail milestone that reads as it did when its fingerprint was taken."""

    name: str
    parent_id: int | None


class Shown(NamedTuple):
    """What stays of a Testably milestone that reads as it did when its fingerprint was taken."""

    status: str
    parent_id: str | None
    date_mode: str | None


@dataclass(frozen=True, slots=True)
class SourceListing:
    """All milestones of a TestRail project, sub-milestones included, each id once.

    Those whose known fingerprint still holds are ``unchanged``, all others ``milestones``.
    ``complete`` is False, and ``incomplete_because`` says why, when something may be missing:
    then nobody may conclude from an absence.
    """

    milestones: Mapping[int, SourceMilestone]
    problems: tuple[BadRecord, ...] = ()
    complete: bool = True
    incomplete_because: str = ""
    unchanged: Mapping[int, Unchanged] = field(default_factory=dict)


class Paging(NamedTuple):
    """How Testably deals out a list, as far as a reading of it showed.

    There are at most so many ``rows`` on a page. One more page is asked for ``after_all`` of them
    (where no total tells that they are), or ``after_full`` a last one.
    """

    rows: int = 100
    after_all: bool = False
    after_full: bool = False

    def pages(self, count: int) -> int:
        """The requests that a list of ``count`` rows takes."""
        full, rest = divmod(count, self.rows)
        one_more = count > 0 and (self.after_all or (self.after_full and not rest))
        return max(1, full + (rest > 0)) + one_more


AS_ASKED: Final = Paging()


@dataclass(frozen=True, slots=True)
class TargetListing:
    """The milestones that Testably listed for a project, each id once.

    Those whose known fingerprint still holds are ``unchanged``, all others ``milestones``;
    ``newest_unchanged`` is the newest ``created_at`` of the former.
    ``complete`` (R4): at least as many distinct ids came as the last page's ``meta.total`` says, or
    without a total a further page brought nothing new; every record has a readable id. Otherwise
    ``incomplete_because`` says why, and the list serves for updates of what it holds.
    """

    milestones: Mapping[str, TargetMilestone] = field(default_factory=dict)
    problems: tuple[BadRecord, ...] = ()
    complete: bool = True
    incomplete_because: str = ""
    unchanged: Mapping[str, Shown] = field(default_factory=dict)
    newest_unchanged: str | None = None
    paging: Paging = AS_ASKED


def newest_of(milestones: Iterable[TargetMilestone], *others: str | None) -> str | None:
    """The newest ``created_at`` that these and others show: what is created later is not older.

    None where none shows one (R2).
    """
    shown = (one for one in (*(m.created_at for m in milestones), *others) if one)
    return max(shown, key=datetime.fromisoformat, default=None)


class Source(Protocol):
    """TestRail, as the one path reads it."""

    @property
    def requests(self) -> int:
        """How many HTTP requests this client has sent so far, repeats included."""

    def read_project(
        self, project_id: int, *, known: Mapping[int, str] = NOTHING_KNOWN
    ) -> SourceListing:
        """Every milestone of the project, whichever way this instance gives sub-milestones.

        ``known`` are fingerprints by id: a milestone that has its own is not kept.
        """

    def get_milestone(self, milestone_id: int) -> SourceListing:
        """One milestone and its sub-milestones. Raises UnknownId if TestRail answers 400."""

    def recall(self, record: Mapping[str, object], parent_id: int | None) -> SourceMilestone | None:
        """A milestone from its ``raw`` record, or None if that cannot be read; asks nobody."""

    def repeats(self, digests: Mapping[str, str]) -> bool:
        """Whether the questions of an earlier reading are still answered as they were then.

        ``digests`` are those of the answers, by question (`read.answers`), of the other side too.
        Its own questions are asked in their order until one is answered otherwise, and not again
        by the reading under way.
        """


class Target(Protocol):
    """Testably, as the one path reads and writes it."""

    @property
    def requests(self) -> int:
        """How many HTTP requests this client has sent so far, repeats included."""

    @property
    def last_status(self) -> int | None:
        """The HTTP status of the last answer that came for this thread; None if there is none."""

    @property
    def request_timeout(self) -> float:
        """The total deadline of one request, in seconds."""

    def list_all(
        self,
        project_id: str,
        status: str | None = None,
        known: Mapping[str, str] = NO_TARGET_KNOWN,
    ) -> TargetListing:
        """Every page of the list, tried up to three times until it is complete.

        ``known`` are fingerprints by id: a milestone that has its own is not kept.
        """

    def repeats(self, digests: Mapping[str, str]) -> bool:
        """Whether the questions of an earlier reading are still answered as they were then.

        ``digests`` are those of the answers, by question (`read.answers`), of the other side too.
        Its own questions are asked in their order until one is answered otherwise, and not again
        by the reading under way.
        """

    def check_project(self, project_id: str) -> None:
        """Return if the project answers. Raises NotFound: then no 404 says anything of an item."""

    def get(self, project_id: str, milestone_id: str) -> TargetMilestone:
        """One milestone with its sub-milestones and linked runs.

        Raises NotFound for its 404; whoever concludes from that asks `check_project` (R4).
        """

    def get_each(
        self,
        project_id: str,
        ids: Mapping[int, str],
        take: TakeOne,
        streak: Streak | None = None,
    ) -> None:
        """`get` each of ``ids``, in any order; ``take`` is told its key and what came of it.

        That is the milestone, or the error that concerns it alone; any other is raised.
        ``streak`` says how often the rest are tried, and goes on in the next call.
        """

    def wait_for_permit(self) -> None:
        """Return when the rate limiter has granted this caller one request."""

    def create(self, project_id: str, values: Values, parent_id: str | None) -> TargetMilestone:
        """POST once, never repeated, on a permit already granted by `wait_for_permit`.

        Sends ``name`` and those of ``description``, ``start_date``, ``due_date`` and
        ``parent_id`` that are not None; never a status. Raises MilestoneNotFound where a 404
        concerns it or its parent alone, and NotFound where the project is not there.
        """

    def update(self, project_id: str, milestone_id: str, values: Values) -> TargetMilestone:
        """PATCH once, never repeated, with exactly ``values``, on a permit already granted.

        Raises MilestoneNotFound where a 404 concerns this milestone alone, and NotFound where the
        project is not there.
        """
