"""The journal on both databases: leases, what became of writes, and many writers at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.rows import Change, ChangeState, PairIdentity, adoption
from mappings.runs import RunLog
from mappings.store import Store
from tests.support.clock import NOW
from tests.support.rows import MINUTE, SECOND, at_once, change, identity

# --- leases


def test_a_claim_journals_the_link_and_the_change(store: Store, pair_id: int, run_id: str) -> None:
    """Before a write is sent both its link and its change are in the database."""
    read = store.save(pair_id, Link(1, "ms_1"), NOW)
    assert read
    in_flight = replace(read, in_flight={"name": "new"})
    won = store.journal.lease(pair_id, in_flight, change(run_id, 1, "ms_1"), NOW + MINUTE)
    assert won
    link, change_id = won
    assert link == replace(in_flight, version=2, change_id=change_id, lease_until=NOW + MINUTE)
    assert store.links(pair_id) == {1: link}
    recorded = replace(change(run_id, 1, "ms_1"), id=change_id, pair_id=pair_id)
    assert store.journal.changes(pair_id) == [recorded]


def test_a_new_link_can_be_claimed(store: Store, pair_id: int, run_id: str) -> None:
    """The first write of a milestone records its link and claims it in one."""
    won = store.journal.lease(pair_id, Link(1), change(run_id), NOW + MINUTE)
    assert won
    assert store.links(pair_id) == {1: won[0]}


def test_a_lost_claim_leaves_no_change(store: Store, pair_id: int, run_id: str) -> None:
    """Whoever loses the link journals nothing: neither for an old link nor for a second new one."""
    read = store.save(pair_id, Link(1), NOW)
    assert read
    newest = store.save(pair_id, replace(read, name="newer"), NOW)
    assert store.journal.lease(pair_id, read, change(run_id), NOW + MINUTE) is None
    assert store.journal.lease(pair_id, Link(1), change(run_id), NOW + MINUTE) is None
    assert store.journal.changes(pair_id) == []
    assert store.links(pair_id) == {1: newest}


def test_a_change_that_cannot_be_journaled_claims_nothing(store: Store, pair_id: int) -> None:
    """Without its change in the journal a link is not claimed, so nothing may be sent."""
    read = store.save(pair_id, Link(1), NOW)
    assert read
    assert store.journal.lease(pair_id, read, change("no such run"), NOW + MINUTE) is None
    assert store.links(pair_id) == {1: read}


def test_a_live_claim_keeps_others_out(store: Store, pair_id: int, run_id: str) -> None:
    """While a claim lasts nobody else saves or claims the link, though they read its version."""
    won = store.journal.lease(pair_id, Link(1), change(run_id), NOW + MINUTE)
    assert won
    read = store.links(pair_id)[1]
    assert store.save(pair_id, read, NOW + MINUTE - SECOND) is None
    assert store.save_many(pair_id, [read], NOW + MINUTE - SECOND) == []
    assert store.journal.lease(pair_id, read, change(run_id), NOW + MINUTE) is None
    assert len(store.journal.changes(pair_id)) == 1


def test_a_change_has_a_name_that_none_has_in_a_copy_that_went_its_own_way(
    store: Store, pair_id: int, run_id: str
) -> None:
    """Though it has the same number there, and is of the same run and the same milestone."""
    journal = store.journal
    assert journal.holds(journal.newest())
    assert journal.lease(pair_id, Link(1), change(run_id), NOW + MINUTE)
    newest = journal.newest()
    assert (newest.run_id, journal.count(run_id), journal.holds(newest)) == (run_id, 1, True)
    assert journal.lease(pair_id, Link(2), change(run_id, 2), NOW + MINUTE)
    assert (journal.newest() != newest, journal.holds(newest)) == (True, True)
    elsewhere = (NOW + SECOND).isoformat()
    assert not journal.holds(newest._replace(at=elsewhere))
    assert not journal.holds(newest._replace(id=newest.id + 2))


def test_an_expired_claim_keeps_nobody_out(store: Store, pair_id: int, run_id: str) -> None:
    """What a dead process claimed can be claimed again once the claim has run out."""
    won = store.journal.lease(pair_id, Link(1), change(run_id), NOW + MINUTE)
    assert won
    late = replace(change(run_id), at=NOW + MINUTE + SECOND)
    taken = store.journal.lease(pair_id, store.links(pair_id)[1], late, NOW + 2 * MINUTE)
    assert taken
    assert taken[0].lease_until == NOW + 2 * MINUTE


def test_an_adoption_holds_nothing(store: Store, pair_id: int, run_id: str) -> None:
    """It sends nothing, and the next writer need not wait."""
    adopted = store.journal.adopt(pair_id, Link(1, "ms_1"), adopts(run_id))
    assert adopted
    [told] = store.journal.changes(pair_id)
    assert adopted == replace(Link(1, "ms_1"), version=1, change_id=told.id)
    assert store.journal.lease(pair_id, adopted, change(run_id), NOW + MINUTE)


def adopts(run_id: str) -> Change:
    return adoption(run_id, 1, "ms_1", "A person left it.", NOW)


@pytest.mark.parametrize("kind", ["create", "update"])
@pytest.mark.parametrize("state", [ChangeState.INTENDED, ChangeState.AMBIGUOUS, ChangeState.DONE])
def test_an_adoption_ends_a_create_in_doubt_and_no_other_write(
    store: Store, pair_id: int, run_id: str, kind: str, state: ChangeState
) -> None:
    """Whoever is linked in its place was there already: it left nothing that is known of."""
    won = store.journal.lease(pair_id, Link(1), replace(change(run_id), kind=kind), NOW - SECOND)
    assert won
    link = won[0]
    if state is not ChangeState.INTENDED:
        link = store.journal.settle(pair_id, *won, state, NOW) or link
    assert store.journal.adopt(pair_id, replace(link, testably_id="ms_1"), adopts(run_id))
    [before, after] = store.journal.changes(pair_id)
    ended = kind == "create" and state is not ChangeState.DONE
    assert before.state is (ChangeState.NOT_DONE if ended else state)
    assert (before.testably_id, after.kind, after.testably_id) == (None, "adopt", "ms_1")


def test_an_adoption_that_loses_records_nothing(store: Store, pair_id: int, run_id: str) -> None:
    """Somebody has changed the link, or another link has the target: the create stays in doubt."""
    creates = replace(change(run_id), kind="create")
    won = store.journal.lease(pair_id, Link(1), creates, NOW - SECOND)
    assert won
    assert store.save(pair_id, Link(2, "ms_1"), NOW)
    for link in (replace(won[0], version=9), replace(won[0], testably_id="ms_1")):
        assert store.journal.adopt(pair_id, link, adopts(run_id)) is None
    [before] = store.journal.changes(pair_id)
    assert before.state is ChangeState.INTENDED


@pytest.mark.parametrize("is_new", [True, False])
def test_one_of_many_claims_a_link(store: Store, pair_id: int, run_id: str, is_new: bool) -> None:
    """However many threads claim the same link at once, one wins, and one change is journaled."""
    read = Link(1) if is_new else store.save(pair_id, Link(1), NOW)
    assert read
    won = at_once(lambda _: store.journal.lease(pair_id, read, change(run_id), NOW + MINUTE))
    assert sum(result is not None for result in won) == 1
    assert len(store.journal.changes(pair_id)) == 1


def test_many_write_different_links_at_once(store: Store, pair_id: int, run_id: str) -> None:
    """Threads on different links do not disturb each other: every write is kept."""

    def write(testrail_id: int) -> None:
        for step in range(5):
            link = store.links(pair_id, [testrail_id]).get(testrail_id, Link(testrail_id))
            won = store.journal.lease(pair_id, link, change(run_id, testrail_id), NOW + MINUTE)
            assert won
            linked = replace(won[0], testably_id=f"ms_{testrail_id}", attempts=step)
            assert store.journal.settle(pair_id, linked, won[1], ChangeState.DONE, NOW)

    at_once(write)
    kept = store.links(pair_id).values()
    assert [(link.version, link.attempts) for link in kept] == [(10, 4)] * 8
    assert len(store.journal.changes(pair_id)) == 40


# --- settling


def leased(store: Store, pair_id: int, run_id: str) -> tuple[Link, int]:
    """A link that is claimed for a minute."""
    won = store.journal.lease(pair_id, Link(1), change(run_id), NOW + MINUTE)
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
    saved = store.journal.settle(
        pair_id, linked, change_id, done, at, echo={"name": "New"}, note="well"
    )
    assert saved == replace(linked, lease_until=None, version=2)
    assert store.links(pair_id) == {1: saved}
    [told] = store.journal.changes(pair_id)
    assert (told.state, told.testably_id, told.echo) == (done, "ms_1", {"name": "New"})
    assert (told.note, told.settled_at) == ("well", at)


def test_a_refusal_keeps_what_the_journal_knew(store: Store, pair_id: int, run_id: str) -> None:
    """Without an answer the change keeps its own target id, and echoes nothing."""
    won = store.journal.lease(pair_id, Link(1), change(run_id, 1, "ms_1"), NOW + MINUTE)
    assert won
    store.journal.settle(pair_id, won[0], won[1], ChangeState.REFUSED, NOW, note="too long")
    [told] = store.journal.changes(pair_id)
    assert (told.state, told.testably_id, told.echo) == (ChangeState.REFUSED, "ms_1", None)


def test_who_holds_the_claim_settles_even_late(store: Store, pair_id: int, run_id: str) -> None:
    """A claim that has run out is still the holder's, as long as nobody took the link."""
    link, change_id = leased(store, pair_id, run_id)
    assert store.journal.settle(pair_id, link, change_id, ChangeState.DONE, NOW + 2 * MINUTE)


