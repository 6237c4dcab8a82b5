"""milesync as people install it, without anything of the dev group."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.closure import closure
from tests.packaging.test_locks import RUNTIME, locked, project_needs

ROOT = Path(__file__).parents[2]
_STEP = re.compile(r"^(FROM|WORKDIR|COPY|RUN) (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Installed:
    """An installation: the folder of its programs."""

    bin: Path

    @property
    def environment(self) -> dict[str, str]:
        """Its programs on the path, and nothing of this test's own environment or checkout."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MILESYNC_", "PYTHON"))}
        return {**kept, "PATH": f"{self.bin}:/usr/bin:/bin"}


WAYS = [pytest.param(way, marks=pytest.mark.xdist_group(way)) for way in ("wheel", "image")]


@pytest.fixture(scope="session", params=WAYS)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    folder = tmp_path_factory.mktemp(request.param)
    return from_wheel(folder) if request.param == "wheel" else from_dockerfile(folder)


def from_wheel(folder: Path) -> Installed:
    """The wheel in an empty environment, beside exactly what the runtime lock holds."""
    run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, "."
    )
    run(sys.executable, "-m", "venv", folder / "env")
    pip = (folder / "env/bin/pip", "install", "--no-deps")
    run(*pip, "--require-hashes", "-r", "requirements.lock")
    run(*pip, *folder.glob("*.whl"))
    # as for those who install the wheel alone: nothing is there that it does not ask for itself
    superfluous = set(locked(RUNTIME)) - set(closure(project_needs()))
    run(folder / "env/bin/pip", "uninstall", "--yes", *superfluous)
    run(folder / "env/bin/pip", "check")
    return Installed(folder / "env/bin")


def from_dockerfile(folder: Path) -> Installed:
    """The Dockerfile's first stage, its lines replayed with /src and /app in a folder."""
    where = ROOT
    for word, rest in first_stage():
        rest = re.sub(r"(?<![\w.])/(src|app)\b", rf"{folder}/\1", rest)
        if word == "WORKDIR":
            where = Path(rest)
            where.mkdir(parents=True)
        elif word == "COPY":
            *sources, to = rest.split()
            _copy(sources, where / to)
        elif word == "RUN":
            python = f"{Path(sys.executable).parent}:/usr/bin:/bin"
            run("/bin/sh", "-ec", rest, cwd=where, env={**os.environ, "PATH": python})
    return Installed(folder / "app/bin")


def first_stage() -> list[tuple[str, str]]:
    """The steps of the Dockerfile up to its second FROM."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    steps = _STEP.findall(text)
    ends = [number for number, (word, _) in enumerate(steps) if word == "FROM"]
    return steps[ends[0] + 1 : ends[1]]


def _copy(sources: list[str], to: Path) -> None:
    """As the builder does it: of the context it sees what .dockerignore lets through."""
    lets_through = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for source in sources:
        assert source in lets_through, f".dockerignore keeps {source} from the builder"
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, to)


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """The output of a program that must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}"
    return done.stdout
