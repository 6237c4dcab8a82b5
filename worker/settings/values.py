"""What one setting may be: whatever the file or the environment holds in, a typed value out.

A value that is already of the right type passes through. Anything wrong raises ValueError whose
text completes the sentence "'60 per minute' …", as in "is not a rate"; it never repeats the
value, which may be a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import SecretStr

_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the web process listens; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def plain_text(value: object) -> str:
    """Text without the white space around it."""
    if not isinstance(value, str):
        raise ValueError("is not text (put it in quotes)")
    return value.strip()


def account(value: object) -> str:
    """The user of HTTP's Basic authentication, which ends the name at the first colon."""
    text = plain_text(value)
    if ":" in text:
        raise ValueError("has a colon in it, which no user of HTTP Basic authentication can have")
    if not text.isprintable():
        raise ValueError("has a line break or another control character in it")
    return text


def secret(value: object) -> SecretStr:
    """A secret, without the white space that comes along when one is pasted."""
    if isinstance(value, SecretStr):
        return value
    text = plain_text(value)
    if not text.isprintable():
        raise ValueError("has a line break or another control character in it")
    return SecretStr(text)


def token(value: object) -> SecretStr:
    """A bearer token: what an HTTP header can carry."""
    kept = secret(value)
    if not re.fullmatch(r"[!-~]+", kept.get_secret_value()):
        raise ValueError("has a character in it that no token has")
    return kept


def word(value: object) -> object:
    """A word of a fixed choice, in lower case; the choice itself is checked elsewhere."""
    return value.strip().lower() if isinstance(value, str) else value


def flag(value: object) -> bool:
    """True or False, also as the text ``true``, ``yes``, ``1``, ``false``, ``no`` or ``0``."""
    found = _FLAGS.get(str(value).strip().lower())
    if found is None:
        raise ValueError("is neither true nor false")
    return found


def addresses(value: object) -> tuple[SecretStr, ...]:
    """Addresses with a scheme, separated by commas or one a line."""
    if value is None:
        return ()
    texts = map(_address_text, value if isinstance(value, list | tuple) else [value])
    found = [part.strip() for text in texts for part in re.split(r"[,\n]", text)]
    if any("://" not in part for part in found if part):
        raise ValueError("names an address without a scheme, such as https:// or mailto://")
    try:
        _ = [urlsplit(part) for part in found if part.encode()]
    except ValueError:
        raise ValueError("names an address that cannot be read") from None
    return tuple(SecretStr(part) for part in found if part)


def _address_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if not isinstance(value, str):
        raise ValueError("is no address, and no list of them")
    return value


# --- places -----------------------------------------------------------------------------------


def zone(value: object) -> ZoneInfo | None:
    """An IANA time zone; ``none`` is None."""
    if value is None or isinstance(value, ZoneInfo):
        return value
    name = plain_text(value)
    if name.lower() == "none":
        return None
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), n=1)
    raise ValueError("is not an IANA time zone" + (f" (did you mean {near[0]}?)" if near else ""))


def listen(value: object) -> Listen:
    """``host:port``; an IPv6 address stands in brackets."""
    if isinstance(value, Listen):
        return value
    found = re.fullmatch(
        r"(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})", plain_text(value), re.ASCII
    )
    if not found or int(found[3]) > 65_535:
        raise ValueError("is not host:port")
    return Listen(found[1] or found[2], int(found[3]))


def source_url(value: object) -> str:
    """The address of a TestRail installation, without a slash at its end.

    A sub-directory stays; a pasted ``/index.php…`` is cut off.
    """
    text = plain_text(value)
    root, pasted, _ = text.partition("/index.php")
    return _base_url(root if pasted else text)


def target_url(value: object) -> str:
    """The address of Testably's API, without ``/v1`` or a slash at its end."""
    return _base_url(plain_text(value)).removesuffix("/v1").rstrip("/")


def _base_url(text: str) -> str:
    parts = _split(text)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("does not start with http:// or https:// and the name of a server")
    if "@" in parts.netloc:
        raise ValueError("has credentials in it; they have settings of their own")
    if parts.query or parts.fragment:
        raise ValueError("has more behind the address than a path")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _split(text: str) -> SplitResult:
    # urlsplit would silently drop line breaks and tabs, and is slow on a long run of accents;
    # bytes that are no text come as lone surrogates, and no request can hold those
    if not re.fullmatch(r"[^\s\\\x00-\x20\x7f\ud800-\udfff]{1,2000}", text):
        raise ValueError("is not a URL")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    return parts


