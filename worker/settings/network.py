"""Names of hosts: who is answered, what is this very machine, and where a secret would be seen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from worker.settings.values import plain_text

ANY_HOST: Final = "*"
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_WITHOUT_TLS: Final = ("http", "redis", "json", "form", "xml")
"""Schemes without TLS; the last three are apprise's names for http."""

_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?")
_WITH_PORT: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[^\s:\[\]]{1,255})(?::\d{0,5})?")


def hosts(value: object) -> tuple[str, ...]:
    """Names of hosts, with commas or as a list, each as `plain_host` makes it."""
    parts = value if isinstance(value, list | tuple) else plain_text(value).split(",")
    found = [plain_host(name) for name in map(plain_text, parts) if name]
    if None in found:
        raise ValueError("names something that is no host: a name or an address, without a port")
    return tuple(dict.fromkeys(name for name in found if name is not None))


def hosts_or_any(value: object) -> tuple[str, ...]:
    """The same; ``*`` is any host."""
    parts = [value] if isinstance(value, str) else value
    is_any = isinstance(parts, list | tuple) and ANY_HOST in (
        name.strip() for part in parts if isinstance(part, str) for name in part.split(",")
    )
    return (ANY_HOST,) if is_any else hosts(value)


def plain_host(text: str) -> str | None:
    """A host's name or address in the one form that can be compared; None where it is neither.

    Lower case, without the brackets of an IPv6 address and without the dot at the end.
    """
    name = text.lower()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if (address := _address(name)) is not None:
        return address
    name = name.removesuffix(".")
    return name if _NAME.fullmatch(name) else None


def host_of(header: str) -> str | None:
    """The host that a ``Host`` header names, whatever the port; None where it names none."""
    found = _WITH_PORT.fullmatch(header)
    return plain_host(found["host"]) if found else None


def is_loopback(host: str | None) -> bool:
    """Whether a name or an address can only be this very machine."""
    name = plain_host(host or "")
    if name is None or name == "localhost":
        return name is not None
    return _address(name) is not None and ip_address(name).is_loopback


def are_loopback(names: Iterable[str]) -> bool:
    """Whether each of them is."""
    return all(map(is_loopback, names))


def clear_text_host(url: str) -> str | None:
    """The host to which a connection would go without TLS, over a network; None if it would not."""
    parts = urlsplit(url)
    if parts.scheme not in _WITHOUT_TLS or is_loopback(parts.hostname):
        return None
    name = parts.hostname or ""
    return plain_host(name) or name


def _address(text: str) -> str | None:
    """An address in its shortest form; an IPv4 address within IPv6 is the IPv4 address."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found)
