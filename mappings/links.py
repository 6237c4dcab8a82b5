"""The links of a pair as a run holds them: of most it is only known that their sides agreed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from mappings.link import Link


class Outline(NamedTuple):
    """What tells of a link whether both sides are still as they were when they last agreed.

    The names are those of a `LinkRecord`. What agreed is linked, and nothing is open about it.
    """

    testrail_id: int
    testably_id: str
    source_fingerprint: str
    target_fingerprint: str
    target_parent: str | None
    has_children: bool
    version: int
    agreed_counts: str
    agreed_until: int | None


class Links(Mapping[int, Link]):
    """The links by TestRail id: ``complete`` ones, and ``outlines`` of those that agreed.

    An outline is handed over as a link with the outline's facts and no values.
    """

    def __init__(
        self,
        complete: Mapping[int, Link] | None = None,
        outlines: Mapping[int, Outline] | None = None,
    ) -> None:
        self.complete = dict(complete or {})
        self.outlines = dict(outlines or {})

    def __getitem__(self, testrail_id: int) -> Link:
        found = self.complete.get(testrail_id)
        return self._link(self.outlines[testrail_id]) if found is None else found

    def __iter__(self) -> Iterator[int]:
        yield from self.complete
        yield from self.outlines

    def __len__(self) -> int:
        return len(self.complete) + len(self.outlines)

    @staticmethod
    def _link(outline: Outline) -> Link:
        return Link.in_step(outline._asdict())

    @cached_property
    def by_target(self) -> Mapping[str, int]:
        """The TestRail id of the milestone that holds each target."""
        held = {link.testably_id: id_ for id_, link in self.complete.items() if link.testably_id}
        return held | {one.testably_id: id_ for id_, one in self.outlines.items()}

    def with_complete(self, links: Mapping[int, Link]) -> Links:
        """With these in place of what was known of them."""
        outlines = self.outlines
        if links.keys() & outlines.keys():
            outlines = {id_: one for id_, one in outlines.items() if id_ not in links}
        return Links({**self.complete, **links}, outlines)

    def outdated(self, testrail_ids: Collection[int]) -> Links:
        """With these as links of no version: who writes one of them loses.

        They were changed after what is decided from was read, and that is the compare-and-set of R8
        for it.
        """
        complete = {
            i: link.outdated() if i in testrail_ids else link for i, link in self.complete.items()
        }
        outlines = {
            id_: one._replace(version=0) if id_ in testrail_ids else one
            for id_, one in self.outlines.items()
        }
        return Links(complete, outlines)

    def put(self, link: Link) -> None:
        """Take a link as it was just recorded."""
        self.outlines.pop(link.testrail_id, None)
        self.complete[link.testrail_id] = link
        self.__dict__.pop("by_target", None)

    def missing_from(self, known: Iterable[int]) -> list[Link]:
        """The links of all other milestones, in the order of their ids."""
        others = sorted((self.complete.keys() | self.outlines.keys()) - set(known))
        return [self[id_] for id_ in others]
