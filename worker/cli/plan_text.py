"""A plan on a terminal: the sentence with the numbers, then each section, folded unless asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from worker.cli.plan_view import GONE, LINKED, NEEDS_YOU, NEW, OVERWRITTEN
from worker.facts import words
from worker.say import printable

if TYPE_CHECKING:
    from worker.cli.plan_view import Item, PlanView, Section
    from worker.cli.screen import Console
    from worker.facts.changes import FieldChange

_ITEMS: Final = {NEEDS_YOU: 100, OVERWRITTEN: 50}
_OTHERS: Final = 20
"""How many milestones of a section are shown; few of those that a person must see are folded."""
_CHILDREN: Final = 3
_LINES: Final = 6
"""How many sub-milestones of a new one, and lines of a long text, are shown."""
_STYLES: Final = {NEEDS_YOU: "yellow", OVERWRITTEN: "yellow"}


def show_plan(out: Console, view: PlanView, *, every: bool = False) -> None:
    """Print the plan of one pair, folded unless ``every`` milestone is asked for."""
    out.print(view.sentence)
    for guard in view.guards:
        out.print(f"It would stop: {printable(guard)}", style="red")
    for gap in view.gaps:
        out.print(f"Not all was read: {printable(gap)}", style="yellow")
    folded = False
    for section in view.sections:
        out.print()
        out.print(f"{section.title} ({section.total})", style=_STYLES.get(section.title, "bold"))
        lines = list(_lines(section, every=every))
        folded |= any("…" in mark for mark, _ in lines)
        for mark, line in lines:
            out.print(f"{mark}{line}", hang=len(mark.lstrip()))
    out.print()
    out.print(view.cost)
    if view.not_exact:
        out.print(f"Cannot be carried exactly: {view.not_exact}.")
    if view.left_alone:
        out.print(f"Left as it is: {view.left_alone}.")
    if folded:
        out.print("`milesync plan --all` shows what is folded here.")


Line = tuple[str, str]
"""What stands in front of a line, and the line."""


def _lines(section: Section, *, every: bool) -> Iterator[Line]:
    room = len(section) if every else _ITEMS.get(section.title, _OTHERS)
    items = list(section.items(room))
    width = max(len(str(one.testrail_id or "")) for one in items)
    for item in items:
        yield _headline(item, "  ", width)
        yield from _below(item, section.title, " " * (width + 4), every=every)
    if len(section) > room:
        yield "  … ", f"and {section.milestones_after(room)} more"


def _below(item: Item, title: str, indent: str, *, every: bool) -> Iterator[Line]:
    """What is told of a milestone in the lines under its name."""
    if title == NEW:
        yield from _children(item, indent, every=every)
    elif title not in (GONE, LINKED) and item.reason and not item.changes:
        yield indent, printable(item.reason)
    if title not in (GONE, NEW):
        for change in item.changes:
            yield from _change(change, indent, every=every)
    for note in item.notes:
        yield indent, printable(note)


def _headline(item: Item, indent: str, width: int = 0) -> Line:
    id_ = "" if item.testrail_id is None else str(item.testrail_id)
    name = printable(item.name) or f"(no name) {item.url or ''}".rstrip()
    target = f"  ({item.testably_id})" if item.testably_id else ""
    stands = f"  {item.stands}" if item.stands else ""
    return f"{indent}{id_:>{width}}  ", f"{name}{target}{stands}"


def _children(item: Item, indent: str, *, every: bool) -> Iterator[Line]:
    room = len(item.children) if every else _CHILDREN
    for child in item.children[:room]:
        yield _headline(child, indent)
    if len(item.children) > room:
        yield f"{indent}… ", f"and {len(item.children) - room} more sub-milestones"


def _change(change: FieldChange, indent: str, *, every: bool) -> Iterator[Line]:
    name = words.field_called(change.name)
    by = " (edited in Testably)" if change.edited else ""
    if change.is_short:
        before, after = words.value_shown(change.before), words.value_shown(change.after)
        yield indent, printable(f"{name}: {before} → {after}{by}")
        return
    yield indent, f"{name}:{by}"
    lines = list(change.difference())
    room = len(lines) if every else _LINES
    for mark, line in lines[:room]:
        yield f"{indent}  {mark} ", printable(line)
    if len(lines) > room:
        yield f"{indent}  … ", f"and {len(lines) - room} more lines"
