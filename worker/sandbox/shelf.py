"""The records of a model: by id, in the order they came, with their projects and parents."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.sandbox.rules import Record

Project = TypeVar("Project", bound=Hashable)


@dataclass(slots=True)
class Place(Generic[Project]):
    """Where a record belongs."""

    record: Record
    project: Project
    parent: Hashable


class Shelf(Generic[Project]):
    """Records by id. A record whose parent is unknown counts as a root, as a user would see it.

    Ids are any hashable value, since tests plant records that no real instance would hold.
    """

    def __init__(self) -> None:
        self._places: dict[Hashable, Place[Project]] = {}
        self._children: dict[Hashable, dict[Hashable, None]] = {}
        self._orders: dict[tuple[Project, bool], list[Hashable]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def record(self, key: Hashable) -> Record:
        """The record itself, to be changed in place. Raises KeyError."""
        return self._places[key].record

    def project(self, key: Hashable) -> Project:
        return self._places[key].project

    def parent(self, key: Hashable) -> Hashable:
        """The parent's id, or None for a root."""
        return self._places[key].parent

    def put(self, key: Hashable, record: Record, project: Project, parent: Hashable) -> None:
        """Add a record, or replace the one that has this id."""
        if key in self._places:
            self._leave_parent(key)
        self._places[key] = Place(record, project, parent)
        if parent is not None:
            self._children.setdefault(parent, {})[key] = None
        self._orders.clear()

    def drop(self, key: Hashable) -> None:
        """Take a record away with everything below it."""
        for child in self.children(key):
            self.drop(child)
        self._leave_parent(key)
        del self._places[key]
        self._orders.clear()

    def children(self, key: Hashable) -> list[Hashable]:
        """The ids below ``key``, one level deep."""
        return [child for child in self._children.get(key, ()) if child != key]

    def order(self, project: Project, *, roots: bool) -> Sequence[Hashable]:
        """The ids of a project in the order they came: its roots only, or all of them."""
        found = self._orders.get((project, roots))
        if found is None:
            found = [
                key
                for key, place in self._places.items()
                if place.project == project and not (roots and place.parent in self._places)
            ]
            self._orders[project, roots] = found
        return found

    def _leave_parent(self, key: Hashable) -> None:
        siblings = self._children.get(self._places[key].parent)
        if siblings is not None:
            siblings.pop(key, None)
