"""The store on both databases: compare-and-set, claims, the journal, and many at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from mappings.errors import StoreError
from mappings.fingerprints import fingerprint_of_source
from mappings.link import Link
from mappings.link_record import LinkState, Sent
from mappings.milestone import FIELDS, SourceMilestone
from mappings.problem import FieldProblem, Problem, ProblemKind
from mappings.store import Store
from tests.support.clock import NOW
from tests.support.rows import SECOND, at_once, identity

# --- pairs


def test_a_pair_is_recorded_once(store: Store) -> None:
    """Asking for a pair again finds the one that was recorded."""
    assert store.find_pair(identity()) is None
    first = store.pair(identity())
    assert store.pair(identity()) == store.find_pair(identity()) == first
    assert store.all_pairs() == [first]


def test_all_four_parts_make_the_identity(store: Store) -> None:
    """Another URL or another project on either side is another pair."""
    base = identity()
    identities = [
        base,
        replace(base, testrail_url="https://moved.example"),
        replace(base, testrail_project=2),
        replace(base, testably_url="https://moved.example"),
        replace(base, testably_project="proj_2"),
    ]
    assert len({store.pair(each).id for each in identities}) == len(identities)
    assert [pair.identity for pair in store.all_pairs()] == identities


def test_a_pair_keeps_what_is_set(store: Store, pair_id: int) -> None:
    """What is recorded of a pair comes back, with moments in UTC; other pairs keep theirs."""
    other = store.pair(identity(2))
    told = {"rules": "timezone=none", "paused_because": "The mapping changed."}
    store.update_pair(pair_id, listed_at=NOW, proved_at=NOW + SECOND, **told)
    found = store.pair(identity())
    assert (found.rules, found.paused_because) == tuple(told.values())
    assert (found.listed_at, found.proved_at) == (NOW, NOW + SECOND)
    assert store.pair(identity(2)) == other


def test_a_pair_recorded_by_many_at_once_is_one(store: Store) -> None:
    """Processes that meet a new pair at the same time agree on it."""
    found = at_once(lambda _: store.pair(identity()))
    assert len(store.all_pairs()) == len(set(found)) == 1


def test_a_pair_that_was_recorded_meanwhile_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looked just before another process recorded the pair gets that pair."""
    recorded = store.pair(identity())
    looks = iter([None, recorded])
    monkeypatch.setattr(store, "find_pair", lambda _: next(looks))
    assert store.pair(identity()) == recorded


