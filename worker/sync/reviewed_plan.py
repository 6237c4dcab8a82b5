"""A plan that a person has reviewed: kept in a file, and compared with a fresh one. Pure.

What must be equal is what would be done: the kind of each action, its ids, name and fields, and
the parent below which it creates. The reasons and the cost may differ.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from textwrap import shorten
from typing import Any, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from mappings.field_names import FIELD_NAMES
from worker.errors import NotReviewed, UsageError
from worker.sync.options import Only, Options, Trigger

VERSION: Final = 1
SHOWN: Final = 10
_COMPARED: Final = ("action", "testably_id", "name")
_DECIDED: Final = ("testrail_id", *_COMPARED, "fields")
_CREATED: Final = ("parent_id",)
"""Of a create alone: what is in Testably already is moved by nobody."""
_MEANT: Final = {
    "create": "to be created",
    "adopt": "to be linked",
    "update": "to be changed",
    "archive": "to be archived",
    "skip": "to be left as it is",
    "conflict": "for a person to decide",
    "quarantine": "set aside",
}
"""What people are told is done about a milestone, by the kind of its action."""
_SAID: Final = {
    "name": "is called {now} now",
    "testably_id": "is about {now} in Testably now instead of {before}",
    "parent_id": "would hang below milestone {now} instead of {before}",
}
_LONGEST: Final = 60
"""Characters of a value that are shown in a difference."""
Document = Mapping[str, Any]
_Plain = str | int | float | bool | None


class PlanChanged(NotReviewed):
    """The fresh plan is not the one that was reviewed."""

    kind = "plan_changed"
    default_hint = "Nothing was written. Make and review a new one: `milesync plan --out FILE`."

    @classmethod
    def since(cls, differences: Sequence[str], flags: str) -> PlanChanged:
        """What differs, in words; ``flags`` are those with which a plan is the fresh one."""
        shown = [f"- {line}" for line in differences[:SHOWN]]
        if len(differences) > SHOWN:
            shown.append(f"- and {len(differences) - SHOWN} more")
        text = "\n".join(["The plan is not the reviewed one any more:", *shown])
        return cls(text, cls.default_hint.replace(" --out", f"{flags} --out"))


def reviewable(document: Document, options: Options, places: Document) -> dict[str, Any]:
    """What `plan --out` writes: the plan, what shaped it, and the addresses it was made for."""
    kept = {"version": VERSION, "options": options.as_json(), **places, **document}
    return {**kept, "fingerprint": fingerprint(kept)}


def fingerprint(document: Document) -> str:
    """What is equal for two plans that would do the same in the same place; it can be typed."""
    pairs = {
        pair: sorted(([one.get(n) for n in (*_DECIDED, *_more(one))] for one in actions), key=str)
        for pair, actions in by_pair(document).items()
    }
    facts = [document.get("testrail_url"), document.get("testably_url"), pairs]
    text = json.dumps(facts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def read_reviewed(text: str, name: str) -> Document:
    """The plan in a file called ``name``. Raises UsageError if it is none, or was changed."""
    hint = "Write one with `milesync plan --out FILE`."
    try:
        document: Any = json.loads(text)
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply to be a plan.", hint) from None
    except ValueError:
        raise UsageError(f"{name} is not JSON.", hint) from None
    version = document.get("version") if isinstance(document, dict) else None
    if version != VERSION or isinstance(version, bool):
        raise UsageError(f"{name} is not a plan that this version of milesync wrote.", hint)
    try:
        _Plan.model_validate(document)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_input=False)[0]["loc"]))
        raise UsageError(
            f"{name} is not a whole plan: {place} is missing or wrong.", hint
        ) from None
    if document["fingerprint"] != fingerprint(document):
        text = f"{name} is not as it was written: its plan does not fit its own fingerprint."
        raise UsageError(text, hint)
    return cast(Document, document)


class _Shape(BaseModel):
    """What has to be there; what else is there does not matter."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Field(_Shape):
    before: _Plain = None
    after: _Plain = None


class _Action(_Shape):
    action: str
    testrail_id: int | None
    testably_id: str | None
    name: str | None
    parent_id: int | None
    fields: dict[str, _Field]


class _Project(_Shape):
    testrail_project: int
    testably_project: str
    actions: list[_Action]


class _Options(_Shape):
    only: Literal["open", "completed", "started", "upcoming"] | None = None
    adopt_by_name: bool = False
    create_anyway: bool = False
    allow_mass_archive: bool = False
    allow_mass_recreate: bool = False
    archive_in_use: bool = False


