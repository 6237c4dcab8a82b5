"""When two texts say the same, however a target stores them (rule R3). Pure.

Equal is what is equal without loss. Line ends, runs of white space, dash forms, the Unicode normal
form, HTML entities, lines set as HTML paragraphs, and addresses turned into links to themselves are
the only difference allowed; anything cut, lost or added is a difference. The time is in proportion
to the length, whatever characters a text is made of.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from html.entities import html5
from itertools import groupby
from typing import Final
from urllib.parse import unquote

HYPHENS: Final = "-\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{MINUS SIGN}\N{SMALL HYPHEN-MINUS}－"
LONG_DASHES: Final = "\N{EM DASH}\N{EN DASH}\N{FIGURE DASH}\N{HORIZONTAL BAR}﹘⸺⸻"

PASSES: Final = 8
"""A text whose entities and links lie in more layers than this is left as it is."""


def same_text(one: str | None, other: str | None) -> bool:
    """Whether two texts are equal without loss; None is the empty text."""
    if one == other:
        return True
    first, second = normal_text(one), normal_text(other)
    return first == second or _same_but_for_dashes(first, second)


def normal_text(text: str | None) -> str:
    """The form that texts which differ without loss have in common, but for runs of dashes."""
    return " ".join(_without_layers(text or "", _normal_dashes).split())


def plain_name(name: str) -> str:
    """The form that names have in common which are taken for the same (R7)."""
    return normal_text(name)


def plain_text(text: str | None) -> str:
    """The text in NFC, its entities as the characters they mean, its links as their addresses."""
    return _without_layers(text or "", _nfc)


def _without_layers(text: str, in_form: Callable[[str], str]) -> str:
    """Entities and links may lie in one another; every pass takes one layer away."""
    whole = before = text if text.isascii() else in_form(text)
    for _ in range(PASSES):
        after = _without_links(_without_line_tags(_without_entities(before)))
        if after == before:
            return after
        before = after if after.isascii() else in_form(after)
    return whole


# --- dashes

_HYPHEN: Final = re.compile(f"[{HYPHENS[1:]}]")
_LONG_DASH: Final = re.compile(f"[{LONG_DASHES[1:]}]")
_DASHES: Final = re.compile("[-\N{EM DASH}]+")
_DASH_LINE: Final = re.compile(rf"[{LONG_DASHES}]|[\{HYPHENS}{LONG_DASHES}]{{2,}}")


def _normal_dashes(text: str) -> str:
    return _HYPHEN.sub("-", _LONG_DASH.sub("\N{EM DASH}", _nfc(text)))


def _same_but_for_dashes(one: str, other: str) -> bool:
    if _DASHES.split(one) != _DASHES.split(other):
        return False
    return all(map(_same_dashes, _DASHES.findall(one), _DASHES.findall(other)))


def _same_dashes(one: str, other: str) -> bool:
    """The same number in any forms, or hyphens that were set as longer dashes: ``---`` as one."""
    return len(one) == len(other) or _set_as(one, other) or _set_as(other, one)


def _set_as(one: str, other: str) -> bool:
    """Whether the longer dashes that only ``other`` has stand for up to three hyphens each."""
    longer = other.count("\N{EM DASH}") - one.count("\N{EM DASH}")
    hyphens = one.count("-") - other.count("-")
    return longer <= hyphens <= 3 * longer


def is_dash_line(line: str) -> bool:
    """Whether a line has nothing but dashes: one longer dash at least, or two hyphens."""
    return _DASH_LINE.fullmatch(line.strip()) is not None


# --- the Unicode normal form

_RUN_OF_MARKS: Final = re.compile(r"[^\w\s\x00-\x7f]{30,}")
"""Longer than any letter's accents. Normalising such a run takes the square of its length."""


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", _RUN_OF_MARKS.sub(_in_order, text))


