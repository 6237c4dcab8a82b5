"""What is left of a reviewed plan of which something was done already. Pure.

A migration that was interrupted goes on with the same plan: what is still to be done is the rest
of what was reviewed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mappings.link import Link
from mappings.link_record import LinkState
from worker.sync.reviewed_plan import Document, by_id, by_pair, pair_called

LinksOf = Callable[[Document, Sequence[int]], Mapping[int, Link]]
"""The links of some milestones of a project of the plan, by TestRail id."""
_WRITTEN: Final = ("create", "adopt", "update")
_SOME: Final = 1000
"""Links that are read together."""


def rest_of(reviewed: Document, fresh: Document, links_of: LinksOf) -> Document:
    """The reviewed plan as it is once what was begun of it is done.

    An action of which the fresh plan does the rest, and no more, is that rest.
    """
    now = by_pair(fresh)
    projects = [
        {**project, "actions": _rest(project, now[pair], links_of)} if pair in now else project
        for project in reviewed["projects"]
        for pair in [pair_called(project)]
    ]
    return {**reviewed, "projects": projects}


def _rest(project: Document, fresh: Sequence[Document], links_of: LinksOf) -> list[Document]:
    before, after = by_id(project["actions"]), by_id(fresh)
    others = [key for key, one in before.items() if key[0] and one != after.get(key)]
    left: dict[Any, Document | None] = dict(before)
    for start in range(0, len(others), _SOME):
        some = others[start : start + _SOME]
        links = links_of(project, [testrail_id for testrail_id, _ in some])
        for key in some:
            link, now = links.get(key[0]), after.get(key)
            if link is not None and is_rest(now, before[key], link):
                left[key] = now
    return [one for one in left.values() if one is not None]


def is_rest(now: Document | None, reviewed: Document, link: Link) -> bool:
    """Whether a fresh action does what is left of a reviewed one, and no more.

    Every value that was reviewed was applied, by what the link knows, or is still to be; and no
    edit goes of which the reviewed plan did not know.
    """
    kind = None if now is None else now["action"]
    if reviewed["action"] == "archive":
        is_over = link.state is LinkState.ARCHIVED and kind in ("skip", None)
        return is_over and reviewed["testably_id"] == link.testably_id
    is_followed = link.state is LinkState.LINKED and reviewed["action"] in _WRITTEN
    if now is None or not is_followed or not _is_same(now, reviewed, link):
        return False
    fields, to_do = reviewed["fields"], now["fields"]
    if kind != ("update" if to_do else "skip") or not to_do.keys() <= fields.keys():
        return False
    known = {**link.last_applied, **{name: field["after"] for name, field in to_do.items()}}
    arrives = all(name in known and known[name] == one.get("after") for name, one in fields.items())
    return arrives and all(to_do[name] == fields[name] for name in now["edited"])


def _is_same(now: Document, reviewed: Document, link: Link) -> bool:
    """Whether both are about the same milestones, at the same place."""
    is_placed = reviewed["action"] != "create" or reviewed["parent_id"] == link.parent_id
    is_named = now["name"] == reviewed["name"]
    was, is_now = reviewed["testably_id"], now["testably_id"]
    return is_placed and is_named and is_now == link.testably_id and was in (None, is_now)