def source_project(value: object) -> int:
    """The number of a TestRail project."""
    if isinstance(value, bool) or not re.fullmatch(r"[1-9]\d{0,17}", str(value).strip(), re.ASCII):
        raise ValueError("is not the number of a TestRail project")
    return int(str(value))


def target_project(value: object) -> str:
    """The id of a Testably project: it becomes part of an address."""
    text = plain_text(value)
    if not re.fullmatch(r"[\w-]+", text, re.ASCII):
        raise ValueError("is not the id of a Testably project")
    return text


# --- stores -----------------------------------------------------------------------------------

_LONGEST_FILE: Final = 4096
"""Characters of a file's name with its folders: no system takes a longer one."""
_POSTGRES: Final = re.compile(
    r"(?:postgres|postgresql|postgresql\+psycopg)://"
    r"(?P<rest>(?:[^@/?#\s]*@)?(?:\[[0-9a-fA-F:.]+\]|[^\[\]@:/?#\s]*)(?::\d{1,5})?"
    r"(?:/[^?#\s]*)?(?:\?\S*)?)"
)
# a "?" that no name of an option follows is part of the file's name
_SQLITE: Final = re.compile(
    r"sqlite(?:\+pysqlite)?://(?P<file>/.*?)?(?P<options>\?(?:\w+=[^&/?]*(?:&|$))*)?"
)


def database_url(value: object, base: Path) -> SecretStr:
    """A SQLAlchemy URL for SQLite (a file, made absolute from ``base``) or psycopg."""
    if isinstance(value, SecretStr) and value.get_secret_value().startswith("sqlite:////"):
        return value
    text = secret(value).get_secret_value()
    if found := _POSTGRES.fullmatch(text):
        return SecretStr(f"postgresql+psycopg://{found['rest']}")
    if found := _SQLITE.fullmatch(text):
        return SecretStr(_sqlite_url(found["file"], found["options"] or "", base))
    if text.startswith("postgres"):
        raise ValueError(
            "is not a PostgreSQL URL for psycopg "
            "(special characters in a password have to be percent-encoded)"
        )
    raise ValueError("is neither a SQLite file nor a PostgreSQL database")


def _sqlite_url(file: str | None, options: str, base: Path) -> str:
    name = (file or "").removeprefix("/")
    if name in ("", ":memory:") or name.startswith("file:"):
        raise ValueError("is not a file: a database in memory cannot be shared by processes")
    if len(name) > _LONGEST_FILE:
        raise ValueError("is not a file: its name is too long")
    try:
        path = (base / Path(name).expanduser()).resolve()
        is_other = path.exists() and not path.is_file()
    except (OSError, RuntimeError):  # of which a link that leads to itself is one
        raise ValueError("is no file: it leads to nobody's home, or in a circle of links") from None
    if is_other:
        raise ValueError("is no file, but a folder or a device")
    # the name as it stands: SQLAlchemy ends it at a "?", and decodes it
    escaped = str(path).replace("%", "%25").replace("?", "%3F")
    return f"sqlite:///{escaped}{options}"


def redis_url(value: object) -> SecretStr:
    """``redis://`` or, with TLS, ``rediss://``."""
    text = secret(value).get_secret_value()
    form = r"rediss?://(?:[^@/?#\s]*@)?[^@/?#\s]+(?:/\d*)?(?:\?[^#\s]*)?"
    if not re.fullmatch(form, text) or not _split(text).hostname:
        raise ValueError(
            "is not a Redis URL (special characters in a password have to be percent-encoded)"
        )
    if not _has_known_options(text):
        raise ValueError("has an option that redis-py does not know, or not with this value")
    return SecretStr(text)


def _has_known_options(url: str) -> bool:
    """Whether redis-py can make a connection of a Redis URL's options; it makes none yet."""
    if "?" not in url:
        return True
    from redis.connection import ConnectionPool  # here, because most URLs have no options
    from redis.exceptions import RedisError

    try:
        ConnectionPool.from_url(url).make_connection()
    except (TypeError, ValueError, RedisError):
        return False
    return True


def redacted(url: SecretStr) -> str:
    """A database or Redis URL that may be shown: without its password, user and options."""
    scheme, slashes, rest = url.get_secret_value().partition("//")
    _, at, place = rest.rpartition("@")
    return f"{scheme}{slashes}{'***@' if at else ''}{place}".partition("?")[0]