def _in_order(run: re.Match[str]) -> str:
    """The run's marks in their canonical order, by a sort that is quick for long runs."""
    every = "".join(map(_decomposed, run[0]))
    if not any(map(unicodedata.combining, every)):
        return run[0]
    groups = groupby(every, lambda mark: unicodedata.combining(mark) > 0)
    return "".join(
        "".join(sorted(group, key=unicodedata.combining) if are_marks else group)
        for are_marks, group in groups
    )


@lru_cache(4096)
def _decomposed(character: str) -> str:
    return unicodedata.normalize("NFD", character)


# --- entities

_ENTITY: Final = re.compile(
    r"&(?:#(?P<decimal>\d{1,7})|#[xX](?P<hex>[\da-fA-F]{1,6})|\w{2,31});", re.A
)
_WHITE_SPACE: Final = "\t\n\r"
_SURROGATES: Final = range(0xD800, 0xE000)


def _without_entities(text: str) -> str:
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(entity: re.Match[str]) -> str:
    """What an entity stands for, or the entity where it stands for nothing visible."""
    digits, base = (entity["decimal"], 10) if entity["decimal"] else (entity["hex"], 16)
    if not digits:
        return html5.get(entity[0][1:], entity[0])
    number = int(digits, base)
    if number > 0x10FFFF or number in _SURROGATES:
        return entity[0]
    character = chr(number)
    is_control = unicodedata.category(character) == "Cc" and character not in _WHITE_SPACE
    return entity[0] if is_control else character


# --- lines set as HTML

_LINE_TAG: Final = re.compile(r"<(?:br\s*/?|/?p|/?div)>", re.IGNORECASE)
"""A tag without attributes that says no more than that a line ends."""


def _without_line_tags(text: str) -> str:
    return _LINE_TAG.sub("\n", text) if "<" in text else text


# --- addresses turned into links

_HTML_LINK: Final = re.compile(
    r"<a\s(?P<attributes>[^<>]*)>(?P<shown>[^<>]*)</a\s*>", re.IGNORECASE
)
_ATTRIBUTE: Final = re.compile(r"""\s*(?P<name>[\w-]+)=(?P<quote>["'])(?P<value>.*?)(?P=quote)""")
_ANGLE_LINK: Final = re.compile(r"<(?P<shown>[^\s<>]+)>")
_MARKDOWN_LINK: Final = re.compile(
    r"\[(?P<shown>[^\s\[\]<>]+)\]\((?:mailto:|https?://)?(?P=shown)/?\)"
)
_ADDRESS: Final = re.compile(
    r"(?:[a-z][a-z\d+.-]*://|www\.|mailto:)\S+|[^\s@]+@[^\s@]+", re.IGNORECASE
)
_OF_NO_MEANING: Final = frozenset({"href", "target", "rel", "class"})
"""The attributes that a target gives to a link it made."""


def _without_links(text: str) -> str:
    if "<" in text:
        text = _ANGLE_LINK.sub(_shown_address, _HTML_LINK.sub(_html_address, text))
    return _MARKDOWN_LINK.sub(_shown_address, text) if "[" in text else text


def _shown_address(link: re.Match[str]) -> str:
    return link["shown"] if _ADDRESS.fullmatch(link["shown"]) else link[0]


def _html_address(link: re.Match[str]) -> str:
    """What an HTML link shows, if it leads to just that and says nothing else."""
    attributes, end = link["attributes"], 0
    said: dict[str, str] = {}
    while found := _ATTRIBUTE.match(attributes, end):
        said[found["name"].lower()] = found["value"]
        end = found.end()
    if attributes[end:].strip() or not said.keys() <= _OF_NO_MEANING:
        return link[0]
    return link["shown"] if _leads_to(said.get("href", ""), link["shown"].strip()) else link[0]


def _leads_to(href: str, shown: str) -> bool:
    """Whether a link's address is the shown one, with the scheme and encoding that links need."""
    if not _ADDRESS.fullmatch(shown):
        return False
    targets = (shown, f"mailto:{shown}", f"http://{shown}", f"https://{shown}")
    return unquote(href).removesuffix("/") in (unquote(to).removesuffix("/") for to in targets)
