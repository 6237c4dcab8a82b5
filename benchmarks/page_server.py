"""Serves the pages of pairs, rendered beforehand, so that only the client's work is measured.

``python -m benchmarks.page_server FOLDER PORT`` reads ``source.json`` and ``target.json`` there,
the rows by project. It knows no credentials and takes no writes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

SOURCE_PAGE, TARGET_PAGE = 250, 100
Pages = dict[str, bytes]


def render(folder: Path) -> Pages:
    """Every page by a key of its project, its list and its first row or number."""
    source = json.loads((folder / "source.json").read_text())
    target = json.loads((folder / "target.json").read_text())
    pages: Pages = {}
    for project, rows in source.items():
        pages |= {f"source {project} {offset}": page for offset, page in _source_pages(rows)}
    for project, rows in target.items():
        pages |= {f"target {project} {number}": page for number, page in _target_pages(rows)}
    return pages


def _source_pages(rows: list[Any]) -> Iterator[tuple[int, bytes]]:
    for offset in range(0, max(len(rows), 1), SOURCE_PAGE):
        page = rows[offset : offset + SOURCE_PAGE]
        last = offset + len(page) >= len(rows)
        links = {"next": None if last else f"/api/v2/&offset={offset + SOURCE_PAGE}", "prev": None}
        meta = {"offset": offset, "limit": SOURCE_PAGE, "size": len(page), "_links": links}
        yield offset, json.dumps({**meta, "milestones": page}).encode()


def _target_pages(rows: list[Any]) -> Iterator[tuple[int, bytes]]:
    for start in range(0, max(len(rows), 1), TARGET_PAGE):
        page = rows[start : start + TARGET_PAGE]
        number = start // TARGET_PAGE + 1
        meta = {"page": number, "per_page": TARGET_PAGE, "total": len(rows)}
        yield number, json.dumps({"data": page, "meta": meta}).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers a GET with a page that is ready."""

    protocol_version = "HTTP/1.1"
    pages: ClassVar[Pages] = {}
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = self.pages.get(_key(self.path), b'{"data": [], "meta": {"total": 0}}')
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self.wfile.write(head.encode() + b"\r\n\r\n" + body)


def _key(path: str) -> str:
    if found := re.search(r"/get_milestones/(\d+)(?:.*&offset=(\d+))?", path):
        return f"source {found[1]} {found[2] or 0}"
    found = re.search(r"/projects/([^/]+)/milestones\?.*\bpage=(\d+)", path)
    if found is None or "status=" in path:
        return "none"
    return f"target {found[1]} {found[2]}"


def main() -> None:
    Handler.pages = render(Path(sys.argv[1]))
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
