"""The one Redis URL, as redis-py reads it, in the words of Celery's broker and of RedBeat.

Left to itself, Celery's broker knows few of the options that may stand in the URL, and with a
transport of one's own it takes ``rediss://`` for a connection without TLS.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from redis.connection import SSLConnection, parse_url

_ACCOUNT: Final = ("username", "password")
_TIMEOUTS: Final = {"socket_timeout": 5, "socket_connect_timeout": 2}
_DEFAULT_PORT: Final = 6379


def broker(url: str) -> dict[str, Any]:
    """Celery's settings of the broker at a Redis URL."""
    found = parse_url(url)  # type: ignore[no-untyped-call]
    tls = found.get("connection_class") is SSLConnection
    username, password = (quote(found.get(name, ""), safe="") for name in _ACCOUNT)
    account = f"{username}:{password}@" if username or password else ""
    host = found["host"]
    host = f"[{host}]" if ":" in host else host
    place = f"{host}:{found.get('port', _DEFAULT_PORT)}/{found.get('db', 0)}"
    options = {name: value for name, value in found.items() if name.startswith("ssl_")}
    return {
        "broker_url": f"{'rediss' if tls else 'redis'}://{account}{place}",
        "broker_use_ssl": {"ssl_cert_reqs": "required", **options} if tls else None,
        "broker_transport": "worker.tasks.transport:Transport",
    }


def redbeat(url: str) -> dict[str, Any]:
    """RedBeat's, with the account apart: Celery hides a password by its key, not in this URL."""
    found = parse_url(url)  # type: ignore[no-untyped-call]
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    left = urlencode([(name, text) for name, text in query if name not in _ACCOUNT])
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2], query=left)
    account = {name: found[name] for name in _ACCOUNT if name in found}
    return {
        "redbeat_redis_url": urlunsplit(place),
        "redbeat_redis_options": {**_TIMEOUTS, **account},
    }