# --- links

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
values = st.dictionaries(st.sampled_from(FIELDS), st.none() | texts)
moments = st.none() | st.datetimes(timezones=st.just(UTC))
kinds = st.sampled_from(ProblemKind)
problems = st.builds(Problem, kinds, texts, moments, st.integers(1, 10**6), moments)
field_problems = st.builds(
    FieldProblem,
    kinds,
    st.none() | texts,
    st.none() | texts,
    texts,
    texts,
    st.integers(1, 99),
    st.none() | texts,
    st.booleans(),
)
links = st.builds(
    Link,
    testrail_id=st.integers(1, 2**62),
    testably_id=st.none() | texts,
    state=st.sampled_from(LinkState),
    name=texts,
    last_applied=values,
    observed=values,
    observed_at=st.none() | texts,
    in_flight=st.none() | values,
    sent=st.dictionaries(texts, st.builds(Sent, st.none() | texts, st.integers(0, 9))),
    field_problems=st.dictionaries(texts, field_problems),
    has_children=st.booleans(),
    attempt_newest=st.none() | texts,
    attempt_before=st.none() | st.lists(texts).map(tuple),
    attempt_asked=st.none() | st.lists(texts).map(tuple),
    attempt_parent=st.none() | texts,
    parent_id=st.none() | st.integers(1, 2**62),
    target_parent=st.none() | texts,
    source_fingerprint=texts,
    raw=st.dictionaries(texts, st.none() | texts | st.integers() | st.lists(st.booleans())),
    problem=st.none() | problems,
    attempt_at=moments,
    attempt_deadline=moments,
    attempts=st.integers(0, 99),
    change_id=st.none() | st.integers(1, 2**62),
    look_again=st.booleans(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(link=links)
def test_a_link_comes_back_as_it_was_kept(store: Store, link: Link) -> None:
    """Every field of a link survives the database, whatever it holds, twice over."""
    pair = store.pair(identity(len(store.all_pairs()) + 1))
    saved = store.save(pair.id, link, NOW)
    assert saved == replace(link, version=1)
    assert store.links(pair.id) == {link.testrail_id: saved}
    again = store.save(pair.id, saved, NOW)
    assert again == replace(link, version=2)
    assert store.links(pair.id) == {link.testrail_id: again}


def test_the_links_of_a_pair_are_its_own(store: Store, pair_id: int) -> None:
    """Two pairs may hold the same ids on both sides and never see each other's."""
    other = store.pair(identity(2)).id
    for pair, name in ((pair_id, "one"), (other, "two")):
        assert store.save(pair, Link(7, "ms_1", name=name), NOW)
    assert [link.name for link in store.links(pair_id).values()] == ["one"]
    assert [link.name for link in store.links(other).values()] == ["two"]


def test_links_can_be_narrowed_to_some_ids(store: Store, pair_id: int) -> None:
    """Only the links of the ids that were asked for; none for no ids."""
    store.save_many(pair_id, [Link(number) for number in (1, 2, 3)], NOW)
    assert list(store.links(pair_id)) == [1, 2, 3]
    assert list(store.links(pair_id, [3, 1, 99])) == [1, 3]
    assert store.links(pair_id, []) == {}


def test_who_read_an_old_link_cannot_save_it(store: Store, pair_id: int) -> None:
    """The loser of the compare-and-set gets None, and the winner's values stay."""
    read = store.save(pair_id, Link(1, name="first"), NOW)
    assert read
    won = store.save(pair_id, replace(read, name="won"), NOW)
    assert store.save(pair_id, replace(read, name="lost"), NOW) is None
    assert store.links(pair_id) == {1: won}


def test_who_comes_second_with_a_new_link_loses(store: Store, pair_id: int) -> None:
    """A link that somebody else recorded first is not recorded again."""
    first = store.save(pair_id, Link(1, name="first"), NOW)
    assert store.save(pair_id, Link(1, name="second"), NOW) is None
    assert store.links(pair_id) == {1: first}


def test_a_target_is_linked_once(store: Store, pair_id: int) -> None:
    """No two milestones of a pair share a target, whether it is new or was changed to it."""
    store.save(pair_id, Link(1, "ms_1"), NOW)
    assert store.save(pair_id, Link(2, "ms_1"), NOW) is None
    unlinked = store.save(pair_id, Link(2), NOW)
    assert unlinked
    assert store.save(pair_id, replace(unlinked, testably_id="ms_1"), NOW) is None
    assert store.links(pair_id)[2] == unlinked


def test_many_are_saved_and_the_losers_left_out(store: Store, pair_id: int) -> None:
    """Saving many keeps those that nobody changed, and says which."""
    kept = store.save_many(pair_id, [Link(number) for number in range(1, 301)], NOW)
    assert len(store.links(pair_id)) == len(kept) == 300
    store.save(pair_id, replace(kept[0], name="changed meanwhile"), NOW)
    again = store.save_many(pair_id, [replace(link, name="new") for link in kept], NOW)
    assert [link.testrail_id for link in again] == list(range(2, 301))
    assert store.links(pair_id)[1].name == "changed meanwhile"


def test_a_mark_to_look_again_is_seen_by_the_next_reader(store: Store, pair_id: int) -> None:
    """Only the marked link is to be looked at again."""
    store.save_many(pair_id, [Link(1), Link(2)], NOW)
    store.mark_to_look_again(pair_id, 2)
    assert [link.look_again for link in store.links(pair_id).values()] == [False, True]


# --- the database itself


def test_moments_keep_their_instant(store: Store, pair_id: int) -> None:
    """A moment of another offset is the same instant in UTC when it comes back."""
    at = datetime.fromisoformat("2026-03-01T01:30:00.123456+05:30")
    store.update_pair(pair_id, listed_at=at)
    found = store.pair(identity()).listed_at
    assert found == at
    assert found.tzinfo == UTC


def test_a_broken_database_is_a_store_error(store: Store, engine: Engine, pair_id: int) -> None:
    """Whatever the driver raises reaches a person as a StoreError, without statement or values."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE links RENAME TO links_away"))
    try:
        with pytest.raises(StoreError, match="did not answer") as caught:
            store.save(pair_id, Link(1, name="a private name"), NOW)
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE links_away RENAME TO links"))
    assert "private" not in caught.value.message
    assert "INSERT" not in caught.value.message


def test_a_pair_that_vanishes_is_a_store_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair that can neither be recorded nor found is said, not guessed."""
    monkeypatch.setattr(store, "find_pair", lambda _: None)
    with pytest.raises(StoreError, match="could not be recorded"):
        store.pair(identity())


# --- fingerprints

SOURCE = SourceMilestone(1, "R")


def test_equal_readings_have_equal_fingerprints() -> None:
    """What a sync does not carry (address, raw record, project) does not make a record new."""
    same = SourceMilestone(1, "R", raw={"project_id": 9, "url": "https://moved.example"})
    assert fingerprint_of_source(same) == fingerprint_of_source(SOURCE)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "S"},
        {"description": ""},
        {"start_on": 0},
        {"started_on": 0},
        {"due_on": 0},
        {"completed_on": 0},
        {"is_started": True},
        {"is_completed": True},
        {"parent_id": 0},
        {"refs": ""},
    ],
)
def test_every_carried_field_is_in_the_fingerprint(changed: dict[str, object]) -> None:
    """A record that changed in any field that is carried is a new record."""
    assert fingerprint_of_source(replace(SOURCE, **changed)) != fingerprint_of_source(SOURCE)  # type: ignore[arg-type]


def test_a_link_knows_whether_it_has_a_target() -> None:
    """A link has a target once it has the target's id."""
    assert not Link(1).has_target
    assert Link(1, "ms_1").has_target
