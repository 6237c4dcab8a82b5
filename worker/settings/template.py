"""The commented ``milesync.toml`` that ``milesync init`` writes, made from the settings' model.

A line that starts with ``# `` explains; one that starts with ``#`` and a key is a setting with its
default or an example, to be uncommented by taking the ``#`` away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic.fields import FieldInfo

from worker.settings.explain import section_of
from worker.settings.model import FileSettings, ProjectPair, variable

_HEAD: Final = """\
# The settings of milesync. Take the # away in front of a line to change that setting;
# what stands there is the default, or an example where there is no default.
#
# Each setting can also be given as the environment variable that is named beside it, or in a file
# called .env beside this one. The environment goes before .env, and .env before this file.
# Secrets belong there and not here.
"""

_PROJECTS: Final = f"""\
# Which TestRail project goes to which Testably project; repeat the table for each pair.
# Or all pairs in one variable: {variable(["projects"])}=1=proj_abc123,2=proj_def456
"""
_EXAMPLE: Final = """\
# Take the # away in front of these three lines together:
#[[projects]]
#testrail = 1
#testably = "proj_abc123"
"""
_IN_PAIR: Final = ("projects",)
_OPTIONAL: Final = {
    name: field for name, field in ProjectPair.model_fields.items() if not field.is_required()
}


def settings_template(
    filled: Mapping[tuple[str, str], str] | None = None,
    pairs: Sequence[tuple[int, str, str]] = (),
) -> str:
    """The text of the file: every setting, with its default or an example commented out.

    ``filled`` are settings of a table that are set, ``pairs`` the ids of project pairs, each with
    a comment.
    """
    given = filled or {}
    fields = FileSettings.model_fields
    single = {name: field for name, field in fields.items() if name != "projects"}
    top = {name: field for name, field in single.items() if not section_of(field)}
    parts = [_HEAD, "\n".join(_lines(top, (), given))]
    for name, field in single.items():
        if section := section_of(field):
            parts.append(f"\n[{name}]\n" + "\n".join(_lines(section.model_fields, (name,), given)))
    tables = [_pair(*one, is_first=one is pairs[0]) for one in pairs] or [_EXAMPLE + _own()]
    return "\n".join(parts) + f"\n\n{_PROJECTS}" + "".join(tables)


def _pair(testrail: int, testably: str, comment: str, *, is_first: bool) -> str:
    said = "".join(char for char in comment if char.isprintable())
    head = f"\n# {said}\n" if said else "\n"
    ids = f"[[projects]]\ntestrail = {testrail}\ntestably = {json.dumps(testably)}\n"
    return head + ids + _own(explained=is_first)


def _own(*, explained: bool = True) -> str:
    """What a pair may have of its own, each to be uncommented below its table."""
    lines = _lines(_OPTIONAL, _IN_PAIR, {})
    return "".join(f"{line}\n" for line in lines if explained or not line.startswith("# "))


def _lines(
    fields: Mapping[str, FieldInfo],
    table: tuple[str, ...],
    given: Mapping[tuple[str, str], str],
) -> Iterator[str]:
    in_pair = table == _IN_PAIR
    for name, field in fields.items():
        yield f"# {field.description}"
        named = "" if in_pair else f"  # {variable((*table, name))}"
        key = (table[0], name) if table else ("", name)
        if key in given:
            yield f"{name} = {json.dumps(given[key], ensure_ascii=False)}{named}"
        elif field.examples or in_pair:
            yield f"#{name} = {json.dumps((field.examples or [''])[0])}{named}"
        else:
            yield f"# A secret: set {variable((*table, name))} in the environment or in .env."
