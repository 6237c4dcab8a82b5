"""What is said about a setting that is wrong: where it stands, what is wrong, a right example.

No text ever shows the value of a secret, of an unknown key, or what stands before an ``@``.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from worker.settings.model import FileSettings, ProjectPair, variable

Key = tuple[str | int, ...]
"""The way to a setting in the file: ``("sync", "schedule")``, ``("projects", 0, "testrail")``."""

PAIR_EXAMPLE: Final = "Example: 1=proj_abc123,2=proj_def456"
_LONGEST_SHOWN: Final = 60
_PASTED_WITH_KEY: Final = ("user", "testrail_user")
"""Where people paste the key as well, with a colon before it."""
_NOT_A_TABLE: Final = {"model_type", "tuple_type"}


def known_keys() -> list[Key]:
    """The key of everything that a variable can set."""
    keys: list[Key] = []
    for name, field in FileSettings.model_fields.items():
        section = section_of(field)
        keys += [(name, key) for key in section.model_fields] if section else [(name,)]
    return keys


def key_of(name: str) -> Key | None:
    """The key that a variable sets; None if there is none."""
    return next((key for key in known_keys() if variable(key) == name), None)


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a table in the file; None for a single value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def is_secret(field: FieldInfo) -> bool:
    """Whether the value must never be shown."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def dotted(key: Key) -> str:
    """A key as people write it; pairs are counted from 1."""
    if len(key) > 1 and isinstance(key[1], int):
        rest = "".join(f", {name}" for name in key[2:])
        return f"[[{key[0]}]] no. {key[1] + 1}{rest}"
    return ".".join(map(str, key))


def shown(value: object) -> str:
    """A value as it may stand in a message: short, without credentials inside of addresses."""
    text = str(value)
    if "://" in text or "@" in text:
        text = re.sub(r"^.*@", "***@", text, flags=re.DOTALL)
        text = re.sub(r"[?#].*", "?…", text, flags=re.DOTALL)
    cut = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return repr(cut)


def problem(error: ErrorDetails, place: str) -> str:
    """One line about one error of pydantic's, at the place that the value came from."""
    key, kind = error["loc"], error["type"]
    if kind == "extra_forbidden":
        return f"{place} is not a setting{_meant(key)}."
    if kind in _NOT_A_TABLE:
        brackets = "[[projects]]" if key[0] == "projects" else f"[{key[0]}]"
        return f"{place} must be a table: {brackets}."
    if kind == "missing":
        return f"{place} is missing.{_example(key)}"
    if key == ("projects",):
        return f"{place}: the pairs {_reason(error)}."
    return refusal(place, key, error["input"], _reason(error))


def refusal(place: str, key: Key, value: object, reason: str) -> str:
    """One line about a value that a setting cannot have; it shows the value where it may."""
    field = _field(key)
    if field is None or is_secret(field) or key[-1] in _PASTED_WITH_KEY:
        return f"{place} {reason}.{_example(key)}"
    return f"{place}: {shown(value)} {reason}.{_example(key)}"


def _example(key: Key) -> str:
    field = _field(key)
    return f" Example: {field.examples[-1]}" if field and field.examples else ""


def _reason(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "literal_error":
        return f"is not {context['expected']}"
    # pydantic's own texts do not repeat the value either
    return str(context.get("error", f"is wrong: {error['msg']}"))


def _field(key: Key) -> FieldInfo | None:
    """The setting at a key; None if there is none."""
    if key[0] == "projects" and len(key) > 1:
        return ProjectPair.model_fields.get(str(key[-1]))
    field = FileSettings.model_fields.get(str(key[0]))
    if field is None or len(key) == 1:
        return field
    section = section_of(field)
    return section.model_fields.get(str(key[1])) if section else None


def _meant(key: Key) -> str:
    """The setting that an unknown key probably means."""
    if key[0] == "projects":
        names = list(ProjectPair.model_fields)
        near = get_close_matches(str(key[-1]), names, n=1)
        return f" (did you mean {near[0]}?)" if near else f" (there are {', '.join(names)})"
    names = [dotted(known) for known in known_keys()] + list(FileSettings.model_fields)
    moved = [name for name in names if name.split(".")[-1] == key[-1]]
    near = moved or get_close_matches(dotted(key), names, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
