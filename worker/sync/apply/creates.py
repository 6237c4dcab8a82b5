"""A create whose outcome may stay unknown: the whole protocol (R2), in the order it happens.

```
lease → POST ─┬─ created ─────────────────────────────► linked
              ├─ refused (certainly not carried out) ─► sent again, or given up
              └─ in doubt
                   → its time-out and a grace are over, and nothing of this run is in flight
                   → two complete looks, shared by all creates in doubt; those that are longer than
                     a slice of the run go on in the next one, and begin anew after another create
                   ├─ it is found ────────────────────► linked
                   ├─ nothing can be it ──────────────► not created: it may be sent again
                   └─ it cannot be told ──────────────► a person decides, then `milesync retry`
```

`Creates.create` is the first half and `Creates.resolve` the second. `worker.sync.decide.in_doubt`,
which is pure, judges what became of a create.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mappings.footer import marker_url
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.links import Links
from mappings.milestone import (
    ARCHIVED,
    COMPLETED,
    FIELDS,
    MappingRules,
    TargetMilestone,
    Values,
    same_value,
)
from mappings.problem import Problem
from mappings.rows import Change, ChangeState
from mappings.store import ForeignCreate
from worker.errors import Done, UnreadableAnswer
from worker.sync.apply.writer import GRACE, STALL, LostLeaseError, Patience, TargetWriter
from worker.sync.decide.doubt import Doubt, doubt_of
from worker.sync.decide.in_doubt import Fate, Judgement, judge
from worker.sync.decide.snapshot import living
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.decide.there_before import ThereBefore
from worker.sync.ports import TargetListing, newest_of
from worker.sync.read.answers import InVainError
from worker.sync.read.below import read_below
from worker.sync.read.unreadable import as_target

POSTED = FIELDS[:-1]
"""What POST takes; it takes no status."""
LOOK_GAP = timedelta(seconds=3)
"""Between the two looks, so that a list that lags has time to catch up."""


Looking = Callable[[Collection[int]], AbstractContextManager[None]]
"""Gives the context in which the looks at what came of these changes are taken.

