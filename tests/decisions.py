"""The tables of docs/decisions.md, from the code; ``python -m tests.decisions`` writes them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from mappings.milestone import LOSS_LEDGER
from mappings.problem import Effect, ProblemKind
from worker.sync.decide import verdict
from worker.sync.decide.rules import RULES
from worker.sync.decide.verdict import Verdict

PAGE = Path(__file__).parents[1] / "docs" / "decisions.md"
EFFECTS = {
    Effect.BLOCKS: "tried again when the TestRail record changes, or after `retry`",
    Effect.RESTS: "tried again after an hour, then once a day; or when the record changes",
    Effect.PASSES: "goes by itself; the next run tries it again",
    Effect.DECIDE: "a person decides; every run looks at it anew",
    Effect.INFORMS: "nothing to do",
}


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rules() -> str:
    """The decision table, in its order, each rule with its docstring."""
    rows = [
        (str(number), f"*{rule.__name__}*", inspect.getdoc(rule) or "")
        for number, rule in enumerate(RULES, 1)
    ]
    return _table(("", "rule", "answers where"), rows)


def meanings() -> dict[str, str]:
    """The docstring below each member of `Verdict`, by its name."""
    [body] = [
        node.body
        for node in ast.parse(inspect.getsource(verdict)).body
        if isinstance(node, ast.ClassDef) and node.name == Verdict.__name__
    ]
    found = {}
    for member, text in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            [target] = member.targets
            found[ast.unparse(target)] = str(ast.literal_eval(text.value))
    return found


def verdicts() -> str:
    """Every verdict with what it means, and whether it counts and needs a person."""
    rows = [
        (
            f"`{one.value}`",
            meanings()[one.name],
            "no" if one.counts else "yes",
            "yes" if one.needs_person else "no",
        )
        for one in Verdict
    ]
    return _table(("verdict", "what it means", "pair in step?", "needs a person?"), rows)


def problems() -> str:
    """Every kind of problem with what the next run does, and the next step of a person."""
    rows = [
        (f"`{kind.value}`", EFFECTS[kind.effect], kind.advice(None).replace("|", "\\|"))
        for kind in ProblemKind
    ]
    return _table(("kind", "what milesync does", "what you do"), rows)


def fields() -> str:
    """Every TestRail field with how it arrives in Testably, and where."""
    rows = [(f"`{name}`", how.value, where) for name, (how, where) in LOSS_LEDGER.items()]
    return _table(("TestRail", "arrives", "as"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "rules": rules,
    "verdicts": verdicts,
    "problems": problems,
    "fields": fields,
}


def filled(page: str) -> str:
    """The page with each table as the code has it now."""
    for name, table in TABLES.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = table()
        page, found = place.subn(lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"The page has {found} places for the table of {name}.")
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
