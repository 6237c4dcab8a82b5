"""Who we are to an API, in a form that no log, error or repr shows."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import quote

from pydantic import SecretStr

from worker.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Credentials:
    """The Authorization header, and every form of the secret that no message may show."""

    header: SecretStr
    secrets: tuple[SecretStr, ...]

    def redacted(self, text: str) -> str:
        """The text with ``***`` for each secret."""
        for secret in self.secrets:
            if plain := secret.get_secret_value():
                text = text.replace(plain, "***").replace(quote(plain, safe=""), "***")
        return text


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