An error in it ends them for now, and what they have seen is kept for the next slice of the run. It
counts only for creates whose wait was over when they began: so the change of each is told.
"""


def at_once(_about: Collection[int]) -> AbstractContextManager[None]:
    """Looks are taken in one go."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of a create in doubt: its link as it stands.

    With the ``problem`` that a person has to tell what it left behind, or with its target as
    ``shown``, if that is a person's or was edited since: it is to be compared.
    """

    link: Link
    problem: Problem | None = None
    shown: TargetMilestone | None = None


@dataclass(slots=True)
class Creates:
    """The creates of one run.

    ``seen`` is what the complete listings showed, ``linked`` are the targets that links hold,
    ``unread`` says by a parent's id what below it the last looks could not read.
    """

    writer: TargetWriter
    rules: MappingRules
    seen: TargetSnapshot
    linked: Container[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)
    _before: ThereBefore | None = None
    _until: dict[int, float] = field(default_factory=dict)
    """Until when a create that this run sent may arrive, on the clock that only goes forward."""

    # --- lease, POST

    def create(self, link: Link, desired: Values, parent: str | None, patience: Patience) -> Link:
        """POST a milestone below ``parent``; its link: linked, or in doubt.

        Repeats only what was certainly not carried out, while its ``patience`` lasts. Raises
        LostLeaseError, or the ApiError of the last attempt, with the link recorded as not created.
        """
        writer = self.writer
        posted = {name: desired[name] for name in POSTED}
        before = self._there_before().near(posted["name"] or "", link.testrail_id)
        above = self.seen.milestones.get(parent or "")

        def intend(at: datetime) -> tuple[Link, Change]:
            deadline = writer.deadline(at) + STALL
            creating = link.begin_create(posted, at, deadline, self.seen.newest, before, parent)
            change = Change(writer.run_id, link.testrail_id, None, "create", {}, posted, at)
            return creating, replace(change, parent_before=above.derivable if above else None)

        while True:
            attempt = writer.send(intend, lambda: self._post(posted, parent))
            self._until[link.testrail_id] = attempt.started + self._longest
            if attempt.answer is not None:
                made = attempt.link.created(attempt.answer, parent, writer.since())
                return writer.settle(made, attempt)
            if attempt.state is ChangeState.AMBIGUOUS:
                in_doubt = attempt.link.in_doubt(writer.deadline(attempt.sent_at))
                return writer.settle(in_doubt, attempt)
            link = writer.settle(attempt.link.not_created(), attempt)
            if not patience.allows(attempt.failure):
                raise attempt.failure

    def _post(self, posted: Values, parent: str | None) -> TargetMilestone:
        """What the POST made. Raises ApiError, also where the answer names another milestone."""
        made = self.writer.target.create(self.writer.project, posted, parent)
        if made.id in self.seen.milestones or made.id in self.seen.unchanged:
            text = f"Testably answered a create with {made.id}, which was there before it."
            raise UnreadableAnswer("Testably", text, done=Done.MAYBE)
        return made

    def _there_before(self) -> ThereBefore:
        """What nobody holds of what was seen; unreadable records among it."""
        if self._before is None:
            seen = self.seen.milestones.items()
            free = [target for id_, target in seen if id_ not in self.linked]
            unread = (TargetMilestone(id_, "") for id_ in self.seen.unproved)
            self._before = ThereBefore([*free, *unread])
        return self._before

    # --- in doubt: wait, look twice, conclude

    def resolve(self, links: Links, ready: Collection[int], looking: Looking) -> list[Resolution]:
        """What became of the creates in doubt that are ``ready``, as far as it can be known.

        ``links`` are all links of the pair; both looks are taken inside of ``looking``. Left out is
        what has to be looked for again, as where something below its parent could not be read.
        Raises ApiError where Testably's lists cannot be read.
        """
        in_doubt = [link for link in links.complete.values() if link.state is LinkState.CREATING]
        waited = [link for link in in_doubt if link.testrail_id in ready]
        self._wait(waited)
        doubts = [doubt_of(link, links, self.rules, ready) for link in in_doubt]
        looks = _Looks(self.writer, frozenset().union(*(doubt.parents for doubt in doubts)))
        with suppress(InVainError), looking([link.change_id or 0 for link in waited]):
            looks.look_twice()
        self.unread = looks.unread
        if not looks.listed:
            return []
        others = map(self._foreign, self.writer.store.creates_of_others(self.writer.pair))
        judged = judge([*doubts, *others], looks.free(), self.rules, looks.unreadable)
        seen = {**self.seen.milestones, **looks.seen}
        self.seen = replace(self.seen, milestones=seen, newest=newest_of(seen.values()))
        self.linked, self._before = looks.linked, None
        resolved = []
        for doubt in doubts:
            judgement = judged[doubt.link.testrail_id]
            is_seen = doubt.parents.isdisjoint(looks.unread)
            if doubt.is_ready and is_seen and judgement.fate is not Fate.OPEN:
                try:
                    resolved.append(self._conclude(doubt, judgement, looks))
                except LostLeaseError:  # whoever has it knows what became of it
                    resolved.append(Resolution(self.writer.reload(doubt.link.testrail_id)))
        return resolved

    def why_unread(self, link: Link, links: Links) -> str:
        """What the last looks could not read of where a create in doubt can be."""
        parents = doubt_of(link, links, self.rules, ()).parents
        return next((why for id_, why in self.unread.items() if id_ in parents), "")

    def _foreign(self, create: ForeignCreate) -> Doubt:
        """One of another pair, which can have left the same as one of this pair."""
        link = create.link
        until = link.attempt_deadline
        return Doubt(
            link,
            marker_url(create.testrail_url, link.testrail_id),
            is_ready=False,
            pair=create.pair_id,
            is_over=until is None or until + GRACE <= self.writer.clock.now(),
        )

    @property
    def _longest(self) -> float:
        """Seconds after which a request that is sent now cannot be carried out any more."""
        return self.writer.target.request_timeout + GRACE.total_seconds()

    def _wait(self, ready: Iterable[Link]) -> None:
        """Return when none of these can still be under way on the server."""
        self.writer.clock.sleep(max((self._left(link) for link in ready), default=0.0))

    def _left(self, link: Link) -> float:
        """Seconds until a create cannot be under way any more; never more than the longest.

        Those of this run are measured on the clock that only goes forward.
        """
        if link.attempt_deadline is None:
            return 0.0
        left = (link.attempt_deadline + GRACE - self.writer.clock.now()).total_seconds()
        until = self._until.get(link.testrail_id)
        if until is not None:
            left = until - self.writer.clock.monotonic()
        return min(max(left, 0.0), self._longest)

    def _conclude(self, doubt: Doubt, judgement: Judgement, looks: _Looks) -> Resolution:
        writer, link = self.writer, doubt.link
        if judgement.fate is Fate.FOUND:
            (left,) = judgement.targets
            if judgement.by_person:
                why = f"{left.id} is what a person left of what its create can have made."
                adopted = writer.adopt(link.decided().adopted(left), why)
                return Resolution(adopted, shown=left)
            made = link.found(left, doubt.parent or None, writer.since())
            same = all(same_value(n, made.observed.get(n), left.values[n]) for n in FIELDS)
            same = same and doubt.parent == doubt.parent_now
            found = writer.conclude(made, ChangeState.DONE, made.observed)
            return Resolution(found, shown=None if same else left)
        if judgement.fate is Fate.PERSON:
            among = sorted(target.id for target in judgement.targets)
            unread = [id_ for id_ in among if id_ in looks.unreadable]
            problem = Problem(judgement.kind, _why_asked(among, unread))
            alive = [target.id for target in living(judgement.targets)]
            asked = writer.keep(link.left_to_person(problem, writer.clock.now(), alive))
            return Resolution(asked, problem)
        return Resolution(writer.conclude(link.not_created(), ChangeState.NOT_DONE))


# --- where: two looks


@dataclass(slots=True)
class _Looks:
    """Two looks at everything that a create can have left, and what they have shown.

    ``parents`` are the targets below which a create is in doubt, ``unread`` what of them could not
    be read, ``unreadable`` the ids of records in the lists that could not, and ``listed`` says
    whether all lists were complete.
    """

    writer: TargetWriter
    parents: Set[str]
    seen: dict[str, TargetMilestone] = field(default_factory=dict)
    linked: Set[str] = frozenset()
    unread: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    listed: bool = False

    def look_twice(self) -> None:
        """Look. Raises InVainError if one of both looks was not whole, ApiError."""
        self.linked = self._linked()
        first = self._look()
        self.writer.clock.sleep(LOOK_GAP.total_seconds())
        self.listed = self._look() and first
        self.linked = self._linked()
        if self.unread or not self.listed:
            raise InVainError

    def free(self) -> list[TargetMilestone]:
        """What nobody holds, in the order of ids."""
        return [self.seen[id_] for id_ in sorted(self.seen) if id_ not in self.linked]

    def _linked(self) -> Set[str]:
        """The targets that this pair and others hold."""
        writer = self.writer
        ours = writer.store.outlines(writer.pair.id).by_target.keys()
        return ours | writer.store.targets_of_others(writer.pair)

    def _look(self) -> bool:
        """All three lists, and below each parent. False if one of the lists is not complete."""
        target, project = self.writer.target, self.writer.project
        listings = [target.list_all(project, status) for status in (None, COMPLETED, ARCHIVED)]
        for listing in listings:
            self.seen.update(listing.milestones)
            self._note_unreadable(listing, archived=listing is listings[-1])
        parents, unlisted = self.parents - self.unread.keys(), self.parents - self.seen.keys()
        below = read_below(target, project, parents, self._is_known, unlisted=unlisted)
        self.seen.update(below.milestones)
        self.unread.update(below.unread)
        return all(listing.complete for listing in listings)

    def _note_unreadable(self, listing: TargetListing, *, archived: bool) -> None:
        """What is known of records that cannot be read: only a person can tell what they are."""
        known = [as_target(one, archived=archived) for one in listing.problems]
        self.seen.update((one.id, one) for one in known)
        self.unreadable.update(one.id for one in known)

    def _is_known(self, testably_id: str) -> bool:
        return testably_id in self.linked or testably_id in self.seen


def _why_asked(among: Sequence[str], unread: Sequence[str]) -> str:
    """What a person is told of the targets that it can be, and of those that cannot be read."""
    why = (
        "Testably gave no clear answer to its create, and what that left behind cannot be told "
        f"for certain. It can be: {', '.join(among)}."
    )
    if not unread:
        return why
    return f"{why} What cannot be read is to be corrected in Testably first: {', '.join(unread)}."