class _Plan(_Shape):
    fingerprint: str
    options: _Options
    projects: list[_Project]


def reviewed_options(document: Document) -> Options:
    """The options that shaped a reviewed plan."""
    kept = _Options.model_validate(document["options"])
    only = None if kept.only is None else Only(kept.only)
    return Options(Trigger.MIGRATION, **(kept.model_dump() | {"only": only}))


def differences(reviewed: Document, fresh: Document) -> list[str]:
    """In what two plans differ, one line each; empty if they would do the same."""
    return list(_differences(reviewed, fresh))


def _differences(reviewed: Document, fresh: Document) -> Iterator[str]:
    for side in ("TestRail", "Testably"):
        before, now = (one.get(f"{side.lower()}_url") for one in (reviewed, fresh))
        if before != now:
            yield f"the address of {side} was {before}, and is {now} now"
    was, by_now = by_pair(reviewed), by_pair(fresh)
    for pair in sorted(was.keys() | by_now.keys()):
        if pair not in by_now:
            yield f"project {pair} is not among those chosen now"
        elif pair not in was:
            yield f"project {pair} was not in it"
        else:
            for line in _of_actions(was[pair], by_now[pair]):
                yield f"project {pair}, {line}"


def by_pair(document: Document) -> dict[str, Sequence[Document]]:
    """The actions of each pair of a plan, by what people call it."""
    return {pair_called(project): project["actions"] for project in document["projects"]}


def pair_called(project: Document) -> str:
    """How people are told of a pair."""
    return f"{project.get('testrail_project')} → {project.get('testably_project')}"


def _of_actions(reviewed: Sequence[Document], fresh: Sequence[Document]) -> Iterator[str]:
    before, after = by_id(reviewed), by_id(fresh)
    for key in sorted(before.keys() | after.keys(), key=str):
        one, other = before.get(key), after.get(key)
        if one is None and other is not None:
            yield f"{_called(other)} was not in it, and is {_meant(other)} now"
        elif other is None and one is not None:
            yield f"{_called(one)} was {_meant(one)}, and is in the plan no more"
        elif one is not None and other is not None:
            yield from (f"{_called(one)} {line}" for line in _of_action(one, other))


def by_id(actions: Sequence[Document]) -> dict[tuple[Any, int], Document]:
    """The actions by TestRail id; those without one are told apart by their order."""
    found: dict[object, list[Document]] = defaultdict(list)
    for action in actions:
        found[action.get("testrail_id")].append(action)
    return {(id_, number): a for id_, group in found.items() for number, a in enumerate(group)}


def _called(action: Document) -> str:
    id_ = action.get("testrail_id")
    named = f" ({name})" if (name := _short(action.get("name"))) else ""
    return (f"milestone {id_}" if id_ is not None else "a record without an id") + named


def _meant(action: Document) -> str:
    kind = str(action.get("action"))
    return _MEANT.get(kind, kind)


def _more(action: Document) -> tuple[str, ...]:
    return _CREATED if action.get("action") == "create" else ()


def _of_action(one: Document, other: Document) -> Iterator[str]:
    """Where something else is to be done at all, the rest only follows from that."""
    if one.get("action") != other.get("action"):
        yield f"was {_meant(one)}, and is {_meant(other)} now"
        return
    for name, line in _SAID.items():
        before, now = one.get(name), other.get(name)
        if before != now and (name not in _CREATED or _more(one)):
            yield line.format(before=_short(before) or "none", now=_short(now) or "none")
    was, by_now = one.get("fields") or {}, other.get("fields") or {}
    for name in sorted(was.keys() | by_now.keys()):
        if was.get(name) != by_now.get(name):
            called = FIELD_NAMES.get(name, (name,))[-1]
            before, now = _field(was.get(name)), _field(by_now.get(name))
            yield f"has its {called} changed {now} now instead of {before}"


def _field(value: object) -> str:
    if not isinstance(value, dict):
        return "not at all"
    before, after = _short(value.get("before")), _short(value.get("after"))
    return f"from {before or 'empty'} to {after or 'empty'}"


def _short(value: object) -> str:
    """A value of any length on one line; nothing for none."""
    return shorten("" if value is None else str(value), _LONGEST, placeholder=" …")


def must_be_equal(reviewed: Document, fresh: Document) -> None:
    """Raises PlanChanged, naming the first differences in words."""
    found = differences(reviewed, fresh)
    if found:
        raise PlanChanged.since(found, reviewed_options(fresh).flags)
