"""The locks hold what `pyproject.toml` declares, all of it, and nothing that has to be resolved."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.closure import ANYWHERE, closure

ROOT = Path(__file__).parents[2]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME, DEVELOPMENT = "requirements.lock", "requirements-dev.lock"
GROUPS = {RUNTIME: ["build"], DEVELOPMENT: ["build", "dev"]}
_ENTRY = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?: ; [^\\]+)?"
    r"(?P<hashes>(?: \\\n {4}--hash=sha256:[0-9a-f]{64})+)$",
    re.MULTILINE,
)


def locked(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Name → version and hashes; every line of the file belongs to an entry."""
    text = (ROOT / lock).read_text()
    assert _ENTRY.sub("", text).strip() == ""
    return {
        canonicalize_name(one["name"]): (
            one["version"],
            frozenset(re.findall("[0-9a-f]{64}", one["hashes"])),
        )
        for one in _ENTRY.finditer(text)
    }


def declared(lock: str) -> list[Requirement]:
    """What `pyproject.toml` asks for in this lock."""
    asked = project_needs()
    for group in GROUPS[lock]:
        listed = DECLARED["dependency-groups"][group]
        asked += [Requirement(one) for one in listed if isinstance(one, str)]
    return asked


def project_needs() -> list[Requirement]:
    """What whoever installs milesync gets with it."""
    return [Requirement(one) for one in DECLARED["project"]["dependencies"]]


@pytest.mark.parametrize("lock", GROUPS)
def test_a_lock_has_each_declared_package_in_an_allowed_version(lock: str) -> None:
    held = locked(lock)
    for asked in declared(lock):
        version, _ = held[canonicalize_name(asked.name)]
        assert asked.specifier.contains(version), f"{lock}: {asked} is pinned to {version}"


@pytest.mark.parametrize("lock", GROUPS)
def test_a_lock_has_everything_that_its_packages_need(lock: str) -> None:
    """In a version that each of them allows."""
    held = locked(lock)
    for name, asked in closure(declared(lock)).items():
        assert name in held, f"{lock} lacks {name}"
        version, _ = held[name]
        assert all(one.specifier.contains(version, prereleases=True) for one in asked), asked


@pytest.mark.parametrize("lock", GROUPS)
def test_a_lock_has_nothing_that_nobody_asked_for(lock: str) -> None:
    """On any kind of machine that it is for."""
    assert not set(locked(lock)) - set(closure(declared(lock), ANYWHERE))


def test_both_locks_agree() -> None:
    """What the tests ran with is what the image installs."""
    everything = locked(DEVELOPMENT)
    for name, pinned in locked(RUNTIME).items():
        assert everything[name] == pinned, name


def test_the_build_backend_is_locked() -> None:
    """So that an installation without build isolation needs nothing else."""
    for name in DECLARED["build-system"]["requires"]:
        assert canonicalize_name(Requirement(name).name) in locked(RUNTIME)


def test_no_lock_names_an_address() -> None:
    for lock in GROUPS:
        assert not re.search(r"://|^-", (ROOT / lock).read_text(), re.MULTILINE)
