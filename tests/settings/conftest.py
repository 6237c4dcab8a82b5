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
            (tmp_path / "milesync.toml").write_text(toml, encoding="utf-8")
        if dotenv is not None:
            (tmp_path / ".env").write_text(dotenv, encoding="utf-8")
        environ = {f"MILESYNC_{name}": text for name, text in variables.items()}
        return load_settings(environ=environ, cwd=tmp_path)

    return loaded
