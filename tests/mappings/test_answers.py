"""What is kept of a reading that goes on: which question it answers, for whom, and for how long."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from mappings.answers import KEPT_FOR, AnswerStore, Kept, Progress
from mappings.run_record import RunRecord
from mappings.runs import RunLog
from tests.support.clock import NOW

PAGE = Kept("Testably page=1", 1, 1, 200, b"first")


@pytest.fixture
def kept(engine: Engine) -> AnswerStore:
    return AnswerStore(engine)


@pytest.fixture
def run(run_log: RunLog, pair_id: int) -> RunRecord:
    return run_log.begin(pair_id, "schedule", "a worker", NOW)


def test_an_answer_is_found_by_its_question_and_number(kept: AnswerStore, run: RunRecord) -> None:
    again = PAGE._replace(number=2, part=2, body=b"second")
    kept.keep(run, "reading", [PAGE])
    kept.keep(run, "reading", [again])
    assert kept.find(run.id, "reading", PAGE.name, 1) == PAGE
    assert kept.find(run.id, "reading", PAGE.name, 2) == again
    assert kept.find(run.id, "reading", PAGE.name, 3) is None
    assert kept.find(run.id, "proving", PAGE.name, 1) is None
    assert kept.progress(run.id, "reading") == Progress(2, len(b"firstsecond"))


def test_a_later_answer_takes_the_place_of_an_earlier_one(
    kept: AnswerStore, run: RunRecord
) -> None:
    kept.keep(run, "reading", [PAGE, PAGE._replace(name="other")])
    kept.keep(run, "reading", [PAGE._replace(part=2)])
    assert kept.find(run.id, "reading", PAGE.name, 1) == PAGE._replace(part=2)
    assert kept.find(run.id, "reading", "other", 1) is not None


def test_nothing_is_kept_for_a_run_that_is_anothers(
    kept: AnswerStore, run: RunRecord, engine: Engine
) -> None:
    """It was taken over meanwhile: its new holder reads on its own."""
    RunLog(engine).change(run.id, holder="another worker")
    kept.keep(run, "reading", [PAGE])
    assert kept.progress(run.id, "reading") == Progress(0, 0)


def test_what_is_forgotten_is_of_one_phase(kept: AnswerStore, run: RunRecord) -> None:
    for phase in ("reading", "proving"):
        kept.keep(run, phase, [PAGE])
    kept.forget(run.id, "reading")
    assert kept.find(run.id, "reading", PAGE.name, 1) is None
    assert kept.find(run.id, "proving", PAGE.name, 1) == PAGE


@pytest.mark.parametrize(
    ("state", "is_kept"),
    [("running", True), ("unfinished", True), ("succeeded", False), ("aborted", False)],
)
def test_what_a_run_that_has_ended_leaves_is_purged(
    kept: AnswerStore, run: RunRecord, engine: Engine, state: str, is_kept: bool
) -> None:
    kept.keep(run, "reading", [PAGE])
    RunLog(engine).change(run.id, state=state)
    kept.purge()
    assert (kept.progress(run.id, "reading").parts > 0) is is_kept


def test_what_is_too_old_is_not_gone_on_with(
    kept: AnswerStore, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a day ago: a reading is begun anew, and the sweep clears up."""
    kept.keep(run, "reading", [PAGE])
    kept.keep(run, "proving", [PAGE])
    monkeypatch.setattr("mappings.answers.KEPT_FOR", -KEPT_FOR)
    assert kept.progress(run.id, "reading") == Progress(0, 0)
    kept.purge()
    monkeypatch.undo()
    assert kept.find(run.id, "proving", PAGE.name, 1) is None
