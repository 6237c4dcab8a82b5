"""Loading settings from a folder that holds nothing but what the test puts there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from worker.settings import Settings, load_settings

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load from ``toml`` and ``dotenv`` texts and ``MILESYNC_`` variables given as keywords."""

    def loaded(toml: str | None = None, dotenv: str | None = None, **variables: str) -> Settings:
        if toml is not None:
            _written(tmp_path / "milesync.toml", toml)
        if dotenv is not None:
            _written(tmp_path / ".env", dotenv)
        environ = {f"MILESYNC_{name}": text for name, text in variables.items()}
        return load_settings(environ=environ, cwd=tmp_path)

    return loaded


def _written(file: Path, text: str) -> None:
    """A file that only its owner reads, as people are told to keep it."""
    file.touch(0o600)
    file.write_text(text, encoding="utf-8")
