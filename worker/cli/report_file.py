"""`migrate --report FILE`: what became of each milestone, as a page, a table or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mappings.errors import MilesyncError
from worker.cli import files
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.cli.pair_run import PairRun

COLUMNS: Final = (
    "testrail_project",
    "testably_project",
    "testrail_id",
    "testably_id",
    "name",
    "action",
    "result",
    "reason",
    "problems",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
Document = Mapping[str, Any]


class ReportNotWritten(MilesyncError):
    kind = "report"
    default_hint = "The run itself has ended; `milesync runs` and `history` show what it did."


def require_writable(file: Path) -> None:
    """Raises UsageError, before anything else is done, if the report could not be written."""
    if file.suffix.lower() not in _WRITERS:
        raise UsageError(f"{file}: a report ends in .html, .csv or .json.")
    files.require_writable(file)


def with_items(document: Document, runs: Sequence[PairRun]) -> Document:
    """The document of ``migrate --json`` with what became of each milestone."""
    projects = [
        {**project, "testrail_url": run.identity.testrail_url, "items": _items(run)}
        for project, run in zip(document["projects"], runs, strict=True)
    ]
    return {**document, "projects": projects}


def write_report(file: Path, document: Document) -> None:
    """Write a report in the form that the file's name asks for. Raises ReportNotWritten."""
    text = _WRITERS[file.suffix.lower()](document)
    try:
        files.write_private(file, text)
    except OSError as error:
        raise ReportNotWritten(f"{file} cannot be written: {error.strerror}.") from None


def _items(run: PairRun) -> list[dict[str, Any]]:
    """Every milestone with what was to be done about it and what became of that."""
    return [
        {
            "testrail_id": outcome.action.testrail_id or None,
            "testably_id": outcome.testably_id,
            "name": outcome.action.name,
            "action": outcome.action.kind.value,
            "result": outcome.result.value,
            "reason": outcome.action.reason,
            "problems": [
                {"kind": problem.kind, "reason": problem.reason} for problem in outcome.problems
            ],
        }
        for outcome in run.outcomes
    ]


def _as_json(document: Document) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _as_csv(document: Document) -> str:
    rows = [_row(project, item) for project in document["projects"] for item in project["items"]]
    # Excel takes a file without the mark for its own old encoding
    return "\N{ZERO WIDTH NO-BREAK SPACE}" + csv_text(COLUMNS, rows, end="\r\n")


def _row(project: Document, item: Document) -> list[object]:
    problems = " ".join(problem["reason"] for problem in item["problems"])
    pair = [project["testrail_project"], project["testably_project"]]
    return [*pair, *(item[name] for name in COLUMNS[2:-1]), problems]


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]], end: str = "\n") -> str:
    """A table as CSV, in which a spreadsheet finds no formula."""
    out = StringIO()
    writer = csv.writer(out, lineterminator=end)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    is_formula = isinstance(value, str) and value.lstrip(" \n").startswith(_FORMULA)
    return f"'{value}" if is_formula else value


def _as_html(document: Document) -> str:
    from jinja2 import Environment, PackageLoader

    from mappings.footer import marker_url

    pages = Environment(loader=PackageLoader("worker.cli"), autoescape=True)
    pages.globals["address"] = marker_url
    return pages.get_template("report.html").render(document)


_WRITERS: Final[Mapping[str, Callable[[Document], str]]] = {
    ".html": _as_html,
    ".csv": _as_csv,
    ".json": _as_json,
}
