"""What two looks tell of creates in doubt: found, nothing, or for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.footer import Footer, marker_url, with_footer
from mappings.link import Link
from mappings.milestone import MappingRules, TargetMilestone
from mappings.problem import Problem, ProblemKind
from tests.support.build import RULES
from tests.support.clock import NOW
from worker.sync.decide.doubt import NOWHERE, Doubt
from worker.sync.decide.in_doubt import Fate, Judgement, judge

BEFORE, NEWEST, SINCE = "2026-03-01T09:59:59Z", "2026-03-01T10:00:00Z", "2026-03-01T10:00:05Z"
URL = RULES.testrail_url
LONG = "What this release brings to everybody. " * 5


def doubt(id_: int = 1, name: str = "One", *, newest: str | None = NEWEST, **more: Any) -> Doubt:
    """A create that posted this name; fields that the POST sent, or those of a `Doubt`."""
    named = {"description", "start_date", "due_date"}
    sent = {"description": None, "start_date": None, "due_date": None}
    sent |= {key: more.pop(key) for key in named & more.keys()}
    before = more.pop("before", None)
    link = Link(id_, name=name).begin_create({"name": name, **sent}, NOW, NOW, newest, before)
    return Doubt(link, marker_url(URL, id_), **more)


def left(id_: str = "ms_1", name: str = "One", **more: Any) -> TargetMilestone:
    """A target that has appeared since."""
    return TargetMilestone(id_, name, **{"created_at": SINCE, **more})


def marked(testrail_id: int, url: str = URL) -> str:
    return with_footer("Text", Footer(marker_url(url, testrail_id)))


ANY = tuple(f"ms_{end}" for end in "123ab")
"""The ids of the targets that a person is asked about."""


def asked(one: Doubt, *about: str) -> Doubt:
    """The same create, once a person is asked about these, or about any."""
    problem = Problem(ProblemKind.IN_DOUBT_FOR_A_PERSON, "It cannot be told.", NOW)
    return replace(one, link=one.link.left_to_person(problem, NOW, about or ANY), is_ready=False)


def decided(one: Doubt, *about: str) -> Doubt:
    """The same create, once a person has said `retry` of these, or of any."""
    return replace(one, link=asked(one, *about).link.retried())


def told(doubts: list[Doubt], *targets: TargetMilestone) -> dict[int, tuple[Fate, list[str]]]:
    """The verdicts, with the ids of the targets they are about."""
    found = judge(doubts, targets, RULES)
    return {id_: (one.fate, sorted(t.id for t in one.targets)) for id_, one in found.items()}


def one_told(one: Doubt, *targets: TargetMilestone) -> tuple[Fate, list[str]]:
    return told([one], *targets)[one.link.testrail_id]


# --- the marker


def test_the_marker_tells_it_whatever_else_was_changed() -> None:
    """Another name, other dates, another parent: a person edited it since."""
    edited = left(name="Renamed", description=marked(1), parent_id="ms_9", due_date=SINCE)
    other = left("ms_2")
    assert one_told(doubt(), edited, other) == (Fate.FOUND, ["ms_1"])


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        (f"<p>---<br />TestRail: {marker_url(URL, 1)}</p> (16)", Fate.PERSON),
        (f"Text {marker_url(URL, 1)} and more", Fate.PERSON),
        (f"Text {marker_url(URL, 12)} and more", Fate.NOTHING),
        ("Text", Fate.NOTHING),
    ],
)
def test_a_marker_that_stands_in_no_footer_is_for_a_person(text: str, fate: Fate) -> None:
    """The target stored the text otherwise, and somebody has renamed it since."""
    renamed = left(name="Renamed", description=text)
    ids = ["ms_1"] if fate is Fate.PERSON else []
    assert one_told(doubt(), renamed) == (fate, ids)
    before = doubt(before=("ms_1",))
    assert one_told(before, renamed) == (Fate.NOTHING, [])
    if fate is Fate.PERSON:
        assert one_told(decided(doubt()), renamed) == (Fate.FOUND, ["ms_1"])


def test_several_living_markers_are_for_a_person() -> None:
    """An archived one counts only where no other does."""
    one, two = left(description=marked(1)), left("ms_2", description=marked(1))
    away = replace(two, status="archived")
    assert one_told(doubt(), one, two) == (Fate.PERSON, ["ms_1", "ms_2"])
    assert judge([doubt()], [one, two], RULES)[1].kind is ProblemKind.SEVERAL_MARKED
    assert one_told(doubt(), one, away) == (Fate.FOUND, ["ms_1"])
    assert one_told(doubt(), away) == (Fate.FOUND, ["ms_2"])


@pytest.mark.parametrize("url", [URL, "https://other.example"])
def test_what_carries_another_marker_is_not_it(url: str) -> None:
    """Of this TestRail or of another one."""
    other = left(description=marked(2, url))
    assert one_told(doubt(description=marked(2, url)), other) == (Fate.NOTHING, [])


def test_its_own_marker_in_other_letters_is_not_anothers() -> None:
    """A target may write the host of an address in small letters: then a person is asked."""
    url = "https://Rail.Example"
    one = replace(doubt(description=marked(1, url)), marker=marker_url(url, 1))
    small = left(description=marked(1, url.lower()))
    assert judge([one], [small], MappingRules(url))[1].fate is Fate.PERSON


def test_a_marker_that_was_cut_inside_its_id_is_not_anothers() -> None:
    """It reads as the marker of another milestone; name, dates and the text above tell whose."""
    one = doubt(123, description=marked(123))
    cut = left(description=marked(12))
    assert one_told(one, cut) == (Fate.FOUND, ["ms_1"])
    assert one_told(one, replace(cut, name="Another")) == (Fate.NOTHING, [])
    assert one_told(one, replace(cut, description=marked(13))) == (Fate.NOTHING, [])
    whole = with_footer("Text", Footer(marker_url(URL, 12), refs="RF-1"))
    assert one_told(one, replace(cut, description=whole)) == (Fate.NOTHING, [])
    twelve = doubt(12, "Twelve", description=marked(12))
    assert told([one, twelve], cut)[12] == (Fate.FOUND, ["ms_1"])
    assert told([one, twelve], cut)[123] == (Fate.NOTHING, [])


# --- what a create can have left


def test_what_is_equal_in_everything_is_it() -> None:
    """Name, dates, parent and description."""
    fields: dict[str, Any] = {"start_date": SINCE, "due_date": SINCE, "description": LONG}
    assert one_told(doubt(**fields, parent="ms_9"), left(**fields, parent_id="ms_9")) == (
        Fate.FOUND,
        ["ms_1"],
    )


@pytest.mark.parametrize(
    "shown",
    [LONG, LONG[:40], LONG.replace(" ", "\n"), f"<p>{LONG}"[3:], LONG.replace(".", " —")],
)
def test_a_description_may_have_been_cut_or_set_otherwise(shown: str) -> None:
    """Reduced to letters and digits it is what was sent, or a beginning of that."""
    assert one_told(doubt(description=LONG), left(description=shown)) == (Fate.FOUND, ["ms_1"])


@pytest.mark.parametrize("shown", [None, "", "Made by hand, in Testably", LONG[:15], LONG + "more"])
def test_another_description_is_for_a_person(shown: str | None) -> None:
    """Its name says that it can be it; nothing says that it is."""
    assert one_told(doubt(description=LONG), left(description=shown)) == (Fate.PERSON, ["ms_1"])


@pytest.mark.parametrize("field", ["start_date", "due_date"])
@pytest.mark.parametrize("shown", [None, "2026-03-02T00:00:00Z"])
def test_other_dates_are_for_a_person(field: str, shown: str | None) -> None:
    """A target may keep the day alone."""
    sent: Any = {field: "2026-03-02T10:00:00Z"}
    live: Any = {field: shown}
    assert one_told(doubt(**sent), left(**live)) == (Fate.PERSON, ["ms_1"])


@pytest.mark.parametrize("shown", ["A name th", "A  name - that is long", "A"])
def test_a_name_that_was_cut_or_set_otherwise_is_for_a_person(shown: str) -> None:
    """Reduced to letters and digits it is the sent one, or begins it."""
    one = doubt(name="A name, that is long")
    assert one_told(one, left(name=shown)) == (Fate.PERSON, ["ms_1"])


@pytest.mark.parametrize("shown", ["Two", "One more", "ne", "!"])
def test_another_name_is_not_it(shown: str) -> None:
    """It may be created again."""
    assert one_told(doubt(), left(name=shown)) == (Fate.NOTHING, [])


def test_a_name_without_letters_is_told_by_what_is_shown() -> None:
    """Nothing begins everything: an empty name is no hint."""
    rocket = "\N{ROCKET}"
    assert one_told(doubt(name=rocket), left(name=rocket)) == (Fate.FOUND, ["ms_1"])
    assert one_told(doubt(name=rocket), left(name="??")) == (Fate.PERSON, ["ms_1"])
    assert one_told(doubt(name=rocket), left(name="Any")) == (Fate.NOTHING, [])


@pytest.mark.parametrize(
    ("parent", "shown", "verdict"),
    [
        (None, "ms_9", Fate.NOTHING),
        ("ms_9", "ms_8", Fate.NOTHING),
        ("ms_9", None, Fate.PERSON),
    ],
)
def test_what_hangs_elsewhere_is_not_it(
    parent: str | None, shown: str | None, verdict: Fate
) -> None:
    """A target that tells no parent may have lost it, so that a person decides."""
    assert one_told(doubt(parent=parent), left(parent_id=shown))[0] is verdict


@pytest.mark.parametrize("shown", ["ms_8", "ms_9"])
def test_it_is_near_below_both_the_parent_it_was_sent_below_and_todays(shown: str) -> None:
    """It was sent below the first; what hangs below the other somebody may have moved there."""
    one = replace(doubt(parent="ms_9"), parent_now="ms_8")
    fate = Fate.FOUND if shown == "ms_9" else Fate.PERSON
    assert one_told(one, left(parent_id=shown)) == (fate, ["ms_1"])


# --- since the attempt


@pytest.mark.parametrize(
    ("created_at", "newest", "verdict"),
    [
        (SINCE, NEWEST, Fate.FOUND),
        (NEWEST, NEWEST, Fate.FOUND),
        ("2026-03-01T11:00:00+01:00", NEWEST, Fate.FOUND),
        (BEFORE, NEWEST, Fate.NOTHING),
        (BEFORE, None, Fate.FOUND),
        (None, NEWEST, Fate.PERSON),
        (None, None, Fate.PERSON),
    ],
)
def test_the_targets_own_times_tell_what_has_appeared_since(
    created_at: str | None, newest: str | None, verdict: Fate
) -> None:
    """Not older than the newest that was there; where nothing was, everything has appeared."""
    assert one_told(doubt(newest=newest), left(created_at=created_at))[0] is verdict


def test_what_was_listed_before_the_create_is_not_it() -> None:
    """Although it was made in the same second as the newest, or shows no time."""
    one = doubt(before=("ms_1",))
    assert one_told(one, left(created_at=NEWEST)) == (Fate.NOTHING, [])
    assert one_told(one, left(created_at=None)) == (Fate.NOTHING, [])


def test_what_was_not_listed_before_the_create_and_is_older_by_its_time_is_for_a_person() -> None:
    """The target's clock was set back, or its list left it out; a restarted run knows no list."""
    older = left(created_at=BEFORE)
    assert one_told(doubt(before=()), older) == (Fate.PERSON, ["ms_1"])
    assert one_told(doubt(), older) == (Fate.NOTHING, [])


