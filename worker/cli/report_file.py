"""`migrate --report FILE`: what became of each milestone, as a page, a table or JSON."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mappings.errors import MilesyncError, StoreError
from worker.cli import files
from worker.facts import lifecycles
from worker.say import printable

if TYPE_CHECKING:
    from mappings.link import Link
    from worker.bootstrap import Deployment
    from worker.cli.pair_run import PairRun
    from worker.sync.apply.outcome import Outcome
    from worker.sync.report import RunReport

PAGE: Final = ".html"
COLUMNS: Final = (
    "testrail_project",
    "testably_project",
    "testrail_id",
    "testably_id",
    "name",
    "action",
    "result",
    "reason",
    *lifecycles.COLUMNS,
    "problems",
)
_SEPARATORS: Final = frozenset(";,|\t\r\n")
"""What may part two cells: which one does is chosen in the spreadsheet."""
_SIGNS: Final = "[=+\\-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b]"
"""What a formula begins with, in each width."""
_DROPPED: Final = (
    '\\s"\\x00-\\x20\\x7f-\\xa0\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff'
)
"""What a spreadsheet may drop before it looks at a cell's first character, quotes included."""
# a run is tried at its beginning only, and never again from within: else it would be quadratic
_BEFORE_SIGN: Final = re.compile(
    f"(?:^|(?<=[^;,|{_DROPPED}]))[;,|{_DROPPED}]++(?={_SIGNS})|^(?={_SIGNS})"
)
Document = Mapping[str, Any]


class ReportNotWritten(MilesyncError):
    kind = "report"
    default_hint = "The run itself has ended; `milesync runs` and `history` show what it did."


def require_writable(file: Path) -> None:
    """Raises UsageError, before anything else is done, if the report could not be written."""
    files.require_writable(file, "a report", (PAGE, *_WRITERS))


def with_items(document: Document, runs: Sequence[PairRun]) -> Document:
    """The document of ``migrate --json`` with what became of each milestone."""
    projects = [
        {**project, "testrail_url": run.identity.testrail_url, "items": _items(run)}
        for project, run in zip(document["projects"], runs, strict=True)
    ]
    return {**document, "projects": projects}


def write_report(
    file: Path, deployment: Deployment, ended: Sequence[RunReport], document: Callable[[], Document]
) -> None:
    """Write a report in the form that the file's name asks for. Raises ReportNotWritten.

    A page is made of what is recorded of the runs; ``document`` gives the facts of the others.
    """
    try:
        if file.suffix.lower() == PAGE:
            from worker.cli.report_page import page_of

            text = page_of(deployment, ended)
        else:
            text = _WRITERS[file.suffix.lower()](document())
        files.write_private(file, text)
    except OSError as error:
        raise ReportNotWritten(f"{file} cannot be written: {error.strerror}.") from None
    except StoreError as error:
        raise ReportNotWritten(f"{file} was not written: {error.message}", error.hint) from None


def _items(run: PairRun) -> list[dict[str, Any]]:
    """Every milestone with what was to be done about it and what became of that."""
    items = [
        {
            "testrail_id": outcome.action.testrail_id or None,
            "testably_id": outcome.testably_id,
            "name": outcome.action.name,
            "action": outcome.action.kind.value,
            "result": outcome.result.value,
            "reason": outcome.action.reason,
            **_lifecycles(run, outcome),
            "problems": [
                {"kind": problem.kind, "reason": problem.reason} for problem in outcome.problems
            ],
        }
        for outcome in run.outcomes
    ]
    return [*items, *(_in_step(run, link) for link in run.links_in_step())]


def _in_step(run: PairRun, link: Link) -> dict[str, Any]:
    """A milestone that agrees as it did before."""
    from worker.sync.decide.action import IN_STEP

    zone, now = run.snapshot.rules.timezone, run.snapshot.now
    return {
        "testrail_id": link.testrail_id,
        "testably_id": link.testably_id,
        "name": link.name,
        "action": "skip",
        "result": "unchanged",
        "reason": IN_STEP,
        **lifecycles.of_link(link, zone, now),
        "problems": [],
    }


def _lifecycles(run: PairRun, outcome: Outcome) -> Mapping[str, str | None]:
    from worker.sync.apply.outcome import DONE

    written = outcome.result in DONE
    snapshot = run.last_seen(outcome.action.testrail_id)
    return lifecycles.of_action(snapshot, outcome.action, written=written)


def _as_json(document: Document) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _as_csv(document: Document) -> str:
    rows = [_row(project, item) for project in document["projects"] for item in project["items"]]
    # Excel takes a file without the mark for its own old encoding
    return "\N{ZERO WIDTH NO-BREAK SPACE}" + csv_text(COLUMNS, rows, end="\r\n")


def _row(project: Document, item: Document) -> list[object]:
    problems = " ".join(problem["reason"] for problem in item["problems"])
    pair = [project["testrail_project"], project["testably_project"]]
    return [*pair, *(item.get(name) for name in COLUMNS[2:-1]), problems]


def csv_text(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    end: str = "\n",
    *,
    for_terminal: bool = False,
) -> str:
    """A table as CSV, in which a spreadsheet finds no formula, and a terminal no command."""
    cells = ([_cell(value, for_terminal) for value in row] for row in rows)
    return "".join(f"{_line(row)}{end}" for row in (columns, *cells))


def _line(row: Sequence[object]) -> str:
    out = StringIO()
    # only what stands in the writer's own end of a line is put in quotes
    csv.writer(out, lineterminator="\r\n").writerow(row)
    return out.getvalue().removesuffix("\r\n")


def _cell(value: object, for_terminal: bool) -> object:
    """A text with an apostrophe before each sign with which a spreadsheet would begin a formula.

    Which character parts the cells is the spreadsheet's to choose, so a formula may begin after
    any that people use for it, wherever in the text.
    """
    if not isinstance(value, str):
        return value
    text = printable(value) if for_terminal else value
    starts_with_tab = text.lstrip(" \n").startswith(("\t", "\r"))
    return "'" * starts_with_tab + _BEFORE_SIGN.sub(_disarmed, text)


def _disarmed(before: re.Match[str]) -> str:
    """What stands before a sign: with an apostrophe behind it, if a cell may begin there."""
    begins = before.start() == 0 or not _SEPARATORS.isdisjoint(before[0])
    return f"{before[0]}'" if begins else before[0]


_WRITERS: Final[Mapping[str, Callable[[Document], str]]] = {
    ".csv": _as_csv,
    ".json": _as_json,
}