def test_who_lost_the_claim_cannot_settle(store: Store, pair_id: int, run_id: str) -> None:
    """An answer that comes after somebody else took the link: told, and looked at again."""
    link, change_id = leased(store, pair_id, run_id)
    late = NOW + 2 * MINUTE
    taken = store.save(pair_id, replace(store.links(pair_id)[1], name="taken"), late)
    assert taken
    lost = replace(link, testably_id="ms_1")
    assert store.journal.settle(pair_id, lost, change_id, ChangeState.DONE, late) is None
    assert store.links(pair_id) == {1: replace(taken, look_again=True)}
    assert store.journal.changes(pair_id)[0].state == ChangeState.DONE


def test_an_unclear_answer_replaces_no_clear_one(store: Store, pair_id: int, run_id: str) -> None:
    """Somebody else found out what became of a write before its sender gave up waiting."""
    link, change_id = leased(store, pair_id, run_id)
    found = replace(link, testably_id="ms_1", state=LinkState.LINKED)
    assert store.journal.conclude(pair_id, found, ChangeState.DONE, NOW)
    assert store.journal.settle(pair_id, link, change_id, ChangeState.AMBIGUOUS, NOW) is None
    assert store.journal.changes(pair_id)[0].state == ChangeState.DONE


def test_a_conclusion_that_comes_too_late_is_not_recorded(
    store: Store, pair_id: int, run_id: str
) -> None:
    """Of two that look for one create, the later one says nothing of it."""
    link, _ = leased(store, pair_id, run_id)
    found = replace(link, testably_id="ms_1", state=LinkState.LINKED)
    kept = store.journal.conclude(pair_id, found, ChangeState.DONE, NOW)
    assert kept
    assert store.journal.conclude(pair_id, link.not_created(), ChangeState.NOT_DONE, NOW) is None
    assert store.links(pair_id) == {1: replace(kept, look_again=True, version=kept.version + 1)}
    [told] = store.journal.changes(pair_id)
    assert (told.state, told.testably_id) == (ChangeState.DONE, "ms_1")


