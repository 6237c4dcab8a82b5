"""What makes a run stop before its first write (R5). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mappings.link_record import LinkState
from mappings.links import Links
from mappings.problem import ProblemKind
from worker.sync.decide.action import Action, Guard, Kind
from worker.sync.decide.snapshot import Snapshot

MASS_SHARE = 5
"""More than one link in this many is a mass…"""
MASS_LEAST = 10
"""…if it is at least this many."""
_LIVING = frozenset({LinkState.LINKED, LinkState.HELD})


def living(links: Links) -> int:
    """How many links there are that a run keeps up to date."""
    complete = links.complete.values()
    return sum(link.has_target and link.state in _LIVING for link in complete) + len(links.outlines)


def mass_limit(links: int) -> int:
    """How many of ``links`` may be archived, or created again, without a person's word."""
    return max(links // MASS_SHARE, MASS_LEAST - 1)


def guards(snapshot: Snapshot, actions: Sequence[Action]) -> tuple[Guard, ...]:
    """The guards that this plan trips."""
    linked = living(snapshot.links)
    limit = mass_limit(linked)
    options = snapshot.options
    archives = sum(action.kind is Kind.ARCHIVE for action in actions)
    unasked = sum(is_unasked(action, snapshot) for action in actions)
    again = sum(_is_again(action, snapshot) for action in actions)
    found = []
    # What TestRail was not asked for may be gone as well, and be archived by the next runs.
    if archives and archives + unasked > limit and not options.allow_mass_archive:
        proved = archives + sum(_is(action, ProblemKind.IN_USE) for action in actions)
        missing = proved + sum(_is(action, ProblemKind.ABSENCE_UNPROVED) for action in actions)
        flags = replace(options, allow_mass_archive=True).flags
        found.append(_mass_archive(proved, missing, linked, flags))
    if again > limit and not options.allow_mass_recreate:
        flags = replace(options, allow_mass_recreate=True).flags
        found.append(_mass_recreate(again, linked, flags))
    return tuple(found)


def rules_guard(recorded: str | None, current: str, *, by_person: bool) -> Guard | None:
    """Stops a run without a person when milestones are mapped otherwise than in the last one (R5).

    Both are fingerprints of `mappings.milestone.MappingRules`; ``recorded`` is None before the
    first run. One without ``mapping`` is of the first version of the mapping.
    """
    if by_person or recorded is None or recorded == current:
        return None
    before, now = ({"mapping": "1"} | _facts(text) for text in (recorded, current))
    changed = [
        _change(name, before, now, "before", "now")
        for name in _MEANINGS
        if before.get(name) != now.get(name)
    ]
    return Guard(
        "settings_changed",
        f"Milestones are mapped otherwise than in the last run: {', '.join(changed) or current}.",
        "See in `milesync plan` what that rewrites, then run `milesync migrate` once.",
    )


def agreed_guard(agreed: Mapping[str, str], current: Mapping[str, str]) -> Guard | None:
    """Stops a run that a person agreed to where other settings decide what it does (R5).

    Both are as `worker.tasks.agreed` keeps them with the run. What ``agreed`` does not name is not
    compared: a version of milesync handed it over that did not keep that.
    """
    before, now = _each(agreed), _each(current)
    changed = [
        _change(name, before, now, "where it was agreed to", "at the worker")
        for name in before
        if before[name] != now.get(name)
    ]
    if not changed:
        return None
    return Guard(
        "settings_changed",
        f"The worker would do something else than what was agreed to: {', '.join(changed)}.",
        "Have the same settings and version where you migrate and where the workers run, start "
        "the workers again, then run the same `milesync migrate` again: it goes on from there.",
    )


_MEANINGS = {
    "mapping": "a new version of milesync's mapping",
    "timezone": "another time zone",
    "footer": "the footer switched on or off",
    "on_target_edit": "another MILESYNC_ON_TARGET_EDIT",
    "on_source_delete": "another MILESYNC_ON_SOURCE_DELETE",
    "submilestones": "another MILESYNC_TESTRAIL_SUBMILESTONES",
}


def _change(
    name: str, before: Mapping[str, str], now: Mapping[str, str], was: str, is_now: str
) -> str:
    """In what a setting differs, in words; ``was`` and ``is_now`` say where each value is from."""
    values = f"{before.get(name, 'none')} {was}, {now.get(name, 'none')} {is_now}"
    return f"{_MEANINGS.get(name, name)} ({values})"


def _each(settings: Mapping[str, str]) -> dict[str, str]:
    """Each setting by itself, those of the mapping rules too."""
    others = {name: value for name, value in settings.items() if name != "rules"}
    return _facts(settings.get("rules", "")) | others


def _facts(fingerprint: str) -> dict[str, str]:
    return dict(fact.split("=", 1) for fact in fingerprint.split() if "=" in fact)


def _is_again(action: Action, snapshot: Snapshot) -> bool:
    link = snapshot.links.get(action.testrail_id)
    return action.kind is Kind.CREATE and link is not None and link.has_target


def is_unasked(action: Action, snapshot: Snapshot) -> bool:
    """Whether it is missing, and TestRail was not asked for it: the asking was cut short."""
    unproved = _is(action, ProblemKind.ABSENCE_UNPROVED)
    return unproved and action.testrail_id not in snapshot.unproved


def _is(action: Action, kind: ProblemKind) -> bool:
    return action.problem is not None and action.problem.kind is kind


def _mass_archive(proved: int, missing: int, linked: int, flags: str) -> Guard:
    """``missing`` are those that TestRail's list lacks; it stops asking once it is a mass.

    ``flags`` are those that allow it, with all that was asked for before.
    """
    so_far = "they are" if missing == proved else f"{proved} of them so far are"
    return Guard(
        "mass_guard",
        f"{missing} of {linked} linked milestones are missing from TestRail, and {so_far} proved "
        "to be deleted there. Nothing was written.",
        f"If that is meant: `milesync plan{flags}` asks TestRail for each one that is missing and "
        f"shows them all, and `milesync migrate{flags}` archives in Testably those that are "
        "deleted.",
    )


def _mass_recreate(lost: int, linked: int, flags: str) -> Guard:
    return Guard(
        "mass_guard",
        f"{lost} of {linked} linked milestones are deleted in Testably. Nothing was written.",
        f"If they are to be made anew: `milesync migrate{flags}`, as `milesync plan{flags}` shows.",
    )
