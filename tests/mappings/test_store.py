"""The store on both databases: compare-and-set, claims, the journal, and many at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from mappings.errors import StoreError
from mappings.link import Link, LinkState, Sent, fingerprint_of_source
from mappings.milestone import FIELDS, SourceMilestone
from mappings.problem import FieldProblem, Problem, ProblemKind
from mappings.rows import Change, ChangeState
from mappings.runs import RunLog
from mappings.store import Store
from tests.mappings.support import MINUTE, NOW, SECOND, at_once, change, identity

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


# --- claims


def test_a_claim_journals_the_link_and_the_change(store: Store, pair_id: int, run_id: str) -> None:
    """Before a write is sent both its link and its change are in the database."""
    read = store.save(pair_id, Link(1, "ms_1"), NOW)
    assert read
    in_flight = replace(read, in_flight={"name": "new"})
    won = store.lease(pair_id, in_flight, change(run_id, 1, "ms_1"), NOW + MINUTE)
    assert won
    link, change_id = won
    assert link == replace(in_flight, version=2, change_id=change_id, lease_until=NOW + MINUTE)
    assert store.links(pair_id) == {1: link}
    recorded = replace(change(run_id, 1, "ms_1"), id=change_id, pair_id=pair_id)
    assert store.changes(pair_id) == [recorded]


def test_a_new_link_can_be_claimed(store: Store, pair_id: int, run_id: str) -> None:
    """The first write of a milestone records its link and claims it in one."""
    won = store.lease(pair_id, Link(1), change(run_id), NOW + MINUTE)
    assert won
    assert store.links(pair_id) == {1: won[0]}


def test_a_lost_claim_leaves_no_change(store: Store, pair_id: int, run_id: str) -> None:
    """Whoever loses the link journals nothing: neither for an old link nor for a second new one."""
    read = store.save(pair_id, Link(1), NOW)
    assert read
    newest = store.save(pair_id, replace(read, name="newer"), NOW)
    assert store.lease(pair_id, read, change(run_id), NOW + MINUTE) is None
    assert store.lease(pair_id, Link(1), change(run_id), NOW + MINUTE) is None
    assert store.changes(pair_id) == []
    assert store.links(pair_id) == {1: newest}


def test_a_change_that_cannot_be_journaled_claims_nothing(store: Store, pair_id: int) -> None:
    """Without its change in the journal a link is not claimed, so nothing may be sent."""
    read = store.save(pair_id, Link(1), NOW)
    assert read
    assert store.lease(pair_id, read, change("no such run"), NOW + MINUTE) is None
    assert store.links(pair_id) == {1: read}


def test_a_live_claim_keeps_others_out(store: Store, pair_id: int, run_id: str) -> None:
    """While a claim lasts nobody else saves or claims the link, though they read its version."""
    won = store.lease(pair_id, Link(1), change(run_id), NOW + MINUTE)
    assert won
    read = store.links(pair_id)[1]
    assert store.save(pair_id, read, NOW + MINUTE - SECOND) is None
    assert store.save_many(pair_id, [read], NOW + MINUTE - SECOND) == []
    assert store.lease(pair_id, read, change(run_id), NOW + MINUTE) is None
    assert len(store.changes(pair_id)) == 1


def test_an_expired_claim_keeps_nobody_out(store: Store, pair_id: int, run_id: str) -> None:
    """What a dead process claimed can be claimed again once the claim has run out."""
    won = store.lease(pair_id, Link(1), change(run_id), NOW + MINUTE)
    assert won
    late = replace(change(run_id), at=NOW + MINUTE + SECOND)
    taken = store.lease(pair_id, store.links(pair_id)[1], late, NOW + 2 * MINUTE)
    assert taken
    assert taken[0].lease_until == NOW + 2 * MINUTE


def test_a_record_without_a_request_holds_nothing(store: Store, pair_id: int, run_id: str) -> None:
    """A change that sends nothing is journaled, and the next writer need not wait."""
    adopted = store.lease(pair_id, Link(1, "ms_1"), change(run_id), None)
    assert adopted
    assert store.lease(pair_id, adopted[0], change(run_id), NOW + MINUTE)


@pytest.mark.parametrize("is_new", [True, False])
def test_one_of_many_claims_a_link(store: Store, pair_id: int, run_id: str, is_new: bool) -> None:
    """However many threads claim the same link at once, one wins, and one change is journaled."""
    read = Link(1) if is_new else store.save(pair_id, Link(1), NOW)
    assert read
    won = at_once(lambda _: store.lease(pair_id, read, change(run_id), NOW + MINUTE))
    assert sum(result is not None for result in won) == 1
    assert len(store.changes(pair_id)) == 1


def test_many_write_different_links_at_once(store: Store, pair_id: int, run_id: str) -> None:
    """Threads on different links do not disturb each other: every write is kept."""

    def write(testrail_id: int) -> None:
        for step in range(5):
            link = store.links(pair_id, [testrail_id]).get(testrail_id, Link(testrail_id))
            won = store.lease(pair_id, link, change(run_id, testrail_id), NOW + MINUTE)
            assert won
            linked = replace(won[0], testably_id=f"ms_{testrail_id}", attempts=step)
            assert store.settle(pair_id, linked, won[1], ChangeState.DONE, NOW)

    at_once(write)
    kept = store.links(pair_id).values()
    assert [(link.version, link.attempts) for link in kept] == [(10, 4)] * 8
    assert len(store.changes(pair_id)) == 40


# --- settling


def leased(store: Store, pair_id: int, run_id: str) -> tuple[Link, int]:
    """A link that is claimed for a minute."""
    won = store.lease(pair_id, Link(1), change(run_id), NOW + MINUTE)
    assert won
    return won


def test_settling_lets_go_and_tells_what_became_of_it(
    store: Store, pair_id: int, run_id: str
) -> None:
    """After the answer the claim is gone, and the journal knows the target, the echo and when."""
    link, change_id = leased(store, pair_id, run_id)
    linked = replace(link, testably_id="ms_1", state=LinkState.LINKED)
    at = NOW + SECOND
    done = ChangeState.DONE
    saved = store.settle(pair_id, linked, change_id, done, at, echo={"name": "New"}, note="well")
    assert saved == replace(linked, lease_until=None, version=2)
    assert store.links(pair_id) == {1: saved}
    [told] = store.changes(pair_id)
    assert (told.state, told.testably_id, told.echo) == (done, "ms_1", {"name": "New"})
    assert (told.note, told.settled_at) == ("well", at)


def test_a_refusal_keeps_what_the_journal_knew(store: Store, pair_id: int, run_id: str) -> None:
    """Without an answer the change keeps its own target id, and echoes nothing."""
    won = store.lease(pair_id, Link(1), change(run_id, 1, "ms_1"), NOW + MINUTE)
    assert won
    store.settle(pair_id, won[0], won[1], ChangeState.REFUSED, NOW, note="too long")
    [told] = store.changes(pair_id)
    assert (told.state, told.testably_id, told.echo) == (ChangeState.REFUSED, "ms_1", None)


def test_who_holds_the_claim_settles_even_late(store: Store, pair_id: int, run_id: str) -> None:
    """A claim that has run out is still the holder's, as long as nobody took the link."""
    link, change_id = leased(store, pair_id, run_id)
    assert store.settle(pair_id, link, change_id, ChangeState.DONE, NOW + 2 * MINUTE)