def test_a_target_that_is_linked_already_cannot_be_settled(
    store: Store, pair_id: int, run_id: str
) -> None:
    """A second milestone for the same target keeps its link as it was, to be looked at again."""
    store.save(pair_id, Link(2, "ms_1"), NOW)
    link, change_id = leased(store, pair_id, run_id)
    doubled = replace(link, testably_id="ms_1")
    assert store.journal.settle(pair_id, doubled, change_id, ChangeState.DONE, NOW) is None
    assert store.links(pair_id)[1] == replace(link, look_again=True)


def test_a_link_without_a_change_can_be_settled(store: Store, pair_id: int, run_id: str) -> None:
    """Where nothing was journaled only the claim is let go."""
    link, _ = leased(store, pair_id, run_id)
    saved = store.journal.settle(pair_id, link, None, ChangeState.NOT_DONE, NOW)
    assert saved
    assert saved.lease_until is None
    assert store.journal.changes(pair_id)[0].state == ChangeState.INTENDED


# --- targets of other pairs


def beside(number: int, project: str = "proj_1") -> PairIdentity:
    """Another TestRail project that goes into this Testably project."""
    return replace(identity(number), testably_project=project)


def test_a_target_of_another_pair_cannot_be_adopted(
    store: Store, pair_id: int, run_id: str
) -> None:
    """In the same Testably project; elsewhere the same id is another milestone's."""
    elsewhere = store.pair(beside(2, "proj_2")).id
    assert store.save(elsewhere, Link(7, "ms_1"), NOW)
    adopted = store.journal.adopt(pair_id, Link(1, "ms_1"), adopts(run_id))
    assert adopted
    other = store.pair(beside(3)).id
    assert store.journal.adopt(other, Link(9, "ms_1"), adopts(run_id)) is None
    assert (store.links(other), store.journal.changes(other)) == ({}, [])
    assert store.links(pair_id) == {1: adopted}


