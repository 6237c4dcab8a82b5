"""From files and variables to `Settings`: environment over ``.env`` over file over defaults.

Every problem of one load is reported, each with the place it came from.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from worker.errors import SettingsError
from worker.settings.effective import Settings
from worker.settings.env_file import read_env_file, without_quotes
from worker.settings.explain import PAIR_EXAMPLE, Key, dotted, known_keys, problem, shown
from worker.settings.files import SettingsFile, read_settings_file
from worker.settings.model import PREFIX, FileSettings, variable
from worker.settings.network import clear_text_host

FILE_NAME: Final = "milesync.toml"
Variables = Mapping[str, tuple[str, str]]
"""Name → the text of the variable, and the place it was set in."""

_FOR_ALL_PAIRS: Final[Mapping[str, tuple[str, str]]] = {
    "timezone": ("testrail", "timezone"),
    "schedule": ("sync", "schedule"),
    "testably_token": ("testably", "token"),
    "testrail_user": ("testrail", "user"),
    "testrail_api_key": ("testrail", "api_key"),
}
"""An option of a pair, and the setting that holds for every pair without it."""


def load_settings(
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """The settings from ``config`` (must exist) or ``milesync.toml`` in ``cwd`` (may be missing).

    ``environ`` and ``cwd`` are by default the process's own. Raises SettingsError that names
    everything that is wrong, one problem a line.
    """
    folder = _folder(cwd)
    path = _settings_file(config, folder)
    base = path.parent if path else folder
    files = [read_settings_file(file) for file in (path, base / ".env") if file and file.is_file()]
    texts = {file.path: file for file in files}
    layers = _Layers(path, _toml(texts[path]) if path else {})
    kept: Mapping[str, str] = {}
    if (beside := texts.get(base / ".env")) is not None:
        kept, layers.warnings = read_env_file(beside, PREFIX)
    plain, quoted = without_quotes(os.environ if environ is None else environ, PREFIX)
    layers.warnings += quoted
    layers.overlay(_variables(kept, plain, base / ".env"))
    return layers.settings(base, files)


# --- reading ----------------------------------------------------------------------------------


def _folder(cwd: Path | None) -> Path:
    try:
        return (cwd or Path.cwd()).resolve()
    except FileNotFoundError:
        raise SettingsError(
            "The working directory has been deleted.", "Change to one that is there."
        ) from None


def _settings_file(config: Path | None, folder: Path) -> Path | None:
    if config is None:
        usual = folder / FILE_NAME
        return usual if usual.is_file() else None
    try:
        file = (folder / config.expanduser()).resolve()
        is_file = file.is_file()
    except (OSError, RuntimeError) as error:  # the latter for a home or a link that leads nowhere
        raise SettingsError(f"{config} cannot be read: {error}.") from None
    if not is_file:
        hint = f"`milesync init --config {shlex.quote(str(config))}` writes one."
        raise SettingsError(f"{file}: there is no such file.", hint)
    return file


def _toml(file: SettingsFile) -> dict[str, Any]:
    try:
        found = tomllib.loads(file.text)
    except (ValueError, RecursionError) as error:
        reason = "it holds a number that is too long"  # which is no error of TOML
        if isinstance(error, RecursionError):
            reason = "it is nested too deeply"
        elif isinstance(error, tomllib.TOMLDecodeError):
            reason = str(error)
        raise SettingsError(f"{file.path} cannot be read: {reason}.") from None
    return {key: _without_blanks(value) for key, value in found.items() if not _is_blank(value)}


def _variables(kept: Mapping[str, str], environ: Mapping[str, str], file: Path) -> Variables:
    """The ``MILESYNC_*`` variables that are not empty; the environment goes before ``.env``."""
    return {
        name: (text, place)
        for texts, place in ((kept, str(file)), (environ, "environment"))
        for name, text in texts.items()
        if text.strip()
    }


def _without_blanks(value: Any) -> Any:
    """Tables without the keys whose text is empty: they count as not set."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if not _is_blank(item)}
        return {key: _without_blanks(item) for key, item in kept.items()}
    return [_without_blanks(item) for item in value] if isinstance(value, list) else value


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


# --- putting together -------------------------------------------------------------------------


