"""What to do about records that cannot be read and milestones that are gone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mappings.link import Link, LinkState, Trouble
from mappings.milestone import ARCHIVED, BadRecord, Values
from worker.sync.action import Action, Kind
from worker.sync.scene import OnSourceDelete, Options, Scene
from worker.sync.standing import is_archived

GONE = "TestRail answers that it does not exist any more."


def unreadable(scene: Scene) -> Iterator[Action]:
    """A quarantine for each record that is not a milestone."""
    for problem in scene.source.problems:
        if problem.id not in scene.source.milestones:
            yield _unreadable(scene, problem)


def _unreadable(scene: Scene, problem: BadRecord) -> Action:
    trouble = Trouble("bad_record", f"{problem.path}: {problem.reason} ({problem.value})")
    if not isinstance(problem.id, int):
        return Action(Kind.QUARANTINE, 0, problem.name, trouble.reason, trouble=trouble)
    before = scene.links.get(problem.id)
    link = before or Link(problem.id, name=problem.name)
    link = with_trouble(replace(link, raw=dict(problem.raw)), trouble, scene)
    return Action(
        Kind.QUARANTINE,
        problem.id,
        problem.name,
        trouble.reason,
        testably_id=link.testably_id,
        link=link,
        learned=link != before,
        trouble=trouble,
    )


def absent(scene: Scene) -> Iterator[Action]:
    """An action for each link whose milestone is missing; only a whole list tells that."""
    if not scene.whole_project or scene.options.only is not None:
        return
    known = {problem.id for problem in scene.source.problems} | set(scene.source.milestones)
    missing = [link for id_, link in scene.links.items() if id_ not in known]
    missing.sort(key=lambda link: (link.target_parent is None, link.testrail_id))
    for link in missing:
        action = _missing(scene, link)
        if action is not None:
            yield action


def _missing(scene: Scene, link: Link) -> Action | None:
    if is_followed(link, scene.options) and link.testrail_id in scene.gone:
        return _gone(scene, link)
    if not scene.source.complete:
        return None
    if not is_followed(link, scene.options):
        return _forgotten(link)
    reason = scene.unproved.get(link.testrail_id, "It was not looked for.")
    text = f"It is missing from TestRail's list, but not proved to be gone. {reason}"
    return _about(Kind.SKIP, text, link, trouble=Trouble("absence_unproved", text))


def is_followed(link: Link, options: Options) -> bool:
    """Whether its target follows its source; what an undo took back does when a person migrates."""
    if link.state is LinkState.CREATING:
        return True
    released = link.state is LinkState.HELD and options.by_person
    return link.has_target and (link.state is LinkState.LINKED or released)


def _forgotten(link: Link) -> Action | None:
    """A record that never had a target and is gone needs nobody any more."""
    if link.trouble is None or link.state is not LinkState.UNLINKED:
        return None
    reason = "It is not in TestRail's list any more, and never had a target."
    return _about(Kind.SKIP, reason, replace(link, trouble=None), learned=True)


def _gone(scene: Scene, link: Link) -> Action:
    actual = scene.target.milestones.get(link.testably_id or "")
    if scene.policy.on_source_delete is OnSourceDelete.KEEP:
        if link.state is LinkState.CREATING:
            return _about(Kind.SKIP, f"{GONE} Its create was cut off.", link)
        kept = replace(link, state=LinkState.ORPHANED)
        return _about(Kind.SKIP, f"{GONE} Kept in Testably.", kept, learned=True)
    if link.state is LinkState.CREATING:
        reason = f"{GONE} Its create was cut off; what that left behind goes as well."
        return _about(Kind.ARCHIVE, reason, link, push={"status": ARCHIVED})
    gone_too = link.testably_id in scene.target.gone
    if gone_too or (actual is not None and is_archived(actual)):
        archived = replace(link, state=LinkState.ARCHIVED)
        return _about(Kind.SKIP, f"{GONE} Archived already.", archived, learned=True)
    before = link.echoed if actual is None else actual.values
    status = {"status": before.get("status")}
    return _about(Kind.ARCHIVE, GONE, link, push={"status": ARCHIVED}, before=status)


def _about(
    kind: Kind,
    reason: str,
    link: Link,
    *,
    learned: bool = False,
    push: Values | None = None,
    before: Values | None = None,
    trouble: Trouble | None = None,
) -> Action:
    return Action(
        kind,
        link.testrail_id,
        link.name,
        reason,
        testably_id=link.testably_id,
        push=push or {},
        before=before or {},
        link=link,
        learned=learned,
        trouble=trouble,
    )


def with_trouble(link: Link, trouble: Trouble, scene: Scene) -> Link:
    """The link with its trouble; it keeps its age while it is of the same kind."""
    before = scene.links.get(link.testrail_id)
    if before is not None and before.trouble is not None and before.trouble.kind == trouble.kind:
        return replace(link, trouble=replace(before.trouble, reason=trouble.reason))
    return replace(link, trouble=replace(trouble, since=scene.now))
