"""A reading that goes on: what of it is kept, in memory and in the database, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy import Engine

from mappings.answers import AnswerStore
from mappings.errors import LostLock
from mappings.run_record import RunRecord
from mappings.runs import RunLog
from mappings.store import Store
from tests.support.clock import NOW
from tests.support.world import IDENTITY
from worker.errors import BudgetExhausted, GuardTripped, NotFound
from worker.sync.options import LOOKS, Phase
from worker.sync.read import reading
from worker.sync.read.answers import Answers, InVainError
from worker.sync.read.reading import CachedAnswer

OVER = BudgetExhausted("The slice is over.", 0.0)


@pytest.fixture
def run(engine: Engine) -> RunRecord:
    pair = Store(engine).pair(IDENTITY)
    return RunLog(engine).begin(pair.id, "schedule", "a worker", NOW)


def read(
    engine: Engine,
    run: RunRecord,
    work: Callable[[Answers], None],
    require_project: Callable[[], object] = lambda: None,
) -> Answers:
    """One slice of a reading in a process of its own."""
    process = Answers(AnswerStore(engine))
    with process.reading(run, Phase.READING, NOW, require_project=require_project):
        work(process)
    return process


def ask(name: str, status: int = 200) -> Callable[[Answers], None]:
    """A question that is answered with its own name; then the slice is over."""

    def work(process: Answers) -> None:
        assert process.recall(name) is None
        process.keep(name, name.encode(), status)
        raise OVER

    return work


def recalled(engine: Engine, run: RunRecord, name: str) -> CachedAnswer | None:
    found: list[CachedAnswer | None] = []

    def work(process: Answers) -> None:
        found.append(process.recall(name))
        raise OVER

    with pytest.raises(BudgetExhausted):
        read(engine, run, work)
    return found[0]


def test_an_answer_is_recalled_in_the_next_slice(engine: Engine, run: RunRecord) -> None:
    with pytest.raises(BudgetExhausted):
        read(engine, run, ask("page 1"))
    assert recalled(engine, run, "page 1") == CachedAnswer(200, b"page 1", 1)
    assert recalled(engine, run, "page 2") is None


def test_nothing_is_kept_of_a_short_reading_that_came_to_its_end(
    engine: Engine, run: RunRecord
) -> None:
    def work(process: Answers) -> None:
        process.recall("a")
        process.keep("a", b"a")

    read(engine, run, work).keep_for_next_slice()
    assert recalled(engine, run, "a") is None


def test_what_takes_too_much_memory_is_written_at_once(
    engine: Engine, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is there although the process dies."""
    monkeypatch.setattr(reading, "_MOST_IN_MEMORY", 1)

    def die(process: Answers) -> None:
        process.recall("page 1")
        process.keep("page 1", b"page 1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(engine, run, die)
    assert recalled(engine, run, "page 1") == CachedAnswer(200, b"page 1", 1)


def test_more_than_may_be_kept_ends_the_run(
    engine: Engine, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its slices would begin at the same page for ever."""
    monkeypatch.setattr(reading, "_MOST_BYTES", 1)
    with pytest.raises(GuardTripped, match="too much to be kept"):
        read(engine, run, ask("page 1"))


def test_who_lost_the_run_keeps_nothing(engine: Engine, run: RunRecord) -> None:
    def lose(process: Answers) -> None:
        process.recall("page 1")
        process.keep("page 1", b"page 1")
        raise LostLock("It was taken over.")

    with pytest.raises(LostLock):
        read(engine, run, lose)
    assert recalled(engine, run, "page 1") is None


def away() -> None:
    raise NotFound("Testably", "no such project", status=404)


@pytest.mark.parametrize(
    ("status", "require_project", "is_kept"),
    [(404, lambda: None, True), (404, away, False), (400, away, True)],
)
def test_a_404_is_kept_while_the_project_answers(
    engine: Engine,
    run: RunRecord,
    status: int,
    require_project: Callable[[], None],
    is_kept: bool,
) -> None:
    """R4. TestRail's 400 for an id does not depend on Testably."""
    with pytest.raises(BudgetExhausted):
        read(engine, run, ask("milestone", status), require_project)
    assert (recalled(engine, run, "milestone") is not None) is is_kept


def test_outside_of_a_reading_nothing_is_kept_or_recalled(engine: Engine, run: RunRecord) -> None:
    process = Answers(AnswerStore(engine))
    assert process.recall("page 1") is None
    process.keep("page 1", b"page 1")
    process.before_request()
    assert process.begun is None
    assert not process.is_begun(run, Phase.READING)


# --- what an earlier reading asked


def repeated(process: Answers, body: bytes, digest: str | None = None) -> bool:
    told = reading.digest_of(body) if digest is None else digest
    return process.repeat("page 1", told, lambda: body)


def test_what_is_asked_again_is_told_once(engine: Engine, run: RunRecord) -> None:
    def work(process: Answers) -> None:
        assert repeated(process, b"one")
        assert process.answered is None  # the reading has not come to it
        assert process.recall("page 1", anew=True) == CachedAnswer(200, b"one", 1)
        assert process.answered == {"page 1": reading.digest_of(b"one")}
        assert process.recall("page 1") is None

    read(engine, run, work)


def test_an_error_in_place_of_an_answer_is_told_as_well(engine: Engine, run: RunRecord) -> None:
    def fail() -> bytes:
        raise NotFound("Testably", "no such page", status=404)

    def work(process: Answers) -> None:
        assert not process.repeat("page 1", "", fail)
        with pytest.raises(NotFound, match="no such page"):
            process.recall("page 1")
        assert process.recall("page 1") is None

    read(engine, run, work)


def test_what_was_asked_again_is_there_in_the_next_slice(engine: Engine, run: RunRecord) -> None:
    def work(process: Answers) -> None:
        assert not repeated(process, b"another", "of one")
        raise OVER

    with pytest.raises(BudgetExhausted):
        read(engine, run, work)
    assert recalled(engine, run, "page 1") == CachedAnswer(200, b"another", 1)


def test_more_than_is_held_in_memory_is_not_asked_again(
    engine: Engine, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_MOST_REPEATED", 1)
    read(engine, run, lambda process: _not(repeated(process, b"one")))


def _not(held: bool) -> None:
    assert not held


@pytest.mark.parametrize("why", ["denied", "asked twice", "by its id"])
def test_what_cannot_be_asked_again_is_not_told(engine: Engine, run: RunRecord, why: str) -> None:
    def work(process: Answers) -> None:
        process.recall("a")
        process.keep("a", b"a", 404 if why == "denied" else 200, repeatable=why != "by its id")
        if why == "asked twice":
            process.recall("a")
            process.keep("a", b"b")
        assert process.answered is None

    read(engine, run, work)


def test_outside_of_a_reading_nothing_is_asked_again(engine: Engine) -> None:
    process = Answers(AnswerStore(engine))
    assert not repeated(process, b"one")
    assert process.answered is None


def test_what_was_read_before_a_change_was_waited_for_does_not_count(
    engine: Engine, run: RunRecord
) -> None:
    """A reading goes on for what it was begun about, and for less; for more it begins anew."""

    def slice_about(about: set[int], name: str) -> CachedAnswer | None:
        process = Answers(AnswerStore(engine))
        with suppress(BudgetExhausted), process.reading(run, LOOKS, NOW, about=about):
            known = process.recall(name)
            if known is None:
                process.keep(name, name.encode())
            raise OVER
        return known

    assert slice_about({3, 5}, "a") is None
    assert slice_about({3, 5}, "a") is not None
    assert slice_about({5}, "a") is not None
    assert slice_about({5, 4}, "a") is None
    assert slice_about({3}, "a") is None
    assert slice_about({3}, "a") is not None


@pytest.mark.parametrize("slices", [1, 2])
def test_what_was_read_in_vain_is_kept_only_if_it_took_several_slices(
    engine: Engine, run: RunRecord, slices: int
) -> None:
    process = Answers(AnswerStore(engine))
    for number in range(slices):
        error = InVainError() if number == slices - 1 else OVER
        with suppress(type(error)), process.reading(run, LOOKS, NOW):
            process.recall(f"page {number}")
            process.keep(f"page {number}", b"page")
            raise error
    assert process.is_begun(run, LOOKS) is (slices == 2)


def test_the_looks_do_not_replace_the_reading_that_was_long(
    engine: Engine, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_LONG", 1)

    def work(process: Answers) -> None:
        process.recall("a")
        process.keep("a", b"a")

    process = read(engine, run, work)
    with process.reading(run, LOOKS, NOW):
        pass
    process.keep_for_next_slice()
    assert recalled(engine, run, "a") is not None
