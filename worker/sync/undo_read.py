"""Reads the targets that an undo is about, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mappings.milestone import TargetMilestone
from worker.errors import NotFound, UnreadableAnswer
from worker.sync.apply.attempts import OUTAGE_AFTER
from worker.sync.context import PairContext
from worker.sync.ports import OfOne
from worker.sync.read.gone import proved_gone


@dataclass(slots=True)
class LiveTargets:
    """Reads targets, and remembers whether Testably ``answers`` of any, be it that it has gone."""

    context: PairContext
    answers: bool = False

    def read(self, ids: Mapping[int, str]) -> dict[int, TargetMilestone | OfOne]:
        """The targets with these ids as they are now, or why not; without those that have gone.

        Several may be read at once. Raises the ApiError where the first ones all cannot be read: no
        single one is to blame (R6).
        """
        came: dict[int, TargetMilestone | OfOne] = {}

        def take(testrail_id: int, actual: TargetMilestone | OfOne) -> None:
            came[testrail_id] = actual
            if isinstance(actual, TargetMilestone | NotFound):
                self.answers = True
            elif not self.answers and len(came) == min(len(ids), OUTAGE_AFTER):
                self._require_answers(came, actual)

        target, project = self.context.target, self.context.identity.testably_project
        target.get_each(project, ids, take)
        denied = {ids[id_] for id_, live in came.items() if isinstance(live, NotFound)}
        gone = proved_gone(target, project, denied)
        return {id_: live for id_, live in came.items() if ids[id_] not in gone}

    def _require_answers(self, came: Mapping[int, TargetMilestone | OfOne], error: OfOne) -> None:
        """Raise the error of what could not be read if the target answers nothing that can be.

        A record that came and has a field that is wrong is an answer, a login page in its place
        is none: so the project tells which of them it was.
        """
        if not any(isinstance(one, UnreadableAnswer) for one in came.values()):
            raise error
        self.context.target.check_project(self.context.identity.testably_project)
        self.answers = True
