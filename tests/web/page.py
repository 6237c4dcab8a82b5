"""A page as a parser sees it, and a walk over all pages that links lead to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from starlette.testclient import TestClient

INLINE = {"a", "code", "span", "time", "strong", "del", "ins"}
VOID = {"meta", "link", "input", "br", "img", "hr"}


@dataclass
class Page(HTMLParser):
    """What stands on a page: every element with its attributes, and the text."""

    html: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open_: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()
        assert self.open_ == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in INLINE:
            self.texts.append(" ")
        if tag not in VOID:
            self.open_.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open_[-1:]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def links(self) -> list[str]:
        return [str(one["href"]) for one in self.all("a")]


def kind_of(path: str) -> str:
    """The kind of page that an address of ours leads to."""
    plain = re.sub(r"/runs/[^/]+", "/runs/RUN", urlsplit(path).path)
    plain = re.sub(r"/pairs/[^/]+/[^/]+", "/pairs/PAIR", plain)
    return re.sub(r"/milestones/\d+$", "/milestones/ID", plain)


def walk(web: TestClient, start: str = "/", most: int = 200) -> dict[str, Page]:
    """Every page that links of our own lead to from ``start``."""
    found: dict[str, Page] = {}
    todo = [start]
    while todo:
        path = todo.pop(0)
        if path in found or len(found) >= most:
            continue
        answer = web.get(path)
        assert answer.status_code == 200, path
        found[path] = Page(answer.text)
        ours = (link for link in found[path].links if link.startswith(("/", "?")))
        todo += [urljoin(path, link) for link in ours]
    return found
