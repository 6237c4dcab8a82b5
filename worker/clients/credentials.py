"""Who we are to an API, in a form that no log, error or repr shows."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from worker.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Credentials:
    """The Authorization header, and every form of the secret that no message may show."""

    header: SecretStr
    secrets: tuple[SecretStr, ...]
    _hidden: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain = [secret.get_secret_value() for secret in self.secrets]
        forms = {form for text in plain if text for form in _forms(text)}
        found = "|".join(map(_broken_anywhere, sorted(forms, key=len, reverse=True)))
        object.__setattr__(self, "_hidden", re.compile(found) if found else None)

    def redacted(self, text: str) -> str:
        """The text with ``***`` for each secret, however a server or a proxy echoes it."""
        return text if self._hidden is None else self._hidden.sub("***", text)


def _forms(plain: str) -> set[str]:
    """How a secret may stand in a URL, in JSON and on a page."""
    in_json = (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])
    in_url = quote(plain, safe="")
    in_urls = (in_url, quote_plus(plain), re.sub("%..", lambda code: code[0].lower(), in_url))
    return {plain, *in_urls, *in_json, html.escape(plain)}


def _broken_anywhere(form: str) -> str:
    """A pattern of this text, which may be broken into lines."""
    return r"\s*".join(map(re.escape, form))


def basic_auth(user: str, key: SecretStr) -> Credentials:
    """TestRail's credentials: the user and the API key (or password)."""
    pair = f"{user}:{key.get_secret_value()}".encode()
    packed = SecretStr(base64.b64encode(pair).decode())
    return Credentials(SecretStr(f"Basic {packed.get_secret_value()}"), (key, packed))


def bearer(token: SecretStr) -> Credentials:
    """Testably's credentials. Raises SettingsError for a token that no header can hold."""
    plain = token.get_secret_value()
    if not (plain.isascii() and plain.isprintable()):
        raise SettingsError("The token holds a character that no HTTP header can carry.")
    return Credentials(SecretStr(f"Bearer {plain}"), (token,))
