"""What stops a run before its first write."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from mappings.link_record import LinkState
from mappings.milestone import MappingRules
from tests.support.build import link, plan, source, target
from worker.sync.decide.guards import agreed_guard, mass_limit, rules_guard
from worker.sync.options import Options


@pytest.mark.parametrize(
    ("links", "count", "is_mass"),
    [
        (9, 9, False),
        (10, 10, True),
        (49, 9, False),
        (49, 10, True),
        (50, 10, False),
        (50, 11, True),
        (54, 11, True),
        (100, 20, False),
        (100, 21, True),
    ],
)
def test_more_than_a_fifth_and_at_least_ten_is_a_mass(
    links: int, count: int, is_mass: bool
) -> None:
    """Both conditions, at their edges."""
    assert (count > mass_limit(links)) is is_mass
    assert (count * 5 > links and count >= 10) is is_mass


def archiving(
    count: int, of: int, closed: int = 0, options: Options | None = None, unasked: int = 0
) -> list[str]:
    """What the guards of a plan say that archives ``count`` of ``of`` links, beside closed ones.

    ``unasked`` more are missing, and TestRail was not asked for them.
    """
    sources = [source(i) for i in range(1, of + 1)]
    targets = [target(one) for one in sources]
    links = [link(*pair) for pair in zip(sources, targets, strict=True)]
    old = [source(i) for i in range(1001, 1001 + closed)]
    links += [link(one, target(one), state=LinkState.ARCHIVED) for one in old]
    gone = frozenset(range(1, count + 1))
    found = plan(sources[count + unasked :], targets, links, gone=gone, options=options)
    return [f"{guard.message} {guard.hint}" for guard in found.plan.guards]


def test_a_mass_archive_needs_a_word() -> None:
    """The guard names the flag that allows it, and the flag does."""
    (said,) = archiving(21, of=100)
    assert "`milesync migrate --allow-mass-archive`" in said
    assert "21 of 100" in said
    assert archiving(20, of=100) == []
    assert archiving(21, of=100, options=Options(allow_mass_archive=True)) == []
    (said,) = archiving(21, of=100, options=Options(allow_mass_recreate=True))
    assert "`milesync migrate --allow-mass-archive --allow-mass-recreate`" in said


def test_the_guard_says_how_many_are_missing_and_how_many_of_them_are_proved_gone() -> None:
    """TestRail is not asked for all of them, since so many stop the run anyway."""
    (said,) = archiving(21, of=100, unasked=35)
    assert "56 of 100 linked milestones are missing" in said
    assert "21 of them so far are proved to be deleted" in said
    assert "asks TestRail for each one that is missing" in said
    (said,) = archiving(21, of=100)
    assert "21 of 100 linked milestones are missing from TestRail, and they are proved" in said


def test_what_testrail_was_not_asked_for_counts_as_what_the_next_runs_would_archive() -> None:
    """Where its asking was cut short; where this run archives nothing it may go on."""
    (said,) = archiving(5, of=50, unasked=6)
    assert "11 of 50 linked milestones are missing" in said
    assert archiving(5, of=50, unasked=5) == []
    assert archiving(0, of=50, unasked=40) == []


def test_links_that_are_closed_do_not_make_a_mass_smaller() -> None:
    """A fifth of what is alive; what was archived last year says nothing about today."""
    assert archiving(15, of=20, closed=100) != []


def test_a_mass_recreate_needs_a_word() -> None:
    """The target lost them all: somebody may have emptied the wrong project."""
    sources = [source(i) for i in range(1, 13)]
    links = [link(one, target(one)) for one in sources]
    view = {"gone": frozenset(known.testably_id for known in links)}
    (guard,) = plan(sources, [], links, view=view).plan.guards
    assert guard.kind == "mass_guard"
    assert "--allow-mass-recreate" in guard.hint
    assert guard.message == (
        "12 of 12 linked milestones are deleted in Testably. Nothing was written."
    )
    allowed = Options(allow_mass_recreate=True)
    assert plan(sources, [], links, view=view, options=allowed).plan.guards == ()


def test_a_first_migration_is_no_mass_recreate() -> None:
    """Nothing was ever linked."""
    assert plan([source(i) for i in range(1, 100)]).plan.guards == ()


def test_changed_settings_wait_for_a_person() -> None:
    """Only where a mapping was applied before, and only without a person."""
    assert rules_guard(None, "new", by_person=False) is None
    assert rules_guard("same", "same", by_person=False) is None
    assert rules_guard("old", "new", by_person=True) is None
    guard = rules_guard("old", "new", by_person=False)
    assert guard is not None
    assert "new" in guard.message


URL = "https://rail.example"
VERSION_1 = "timezone=none footer=True"
"""What a database of the first version of the mapping has recorded."""


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (VERSION_1, MappingRules(URL), "a new version of milesync's mapping (1 before, 2 now)."),
        (
            MappingRules(URL).fingerprint,
            MappingRules(URL, ZoneInfo("Europe/Berlin")),
            "another time zone (none before, Europe/Berlin now).",
        ),
        (
            MappingRules(URL).fingerprint,
            MappingRules(URL, footer=False),
            "the footer switched on or off (True before, False now).",
        ),
        (
            VERSION_1,
            MappingRules(URL, footer=False),
            "(1 before, 2 now), the footer switched on or off (True before, False now).",
        ),
    ],
)
def test_the_guard_says_what_has_changed(before: str, now: MappingRules, said: str) -> None:
    guard = rules_guard(before, now.fingerprint, by_person=False)
    assert guard is not None
    assert guard.message.endswith(said)
    assert "milesync migrate" in guard.hint


AGREED = {"rules": MappingRules(URL).fingerprint, "on_source_delete": "keep"}
"""What is kept with a run that was handed over."""


@pytest.mark.parametrize(
    "agreed", [{}, AGREED, {"rules": AGREED["rules"]}, {"on_source_delete": "keep"}]
)
def test_what_was_not_kept_is_not_held_to(agreed: dict[str, str]) -> None:
    """A run of an older version has kept less, or nothing."""
    assert agreed_guard(agreed, {**AGREED, "of_a_later_version": "1"}) is None


def test_the_guard_says_what_differs_from_what_was_agreed_to() -> None:
    now = {
        "rules": MappingRules(URL, ZoneInfo("Europe/Berlin"), footer=False).fingerprint,
        "on_source_delete": "archive",
    }
    guard = agreed_guard({**AGREED, "of_a_later_version": "1"}, now)
    assert guard is not None
    assert guard.kind == "settings_changed"
    assert guard.message == (
        "The worker would do something else than what was agreed to: another time zone (none where "
        "it was agreed to, Europe/Berlin at the worker), the footer switched on or off (True where "
        "it was agreed to, False at the worker), another MILESYNC_ON_SOURCE_DELETE (keep where it "
        "was agreed to, archive at the worker), of_a_later_version (1 where it was agreed to, none "
        "at the worker)."
    )
    assert guard.hint == (
        "Have the same settings and version where you migrate and where the workers run, start the "
        "workers again, then run the same `milesync migrate` again: it goes on from there."
    )