# --- one to one


def test_equal_creates_get_the_targets_in_the_order_of_ids() -> None:
    """As many as there are creates."""
    assert told([doubt(2), doubt(1)], left("ms_b"), left("ms_a")) == {
        1: (Fate.FOUND, ["ms_a"]),
        2: (Fate.FOUND, ["ms_b"]),
    }


def test_more_targets_than_creates_are_for_a_person() -> None:
    """Every one of the creates waits for that."""
    targets = [left(f"ms_{letter}") for letter in "abc"]
    every = (Fate.PERSON, ["ms_a", "ms_b", "ms_c"])
    assert told([doubt(1), doubt(2)], *targets) == {1: every, 2: every}


def test_an_archived_one_is_for_a_person_unless_a_living_one_fits() -> None:
    """It was put away since, or was there before: a plain list need not show archived ones."""
    away = left("ms_a", status="archived")
    assert one_told(doubt(before=()), away) == (Fate.PERSON, ["ms_a"])
    assert one_told(doubt(before=("ms_a",)), away) == (Fate.NOTHING, [])
    assert one_told(doubt(before=()), replace(away, created_at=BEFORE)) == (Fate.NOTHING, [])
    assert one_told(doubt(before=()), away, left("ms_b")) == (Fate.FOUND, ["ms_b"])
    assert told([doubt(1), doubt(2)], away, left("ms_b")) == {
        1: (Fate.FOUND, ["ms_b"]),
        2: (Fate.PERSON, ["ms_a"]),
    }


