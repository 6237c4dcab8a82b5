"""A plan that a person has reviewed: kept in a file, and compared with a fresh one. Pure.

What must be equal is what would be done: the kind of each action, its ids, name and fields, and
the parent below which it creates. The reasons and the cost may differ.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.errors import GuardTripped, UsageError
from worker.sync.options import Only, Options, Trigger

VERSION: Final = 1
SHOWN: Final = 10
_COMPARED: Final = ("action", "testably_id", "name")
_DECIDED: Final = ("testrail_id", *_COMPARED, "fields")
_CREATED: Final = ("parent_id",)
"""Of a create alone: what is in Testably already is moved by nobody."""
Document = Mapping[str, Any]
_Plain = str | int | float | bool | None


class PlanChanged(GuardTripped):
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
        for pair, actions in _by_pair(document).items()
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
    for name in ("testrail_url", "testably_url"):
        if reviewed.get(name) != fresh.get(name):
            yield f"{name} was {reviewed.get(name)}, and is {fresh.get(name)} now"
    before, after = _by_pair(reviewed), _by_pair(fresh)
    for pair in sorted(before.keys() | after.keys()):
        if pair not in after:
            yield f"project {pair} is not among those chosen now"
        elif pair not in before:
            yield f"project {pair} was not in it"
        else:
            for line in _of_actions(before[pair], after[pair]):
                yield f"project {pair}, {line}"


def _by_pair(document: Document) -> dict[str, Sequence[Document]]:
    return {
        f"{project.get('testrail_project')} → {project.get('testably_project')}": project["actions"]
        for project in document["projects"]
    }


def _of_actions(reviewed: Sequence[Document], fresh: Sequence[Document]) -> Iterator[str]:
    before, after = _by_id(reviewed), _by_id(fresh)
    for key in sorted(before.keys() | after.keys(), key=str):
        one, other = before.get(key), after.get(key)
        if one is None and other is not None:
            yield f"{_called(other)}: {other.get('action')} is new"
        elif other is None and one is not None:
            yield f"{_called(one)}: {one.get('action')} is no longer in the plan"
        elif one is not None and other is not None:
            yield from (f"{_called(one)}: {line}" for line in _of_action(one, other))


def _by_id(actions: Sequence[Document]) -> dict[tuple[object, int], Document]:
    """The actions by TestRail id; those without one are told apart by their order."""
    found: dict[object, list[Document]] = defaultdict(list)
    for action in actions:
        found[action.get("testrail_id")].append(action)
    return {(id_, number): a for id_, group in found.items() for number, a in enumerate(group)}


def _called(action: Document) -> str:
    return f"milestone {action.get('testrail_id')} ({action.get('name')})"


def _more(action: Document) -> tuple[str, ...]:
    return _CREATED if action.get("action") == "create" else ()


def _of_action(one: Document, other: Document) -> Iterator[str]:
    both = _more(one) if _more(one) == _more(other) else ()
    for name in (*_COMPARED, *both):
        if one.get(name) != other.get(name):
            yield f"{name} was {one.get(name)}, and is {other.get(name)} now"
    before, after = one.get("fields") or {}, other.get("fields") or {}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"{name} would be {_field(after.get(name))} instead of {_field(before.get(name))}"


def _field(value: object) -> str:
    if not isinstance(value, dict):
        return "left alone"
    return f"{value.get('before')!r} → {value.get('after')!r}"


def must_be_equal(reviewed: Document, fresh: Document) -> None:
    """Raises PlanChanged, naming the first differences in words."""
    found = differences(reviewed, fresh)
    if found:
        raise PlanChanged.since(found, reviewed_options(fresh).flags)
