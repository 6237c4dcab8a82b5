"""The proxy that the environment names for an address, as other programs read it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from worker.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: the ``variable`` that names it, and its ``address`` without user and password."""

    variable: str
    address: str
    url: str = field(repr=False)
    auth: tuple[bytes, bytes] | None = field(repr=False)

    @property
    def is_secure(self) -> bool:
        """Whether the connection to the proxy itself is made with TLS."""
        return self.address.startswith("https:")


def proxy_for(base_url: str) -> Proxy | None:
    """The proxy for this address; NO_PROXY is heeded. Raises SettingsError for one that is wrong.

    No message holds the variable's value, which may contain a password.
    """
    parts = urlsplit(base_url)
    proxies = getproxies()
    scheme = parts.scheme if proxies.get(parts.scheme) else "all"
    if not (found := proxies.get(scheme)) or proxy_bypass(parts.netloc):
        return None
    return _read(_variable(scheme, os.environ), found)


def _variable(scheme: str, environ: Mapping[str, str]) -> str:
    name = f"{scheme}_proxy"
    return name if environ.get(name) else name.upper()


def _read(variable: str, value: str) -> Proxy:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise SettingsError(f"Only HTTP proxies are supported; check {variable}.")
        address = _address(parts)
        proxy = httpx.Proxy(url)
    except (ValueError, httpx.InvalidURL) as error:
        message = f"{variable} holds no address of a proxy that can be read."
        raise SettingsError(message, "Write it as http://proxy.example:3128.") from error
    return Proxy(variable, address, str(proxy.url), proxy.raw_auth)


def _address(parts: SplitResult) -> str:
    """The proxy's address without its user and password. Raises ValueError if it is none."""
    if not parts.hostname or any(char.isspace() for char in parts.hostname):
        raise ValueError("there is no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