@pytest.mark.parametrize("past", [True, False])
def test_fewer_targets_than_creates_are_given_away_and_the_rest_made_again(past: bool) -> None:
    """But not while an equal create may still be under way."""
    found = told([doubt(1), doubt(2), doubt(3, is_ready=past)], left("ms_a"))
    rest: tuple[Fate, list[str]] = (Fate.NOTHING if past else Fate.OPEN, [])
    assert found == {1: (Fate.FOUND, ["ms_a"]), 2: rest, 3: rest}


def test_what_may_still_be_under_way_elsewhere_gets_nothing_before_the_others() -> None:
    """Whose wait is over comes first."""
    found = told([doubt(1, is_ready=False), doubt(2)], left("ms_a"))
    assert found == {1: (Fate.OPEN, []), 2: (Fate.FOUND, ["ms_a"])}


def test_names_that_differ_in_white_space_share_their_targets() -> None:
    """One target is not given to both."""
    found = told([doubt(1, "Beta"), doubt(2, " Beta ")], left(name="Beta"))
    assert found == {1: (Fate.FOUND, ["ms_1"]), 2: (Fate.NOTHING, [])}


def test_a_description_tells_which_of_equal_creates_it_was() -> None:
    """What can be only one of them is that one, whatever the order of ids says."""
    one, two = doubt(1, description=LONG), doubt(2, description=LONG + LONG)
    found = told([one, two], left("ms_a", description=LONG + LONG), left("ms_b", description=LONG))
    assert found == {1: (Fate.FOUND, ["ms_b"]), 2: (Fate.FOUND, ["ms_a"])}


