"""What packages need, followed through the metadata of what is installed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE: tuple[dict[str, str], ...] = ({},)
ANYWHERE = tuple(
    {
        "python_full_version": f"{version}.{patch}",
        "python_version": version,
        "sys_platform": system,
        "platform_system": "Windows" if system == "win32" else system.title(),
        "platform_machine": machine,
        "implementation_name": implementation,
        "platform_python_implementation": "PyPy" if implementation == "pypy" else "CPython",
    }
    for version in ("3.11", "3.12", "3.13", "3.14")
    for patch in (0, 9)
    for system in ("linux", "darwin", "win32")
    for machine in ("x86_64", "aarch64")
    for implementation in ("cpython", "pypy")
)
"""Every kind of machine that a lock is for, as far as markers tell them apart."""


def closure(
    asked: Iterable[Requirement], environments: Sequence[dict[str, str]] = HERE
) -> dict[str, list[Requirement]]:
    """Each needed package, extras included, with everything that is asked of it.

    A package that is not installed here is taken to need nothing.
    """
    found: dict[str, list[Requirement]] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [one for one in asked if _applies(one, "", environments)]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        found.setdefault(name, []).append(one)
        for extra in {"", *one.extras} - {known for at, known in seen if at == name}:
            seen.add((name, extra))
            needed = map(Requirement, _requires(name))
            waiting += [more for more in needed if _applies(more, extra, environments)]
    return found


def _requires(name: str) -> Sequence[str]:
    try:
        return distribution(name).requires or ()
    except PackageNotFoundError:
        return ()


def _applies(requirement: Requirement, extra: str, environments: Sequence[dict[str, str]]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra, **one}) for one in environments)
