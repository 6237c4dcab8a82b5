"""The links of a run, which are always those of the store; what changes one is recorded at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.links import Links
from mappings.problem import Problem
from mappings.rows import ChangeState
from worker.sync.apply.writer import LostLeaseError, TargetWriter
from worker.sync.decide.action import Action


@dataclass(slots=True)
class RunLinks:
    """The links of a pair by TestRail id: as they were read, and as this run has left them."""

    writer: TargetWriter
    known: Links

    def of(self, action: Action) -> Link:
        """The action's link, with whatever this run has done to it since it was planned.

        What is planned of a create in doubt is not so before the looks have shown it (R2).
        """
        planned = action.planned_link
        now = self.known.get(action.testrail_id)
        is_ahead = now is not None and now.state is LinkState.CREATING is not planned.state
        if now is None or (now.version == planned.version and not is_ahead):
            return planned
        return planned.brought_up_to(now)

    def target_of(self, testrail_id: int | None) -> str | None:
        """The Testably id of a milestone, if it has one."""
        link = self.known.get(testrail_id) if testrail_id is not None else None
        return link.testably_id if link is not None else None

    def parents(self) -> set[str | None]:
        """Target ids with living sub-milestones, as far as this pair's links know."""
        every = self.known.complete.values()
        alive = (link for link in every if link.state is not LinkState.ARCHIVED)
        outlined = {outline.target_parent for outline in self.known.outlines.values()}
        return outlined | {link.target_parent for link in alive if link.has_target}

    def pending(self, planned: Collection[int], found: Collection[int]) -> set[int]:
        """The milestones whose creates are in doubt; not those that another process is at.

        Nor those that a person is asked about, unless their targets are ``found`` by now.
        """
        every = self.known.complete.items()
        return {
            id_
            for id_, link in every
            if (id_ in found or not link.awaits_person) and self._is_pending(link, id_ in planned)
        }

    def _is_pending(self, link: Link, is_planned: bool) -> bool:
        if link.state is not LinkState.CREATING:
            return False
        leased = link.lease_until is not None and link.lease_until > self.writer.clock.now()
        return is_planned or not leased

    def was_created(self, link: Link) -> bool:
        """Whether this run has created the milestone, also in an earlier slice."""
        writer, id_ = self.writer, link.testrail_id
        sent = writer.store.journal.changes(writer.pair.id, testrail_id=id_, run_id=writer.run_id)
        return any(one.kind == "create" and one.state is ChangeState.DONE for one in sent)

    def put(self, link: Link) -> None:
        """Take a link as it was just recorded."""
        self.known.put(link)

    def reload(self, testrail_id: int) -> Link:
        """The link as it stands in the database."""
        link = self.writer.reload(testrail_id)
        self.known.put(link)
        return link

    def keep(self, link: Link) -> None:
        """Record a link, unless somebody has changed it: whoever did has seen to it."""
        with suppress(LostLeaseError):
            self.put(self.writer.keep(link))

    def keep_all(self, links: Iterable[Link]) -> None:
        """`keep` for many."""
        for link in self.writer.keep_all(list(links)):
            self.put(link)

    def note_agreement(self, links: Iterable[Link]) -> None:
        """Record the links whose both sides were found to agree."""
        self.writer.note_agreement(list(links))

    def note_carried_out(self, change_ids: Collection[int]) -> None:
        """Record that these writes, of which no answer told, were carried out."""
        self.writer.store.journal.carried_out(change_ids, self.writer.clock.now())

    def note(self, link: Link, problem: Problem) -> None:
        """Record why nothing could be done, so that `failures` lists it."""
        self.keep(link.with_problem(problem, self.writer.clock.now()))
