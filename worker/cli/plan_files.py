"""`plan --out FILE`: the plan as JSON for `migrate --plan`, as a page, or as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mappings.errors import MilesyncError
from worker.cli import render
from worker.cli.files import cannot_be_written, write_private
from worker.cli.plan import places
from worker.cli.plan_view import NEW, Item, PlanView, Section, view_of
from worker.facts import words
from worker.facts.changes import FieldChange
from worker.say import printable
from worker.sync.reviewed_plan import reviewable

if TYPE_CHECKING:
    from worker.bootstrap import Deployment
    from worker.cli.plan import Looked
    from worker.sync.options import Options

_MARKDOWN: Final = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>#|~"})


def write_plans(
    files: Sequence[Path], looked: Looked, options: Options, deployment: Deployment
) -> None:
    """Write the plan in the form that each file's ending asks for. Raises UsageError."""
    document = reviewable(looked.as_json(), options, places(deployment.settings))
    for file in files:
        ending = file.suffix.lower()
        if ending == ".html":
            text = _as_page(document, _views(looked, deployment))
        elif ending == ".md":
            text = "\n".join(_as_markdown(document, _views(looked, deployment))) + "\n"
        else:
            text = json.dumps(document, indent=2, ensure_ascii=False)
        try:
            write_private(file, text)
        except OSError as error:
            raise cannot_be_written(file, error) from None


def _views(looked: Looked, deployment: Deployment) -> list[PlanView]:
    rate = render.in_words(deployment.settings.testably.rate_limit)
    return [
        view_of(
            identity,
            result,
            rate,
            render.title_of(deployment, identity),
            deployment.project_to_name(identity.testrail_project),
        )
        for identity, result in zip(looked.identities, looked.results, strict=True)
        if not isinstance(result, MilesyncError)
    ]


def _made_at() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


# --- a page -----------------------------------------------------------------------------------


def _as_page(document: dict[str, Any], views: Sequence[PlanView]) -> str:
    from jinja2 import Environment, PackageLoader

    pages = Environment(loader=PackageLoader("worker.cli"), autoescape=True)
    pages.globals.update(field=words.field_called, value=words.value_shown)
    return pages.get_template("plan.html").render(
        document=document, views=views, made_at=_made_at(), new=NEW
    )


# --- Markdown ---------------------------------------------------------------------------------


def _as_markdown(document: dict[str, Any], views: Sequence[PlanView]) -> Iterator[str]:
    yield "# What a migration to Testably would do"
    yield ""
    yield f"Made {_made_at()} from {document['testrail_url']} for {document['testably_url']}. "
    yield f"Fingerprint of this plan: `{document['fingerprint']}`."
    for view in views:
        yield from _pair(view)
    yield from ("", "---", "", "Reviewed by:", "", "Date and signature:")


def _pair(view: PlanView) -> Iterator[str]:
    yield ""
    yield f"## {_plain(view.title)}"
    yield from ("", f"**{view.sentence}** {view.cost}")
    for guard in view.guards:
        yield from ("", f"**It would stop:** {_plain(guard)}")
    for gap in view.gaps:
        yield from ("", f"**Not all was read:** {_plain(gap)}")
    if view.not_exact:
        yield from ("", f"Cannot be carried exactly: {view.not_exact}.")
    if view.left_alone:
        yield from ("", f"Left as it is: {view.left_alone}.")
    for section in view.sections:
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    yield from ("", f"### {section.title} ({section.total})", "")
    for item in section.items():
        yield f"- {_called(item)}"
        if section.title == NEW:
            yield from (f"  - {_called(child)}" for child in item.children)
            continue
        if item.reason and not item.changes:
            yield f"  - {_plain(item.reason)}"
        for change in item.changes:
            yield from _change(change)
        yield from (f"  - {_plain(note)}" for note in item.notes)


def _called(item: Item) -> str:
    id_ = item.testrail_id or ""
    link = f"[{id_}]({item.url})" if item.url else f"{id_}"
    target = f" ({_plain(item.testably_id)})" if item.testably_id else ""
    stands = f": {item.stands}" if item.stands else ""
    return f"{link} {_plain(item.name) or '(no name)'}{target}{stands}"


def _change(change: FieldChange) -> Iterator[str]:
    name = words.field_called(change.name)
    by = " (edited in Testably)" if change.edited else ""
    if change.is_short:
        before, after = words.value_shown(change.before), words.value_shown(change.after)
        yield f"  - {name}: {_plain(before)} → {_plain(after)}{by}"
        return
    yield from (f"  - {name}:{by}", "", "    ```diff")
    for mark, line in change.difference():
        yield f"    {mark} {printable(line).replace('```', '` ` `')}"
    yield from ("    ```", "")


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands, and that turns nothing behind it round."""
    return printable(" ".join(text.split())).translate(_MARKDOWN)