def test_who_lost_the_claim_cannot_settle(store: Store, pair_id: int, run_id: str) -> None:
    """An answer that comes after somebody else took the link: told, and looked at again."""
    link, change_id = leased(store, pair_id, run_id)
    late = NOW + 2 * MINUTE
    taken = store.save(pair_id, replace(store.links(pair_id)[1], name="taken"), late)
    assert taken
    lost = replace(link, testably_id="ms_1")
    assert store.settle(pair_id, lost, change_id, ChangeState.DONE, late) is None
    assert store.links(pair_id) == {1: replace(taken, look_again=True)}
    assert store.changes(pair_id)[0].state == ChangeState.DONE


def test_an_unclear_answer_replaces_no_clear_one(store: Store, pair_id: int, run_id: str) -> None:
    """Somebody else found out what became of a write before its sender gave up waiting."""
    link, change_id = leased(store, pair_id, run_id)
    found = replace(link, testably_id="ms_1", state=LinkState.LINKED)
    assert store.conclude(pair_id, found, ChangeState.DONE, NOW)
    assert store.settle(pair_id, link, change_id, ChangeState.AMBIGUOUS, NOW) is None
    assert store.changes(pair_id)[0].state == ChangeState.DONE


def test_a_conclusion_that_comes_too_late_is_not_recorded(
    store: Store, pair_id: int, run_id: str
) -> None:
    """Of two that look for one create, the later one says nothing of it."""
    link, _ = leased(store, pair_id, run_id)
    found = replace(link, testably_id="ms_1", state=LinkState.LINKED)
    kept = store.conclude(pair_id, found, ChangeState.DONE, NOW)
    assert kept
    assert store.conclude(pair_id, link.not_created(), ChangeState.NOT_DONE, NOW) is None
    assert store.links(pair_id) == {1: replace(kept, look_again=True, version=kept.version + 1)}
    [told] = store.changes(pair_id)
    assert (told.state, told.testably_id) == (ChangeState.DONE, "ms_1")