def test_a_create_in_doubt_is_not_found_in_a_target_of_another_pair(
    store: Store, pair_id: int, run_id: str
) -> None:
    """It was linked there since the looks: nothing is recorded, and it is looked for again."""
    link, _ = leased(store, pair_id, run_id)
    assert store.save(store.pair(beside(2)).id, Link(7, "ms_1"), NOW)
    found = replace(link, testably_id="ms_1", state=LinkState.LINKED)
    assert store.journal.conclude(pair_id, found, ChangeState.DONE, NOW) is None
    assert store.links(pair_id) == {1: replace(link, look_again=True)}
    assert store.journal.changes(pair_id)[0].state is ChangeState.INTENDED


def test_an_answered_create_whose_target_another_pair_has_is_in_doubt(
    store: Store, pair_id: int, run_id: str
) -> None:
    """What the answer says of the write stays true."""
    link, change_id = leased(store, pair_id, run_id)
    assert store.save(store.pair(beside(2)).id, Link(7, "ms_1"), NOW)
    made, done = replace(link, testably_id="ms_1"), ChangeState.DONE
    assert store.journal.settle(pair_id, made, change_id, done, NOW, is_new=True) is None
    assert store.links(pair_id) == {1: replace(link, look_again=True)}
    assert store.journal.changes(pair_id)[0].state is done


def test_one_of_many_pairs_adopts_a_target(store: Store, run_log: RunLog) -> None:
    """However many do so at once."""
    every = [store.pair(beside(number)).id for number in range(1, 9)]
    runs = [run_log.begin(pair, "manual", "ann", NOW).id for pair in every]
    for target in ("ms_1", "ms_2", "ms_3"):

        def adopt(number: int, target: str = target) -> object:
            link = Link(int(target[-1]), target)
            change = adoption(runs[number], link.testrail_id, target, "By its name.", NOW)
            return store.journal.adopt(every[number], link, change)

        assert sum(link is not None for link in at_once(adopt)) == 1
    held = [link.testably_id for pair in every for link in store.links(pair).values()]
    assert sorted(map(str, held)) == ["ms_1", "ms_2", "ms_3"]


# --- what is recorded


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
    won = store.journal.lease(pair_id, Link(1), full, None)
    assert won
    assert store.journal.changes(pair_id) == [replace(full, id=won[1], pair_id=pair_id)]


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
        assert store.journal.lease(pair, link, each, None)

    def told(**chosen: object) -> list[str | None]:
        return [each.testably_id for each in store.journal.changes(pair_id, **chosen)]  # type: ignore[arg-type]

    assert told() == ["ms_1", "ms_2", "ms_3"]
    assert told(testrail_id=1) == ["ms_1", "ms_3"]
    assert told(testably_id="ms_2") == ["ms_2"]
    assert told(run_id=runs[1]) == ["ms_3"]
    assert told(run_id=runs[0], testrail_id=1) == ["ms_1"]
    assert told(testrail_id=99) == []


def test_a_reading_tells_of_writes_without_an_answer_alone(
    store: Store, pair_id: int, run_id: str
) -> None:
    """Of creates the looks tell (R2), and what was refused stays refused."""
    journal = store.journal
    states = [ChangeState.INTENDED, ChangeState.AMBIGUOUS, ChangeState.REFUSED]
    ids = {}
    for number, (kind, state) in enumerate(
        [*(("update", state) for state in states), ("create", ChangeState.AMBIGUOUS)], 1
    ):
        written = replace(change(run_id, number, f"ms_{number}"), kind=kind)
        won = journal.lease(pair_id, Link(number, f"ms_{number}"), written, NOW + MINUTE)
        assert won
        link, ids[number] = won
        if state is not ChangeState.INTENDED:
            journal.settle(pair_id, link, ids[number], state, NOW)
    journal.carried_out([], NOW)
    journal.carried_out(list(ids.values()), NOW + SECOND)
    told = {one.testrail_id: one.state for one in journal.changes(pair_id)}
    done = ChangeState.DONE
    assert told == {1: done, 2: done, 3: ChangeState.REFUSED, 4: ChangeState.AMBIGUOUS}
