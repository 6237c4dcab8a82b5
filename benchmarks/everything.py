"""``make bench``: every benchmark in one go, its figures as JSON, and the tables made from them.

``python -m benchmarks.everything FOLDER [NAME…]`` runs all, or those named, and keeps
``FOLDER/NAME.json``. ``python -m benchmarks.everything FOLDER --tables`` only prints the tables of
what is there, as Markdown; docs/performance.md has them. With PEERS=1 the peers that are installed
are measured too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.servers import ROOT

SCRIPTS: dict[str, tuple[str, ...]] = {
    "scale": ("bench_scale",),
    "create": ("bench_create",),
    "intake": ("bench_intake",),
    "rate_limiter": ("bench_rate_limiter",),
    "pages": ("bench_pages",),
    "simulation": ("simulate", "1000"),
    "celery": ("bench_celery",),
}


def run(folder: Path, name: str) -> None:
    """Run one benchmark in a process of its own. Raises CalledProcessError."""
    module, *more = SCRIPTS[name]
    words = (sys.executable, "-m", f"benchmarks.{module}", *more)
    print(f"== {name}", flush=True)
    file = str(folder.resolve() / f"{name}.json")
    subprocess.run((*words, "--json", file), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def table(rows: list[dict[str, Any]]) -> str:
    """Rows with the same keys as a Markdown table; one row alone as a line for each key."""
    if len(rows) == 1:
        lines = [(name, shown(value)) for name, value in rows[0].items()]
        return _lines(("figure", ""), [(words(name), value) for name, value in lines])
    names = list(rows[0])
    body = [tuple(shown(row[name]) for name in names) for row in rows]
    return _lines(tuple(words(name) for name in names), body)


def words(name: str) -> str:
    """A key as people read it."""
    return name.replace("_", " ")


def shown(value: Any) -> str:
    """A figure as people read it."""
    if isinstance(value, dict):
        return ", ".join(f"{words(name)}: {shown(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " / ".join(shown(one) for one in value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _lines(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    rows = [head, tuple("---" for _ in head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    folder, *names = Path(sys.argv[1]), *sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    if names != ["--tables"]:
        for name in names or SCRIPTS:
            run(folder, name)
    for name in SCRIPTS:
        if (file := folder / f"{name}.json").exists():
            print(f"\n### {words(name)}\n\n{table(json.loads(file.read_text()))}")
    print(f"\nLoad of the machine now: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
