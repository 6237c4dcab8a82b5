"""The documents say what the code does: rules by number, decisions, verdicts, kinds of problem."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.generated import DOCS, PAGES, filled, meanings
from worker.sync.decide.rules import RULES
from worker.sync.decide.verdict import Verdict

ROOT = Path(__file__).parents[1]
CITED = re.compile(r"\bR(\d{1,2})\b")
STORY = ROOT / "worker" / "sync" / "__init__.py"


def _sources() -> list[Path]:
    return [*(ROOT / "mappings").rglob("*.py"), *(ROOT / "worker").rglob("*.py")]


def _rules() -> set[int]:
    text = (ROOT / "docs" / "how-it-works.md").read_text()
    return {int(number) for number in re.findall(r"^## R(\d+): ", text, re.MULTILINE)}


def test_how_it_works_names_every_rule_by_its_number() -> None:
    assert _rules() == set(range(1, 14))


def test_no_citation_of_a_rule_dangles() -> None:
    """In the code, its tests and the other documents."""
    files = [*_sources(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").glob("*.md")]
    cited = {
        (path.name, int(number)) for path in files for number in CITED.findall(path.read_text())
    }
    assert {one for one in cited if one[1] not in _rules()} == set()


def test_every_rule_is_cited_where_it_is_kept() -> None:
    """Somewhere in the code, the overview of them all not counted."""
    files = [path for path in _sources() if path != STORY]
    cited = {int(number) for path in files for number in CITED.findall(path.read_text())}
    assert cited == _rules()


def test_the_story_names_for_each_rule_files_that_cite_it() -> None:
    """`worker.sync` says where each rule is kept, and what it names is there and says so."""
    lines = re.findall(r"^R(\d+) +.*?: (.+)$", STORY.read_text(), re.MULTILINE)
    assert [int(number) for number, _ in lines] == sorted(_rules())
    for number, named in lines:
        for name in re.findall(r"[\w/]+\.py", named):
            path = ROOT / name if (ROOT / name).exists() else STORY.parent / name
            assert path.exists(), (number, name)
            assert number in CITED.findall(path.read_text()), (number, name)


@pytest.mark.parametrize("page", PAGES)
def test_a_document_shows_the_tables_of_the_code(page: str) -> None:
    """The decisions, the fields and the settings; `python -m tests.generated` writes them."""
    shown = (DOCS / page).read_text(encoding="utf-8")
    assert shown == filled(page), "Run `python -m tests.generated`."


def test_every_rule_and_verdict_is_explained_in_a_sentence() -> None:
    texts = [str(rule.__doc__) for rule in RULES] + [meanings()[one.name] for one in Verdict]
    assert all("\n" not in text and text.endswith(".") for text in texts)


# --- SECURITY.md ------------------------------------------------------------------------------

PROMISES = re.compile(r"^(\d+)\. \*\*(.+?)\*\*(.*?)(?=^\d+\. \*\*|^## )", re.MULTILINE | re.DOTALL)


def _promises() -> dict[int, list[str]]:
    """The tests that each promise names."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    found = PROMISES.findall(text.partition("## Ten promises")[2])
    return {int(number): re.findall(r"`(tests/[^`]+)`", rest) for number, _, rest in found}


def test_there_are_ten_promises_and_each_names_its_tests() -> None:
    promises = _promises()
    assert list(promises) == list(range(1, 11))
    assert all(promises.values())


def test_every_test_that_a_promise_names_is_there() -> None:
    """And runs: it is not one that is only run when it is asked for."""
    for named in (one for tests in _promises().values() for one in tests):
        file, _, name = named.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
        [test] = [one for one in functions if one.name == name]
        marks = [ast.unparse(one) for one in test.decorator_list]
        assert not [mark for mark in marks if re.search(r"mark\.(skip|xfail|soak)", mark)], named