def test_two_targets_for_one_of_two_creates_are_for_a_person() -> None:
    """The other create left none; which of the two is the first one's cannot be told."""
    one, two = doubt(1, description=LONG), doubt(2, description="Short")
    targets = left("ms_a", description=LONG), left("ms_b", description=LONG)
    assert {verdict for verdict, _ in told([one, two], *targets).values()} == {Fate.PERSON}


def test_a_target_that_another_create_was_given_is_no_hint() -> None:
    """Of "Release" and "Release 2" only the first arrived: the second is made again."""
    found = told([doubt(1, "Release"), doubt(2, "Release 2")], left(name="Release"))
    assert found == {1: (Fate.FOUND, ["ms_1"]), 2: (Fate.NOTHING, [])}


# --- after a person has decided


def test_what_a_person_left_is_its_own() -> None:
    """Whatever its description and dates, and although it shows no time of its own."""
    other = left(description="Rewritten", due_date=SINCE, created_at=None)
    away = left("ms_2", status="archived")
    assert one_told(doubt(description=LONG), other, away)[0] is Fate.PERSON
    assert one_told(decided(doubt(description=LONG)), other, away) == (Fate.FOUND, ["ms_1"])


def test_where_a_person_left_nothing_it_is_created_again() -> None:
    """Archived ones are not its own."""
    away = left(status="archived")
    assert one_told(decided(doubt()), away) == (Fate.NOTHING, [])
    assert one_told(decided(doubt()), replace(away, description=marked(1))) == (Fate.NOTHING, [])


def test_where_a_person_left_several_it_stays_for_a_person() -> None:
    """`retry` alone decides nothing."""
    again = one_told(decided(doubt()), left("ms_1"), left("ms_2"))
    assert again == (Fate.PERSON, ["ms_1", "ms_2"])


@pytest.mark.parametrize("status", ["active", "archived"])
@pytest.mark.parametrize("name", ["One", "On"])
def test_of_what_came_after_a_person_was_asked_nothing_was_decided(name: str, status: str) -> None:
    """It is asked about anew, unless it is archived; and what was left before it is its own."""
    one, late = decided(doubt(), "ms_1"), left("ms_2", name=name, status=status)
    is_away = status == "archived"
    found = one_told(one, left(status="archived"), late)
    assert found == ((Fate.NOTHING, []) if is_away else (Fate.PERSON, ["ms_2"]))
    assert one_told(one, left(), late) == (Fate.FOUND, ["ms_1"])


def test_an_equal_create_that_is_for_a_person_keeps_its_target() -> None:
    """Two creates and two targets: the one that was decided first takes one of them."""
    first, second = decided(doubt(1)), asked(doubt(2))
    found = told([first, second], left("ms_a"), left("ms_b"))
    assert found[1] == (Fate.FOUND, ["ms_a"])