class _Layers:
    """The settings as they were found, and the place of each that is not simply in the file."""

    def __init__(self, file: Path | None, raw: dict[str, Any]) -> None:
        self.file = file
        self.raw = raw
        self.places: dict[Key, str] = {}
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def overlay(self, variables: Variables) -> None:
        """Let each variable replace what the file says, then complete the pairs."""
        keys = {variable(key): key for key in known_keys()}
        for name, (text, where) in variables.items():
            place = f"{name} ({where})"
            if name not in keys:
                self._warn(name, place, list(keys))
            elif keys[name] == ("projects",):
                self._replace_projects(text, place)
            else:
                self._put(keys[name], text, place)
        for index, pair in enumerate(_tables(self.raw.get("projects"))):
            self._inherit(index, pair)

    def settings(self, base: Path, files: Sequence[SettingsFile]) -> Settings:
        """All of it checked; a relative SQLite path is relative to ``base``."""
        found = None
        try:
            found = FileSettings.model_validate(self.raw, context={"base": base})
        except ValidationError as refused:
            self.problems += [problem(one, self._place(one["loc"])) for one in refused.errors()]
        # outside of the handler: its exception holds the values, secrets too
        if found is not None:
            self._look_at_addresses(found)
        if found is None or self.problems:
            raise SettingsError("\n".join(dict.fromkeys(self.problems)))
        made = Settings.model_construct(**dict(found), source_file=self.file)
        warnings = [line for file in files for line in file.warnings(made.secrets)]
        return made.model_copy(update={"warnings": (*self.warnings, *warnings)})

    def _look_at_addresses(self, found: FileSettings) -> None:
        """Refuse to send credentials over a network without TLS; warn of an open Redis."""
        addresses = {"testrail": found.testrail.url or "", "testably": found.testably.url}
        for table, url in addresses.items():
            host = clear_text_host(url)
            if host is not None and host not in found.sync.allow_http:
                self.problems.append(
                    f"{self._place((table, 'url'))}: http:// sends the credentials to {host}"
                    f" unencrypted. Use https://, or name {host} in MILESYNC_ALLOW_HTTP."
                )
        self._look_at_notices(found)
        redis = found.redis_url.get_secret_value() if found.redis_url else ""
        host = clear_text_host(redis)
        if host is not None:
            lacks = "no TLS" if "@" in redis else "neither TLS nor a password"
            self.warnings.append(
                f"{self._place(('redis_url',))}: the connection to {host} has {lacks}."
                " Use rediss:// with a password, unless the network is yours alone."
            )

    def _look_at_notices(self, found: FileSettings) -> None:
        """Refuse to send notices over a network without TLS; no message shows an address's path."""
        for address in found.sync.notify:
            host = clear_text_host(address.get_secret_value())
            if host is not None and host not in found.sync.allow_http:
                self.problems.append(
                    f"{self._place(('sync', 'notify'))}: notices, and what is secret in their"
                    f" address, would go to {host} unencrypted."
                    f" Use https://, or name {host} in MILESYNC_ALLOW_HTTP."
                )

    def _place(self, key: Key) -> str:
        return self.places.get(key) or f"{dotted(key)} ({self.file or 'by default'})"

    def _warn(self, name: str, place: str, names: list[str]) -> None:
        if not name.startswith(f"{PREFIX}TEST_"):
            near = get_close_matches(name, names, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            self.warnings.append(f"{place} is not a setting and is ignored{meant}.")

    def _put(self, key: Key, text: str, place: str) -> None:
        *tables, name = key
        holder: Any = self.raw
        for table in tables:
            holder = holder.setdefault(table, {})
        if isinstance(holder, dict):
            holder[name] = text
            self.places[key] = place

    def _replace_projects(self, text: str, place: str) -> None:
        """The pairs of the variable; a pair that the file has too keeps its other options."""
        in_file = list(enumerate(_tables(self.raw.get("projects"))))
        pairs: list[dict[str, Any]] = []
        self.raw["projects"] = pairs
        self.places["projects",] = place
        for entry in filter(None, map(str.strip, text.split(","))):
            source, equals, target = map(str.strip, entry.partition("="))
            if not (source and equals and target):
                self.problems.append(f"{place}: {shown(entry)} is not a pair. {PAIR_EXAMPLE}")
                continue
            pair: dict[str, Any] = {}
            for index, own in in_file:
                if (str(own.get("testrail")), own.get("testably")) == (source, target):
                    pair |= own
                    self._move(index, len(pairs), own)
            for option, value in (("testrail", source), ("testably", target)):
                pair[option] = value
                self.places["projects", len(pairs), option] = place
            pairs.append(pair)

    def _move(self, index: int, to: int, options: Mapping[str, object]) -> None:
        for option in options:
            key = ("projects", index, option)
            self.places["projects", to, option] = f"{dotted(key)} ({self.file})"

    def _inherit(self, index: int, pair: dict[str, Any]) -> None:
        """Give a pair the options for all pairs that it does not have itself."""
        for option, key in _FOR_ALL_PAIRS.items():
            table = self.raw.get(key[0])
            if option not in pair and isinstance(table, dict) and key[1] in table:
                pair[option] = table[key[1]]
                self.places["projects", index, option] = self._place(key)


def _tables(value: object) -> list[dict[str, Any]]:
    """The tables of a list; what is no table is left to the check of the whole."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
