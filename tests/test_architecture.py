"""What the import contracts cannot say: how long a file may be, who writes a link, who computes
what is desired, and who names a kind of problem. Read from the product's files."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from mappings.link import Link
from mappings.problem import ProblemKind
from worker.errors import ApiError, NotFound, Refused, Transient, Unreachable

ROOT = Path(__file__).parents[1]
OWN = {field.name for field in fields(Link)}


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax tree of each file of the product, by its path; migrations are history."""
    found = [*(ROOT / "mappings").rglob("*.py"), *(ROOT / "worker").rglob("*.py")]
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
        for path in found
        if "migrations" not in path.parts
    }


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """The calls of a function of this name, imported or as an attribute of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
            yield node


# --- sizes

LONGEST_FILE, LONGEST_FUNCTION = 320, 40
"""Lines, each with its signature and docstring. There is no exception."""


def test_no_file_is_too_long() -> None:
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in trees()}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


# --- links


def _declared() -> Counter[str]:
    """How many classes of the product declare each field."""
    return Counter(
        part.target.id
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for part in node.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    )


@cache
def _only_of_links() -> frozenset[str]:
    """The fields that no other class has: who replaces one of these replaces a link's."""
    declared = _declared()
    return frozenset(name for name in OWN if declared[name] == 1)


def _link_names(function: ast.AST) -> set[str]:
    """The names that are annotated as links, and those that are called link."""
    found = {"link", "leased", "planned", "saved"}
    for node in ast.walk(function):
        if isinstance(node, ast.arg) and _says_link(node.annotation):
            found.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and _says_link(node.annotation):
            found.add(ast.unparse(node.target))
    return found


def _says_link(annotation: ast.expr | None) -> bool:
    return annotation is not None and "Link" in ast.unparse(annotation).split()


def _replaces_link(call: ast.Call, names: set[str]) -> bool:
    """Whether a ``replace(…)`` makes another link: by its first argument, or by a field."""
    if not call.args:
        return False  # the method of a date or a text
    given = {keyword.arg for keyword in call.keywords}
    first = ast.unparse(call.args[0])
    of_link = first in names or first.endswith((".link", "_link"))
    return of_link or bool(given & _only_of_links())


def _writers(path: str, tree: ast.Module) -> Iterator[str]:
    names = _link_names(tree)
    for call in calls(tree, "replace"):
        if _replaces_link(call, names):
            yield f"{path}:{call.lineno} {ast.unparse(call)}"
    for call in calls(tree, "Link"):
        if {keyword.arg for keyword in call.keywords} - {"name"} or len(call.args) > 1:
            yield f"{path}:{call.lineno} {ast.unparse(call)}"


def test_only_the_link_itself_changes_its_fields() -> None:
    """Elsewhere a link is made with nothing but its id and name, and changed by its own methods.

    The store makes links from rows: whole ones in `mappings.rows`, outlines in `mappings.store`.
    """
    own = {"mappings/link.py", "mappings/link_record.py", "mappings/link_values.py"}
    allowed = {*own, "mappings/rows.py", "mappings/store.py"}
    found = {
        writer
        for path, tree in trees().items()
        if path not in allowed
        for writer in _writers(path, tree)
    }
    assert found == set()


@pytest.mark.parametrize(
    "text",
    [
        "replace(link, name='x')",
        "replace(action.link, state=1)",
        "dataclasses.replace(k, attempt_at=None)",
        "Link(7, state=1)",
        "Link(7, 'ms_1')",
        "def f(k: Link | None): return replace(k, name='x')",
    ],
)
def test_a_writer_of_a_link_is_found(text: str) -> None:
    assert list(_writers("somewhere.py", ast.parse(text)))


@pytest.mark.parametrize("text", ["Link(7)", "text.replace('a', 'b')", "replace(plan, actions=())"])
def test_what_writes_no_link_is_not_found(text: str) -> None:
    assert not list(_writers("somewhere.py", ast.parse(text)))


# --- desired values


def test_the_snapshot_alone_computes_what_is_desired() -> None:
    """Everybody else asks it, so there is one answer."""
    found = {path for path, tree in trees().items() for _ in calls(tree, "desired_values")}
    assert found == {"worker/sync/decide/snapshot.py"}


def test_the_snapshot_alone_says_which_targets_have_living_sub_milestones() -> None:
    """No other file collects the parents of what is listed, detailed or linked."""
    found = {
        path
        for path, tree in trees().items()
        if path.startswith("worker/sync/")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and "living_children" in node.name
    }
    assert found == {"worker/sync/decide/snapshot.py"}


# --- kinds of problem


def _kind_texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Each text that is a kind's name where a kind may be meant.

    Not the members of other enumerations, the ``kind`` of an error, the names of counters in a
    document (its keys), and tables of words.
    """
    known = {kind.value for kind in ProblemKind}
    other = set(_not_kinds(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in known and id(node) not in other:
            yield node


def _not_kinds(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            values = (part.value for part in node.body if isinstance(part, ast.Assign))
            yield from (id(value) for value in values)
        elif isinstance(node, ast.Dict):
            yield from (id(key) for key in node.keys)
        elif isinstance(node, ast.Subscript):
            yield id(node.slice)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".get"):
            yield from (id(given) for given in node.args)


def test_a_kind_of_problem_is_named_by_its_enumeration_alone() -> None:
    """In what decides, applies, reports and keeps.

    Other vocabularies have some of the words: those of people, of deliveries, of what is not exact.
    """
    ours = (
        "mappings/",
        "worker/sync/",
        "worker/cli/",
        "worker/facts/",
        "worker/notices",
        "worker/web/pages",
    )
    allowed = {
        "mappings/problem.py",
        "worker/facts/words.py",
        "mappings/deliveries.py",
        "worker/sync/decide/losses.py",
    }
    found = {
        f"{path}:{text.lineno} {text.value!r}"
        for path, tree in trees().items()
        if path.startswith(ours) and path not in allowed
        for text in _kind_texts(tree)
    }
    assert found == set()


def _every(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _every(below)


@pytest.mark.parametrize("root", [Transient, Unreachable, NotFound, Refused])
def test_what_can_fail_one_milestone_is_a_kind_of_problem(root: type[ApiError]) -> None:
    """An error that a run goes on after has its kind, and so a next step."""
    assert {error.kind for error in _every(root)} <= {kind.value for kind in ProblemKind}
