"""The tables in documents, made from the code; ``python -m tests.generated`` writes them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from pydantic.fields import FieldInfo

from mappings.milestone import LOSS_LEDGER
from mappings.problem import Effect, ProblemKind
from worker.settings.explain import section_of
from worker.settings.model import FileSettings, ProjectPair, variable
from worker.sync.decide import verdict
from worker.sync.decide.rules import RULES
from worker.sync.decide.verdict import Verdict

DOCS = Path(__file__).parents[1] / "docs"
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


def settings() -> str:
    """Every setting with its variable, its place in the file, its default and what it is."""
    rows = []
    for name, field in FileSettings.model_fields.items():
        section = section_of(field)
        if section:
            rows += [_setting((name, key), one) for key, one in section.model_fields.items()]
        elif name != "projects":
            rows.append(_setting((name,), field))
    return _table(("variable", "in the file", "default", "what it is"), rows)


def pairs() -> str:
    """What may stand in a table of a pair."""
    rows = [
        (f"`{name}`", _example(field), str(field.description))
        for name, field in ProjectPair.model_fields.items()
    ]
    return _table(("in `[[projects]]`", "example", "what it is"), rows)


def _setting(key: tuple[str, ...], field: FieldInfo) -> tuple[str, str, str, str]:
    has_default = field.default is not None and field.default != () and field.examples
    default = _example(field) if has_default else "none"
    where = f"`{key[-1]}`" if len(key) == 1 else f"`[{key[0]}] {key[1]}`"
    told = str(field.description).replace("|", "\\|")
    return (f"`{variable(key)}`", where, default, told)


def _example(field: FieldInfo) -> str:
    if not field.examples:
        return ""
    first = field.examples[0]
    return f"`{str(first).lower() if isinstance(first, bool) else first}`"


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "rules": ("decisions.md", rules),
    "verdicts": ("decisions.md", verdicts),
    "problems": ("decisions.md", problems),
    "fields": ("cannot-be-carried.md", fields),
    "settings": ("settings.md", settings),
    "pairs": ("settings.md", pairs),
}
PAGES = sorted({page for page, _ in TABLES.values()})


def filled(name: str) -> str:
    """A document with each of its tables as the code has it now."""
    page = (DOCS / name).read_text(encoding="utf-8")
    for table, (where, make) in TABLES.items():
        if where != name:
            continue
        place = re.compile(rf"(<!-- {table} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = make()
        page, found = place.subn(lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"{name} has {found} places for the table of {table}.")
    return page


if __name__ == "__main__":
    for one in PAGES:
        (DOCS / one).write_text(filled(one), encoding="utf-8")
