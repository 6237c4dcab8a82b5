"""Seed data for the demo and the tests: milestones as a company would have them.

The same seed gives the same milestones, relative to the model's clock.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Final

from worker.sandbox.rules import Record
from worker.sandbox.testrail_model import TestRailModel

_DAY: Final = int(timedelta(days=1).total_seconds())
_PRODUCTS: Final = (
    "Webshop", "Checkout", "iOS-App", "Android-App", "Rechnungsprüfung", "Größentabelle",
    "検索サービス", "決済ゲートウェイ", "Łódź Warehouse", "Search 🔍", "Data Platform",
)  # fmt: skip
_PHASES: Final = (
    "Alpha", "Beta", "Release Candidate", "Smoke", "Regression", "UAT", "Abnahme für Köln",
    "リリース判定", "Hotfix 🚑", "Performance", "Security review", "Go-live 🚀",
)  # fmt: skip
_TEXTS: Final = (
    None,
    None,
    "",
    "Scope: everything on the board.",
    "Ziele:\n\n- alle Prüfungen grün\n- keine offenen Fehler über „mittel“\n",
    "決済フローの全面的な見直し。\n担当: 田中",
    "See the release checklist:\n  1. freeze\n  2. test\n  3. ship 🚢",
    "A quoted footer\n\n---\nTestRail: not ours\n\nand text after it.",
)
_STATES: Final = ("completed", "completed", "completed", "started", "upcoming", "past_due")


def seed(model: TestRailModel, project_id: int, count: int = 300, seed: int = 1) -> list[int]:
    """Add ``count`` milestones to a project, about a third of them below others; their ids.

    They are in every state, with and without dates, references and descriptions.
    """
    dice = random.Random(seed)
    roots: list[int] = []
    ids: list[int] = []
    for number in range(count):
        parent = dice.choice(roots[-8:]) if number > 2 and dice.random() < 1 / 3 else None
        new_id = _add(model, project_id, dice, number, parent)
        ids.append(new_id)
        if parent is None:
            roots.append(new_id)
    return ids


def edit_some(model: TestRailModel, project_id: int, count: int = 10, seed: int = 1) -> list[int]:
    """Do what people do in a day: rename, complete, postpone, reopen and add; the ids touched."""
    dice = random.Random(seed)
    there = [row for row in model.everything(project_id) if isinstance(row.get("id"), int)]
    chosen = dice.sample(there, min(count, len(there)))
    return [_edit(model, project_id, dice, step, row) for step, row in enumerate(chosen)]


def _add(
    model: TestRailModel, project_id: int, dice: random.Random, number: int, parent: int | None
) -> int:
    state = dice.choice(_STATES)
    start, due = _dates(model, dice, state)
    body: Record = {
        "name": _name(dice, number, parent),
        "description": dice.choice(_TEXTS),
        "refs": dice.choice((None, None, f"RF-{number}", f"RF-{number}, JIRA-{number * 7}")),
        "start_on": start,
        "due_on": due,
        "parent_id": parent,
    }
    new_id = _id(model.add(project_id, body))
    marks = {"completed": {"is_completed": True}, "started": {"is_started": True}}.get(state)
    if marks or (state == "past_due" and dice.random() < 0.5):
        model.update(new_id, marks or {"is_started": True})
    return new_id


def _dates(model: TestRailModel, dice: random.Random, state: str) -> tuple[int | None, int | None]:
    """Start and due date, both midnight in UTC, as the calendar gives them; either may be empty."""
    today = model.today()
    first, last = {
        "completed": (-400, -30),
        "started": (-20, 60),
        "upcoming": (10, 200),
        "past_due": (-90, -2),
    }[state]
    begin = dice.randint(first, last - 1)
    end = dice.randint(begin + 1, last)
    without_start = state != "upcoming" and dice.random() < 0.2
    without_due = state != "past_due" and dice.random() < 0.2
    return (
        None if without_start else today + begin * _DAY,
        None if without_due else today + end * _DAY,
    )


def _name(dice: random.Random, number: int, parent: int | None) -> str:
    if parent is not None:
        return f"{dice.choice(_PHASES)} {number % 9 + 1}"
    release = f"Release {24 + number // 120}.{number // 10 % 12 + 1}"
    return f"{dice.choice(_PRODUCTS)} " + (f"Sprint {number}" if dice.random() < 0.4 else release)


def _edit(
    model: TestRailModel, project_id: int, dice: random.Random, step: int, row: Record
) -> int:
    milestone_id = _id(row)
    later = model.today() + dice.randint(5, 90) * _DAY
    changes: tuple[Record, ...] = (
        {"name": f"{row['name']} (revised)"},
        {"is_completed": not row["is_completed"]},
        {"due_on": later},
        {
            "description": f"{row['description'] or ''}\n\nPostponed: 遅延 ⏳".strip(),
            "due_on": later,
        },
    )
    if step % 5 == 4:
        return _add(model, project_id, dice, 1000 + step, None)
    return _id(model.update(milestone_id, changes[step % 5]))


def _id(row: Record) -> int:
    value = row["id"]
    if not isinstance(value, int):
        raise TypeError("a seeded milestone has a number as its id")
    return value