def test_a_target_that_is_linked_already_cannot_be_settled(
    store: Store, pair_id: int, run_id: str
) -> None:
    """A second milestone for the same target keeps its link as it was, to be looked at again."""
    store.save(pair_id, Link(2, "ms_1"), NOW)
    link, change_id = leased(store, pair_id, run_id)
    doubled = replace(link, testably_id="ms_1")
    assert store.settle(pair_id, doubled, change_id, ChangeState.DONE, NOW) is None
    assert store.links(pair_id)[1] == replace(link, look_again=True)


def test_a_link_without_a_change_can_be_settled(store: Store, pair_id: int, run_id: str) -> None:
    """Where nothing was journaled only the claim is let go."""
    link, _ = leased(store, pair_id, run_id)
    saved = store.settle(pair_id, link, None, ChangeState.NOT_DONE, NOW)
    assert saved
    assert saved.lease_until is None
    assert store.changes(pair_id)[0].state == ChangeState.INTENDED


# --- the journal


def test_a_change_comes_back_as_it_was_recorded(store: Store, pair_id: int, run_id: str) -> None:
    """Every field of a change survives the database."""
    full = Change(
        run_id,
        1,
        "ms_1",
        "undo",
        {"name": None},
        {"description": "a\r\nb"},
        NOW,
        state=ChangeState.DONE,
        echo={},
        note="taken back",
        undoes=7,
        settled_at=NOW + SECOND,
    )
    won = store.lease(pair_id, Link(1), full, None)
    assert won
    assert store.changes(pair_id) == [replace(full, id=won[1], pair_id=pair_id)]


def test_the_journal_can_be_narrowed(store: Store, run_log: RunLog, pair_id: int) -> None:
    """By milestone, by target and by run, oldest first, and only the pair's own."""
    other = store.pair(identity(2)).id
    runs = [run_log.begin(pair, "manual", "ann", NOW).id for pair in (pair_id, pair_id, other)]
    wanted = [
        (pair_id, change(runs[0], 1, "ms_1")),
        (pair_id, change(runs[0], 2, "ms_2")),
        (pair_id, change(runs[1], 1, "ms_3")),
        (other, change(runs[2], 1, "ms_1")),
    ]
    for pair, each in wanted:
        link = store.links(pair).get(each.testrail_id, Link(each.testrail_id))
        assert store.lease(pair, link, each, None)

    def told(**chosen: object) -> list[str | None]:
        return [each.testably_id for each in store.changes(pair_id, **chosen)]  # type: ignore[arg-type]

    assert told() == ["ms_1", "ms_2", "ms_3"]
    assert told(testrail_id=1) == ["ms_1", "ms_3"]
    assert told(testably_id="ms_2") == ["ms_2"]
    assert told(run_id=runs[1]) == ["ms_3"]
    assert told(run_id=runs[0], testrail_id=1) == ["ms_1"]
    assert told(testrail_id=99) == []


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
    same = SourceMilestone(1, "R", project_id=9, url="https://moved.example", raw={"x": 1})
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
