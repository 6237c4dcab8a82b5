"""What hangs below a milestone in Testably, asked of the milestone itself and not of the lists.

What is answered of one milestone alone (`OfOne`: not found, denied, refused, failing, too
large) stops nobody else (R6): it is told, and who asks leaves alone what could be confused with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mappings.milestone import TargetMilestone
from worker.errors import NotFound
from worker.sync.decide.target_snapshot import NOT_PROVED_GONE
from worker.sync.ports import OfOne, Target
from worker.sync.streak import Streak


@dataclass(frozen=True, slots=True)
class Below:
    """The sub-milestones that were read, and by the id of a parent what of it could not be."""

    milestones: dict[str, TargetMilestone] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def read_below(
    target: Target,
    project: str,
    parents: Iterable[str],
    is_known: Callable[[str], bool],
    streak: Streak | None = None,
    unlisted: Collection[str] = (),
) -> Below:
    """What hangs below each of the ``parents``, by its detail, without what ``is_known``.

    Those that are ``unlisted`` have gone where they answer 404 (R4): nothing hangs below them.
    Raises the ApiError that concerns more than that. ``streak`` is that of what was read singly
    before.
    """
    below, row = Below(), streak or Streak()
    for parent in sorted(parents):
        above = _each(target, project, [parent], row)[parent]
        subs = above.sub_milestones if isinstance(above, TargetMilestone) else ()
        names = {sub.id: sub.name for sub in subs if not is_known(sub.id)}
        came = _each(target, project, names, row)
        read = {id_: one for id_, one in came.items() if isinstance(one, TargetMilestone)}
        below.milestones.update(read)
        is_gone = isinstance(above, NotFound) and parent in unlisted
        if not is_gone and (why := _unread({parent: above, **came}, names)):
            below.unread[parent] = why
    return below


def _each(
    target: Target, project: str, ids: Iterable[str], streak: Streak
) -> dict[str, TargetMilestone | OfOne]:
    """What came of reading each of these, in their order."""
    by_number = dict(enumerate(ids))
    came: dict[int, TargetMilestone | OfOne] = {}
    target.get_each(project, by_number, came.__setitem__, streak)
    return {id_: came[number] for number, id_ in by_number.items()}


def _unread(came: Mapping[str, TargetMilestone | OfOne], names: Mapping[str, str]) -> str:
    """What could not be read, and why the first of that could not; empty where all was.

    ``names`` are of the sub-milestones.
    """
    failed = {
        id_: why_unread(answer)
        for id_, answer in came.items()
        if not isinstance(answer, TargetMilestone)
    }
    if not failed:
        return ""
    called = (f'{id_} ("{names[id_]}")' if id_ in names else id_ for id_ in failed)
    why = next(iter(failed.values())).rstrip(".")
    return f"{', '.join(called)} in Testably cannot be read: {why}."


def why_unread(error: OfOne) -> str:
    """Why a milestone could not be read; a 404 alone does not tell that it has gone (R4)."""
    return NOT_PROVED_GONE if isinstance(error, NotFound) else error.message
