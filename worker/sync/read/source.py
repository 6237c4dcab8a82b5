"""Reading TestRail: the list or single milestones, and the proof that what is missing is gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mappings.footer import marked_id
from mappings.link import Link
from mappings.links import Links
from mappings.milestone import BadRecord, SourceMilestone
from mappings.problem import ProblemKind
from worker.errors import ApiError, RateLimited, Transient, UnknownId
from worker.sync.decide.absence import is_followed
from worker.sync.decide.guards import living, mass_limit
from worker.sync.decide.snapshot import is_archived
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.options import OnSourceDelete, Options, Policy
from worker.sync.ports import OF_ONE, Source, SourceListing

FAILED_PROOFS = 2
"""After so many questions that failed, the other absences are left for the next run."""


@dataclass(slots=True)
class SourceReader:
    """Reads one project. Raises ApiError where it cannot be read."""

    source: Source
    project: int
    policy: Policy
    options: Options
    links: Links
    url: str
    whole: bool = True

    def read(self, milestone_ids: tuple[int, ...], known: Mapping[int, str]) -> SourceListing:
        """The whole project, or these milestones with their sub-milestones.

        Of the project, what has its ``known`` fingerprint is not kept.
        """
        self.whole = not milestone_ids
        if self.whole:
            return self.source.read_project(self.project, known=known)
        found: dict[int, SourceMilestone] = {}
        problems: list[BadRecord] = []
        for id_ in milestone_ids:
            try:
                listing = self.source.get_milestone(id_)
            except UnknownId:
                continue  # a refresh never archives; the next full run proves the absence
            for one in listing.milestones.values():
                found[one.id] = self._placed(one, found.get(one.id))
            problems.extend(listing.problems)
        return SourceListing(found, tuple(problems), complete=False)

    def _placed(
        self, read: SourceMilestone, before: SourceMilestone | None = None
    ) -> SourceMilestone:
        """With the parent that it was last seen below where its own record names none.

        As in the document's example: whether it is at the root, the list tells.
        """
        if read.parent_id is not None:
            return read
        known = before or self.links.get(read.id)
        return read if known is None else replace(read, parent_id=known.parent_id)

    # --- absence is proved (R4)

    def prove_absence(
        self, listing: SourceListing, *, every: bool = False
    ) -> tuple[frozenset[int], dict[int, str], dict[int, SourceMilestone]]:
        """Ask for each linked milestone that a complete list lacks: gone, not proved, there.

        Stops asking once so many are gone that the mass guard stops the run anyway, unless
        ``every`` one is to be told, or once TestRail has failed: each question has been repeated
        for a quarter of a minute by then. What is known to stay in Testably although it is gone
        does not count: it would keep the others from being asked about in every run.
        """
        gone: set[int] = set()
        may_go = 0
        unproved: dict[int, str] = {}
        there: dict[int, SourceMilestone] = {}
        failed = 0
        if not self._tells_absence(listing):
            return frozenset(), unproved, there
        most = len(self.links) if every else self._archive_limit()
        for id_ in self._missing(listing):
            if may_go > most or failed >= FAILED_PROOFS:
                break
            try:
                came = self.source.get_milestone(id_).milestones
                there |= {one.id: self._placed(one) for one in came.values()}
                if id_ not in there:
                    unproved[id_] = "TestRail has a record of it that cannot be read."
            except UnknownId:
                gone.add(id_)
                may_go += not _is_in_use(self.links[id_])
            except OF_ONE as error:
                unproved[id_] = error.message
                failed += _weight(error)
        return frozenset(gone), unproved, there

    def _tells_absence(self, listing: SourceListing) -> bool:
        return self.whole and listing.complete and self.options.only is None

    def _missing(self, listing: SourceListing) -> list[int]:
        missing = self.links.missing_from(_known(listing))
        followed = (
            link for link in missing if is_followed(link, self.options) and not link.archive_failed
        )
        return [link.testrail_id for link in followed]

    def _archive_limit(self) -> int:
        if self.options.allow_mass_archive or self.policy.on_source_delete is OnSourceDelete.KEEP:
            return len(self.links)
        return mass_limit(living(self.links))

    def gone_for_good(self, listing: SourceListing, target: TargetSnapshot) -> frozenset[int]:
        """Ids that are gone although their targets live: proved before, or asked for now.

        What was proved once is not asked for again: if it ever comes back, the list names it.
        """
        if not self._tells_absence(listing):
            return frozenset()
        known = _known(listing)
        missing = [link for id_, link in self.links.complete.items() if id_ not in known]
        every, held = target.milestones.values(), self.links.by_target
        unlinked = [t for t in every if t.id not in held and t.id not in target.foreign]
        marked = {marked_id(one.description, self.url) for one in unlinked if not is_archived(one)}
        proved = {link.testrail_id for link in missing if self._was_gone(link, target, marked)}
        asked = {id_ for id_ in marked if id_ is not None and id_ not in known} - proved
        asked -= {id_ for id_ in asked if id_ in self.links and self.links[id_].has_target}
        asked |= {link.testrail_id for link in missing if link.is_held and _lacks(target, link)}
        return frozenset(proved | self._gone_of(asked))

    def _was_gone(self, link: Link, target: TargetSnapshot, marked: Collection[int | None]) -> bool:
        """Whether it was proved to be gone, and is not yet done with."""
        known = link.problem is not None and link.problem.kind is ProblemKind.SOURCE_GONE
        if known or link.archive_failed:
            return True
        if not link.was_gone:
            return False
        if link.problem is not None or link.testrail_id in marked:  # of a second target
            return True
        live = target.milestones.get(link.testably_id or "")
        return live is not None and not is_archived(live)

    def _gone_of(self, ids: Collection[int]) -> set[int]:
        """Those that TestRail does not know; the others are left once it has failed."""
        gone: set[int] = set()
        failed = 0
        for id_ in sorted(ids):
            if failed >= FAILED_PROOFS:
                break
            try:
                self.source.get_milestone(id_)
            except UnknownId:
                gone.add(id_)
            except OF_ONE as error:
                failed += _weight(error)
        return gone


def _lacks(target: TargetSnapshot, link: Link) -> bool:
    """Whether Testably has nothing of this link."""
    return link.testably_id is None or link.testably_id in target.gone


def _is_in_use(link: Link) -> bool:
    """Whether it was found to be gone before, and people work in its target (R12)."""
    return link.problem is not None and link.problem.kind is ProblemKind.IN_USE


def _weight(error: ApiError) -> int:
    """How many of the `FAILED_PROOFS` a failure is: with its limit used up nothing is answered."""
    return FAILED_PROOFS if isinstance(error, RateLimited) else int(isinstance(error, Transient))


def _known(listing: SourceListing) -> set[int]:
    """The ids that the list names, readable or not."""
    unreadable = {problem.id for problem in listing.problems if isinstance(problem.id, int)}
    return unreadable | listing.milestones.keys() | listing.unchanged.keys()
