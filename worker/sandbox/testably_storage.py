"""How a Testably account keeps what it is sent: as it came, or as one of its switches says."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Final

from mappings.dates import moment
from worker.sandbox.rules import Record
from worker.sandbox.switches import TestablySwitches

DATES: Final = ("start_date", "due_date")
TEXTS: Final = ("name", "description")
_ADDRESS: Final = re.compile(r"https?://[^\s<>()\[\]\"']+")
_DASH: Final = "\N{EM DASH}"


def stored(fields: Record, switches: TestablySwitches) -> Record:
    """The fields as the account keeps them; dates are canonical moments."""
    return {name: _value(name, value, switches) for name, value in fields.items()}


def _value(field: str, value: object, switches: TestablySwitches) -> object:
    if not isinstance(value, str):
        return value
    if field in DATES:
        return _date(value, switches)
    return _text(field, value, switches) if field in TEXTS else value


def _date(value: str, switches: TestablySwitches) -> str:
    if not switches.cuts_dates_to_day:
        return moment(value)
    day = datetime.fromisoformat(moment(value)).astimezone(UTC).date()
    return f"{day.isoformat()}T00:00:00Z"


def _text(field: str, text: str, switches: TestablySwitches) -> str:
    """Rewritten first and cut last, as an editor before a column does."""
    if switches.trims_text or switches.echo_differs:
        text = text.strip()
    if switches.dashes:
        text = text.replace("---", _DASH)
    if switches.html_entities:
        text = html.escape(text)
    if field == "description":
        if switches.collapses_blank_lines:
            text = re.sub(r"\n\s*\n", "\n", text)
        text = _linked(text, switches)
        if switches.paragraphs and text:
            blocks = re.split(r"\n\s*\n", text.strip())
            text = "".join(f"<p>{block.replace(chr(10), '<br />')}</p>" for block in blocks)
    longest = switches.cuts_name_at if field == "name" else switches.cuts_description_at
    return text if longest is None else text[:longest]


def _linked(text: str, switches: TestablySwitches) -> str:
    if switches.links_addresses == "markdown":
        return _ADDRESS.sub(lambda found: f"[{found[0]}]({found[0]})", text)
    if switches.links_addresses == "html":
        return _ADDRESS.sub(lambda found: f'<a href="{found[0]}">{found[0]}</a>', text)
    return text