def test_an_equal_create_that_is_for_a_person_is_not_under_way() -> None:
    """So the one that was decided first is created again, where nothing is left for it."""
    assert told([decided(doubt(1)), asked(doubt(2))])[1] == (Fate.NOTHING, [])


def test_a_create_whose_parent_lost_its_target_left_nothing_for_certain() -> None:
    """What has its name at the root is for a person."""
    one = doubt(parent=NOWHERE)
    assert one_told(one, left()) == (Fate.PERSON, ["ms_1"])
    assert one_told(one, left(parent_id="ms_9")) == (Fate.NOTHING, [])


# --- laws

NAMES = st.sampled_from(["One", "One ", "One two", "On", "\N{ROCKET}"])
TEXTS = st.sampled_from([None, "", "Short", LONG, LONG[:60], marked(1), marked(2)])
DOUBTS = st.builds(
    doubt,
    st.integers(1, 4),
    NAMES,
    newest=st.sampled_from([None, NEWEST]),
    description=TEXTS,
    is_ready=st.booleans(),
)
TARGETS = st.builds(
    left,
    st.sampled_from(["ms_1", "ms_2", "ms_3", "ms_4"]),
    NAMES,
    description=TEXTS,
    created_at=st.sampled_from([None, BEFORE, NEWEST, SINCE]),
    status=st.sampled_from(["active", "archived"]),
)


@given(
    st.lists(DOUBTS, max_size=4, unique_by=lambda d: d.link.testrail_id),
    st.lists(TARGETS, max_size=4, unique_by=lambda t: t.id),
)
def test_no_target_is_given_away_twice_and_every_create_has_a_verdict(
    doubts: list[Doubt], targets: list[TargetMilestone]
) -> None:
    """The order in which they are read does not matter."""
    found = judge(doubts, targets, RULES)
    given_away = [t.id for one in found.values() if one.fate is Fate.FOUND for t in one.targets]
    assert len(given_away) == len(set(given_away)) == _count(found, Fate.FOUND)
    assert found.keys() == {d.link.testrail_id for d in doubts}
    assert judge(doubts[::-1], targets[::-1], RULES).keys() == found.keys()
    backwards = judge(doubts[::-1], targets[::-1], RULES)
    assert {id_: one.fate for id_, one in backwards.items()} == {
        id_: one.fate for id_, one in found.items()
    }
    for one in doubts:
        if found[one.link.testrail_id].fate is Fate.NOTHING:
            free = [t for t in targets if t.id not in given_away]
            assert not any(one.is_certain(t) for t in free)


def _count(found: dict[int, Judgement], verdict: Fate) -> int:
    return sum(one.fate is verdict for one in found.values())


def test_what_a_person_decided_is_shared_out_among_creates_of_the_name() -> None:
    """The target cut the time off their dates, so both look alike, and neither is certain."""
    first = decided(doubt(1, start_date="2026-03-01T01:00:00Z", before=()))
    second = decided(doubt(2, start_date="2026-03-01T00:00:00Z", before=()))
    shown = {"start_date": "2026-03-01T00:00:00Z", "description": "Cut"}
    found = told([first, second], left("ms_a", **shown), left("ms_b", **shown))
    assert found == {1: (Fate.FOUND, ["ms_a"]), 2: (Fate.FOUND, ["ms_b"])}


def test_what_fits_most_is_given_away_first() -> None:
    """A date that is as it was sent tells more than the order of ids."""
    first = decided(doubt(1, start_date="2026-03-02T00:00:00Z", before=()))
    second = decided(doubt(2, start_date="2026-03-01T00:00:00Z", before=()))
    one = left("ms_a", start_date="2026-03-01T00:00:00Z")
    other = left("ms_b", start_date="2026-03-02T00:00:00Z")
    assert told([first, second], one, other) == {
        1: (Fate.FOUND, ["ms_b"]),
        2: (Fate.FOUND, ["ms_a"]),
    }


def test_what_only_one_way_of_matching_gives_away_is_still_a_hint() -> None:
    """Two fit the decided one; one of them was not there before the second create either."""
    first = decided(doubt(1, before=()))
    second = doubt(2, before=("ms_a",))
    targets = [left(id_, description="Otherwise", created_at=None) for id_ in ("ms_a", "ms_b")]
    assert told([first, second], *targets) == {
        1: (Fate.PERSON, ["ms_a", "ms_b"]),
        2: (Fate.PERSON, ["ms_b"]),
    }


