"""What many records have in common is kept once: a large pair has hundreds of thousands of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from sys import intern
from types import MappingProxyType
from typing import Any, Final, TypeVar

T = TypeVar("T")

EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})
"""One for all: of most milestones there is nothing to say."""


class PackedRecord(Mapping[str, Any]):
    """A JSON object that shares its names with others of the same form: half of a dict's size."""

    __slots__ = ("_names", "_values")

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._names = _kept_once(tuple(record))
        self._values = tuple(record.values())

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._values[self._names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Chosen(Mapping[str, T]):
    """Those of a mapping's values that have these names; they stay where they are."""

    __slots__ = ("_every", "_names")

    def __init__(self, every: Mapping[str, T], names: tuple[str, ...]) -> None:
        self._every = every
        self._names = _kept_once(names)

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        return self._every[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@lru_cache(maxsize=256)
def _kept_once(names: tuple[str, ...]) -> tuple[str, ...]:
    return names


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, from its pairs, whose names and texts are kept once in this process."""
    return {intern(name): kept_once(value) for name, value in pairs}


def kept_once(value: Any) -> Any:
    """The value; a text is the same object as every equal one that was given here."""
    return intern(value) if type(value) is str else value


def unless_equal(new: Mapping[str, T], known: Mapping[str, T]) -> Mapping[str, T]:
    """``new``, or ``known`` where both say the same, so that only one of them is kept."""
    return known if new == known else new