# --- what cannot be read


def test_a_record_that_cannot_be_read_is_never_linked() -> None:
    """It is asked about until it can be read, or is archived."""
    it = left("ms_a")
    for one in (doubt(before=()), decided(doubt(before=()))):
        found = judge([one], [it], RULES, {"ms_a"})[1]
        assert (found.fate, [t.id for t in found.targets]) == (Fate.PERSON, ["ms_a"])
    away = replace(it, status="archived")
    assert judge([decided(doubt(before=()))], [away], RULES, {"ms_a"})[1].fate is Fate.NOTHING


@pytest.mark.parametrize("more", [{}, {"name": "Renamed"}, {"parent_id": "ms_9"}])
def test_a_record_that_cannot_be_read_and_carries_the_marker_is_for_a_person(
    more: Mapping[str, str],
) -> None:
    """Whatever else a person has done to it: it is what the create left."""
    it = left("ms_a", description=marked(1), **more)
    for one in (doubt(), decided(doubt())):
        found = judge([one], [it], RULES, {"ms_a"})[1]
        assert (found.fate, [t.id for t in found.targets]) == (Fate.PERSON, ["ms_a"])
        assert found.kind is ProblemKind.IN_DOUBT_FOR_A_PERSON
    both = judge([doubt()], [it, left("ms_b", description=marked(1))], RULES, {"ms_a"})[1]
    assert (both.fate, both.kind) == (Fate.PERSON, ProblemKind.SEVERAL_MARKED)


def test_an_equal_one_is_not_taken_while_one_of_its_name_cannot_be_read() -> None:
    """Which of both the create has left only a person can tell; neither is taken for another."""
    ours, theirs = left("ms_a"), left("ms_b")

    def judged(*doubts: Doubt, **more: Any) -> dict[int, tuple[Fate, list[str]]]:
        it = replace(ours, **more)
        found = judge(doubts, [it, theirs], RULES, {"ms_a"})
        return {id_: (one.fate, [t.id for t in one.targets]) for id_, one in found.items()}

    both = (Fate.PERSON, ["ms_a", "ms_b"])
    assert judged(doubt(before=())) == {1: both}
    assert judged(decided(doubt(before=()))) == {1: both}
    assert judged(doubt(1), doubt(2)) == {1: both, 2: both}
    assert judged(doubt(before=("ms_a",))) == {1: (Fate.FOUND, ["ms_b"])}
    longer = doubt(2, "One more", before=())
    assert judged(doubt(before=()), longer) == {1: both, 2: both}
    away = judged(decided(doubt(before=())), status="archived")
    assert away == {1: (Fate.FOUND, ["ms_b"])}


# --- other pairs that write into the same project


def test_creates_of_other_pairs_are_matched_with_what_they_can_have_left() -> None:
    """As many targets as creates, of whichever pair: none is for a person."""
    ours, theirs = doubt(1), replace(doubt(1, is_ready=False), pair=2, is_over=True)
    assert told([ours, theirs], left("ms_a"), left("ms_b")) == {1: (Fate.FOUND, ["ms_a"])}
    assert told([ours], left("ms_a"), left("ms_b"))[1][0] is Fate.PERSON


def test_what_another_pair_may_still_be_creating_is_waited_for() -> None:
    """What is there, or comes, can be that of either."""
    theirs = replace(doubt(7, is_ready=False), pair=2)
    assert told([doubt(1), theirs]) == {1: (Fate.OPEN, [])}
    assert told([doubt(1), replace(theirs, is_over=True)]) == {1: (Fate.NOTHING, [])}
    assert told([doubt(1), theirs], left("ms_a")) == {1: (Fate.OPEN, ["ms_a"])}
    assert told([doubt(1), replace(theirs, is_over=True)], left("ms_a"))[1][0] is Fate.FOUND


@pytest.mark.parametrize("url", [URL, "https://other.example"])
def test_a_marker_of_another_pairs_create_tells_whose_it_is(url: str) -> None:
    """Of the same TestRail or of another one."""
    theirs = Doubt(doubt(7).link, marker_url(url, 7), is_ready=False, pair=2, is_over=True)
    its = left("ms_a", description=marked(7, url))
    assert told([doubt(1), theirs], its) == {1: (Fate.NOTHING, [])}
    assert told([doubt(1), theirs], its, left("ms_b")) == {1: (Fate.FOUND, ["ms_b"])}
